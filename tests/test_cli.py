"""The command line: what it prints, where, and with which status."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from mockbroker.cli import COMMANDS, main


def _complaint(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command line that must be refused; return its one line."""
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "mockbroker"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {name} " in output for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"mockbroker {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "mockbroker: no command: choose from"),
        (["nosuch"], "mockbroker: unknown command 'nosuch': choose from"),
        (["demo", "nosuch"], "mockbroker demo: unknown demo 'nosuch': choose from hello, round-robin"),
        (["demo", "--nosuch"], "mockbroker demo: unrecognized arguments: --nosuch"),
        (["demo", "hello", "--workers", "2"], "the demo hello does not take --workers; it takes tasks"),
        (
            ["demo", "durability", "x"],
            "the demo durability does not take tasks; it takes no input of its own",
        ),
        (["demo", "--workers", "2"], "say which demo takes --workers"),
        (
            ["demo", "round-robin", "--workers", "0"],
            "--workers: must be a whole number from 1 to 1000, not '0'",
        ),
        (["demo", "round-robin", "--workers", "two"], "--workers: must be a whole number"),
        (["demo", "round-robin", "--prefetch", "-1"], "--prefetch: must be a whole number from 0 to 65535"),
        (
            ["demo", "round-robin", "--prefetch", "65536"],
            "--prefetch: must be a whole number from 0 to 65535",
        ),
        (["demo", "round-robin", "--interval", "-0.5"], "--interval: must be a number of seconds from 0"),
        (["demo", "round-robin", "--interval", "nan"], "--interval: must be a number of seconds from 0"),
        (["demo", "round-robin", "--interval", "inf"], "--interval: must be a number of seconds from 0"),
        (["demo", "round-robin", "--seed", "x"], "--seed: invalid int value: 'x'"),
        (["demo", "round-robin", ""], "no tasks: all of them are empty"),
        (["demo", "round-robin", "a.", "--tasks", "-"], "give tasks or --tasks FILE, not both"),
        (["demo", "round-robin", "--tasks", "no/such/file"], "cannot read 'no/such/file': No such file"),
        (["repl", "extra"], "mockbroker repl: unrecognized arguments: extra"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in _complaint(words, capsys)


def test_files_of_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = tmp_path / "tasks.txt"
    tasks.write_bytes(b"\xef\xbb\xbffirst.\r\n\r\nsecond \xc3\xa9..\n")
    assert main(["demo", "round-robin", "--tasks", str(tasks), "--interval", "0"]) == 0
    output = capsys.readouterr().out
    assert "Received first.\n" in output
    assert "Received second é..\n" in output
    tasks.write_bytes(b"\n  \n")
    assert "no tasks in" in _complaint(["demo", "round-robin", "--tasks", str(tasks)], capsys)
    tasks.write_bytes(b"abc\xff")
    complaint = _complaint(["demo", "round-robin", "--tasks", str(tasks)], capsys)
    assert complaint.endswith("not UTF-8 at byte 3")
    assert "cannot read" in _complaint(["demo", "round-robin", "--tasks", str(tmp_path)], capsys)


def test_tasks_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe.\n")))
    assert main(["demo", "round-robin", "--tasks", "-", "--workers", "1"]) == 0
    assert "Received from a pipe.\n" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "no tasks in standard input" in _complaint(["demo", "round-robin", "--tasks", "-"], capsys)


def test_options_may_stand_between_name_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "round-robin", "--workers", "3", "--prefetch", "1", "--interval", "0.5"]
    assert main([*words, "a.", "bb..", "c..."]) == 0
    output = capsys.readouterr().out
    assert "\nC3\n" in output
    assert "Received c...\n" in output


def test_python_m_mockbroker_and_a_reader_that_leaves() -> None:
    """`mockbroker demo | head -1`, in a locale that knows only ASCII: no traceback, no complaint."""
    command = f'"{sys.executable}" -m mockbroker demo round-robin "é." | head -n 1'
    done = subprocess.run(
        command, shell=True, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"}
    )
    assert done.stderr == b""
    assert done.stdout == b"== round-robin: workers take turns\n"


def test_the_prompt_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mockbroker.teach.repl import FIRST_LINES

    lines = iter(FIRST_LINES)

    def read(prompt: str = "") -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    assert main(["repl"]) == 0
    captured = capsys.readouterr()
    assert all(line in captured.err for line in FIRST_LINES)
    assert "Traceback" not in captured.err
    assert "b'Hello World!'" in captured.out
    assert "hello\t1" in captured.out
