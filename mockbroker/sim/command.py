"""``mockbroker simulate``: a user's own scripts in virtual time, from the command line.

Owns: how programs and what happens to them are written on the command line, and how consoles look on a
screen.
Refuses to know: how anything is simulated.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from mockbroker.sim.errors import SimulationError
from mockbroker.sim.simulation import DEFAULT_ADDRESS, Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mockbroker.sim.consoles import LogEntry

_EVENTS: Final = ("kill", "terminate", "interrupt", "freeze", "thaw", "cut")
_BROKER_EVENTS: Final = ("crash", "restart")
_TIME_WIDTH: Final = 10
_LEAST_COLUMN: Final = 16  # below that, columns are harder to read than lines


class _Program(NamedTuple):
    """A script on the command line: `C1=worker.py`, or `'worker.py an argument'`."""

    name: str | None
    path: str
    argv: list[str]


class _Happening(NamedTuple):
    """What happens to a task, or to the broker if `name` is empty, at a time: `C1@2.5`."""

    time_s: float
    event: str
    name: str


def parse_program(text: str) -> _Program:
    """Read `[NAME=]SCRIPT [ARGUMENT...]`, quoted as for a shell.

    Raises ArgumentTypeError for anything else.
    """
    match = re.match(r"([A-Za-z]\w*)=(.*)", text, re.DOTALL)
    name, command = (match[1], match[2]) if match else (None, text)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not words:
        raise argparse.ArgumentTypeError(f"{text!r} names no script")
    return _Program(name, words[0], words[1:])


def _parse_time(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: seconds must be 0 or more")
    return seconds


class _AddHappening(argparse.Action):
    """Collects the options that let something happen at a time."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        event = self.dest
        name, _, seconds = str(values).rpartition("@")
        if event in _BROKER_EVENTS:
            name = ""
        elif not name:
            parser.error(f"--{event} takes NAME@SECONDS, not {values!r}")
        try:
            time_s = _parse_time(seconds)
        except argparse.ArgumentTypeError as error:
            parser.error(f"--{event}: {error}")
        namespace.happenings.append(_Happening(time_s, event, name))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mockbroker simulate`` to `parser`."""
    parser.add_argument(
        "programs",
        nargs="+",
        type=parse_program,
        metavar="[NAME=]SCRIPT",
        help="a script, with arguments if quoted: 'new_task.py Hello.'; unnamed ones are C1, C2, ...",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of all that programs and schedules draw (default 0)"
    )
    parser.add_argument(
        "--schedule", choices=("fifo", "random", "priority"), default="fifo", help="who runs next"
    )
    parser.add_argument("--until", type=_parse_time, metavar="SECONDS", help="end at this virtual time")
    parser.add_argument(
        "--rules", default="rabbitmq-4.0", help="whose answers the broker gives (default %(default)s)"
    )
    parser.add_argument(
        "--address",
        action="append",
        dest="addresses",
        metavar="HOST:PORT",
        help=f"where programs find the broker; may be given more than once (default {DEFAULT_ADDRESS})",
    )
    parser.add_argument("--trace", metavar="FILE", help="write the broker's events to this file")
    for event in _EVENTS:
        parser.add_argument(
            f"--{event}", action=_AddHappening, metavar="NAME@SECONDS", help=f"{event} a program then"
        )
    for event in _BROKER_EVENTS:
        parser.add_argument(
            f"--{event}", action=_AddHappening, metavar="SECONDS", help=f"{event} the broker then"
        )
    parser.set_defaults(happenings=[])


def run(args: argparse.Namespace) -> int:
    """Run ``mockbroker simulate``; return 0, 1 when a program failed or all are stuck, 2 for bad input."""
    happenings = sorted(args.happenings, key=lambda happening: happening.time_s)
    try:
        sim = Simulation(
            args.seed, args.schedule, rules=args.rules, addresses=args.addresses or (DEFAULT_ADDRESS,)
        )
    except (ValueError, TypeError) as error:
        sys.stderr.write(f"mockbroker simulate: {error}\n")
        return 2
    with sim:
        return _run(sim, args, happenings)


def _run(sim: Simulation, args: argparse.Namespace, happenings: Sequence[_Happening]) -> int:
    try:
        for program in args.programs:
            sim.spawn_script(program.path, program.argv, name=program.name)
        for happening in happenings:
            if happening.name:
                sim.console(happening.name)  # refuses unknown names before anything has run
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"mockbroker simulate: {error}\n")
        return 2
    printer = make_printer(sys.stdout, [task.name for task in sim.tasks])
    sim.listen(printer.show)
    printer.begin()
    status = 0
    try:
        for happening in happenings:
            if args.until is None or happening.time_s <= args.until:
                sim.run(until=happening.time_s)
                _happen(sim, happening)
        sim.run(until=args.until)
    except SimulationError as error:
        sys.stdout.write(f"{error}\n")
        status = 1
    except KeyboardInterrupt:
        status = 130
    printer.end(_summary(sim))
    if args.trace:
        with open(args.trace, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in sim.trace.json_lines())
    return status or int(any(task.exit_code is not None and task.exit_code > 0 for task in sim.tasks))


def _happen(sim: Simulation, happening: _Happening) -> None:
    if happening.event in _BROKER_EVENTS:
        getattr(sim.broker, happening.event)()
    else:
        getattr(sim, happening.event)(happening.name)


def _summary(sim: Simulation) -> str:
    waiting = [task.name for task in sim.latest_tasks if not task.dead]
    state = f"{', '.join(waiting)} still waiting" if waiting else "all programs have ended"
    return f"{sim.now:g} virtual seconds; {state}"


class LinePrinter:
    """One line for each event: for files and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self) -> None:
        """Nothing stands above lines."""

    def show(self, entry: LogEntry) -> None:
        """Print an entry."""
        self._out.write(f"{entry}\n")

    def end(self, summary: str) -> None:
        """Print how it ended."""
        self._out.write(f"{summary}\n")
        self._out.flush()


class ColumnPrinter(LinePrinter):
    """A column for each console, with the time in front: for terminals.

    Long lines are wrapped, never cut off.
    """

    def __init__(self, out: TextIO, names: Sequence[str], width: int) -> None:
        super().__init__(out)
        self._names = list(names)
        self._column = max((width - _TIME_WIDTH) // len(self._names) - 2, _LEAST_COLUMN)

    def begin(self) -> None:
        """Print the names above the columns."""
        self._row("seconds", self._names)
        self._row("-" * (_TIME_WIDTH - 2), ["-" * self._column] * len(self._names))

    def _row(self, time: str, cells: Sequence[str]) -> None:
        text = "  ".join(f"{cell:<{self._column}}" for cell in cells)
        self._out.write(f"{time:<{_TIME_WIDTH}}{text}".rstrip() + "\n")

    def show(self, entry: LogEntry) -> None:
        """Print an entry in its column."""
        text = entry.text if entry.printed else f"({entry.text})"
        time = f"{entry.time:.3f}"
        for part in textwrap.wrap(text, self._column, drop_whitespace=False, replace_whitespace=False) or [
            ""
        ]:
            self._row(time, [part if name == entry.name else "" for name in self._names])
            time = ""


def make_printer(out: TextIO, names: Sequence[str]) -> LinePrinter:
    """Return a printer of columns if `out` is a terminal that is wide enough for them, else one of lines."""
    width = shutil.get_terminal_size().columns
    if out.isatty() and width >= _TIME_WIDTH + len(names) * (_LEAST_COLUMN + 2):
        return ColumnPrinter(out, names, width)
    return LinePrinter(out)
