"""The life of a process: scripts, signals, exits, freezing, consoles."""

# ruff: noqa: T201 - what programs print is what these tests look at

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mockbroker.sim import Simulation

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a script and returns its path."""

    def write(text, name="script.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_script_runs_as_python_would_run_it(script):
    (path := script("")).with_name("helper.py").write_text("value = []\n")
    script(
        "import sys, helper, __main__\n"
        "helper.value.append(__name__)\n"
        "print(__name__, sys.argv[1:], helper.value, __main__.__file__ == __file__ == sys.argv[0])\n"
    )
    with Simulation() as sim:
        sim.spawn_script(path, ["a", "b c"])
        sim.spawn_script(path)
        sim.run()
        assert str(sim.console("C1")) == "__main__ ['a', 'b c'] ['__main__'] True\n"
        assert str(sim.console("C2")) == "__main__ [] ['__main__'] True\n"
    assert "helper" not in sys.modules


def test_two_scripts_have_their_own_globals_logging_and_output(script):
    path = script(
        "import logging, sys, time\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stdout)\n"
        "counter = 0\n"
        "for _ in range(2):\n"
        "    counter += 1\n"
        "    time.sleep(1)\n"
        "    logging.info('%s %s', sys.argv[1], counter)\n"
    )
    with Simulation() as sim:
        sim.spawn_script(path, ["x"])
        sim.spawn_script(path, ["y"])
        sim.run()
        assert sim.console("C1").lines == [(1.0, "x 1"), (2.0, "x 2")]
        assert sim.console("C2").lines == [(1.0, "y 1"), (2.0, "y 2")]


def test_a_script_that_is_not_there_is_refused_and_a_syntax_error_is_its_own(script, tmp_path):
    with Simulation() as sim:
        with pytest.raises(FileNotFoundError, match="no script"):
            sim.spawn_script(tmp_path / "nowhere.py")
        task = sim.spawn_script(script("def ("))
        sim.run()
        assert task.exit_code == 1
        assert "SyntaxError" in str(sim.console(task))


@pytest.mark.parametrize(
    ("ending", "code", "printed"),
    [
        ("pass", 0, "finally\nat exit\n"),
        ("sys.exit(3)", 3, "finally\nat exit\n"),
        ("sys.exit('reason')", 1, "finally\nreason\nat exit\n"),
        ("os._exit(4)", 4, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("signal.raise_signal(signal.SIGTERM)", -15, ""),
    ],
)
def test_exits(script, ending, code, printed):
    path = script(
        "import atexit, os, signal, sys\n"
        "atexit.register(print, 'at exit')\n"
        f"try:\n    {ending}\nfinally:\n    print('finally')\n"
    )
    with Simulation() as sim:
        task = sim.spawn_script(path)
        sim.run()
        assert task.exit_code == code
        assert str(sim.console(task)) == printed
    assert str(sim.console(task)) == printed  # also after the threads are unwound


def test_an_exit_callback_can_be_taken_back():
    def program():
        atexit.register(print, "never")
        atexit.unregister(print)

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run()
        assert str(sim.console(task)) == ""


def test_ctrl_c_arrives_where_the_program_waits():
    def program():
        try:
            time.sleep(100)
        except KeyboardInterrupt:
            print("stopped at", time.monotonic())
            time.sleep(1)
            print("cleaned up")

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run(until=5)
        sim.interrupt(task)
        sim.run()
        assert sim.console(task).lines == [(5.0, "stopped at 1005.0"), (6.0, "cleaned up")]
        assert task.exit_code == 0


def test_signal_handlers_belong_to_a_process_and_the_wait_goes_on():
    def program():
        before = signal.signal(signal.SIGTERM, lambda number, frame: print("handled", number))
        assert before == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(10)
        print("slept", time.monotonic())
        signal.pause()

    outside = signal.getsignal(signal.SIGTERM)
    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run(until=3)
        sim.terminate(task)
        sim.interrupt(task)
        sim.run(until=20)
        sim.terminate(task)
        sim.run()
        assert sim.console(task).lines == [(3.0, "handled 15"), (10.0, "slept 1010.0"), (20.0, "handled 15")]
        assert task.exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is outside


def test_signals_are_set_in_the_main_thread_only():
    def program():
        def other():
            with pytest.raises(ValueError, match="main thread"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("refused")

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(ProcessLookupError):
            os.kill(1, signal.SIGTERM)
        with pytest.raises(OSError, match="Invalid argument"):
            signal.signal(signal.SIGKILL, signal.SIG_IGN)

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run()
        assert str(sim.console(task)) == "refused\n"
        assert task.exit_code == 0


def test_a_killed_process_never_runs_again_not_even_its_finally():
    seen = []

    def program():
        try:
            time.sleep(10)
        finally:
            seen.append("finally")
            print("never shown")

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run(until=1)
        sim.kill(task)
        sim.run()
        assert (task.exit_code, seen, sim.now) == (-9, [], 1)
    assert str(sim.console(task)) == ""


LEFT_OPEN = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from mockbroker.sim import Simulation

def program():
    ThreadPoolExecutor(2).submit(time.sleep, 1000)
    threading.Thread(target=time.sleep, args=(1000,)).start()
    time.sleep(1000)

sim = Simulation()
sim.spawn(program)
sim.run(until=5)
print("left open")
"""


def test_a_simulation_that_is_left_open_does_not_keep_the_interpreter_from_ending():
    run = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "left open\n", "")


def test_a_program_that_swallows_everything_can_still_be_left():
    def program():
        while True:
            try:
                time.sleep(1)
            except BaseException:
                continue

    before = threading.active_count()
    with Simulation() as sim:
        sim.spawn(program)
        sim.run(until=3)
    # Its thread can be neither ended nor waited for: a daemon that sleeps for ever.
    assert threading.active_count() <= before + 1


def test_a_frozen_process_is_late_when_it_thaws():
    def program():
        for _ in range(3):
            time.sleep(1)
            print("tick")

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run(until=1.5)
        sim.freeze(task)
        sim.run(until=10)
        assert len(sim.console(task).lines) == 1
        sim.thaw(task)
        sim.run()
        assert sim.console(task).lines == [(1.0, "tick"), (10.0, "tick"), (11.0, "tick")]


def test_a_program_can_be_started_again_under_its_name():
    starts = []

    def program():
        starts.append(time.monotonic())
        print("start", len(starts))
        time.sleep(5)

    with Simulation() as sim:
        first = sim.spawn(program)
        sim.run(until=1)
        with pytest.raises(ValueError, match="alive already"):
            sim.respawn(first)
        sim.kill(first)
        second = sim.respawn(first)
        sim.run()
        assert (first.exit_code, second.exit_code) == (-9, 0)
        assert str(sim.console("program")) == "start 1\nstart 2\n"
        assert sim.latest_tasks == (second,)
        assert sim.tasks == (first, second)


def test_names():
    def worker():
        pass

    with Simulation() as sim:
        assert [sim.spawn(worker).name for _ in range(3)] == ["worker", "worker-2", "worker-3"]
        with pytest.raises(ValueError, match="'worker' is alive already"):
            sim.spawn(worker, name="worker")
        with pytest.raises(ValueError, match="no task 'w'; there are worker, worker-2, worker-3"):
            sim.kill("w")
        with pytest.raises(ValueError, match="must not be empty"):
            sim.spawn(worker, name="")


def test_consoles_keep_what_was_printed_raw_and_by_time():
    def program():
        print("a", end="")
        time.sleep(1)
        print("b\n\nc")
        sys.stderr.write("error\n")
        sys.stdout.buffer.write(b"bytes \xff\n")
        sys.stdout.flush()
        assert not sys.stdout.isatty()
        assert sys.stdin.read() == ""
        print("unfinished", end="")

    with Simulation() as sim:
        heard = []
        sim.listen(heard.append)
        task = sim.spawn(program)
        sim.run()
        console = sim.console(task)
        assert str(console) == "ab\n\nc\nerror\nbytes \\xff\nunfinished"
        assert console.lines == [
            (0.0, "ab"),
            (1.0, ""),
            (1.0, "c"),
            (1.0, "error"),
            (1.0, "bytes \\xff"),
            (1.0, "unfinished"),
        ]
        assert heard == sim.log
        assert [entry.text for entry in sim.log if not entry.printed] == ["started", "exited with code 0"]
        assert str(sim.log[1]) == "  0.000000 program | ab"


def test_a_simulated_program_may_start_another():
    def parent(sim):
        time.sleep(1)
        sim.spawn(child)

    def child():
        print("here")

    with Simulation() as sim:
        sim.spawn(parent, sim)
        sim.run()
        assert sim.console("child").lines == [(1.0, "here")]
