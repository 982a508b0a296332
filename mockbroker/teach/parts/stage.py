"""The stage that a part of the demo plays on: its brokers, its consoles, and what it says in between.

Owns: the blocks of text in their order, and the traces of the brokers.
Refuses to know: which parts there are, files, and standard output.

Read next: ``worker.py``, ``round_robin.py``, ``../demo.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import wrap

from mockbroker import Broker
from mockbroker.teach.consoles import Consoles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mockbroker.teach.consoles import Console
    from mockbroker.trace import Trace

_PROSE_WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for; None where the part's own choice holds."""

    tasks: tuple[str, ...] | None = None
    workers: int | None = None
    prefetch: int | None = None
    interval_s: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the demo: its name, what it shows, how it is played, and the options that it takes."""

    name: str
    summary: str
    play: Callable[[Stage, Options], None]
    takes: tuple[str, ...] = ()


class Stage:
    """Collects what a part shows; `layout` gives the text. `traced` keeps what each broker does, too."""

    def __init__(self, *, seed: int = 0, traced: bool = False) -> None:
        self._seed = seed
        self._traced = traced
        self._blocks: list[Consoles | list[str] | str] = []
        self.brokers: list[Broker] = []
        self.traces: list[Trace] = []

    @property
    def scenes(self) -> list[Consoles]:
        """The consoles of each scene."""
        return [block for block in self._blocks if isinstance(block, Consoles)]

    def broker(self) -> Broker:
        """Return a new broker in virtual time, with the seed that the user chose."""
        broker = Broker(seed=self._seed)
        self.brokers.append(broker)
        if self._traced:
            self.traces.append(broker.tracing())
        return broker

    def consoles(self, broker: Broker) -> Consoles:
        """Start a scene: consoles that show this broker's time."""
        consoles = Consoles(broker.clock)
        self._blocks.append(consoles)
        return consoles

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self._blocks.append(text)

    def show(self, lines: Iterable[str]) -> None:
        """Add lines that are kept as they are, indented."""
        self._blocks.append([f"  {line}" for line in lines])

    def trace_lines(self, part: str) -> list[str]:
        """Return the traces as JSON lines, each with the part's name and the number of its broker."""
        return [
            json.dumps({"part": part, "broker": number, **event.as_json()}, ensure_ascii=False)
            for number, trace in enumerate(self.traces, 1)
            for event in trace
        ]

    def layout(self, width: int | None) -> list[str]:
        """Return the lines of all blocks, an empty line between two."""
        lines: list[str] = []
        for block in self._blocks:
            if lines:
                lines.append("")
            if isinstance(block, str):
                lines += wrap(block, min(width or _PROSE_WIDTH, _PROSE_WIDTH), break_on_hyphens=False)
            else:
                lines += block.layout(width) if isinstance(block, Consoles) else block
        return lines


def rabbitmqctl(broker: Broker, console: Console, command: str) -> None:
    """Print a rabbitmqctl command and its answer on a console."""
    console.print(f"$ rabbitmqctl {command}")
    for line in _columns(broker.ctl(command).splitlines()):
        console.print(line)


def _columns(lines: list[str]) -> list[str]:
    """Return tab-separated lines as columns, so that they stand one below the other in any terminal."""
    rows = [line.split("\t") for line in lines]
    width = max(map(len, rows), default=0)
    table = [row for row in rows if len(row) == width]
    widths = [max(len(row[column]) for row in table) for column in range(width)]
    return [
        "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        if len(row) == width
        else row[0]
        for row in rows
    ]
