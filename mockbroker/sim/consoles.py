"""What programs print, by name and with virtual times.

Owns: the output of each simulated process, and the log of the simulation in which all output lines and the
life of the processes stand in order.
Refuses to know: threads, brokers, terminals. How a console looks on a screen is `command.py`'s business.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.clock import SimClock


class LogEntry(NamedTuple):
    """Something that was printed, or that happened to a task, at `time` virtual seconds."""

    time: float
    name: str
    text: str
    printed: bool

    def __str__(self) -> str:
        return f"{self.time:10.6f} {self.name:>6} {'|' if self.printed else '*'} {self.text}"


class Log:
    """All entries of a simulation in order. `listener`, if set, is called with each new one."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self.entries: list[LogEntry] = []
        self.listener: Callable[[LogEntry], object] | None = None

    def add(self, name: str, text: str, *, printed: bool = False, time_s: float | None = None) -> None:
        """Append an entry; `time_s` is now unless it is given."""
        entry = LogEntry(self._clock.now if time_s is None else time_s, name, text, printed)
        self.entries.append(entry)
        if self.listener is not None:
            self.listener(entry)

    def now_s(self) -> float:
        return self._clock.now


class Console:
    """The output of one program, standard error included.

    `str(console)` is the raw text; `lines` has each line with the virtual second at which it was begun.
    """

    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self.is_off = False
        self.writes = 0
        """How often something was printed."""
        self._log = log
        self._chunks: list[str] = []
        self._lines: list[tuple[float, str]] = []
        self._open_line: list[str] = []
        self._open_since_s = 0.0

    def write(self, text: str) -> None:
        """Take what a program prints. A console that is off takes nothing."""
        if self.is_off or not text:
            return
        self.writes += 1
        self._chunks.append(text)
        head, *rest = text.split("\n")
        self._extend(head)
        for part in rest:
            self._end_line()
            self._extend(part)

    def _extend(self, part: str) -> None:
        if not self._open_line:
            self._open_since_s = self._log.now_s()
        if part:
            self._open_line.append(part)

    def _end_line(self) -> None:
        line = "".join(self._open_line)
        self._open_line.clear()
        self._lines.append((self._open_since_s, line))
        self._log.add(self.name, line, printed=True, time_s=self._open_since_s)

    def finish(self) -> None:
        """End a line that the program left open."""
        if self._open_line:
            self._end_line()

    @property
    def lines(self) -> list[tuple[float, str]]:
        """`(virtual seconds, line)` for each line, the last one even if it is not ended yet."""
        if self._open_line:
            return [*self._lines, (self._open_since_s, "".join(self._open_line))]
        return list(self._lines)

    def __str__(self) -> str:
        return "".join(self._chunks)

    def __repr__(self) -> str:
        return f"<Console of {self.name}: {len(self._lines)} lines>"


class ConsoleStream(io.TextIOBase):
    """The `sys.stdout` or `sys.stderr` of a simulated process."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.buffer = _ConsoleBytes(console)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute; a text stream only needs it readable
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._console.write(text)
        return len(text)


class _ConsoleBytes(io.RawIOBase):
    """The binary layer of a console stream, for programs that write to `sys.stdout.buffer`."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        self._console.write(bytes(data).decode("utf-8", "backslashreplace"))
        return len(data)
