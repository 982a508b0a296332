"""Consoles: what several programs printed, with the virtual time of each line.

Owns: the lines, and the two ways to lay them out: side by side, or each console under its name.
Refuses to know: brokers, and what the lines mean. Nothing that was printed is ever cut off.

Read next: ``parts/stage.py``, ``demo.py``.
"""

from __future__ import annotations

from typing import NamedTuple
from unicodedata import combining, east_asian_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.clock import Clock

_NS = 1_000_000_000
_SEPARATOR = " | "


class Line(NamedTuple):
    """One line of one console."""

    now_ns: int
    console: str
    text: str


class Console:
    """One program's output: `texts` has its lines, without their times."""

    def __init__(self, consoles: Consoles, name: str) -> None:
        self._consoles = consoles
        self.name = name
        self.texts: list[str] = []

    def print(self, text: str) -> None:
        """Add a line with the clock's time; characters that would move a cursor are shown escaped."""
        text = printable(text)
        self.texts.append(text)
        self._consoles.note(self.name, text)

    def __repr__(self) -> str:
        return f"<Console {self.name!r}, {len(self.texts)} lines>"


class Consoles:
    """The consoles of one scene, in the order in which they are first asked for.

    >>> from mockbroker.clock import SimClock
    >>> clock = SimClock()
    >>> consoles = Consoles(clock)
    >>> c1, c2 = consoles.console("C1"), consoles.console("C2")
    >>> c1.print("Received a task..")
    >>> clock.advance(2)
    >>> c2.print("Done")
    >>> print("\\n".join(consoles.layout(40)))
        s | C1                | C2
    0.0 s | Received a task.. |
    2.0 s |                   | Done
    >>> print("\\n".join(consoles.layout(20)))
    C1
      0.0 s  Received a task..
    C2
      2.0 s  Done
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._consoles: dict[str, Console] = {}
        self.lines: list[Line] = []

    def console(self, name: str) -> Console:
        """Return the console called `name`, a new one when there is none."""
        if name not in self._consoles:
            self._consoles[name] = Console(self, name)
        return self._consoles[name]

    def note(self, name: str, text: str) -> None:
        """Keep the time of a line that a console has printed."""
        self.lines.append(Line(self._clock.now_ns, name, text))

    def layout(self, width: int | None) -> list[str]:
        """Return the text: side by side where `width` columns are enough, else (or for None) under names."""
        times = [f"{time} s" for time in format_times([line.now_ns for line in self.lines])]
        if width is not None:
            widths = [max(map(len, times), default=1)]
            widths += [max(map(display_width, (name, *each.texts))) for name, each in self._consoles.items()]
            if sum(widths) + len(_SEPARATOR) * (len(widths) - 1) <= width:
                return self._side_by_side(times, widths)
        return self._under_names(times)

    def _side_by_side(self, times: list[str], widths: list[int]) -> list[str]:
        names = list(self._consoles)
        rows = [["s".rjust(widths[0]), *names]]
        for line, time in zip(self.lines, times, strict=True):
            rows.append([time, *(line.text if name == line.console else "" for name in names)])
        return [_SEPARATOR.join(map(_padded, row, widths)).rstrip() for row in rows]

    def _under_names(self, times: list[str]) -> list[str]:
        below: dict[str, list[str]] = {name: [name] for name in self._consoles}
        for line, time in zip(self.lines, times, strict=True):
            below[line.console].append(f"  {time}  {line.text}")
        return [row for rows in below.values() for row in rows]

    def __repr__(self) -> str:
        return f"<Consoles {', '.join(self._consoles)}, {len(self.lines)} lines>"


def format_times(times_ns: list[int]) -> list[str]:
    """Return the times in seconds, exactly: all as long, with as many decimals (one at least) as one needs.

    >>> format_times([0, 1_200_000_000, 12_050_000_000])
    [' 0.00', ' 1.20', '12.05']
    """
    texts = [f"{now_ns // _NS}.{now_ns % _NS:09d}" for now_ns in times_ns]
    spare = min((len(text) - len(text.rstrip("0")) for text in texts), default=0)
    spare = min(spare, 8)
    width = max(map(len, texts), default=0) - spare
    return [text[: len(text) - spare].rjust(width) for text in texts]


def printable(text: str) -> str:
    r"""Return the text with control characters and lone surrogates escaped, so that it stays on one line.

    >>> printable("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def display_width(text: str) -> int:
    """Return how many columns of a terminal the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
