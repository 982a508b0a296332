"""The demo shows what the tutorial promises, and all of it comes from the broker."""

from __future__ import annotations

import json

import pytest

from mockbroker.cli import main
from mockbroker.teach.consoles import Consoles
from mockbroker.teach.demo import PARTS
from mockbroker.teach.parts.stage import Options, Stage


def _play(name: str, options: Options | None = None) -> list[Consoles]:
    """Play a part; return the consoles of each of its scenes."""
    stage = Stage()
    PARTS[name].play(stage, options or Options())
    return stage.scenes


def _texts(consoles: Consoles, name: str) -> list[str]:
    return consoles.console(name).texts


def test_hello_sends_and_receives_and_declares_twice() -> None:
    (scene,) = _play("hello")
    assert _texts(scene, "send") == ["Sent 'Hello World!'", "Declared 'hello' again: 1 ready, 0 consumers"]
    assert _texts(scene, "receive") == ["Waiting for messages", "Received 'Hello World!'"]


def test_round_robin_as_the_tutorial_tells_it() -> None:
    (scene,) = _play("round-robin")
    assert _texts(scene, "C1") == [
        "Received First message.",
        "First message. Done",
        "Received Third message...",
        "Received Fifth message.....",
        "Third message... Done",
        "Fifth message..... Done",
    ]
    assert _texts(scene, "C2") == [
        "Received Second message..",
        "Received Fourth message....",
        "Second message.. Done",
        "Fourth message.... Done",
    ]
    times = [line.now_ns // 1_000_000 for line in scene.lines if line.console == "P"]
    assert times == [0, 600, 1200, 1800, 2400]


def test_round_robin_with_tasks_workers_and_a_window_of_ones_own() -> None:
    options = Options(tasks=("a.", "bb..", "c..."), workers=3, prefetch=1, interval_s=0.5)
    (scene,) = _play("round-robin", options)
    assert [_texts(scene, name)[0] for name in ("C1", "C2", "C3")] == [
        "Received a.",
        "Received bb..",
        "Received c...",
    ]


def test_a_window_of_one_gives_a_worker_one_task_at_a_time() -> None:
    (scene,) = _play("round-robin", Options(workers=1, prefetch=1))
    texts = _texts(scene, "C1")
    assert [text.split()[0] == "Received" for text in texts] == [True, False] * 5


def test_a_dead_workers_task_is_redelivered_with_acknowledgements_and_lost_without() -> None:
    with_acks, without, refused, patient = _play("ack")
    assert _texts(with_acks, "C1") == ["Received A long task....", "killed"]
    assert _texts(with_acks, "C2") == ["Received A long task.... (redelivered)", "A long task.... Done"]
    assert _texts(with_acks, "shell")[-1].split() == ["task_queue", "0", "0"]
    assert _texts(without, "C1") == ["Received A long task....", "killed"]
    assert _texts(without, "C2") == []
    assert _texts(without, "shell")[-1].split() == ["task_queue", "0", "0"]
    assert _texts(refused, "C1")[-1] == (
        "channel closed by the broker: 406 PRECONDITION_FAILED - unknown delivery tag 1"
    )
    assert [line.now_ns // 1_000_000_000 for line in patient.lines if line.console == "C1"] == [0, 10_800]
    assert [row.split()[-1] for row in _texts(patient, "shell") if row.startswith("task_queue")] == ["1", "0"]


def test_forgotten_acknowledgements_pile_up_and_come_back() -> None:
    (scene,) = _play("forgotten-ack")
    rows = [row.split()[1:] for row in _texts(scene, "shell") if row.startswith("task_queue")]
    assert [row[:2] for row in rows] == [["0", "3"], ["0", "5"], ["5", "0"], ["0", "0"]]
    assert [int(row[2]) for row in rows] == [21, 35, 0, 0]
    received = [text for text in _texts(scene, "C2") if text.startswith("Received")]
    assert received == [f"Received Task {number}. (redelivered)" for number in range(1, 6)]


def test_durability() -> None:
    redeclared, restarted, crashed, confirmed = _play("durability")
    assert (
        "channel closed by the broker: 406 PRECONDITION_FAILED - inequivalent arg 'durable' "
        "for queue 'hello' in vhost '/': received 'true' but current is 'false'"
    ) in _texts(redeclared, "P")

    def listings(scene: Consoles) -> list[list[str]]:
        """The rows of each listing."""
        found: list[list[str]] = []
        for text in _texts(scene, "shell"):
            if text.startswith("$"):
                found.append([])
            elif found and text.split()[1:2] in (["true"], ["false"]):
                found[-1].append(" ".join(text.split()))
        return found

    assert listings(redeclared) == [["hello false 0", "task_queue true 0"]]
    assert listings(restarted) == [["hello false 1", "task_queue true 2"], ["task_queue true 1"]]
    assert any("CONNECTION_FORCED" in text for text in _texts(restarted, "P"))
    assert listings(crashed) == [["task_queue true 2"], ["task_queue true 1"]]
    assert any(text.startswith("StreamLostError") for text in _texts(crashed, "P"))
    assert listings(confirmed) == [["task_queue true 2"], ["task_queue true 2"]]


def test_fair_dispatch_is_quicker_with_a_window_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    without, with_window = _play("fair-dispatch")
    assert [text for text in _texts(without, "C1") if text.startswith("Received")] == [
        "Received Heavy 1.....",
        "Received Heavy 3.....",
        "Received Heavy 5.....",
    ]
    assert without.lines[-1].now_ns == 15_000_000_000
    assert with_window.lines[-1].now_ns < without.lines[-1].now_ns
    assert main(["demo", "fair-dispatch"]) == 0
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines() if line.endswith(("#", "...")) and line[:3] == "  C"]
    assert rows == [
        ["C1", "3", "15", "s", "#" * 40],
        ["C2", "3", "3", "s", "#" * 8 + "." * 32],
        ["C1", "3", "7", "s", "#" * 25 + "." * 15],
        ["C2", "3", "11", "s", "#" * 40],
    ]
    assert output.endswith("Total time: 15.0 s without a window, 11.0 s with prefetch_count=1.\n")


@pytest.mark.parametrize("name", list(PARTS))
def test_every_part_leaves_its_brokers_sound_and_prints_the_same_again(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage()
    PARTS[name].play(stage, Options())
    for broker in stage.brokers:
        broker.check()
    assert main(["demo", name, "--seed", "7"]) == 0
    first = capsys.readouterr().out
    assert main(["demo", name, "--seed", "7"]) == 0
    assert capsys.readouterr().out == first
    assert first.isascii()


def test_all_parts_in_the_order_of_the_tutorial(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    titles = [
        line.split(":")[0][3:] for line in capsys.readouterr().out.splitlines() if line.startswith("== ")
    ]
    assert titles == ["hello", "round-robin", "ack", "forgotten-ack", "durability", "fair-dispatch"]


def test_side_by_side_when_there_is_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "round-robin", "--width", "120"]) == 0
    assert "    s | P" in capsys.readouterr().out
    assert main(["demo", "round-robin", "--width", "60"]) == 0
    assert "\nC1\n" in capsys.readouterr().out


def test_the_trace_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "hello", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(events) > 5
    assert {event["part"] for event in events} == {"hello"}
