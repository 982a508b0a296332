"""Consoles: times, the two layouts, and text that cannot break them."""

from __future__ import annotations

from mockbroker.clock import SimClock
from mockbroker.teach.consoles import Consoles, display_width, format_times, printable


def _two_consoles() -> Consoles:
    clock = SimClock()
    consoles = Consoles(clock)
    first, second = consoles.console("C1"), consoles.console("C2")
    first.print("Received a task.")
    clock.advance(1.25)
    second.print("Received 日本")
    first.print("Done")
    return consoles


def test_side_by_side_when_it_fits() -> None:
    consoles = _two_consoles()
    rows = consoles.layout(41)
    assert rows == [
        "     s | C1               | C2",
        "0.00 s | Received a task. |",
        "1.25 s |                  | Received 日本",
        "1.25 s | Done             |",
    ]
    assert max(map(display_width, rows)) == 41


def test_under_the_names_when_it_does_not_fit_or_there_is_no_terminal() -> None:
    consoles = _two_consoles()
    below = [
        "C1",
        "  0.00 s  Received a task.",
        "  1.25 s  Done",
        "C2",
        "  1.25 s  Received 日本",
    ]
    assert consoles.layout(40) == below
    assert consoles.layout(None) == below


def test_nothing_is_ever_cut_off() -> None:
    consoles = Consoles(SimClock())
    consoles.console("C").print("x" * 500)
    assert "x" * 500 in "\n".join(consoles.layout(20))


def test_a_silent_console_keeps_its_place() -> None:
    clock = SimClock()
    consoles = Consoles(clock)
    consoles.console("C1")
    consoles.console("C2").print("hello")
    assert consoles.layout(None) == ["C1", "C2", "  0.0 s  hello"]
    assert consoles.layout(80) == ["    s | C1 | C2", "0.0 s |    | hello"]
    assert consoles.console("C1").texts == []


def test_no_console_and_no_line() -> None:
    assert Consoles(SimClock()).layout(None) == []
    assert Consoles(SimClock()).layout(80) == ["s"]


def test_times_are_exact_and_equally_long() -> None:
    assert format_times([0, 600_000_000, 2_050_000_000]) == ["0.00", "0.60", "2.05"]
    assert format_times([1]) == ["0.000000001"]
    assert format_times([3_000_000_000]) == ["3.0"]
    assert format_times([]) == []


def test_control_characters_cannot_move_the_cursor() -> None:
    assert printable("plain é 日本") == "plain é 日本"
    assert printable("a\rb\x1b[2J\udcff") == "a\\rb\\x1b[2J\\udcff"
