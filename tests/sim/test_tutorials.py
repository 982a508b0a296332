"""Programs as any tutorial has them, unmodified: `localhost`, `time.sleep`, `start_consuming`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mockbroker.sim import Simulation

PROGRAMS = Path(__file__).parent / "programs"


def script(name):
    return PROGRAMS / f"{name}.py"


def test_hello_world_and_ctrl_c():
    with Simulation() as sim:
        receiver = sim.spawn_script(script("receive"))
        sim.spawn_script(script("send"), name="P")
        sim.run()
        sim.interrupt("C1")
        sim.run()
        assert str(sim.console("P")) == " [x] Sent 'Hello World!'\n"
        assert str(sim.console("C1")) == (
            " [*] Waiting for messages. To exit press CTRL+C\n [x] Received Hello World!\nInterrupted\n"
        )
        assert receiver.exit_code == 0


def test_work_queue_is_dispatched_fairly():
    with Simulation() as sim:
        for _ in range(2):
            sim.spawn_script(script("worker"))
        for number, message in enumerate(["First.", "Second..", "Third...", "Fourth....", "Fifth....."]):
            sim.spawn_script(script("new_task"), [message], name=f"P{number}")
        sim.run()
        assert sim.console("C1").lines == [
            (0.0, " [*] Waiting for messages. To exit press CTRL+C"),
            (0.0, " [x] Received First."),
            (1.0, " [x] Done"),
            (1.0, " [x] Received Third..."),
            (4.0, " [x] Done"),
            (4.0, " [x] Received Fifth....."),
            (9.0, " [x] Done"),
        ]
        assert sim.console("C2").lines == [
            (0.0, " [*] Waiting for messages. To exit press CTRL+C"),
            (0.0, " [x] Received Second.."),
            (2.0, " [x] Done"),
            (2.0, " [x] Received Fourth...."),
            (6.0, " [x] Done"),
        ]
        assert sim.now == 9.0


def test_a_killed_worker_loses_nothing():
    with Simulation() as sim:
        sim.spawn_script(script("worker"))
        sim.spawn_script(script("worker"))
        sim.spawn_script(script("new_task"), ["Long", "one....."], name="P")
        sim.run(until=2)
        sim.kill("C1")
        sim.run()
        assert sim.console("C2").lines[1:] == [(2.0, " [x] Received Long one....."), (7.0, " [x] Done")]
        assert [task.exit_code for task in sim.tasks] == [-9, None, 0]


def test_publish_subscribe():
    with Simulation() as sim:
        for _ in range(2):
            sim.spawn_script(script("receive_logs"))
        sim.run()
        sim.spawn_script(script("emit_log"), name="P")
        sim.run()
        for name in ("C1", "C2"):
            assert str(sim.console(name)).endswith("press CTRL+C\n [x] info: Hello World!\n")


@pytest.mark.parametrize(
    ("kind", "keys", "received"),
    [
        ("direct", ["error"], ["error:disk full"]),
        ("topic", ["#"], ["error:disk full", "kern.critical:panic"]),
        ("topic", ["kern.*", "*.critical"], ["kern.critical:panic"]),
    ],
)
def test_routing_and_topics(kind, keys, received):
    with Simulation() as sim:
        sim.spawn_script(script("receive_logs_from"), [kind, *keys])
        sim.run()
        sim.spawn_script(script("emit_log_to"), [kind, "error", "disk", "full"], name="P1")
        sim.spawn_script(script("emit_log_to"), [kind, "kern.critical", "panic"], name="P2")
        sim.run()
        assert str(sim.console("C1")).splitlines()[1:] == [f" [x] {line}" for line in received]


def test_a_script_sees_its_own_arguments_and_exit_code():
    with Simulation() as sim:
        task = sim.spawn_script(script("receive_logs_from"), ["direct"])
        sim.run()
        assert task.exit_code == 1
        assert str(sim.console("C1")).startswith(f"Usage: {script('receive_logs_from')} direct|topic")


def test_remote_procedure_call():
    with Simulation() as sim:
        sim.spawn_script(script("rpc_server"), name="S")
        sim.spawn_script(script("rpc_client"), name="C")
        sim.run()
        assert str(sim.console("S")) == " [x] Awaiting RPC requests\n [.] fib(10)\n"
        assert str(sim.console("C")) == " [x] Requesting fib(10)\n [.] Got 55\n"


def test_publisher_confirms():
    with Simulation() as sim:
        sim.spawn_script(script("confirms"), name="P")
        sim.run()
        assert str(sim.console("P")) == "confirmed, 3 waiting\nunroutable: 1\n"
