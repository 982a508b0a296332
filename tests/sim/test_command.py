"""``mockbroker simulate``: scripts, happenings, consoles and exit codes."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from mockbroker.sim.command import ColumnPrinter, LinePrinter, add_arguments, make_printer, parse_program, run
from mockbroker.sim.consoles import LogEntry

PROGRAMS = Path(__file__).parent / "programs"
WORKER = str(PROGRAMS / "worker.py")
NEW_TASK = str(PROGRAMS / "new_task.py")


def simulate(*words):
    parser = argparse.ArgumentParser(prog="mockbroker simulate")
    add_arguments(parser)
    return run(parser.parse_args([str(word) for word in words]))


def printed(text):
    """Return (seconds, name, line) of each printed line of the line format."""
    lines = [line.split(None, 3) for line in text.splitlines() if " | " in line]
    return [(float(time), name, rest) for time, name, _, rest in lines]


def test_two_workers_and_a_producer(capsys):
    status = simulate(WORKER, WORKER, f"P={NEW_TASK} First.", f"P2={NEW_TASK} Second..")
    output = capsys.readouterr().out
    assert status == 0
    assert printed(output)[-4:] == [
        (0.0, "C1", "[x] Received First."),
        (0.0, "C2", "[x] Received Second.."),
        (1.0, "C1", "[x] Done"),
        (2.0, "C2", "[x] Done"),
    ]
    assert output.endswith("2 virtual seconds; C1, C2 still waiting\n")


def test_a_kill_on_the_way_and_a_trace(capsys, tmp_path):
    trace = tmp_path / "trace.jsonl"
    status = simulate(
        WORKER, WORKER, f"P={NEW_TASK} Long....", "--kill", "C1@2.5", "--until", "20", "--trace", trace
    )
    output = capsys.readouterr().out
    assert status == 0
    assert printed(output)[-2:] == [(2.5, "C2", "[x] Received Long...."), (6.5, "C2", "[x] Done")]
    assert "C1 * ended by SIGKILL" in output
    events = [json.loads(line)["event"] for line in trace.read_text(encoding="utf-8").splitlines()]
    assert events.count("Delivered") == 2
    assert events[0] == "ConnectionOpened"


def test_the_broker_restarts_and_a_failing_script_shows_its_traceback(capsys):
    assert simulate(WORKER, "--restart", "3") == 1
    output = capsys.readouterr().out
    assert "C1 | pika.exceptions.ConnectionClosedByBroker: (320," in output
    assert "C1 * exited with code 1" in output


STUCK = """
import threading, pika
channel = pika.BlockingConnection().channel()
channel.queue_declare("tasks")
channel.basic_publish("", "tasks", b"x")
channel.basic_get("tasks")
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""


def test_a_deadlock_is_told_with_what_the_broker_holds(capsys, tmp_path):
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    assert simulate(script) == 1
    output = capsys.readouterr().out
    assert "deadlock: these can never run again" in output
    assert "stuck.py:9 in <module>: lock.acquire()" in output
    assert "queue 'tasks': 0 ready, 1 unacknowledged\n" in output
    assert "(1): 1 unacknowledged\n" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.py"], "no script 'nowhere.py'"),
        ([WORKER, "--kill", "C9@1"], "no task 'C9'"),
        ([f"A={WORKER}", f"A={WORKER}"], "a task named 'A' is alive already"),
        ([WORKER, "--rules", "rabbitmq-1.0"], "rabbitmq-1.0"),
        ([WORKER, "--address", "rabbit"], "an address is 'host:port'"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(words, message, capsys):
    assert simulate(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("mockbroker simulate: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--kill", "C1"], ["--kill", "C1@x"], ["--until", "-1"], ["--crash", "soon"]]
)
def test_happenings_are_read_strictly(words, capsys):
    with pytest.raises(SystemExit) as caught:
        simulate(WORKER, *words)
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_programs_are_written_as_for_a_shell():
    assert parse_program("worker.py") == (None, "worker.py", [])
    assert parse_program("C1=worker.py") == ("C1", "worker.py", [])
    assert parse_program("P='my task.py' 'two words' x=1") == ("P", "my task.py", ["two words", "x=1"])
    with pytest.raises(argparse.ArgumentTypeError, match="names no script"):
        parse_program("P=")
    with pytest.raises(argparse.ArgumentTypeError, match="No closing quotation"):
        parse_program("'worker.py")


def test_columns_wrap_and_never_cut_off():
    out = io.StringIO()
    printer = ColumnPrinter(out, ["C1", "C2"], width=50)
    printer.begin()
    printer.show(LogEntry(1.5, "C2", "a line that is longer than its column", True))
    printer.show(LogEntry(2.0, "C1", "started", False))
    printer.end("done")
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["seconds", "C1", "C2"]
    words = " ".join(line[10:].strip() for line in lines[2:-2])
    assert words.split() == ["a", "line", "that", "is", "longer", "than", "its", "column"]
    assert lines[-2].split() == ["2.000", "(started)"]


def test_a_file_gets_lines():
    assert type(make_printer(io.StringIO(), ["C1"])) is LinePrinter
