"""``mockbroker demo``: the work-queue tutorial, played on a broker in virtual time.

Owns: the command's options, reading the user's tasks, and writing the result.
Refuses to know: what a part shows. All that is printed comes from what the broker did.

Read next: ``parts/stage.py``, ``parts/round_robin.py``.
"""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentTypeError

from mockbroker.teach.parts import ack, durability, fair_dispatch, forgotten_ack, hello, round_robin
from mockbroker.teach.parts.stage import Options, Part, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

PARTS: dict[str, Part] = {
    module.PART.name: module.PART
    for module in (hello, round_robin, ack, forgotten_ack, durability, fair_dispatch)
}
"""Name -> part, in the order of the tutorial."""

_MOST_WORKERS = 1_000
_MOST_SECONDS = 31_536_000
"""A year between two tasks, and a thousand workers, are more than a reader can use."""
_MOST_PREFETCH = 65_535
"""basic.qos has 16 bits for it."""


class _Refused(Exception):
    """What the user asked for cannot be done; the text says why."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``mockbroker demo`` to a parser."""
    parser.description = "Play the work-queue tutorial in virtual time."
    parser.epilog = f"Demos: {', '.join(PARTS)}. Without a name, all of them are played in this order."
    parser.add_argument("name", nargs="?", metavar="NAME", help="the demo to play (default: all)")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="tasks of your own: a second for each dot")
    parser.add_argument(
        "--tasks", dest="tasks_file", metavar="FILE", help="read tasks, one a line; - is standard input"
    )
    parser.add_argument("--workers", type=_whole(1, _MOST_WORKERS), metavar="N", help="number of workers")
    parser.add_argument(
        "--prefetch",
        type=_whole(0, _MOST_PREFETCH),
        metavar="N",
        help="acknowledge by hand, with at most N unacknowledged tasks for each worker (0: no limit)",
    )
    parser.add_argument("--interval", type=_seconds, metavar="S", help="seconds between two tasks")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the broker (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the brokers' traces as JSON lines instead")
    parser.add_argument(
        "--width",
        type=_whole(1, 1_000_000),
        metavar="N",
        help="columns of the output (default: the terminal's; without one, consoles stand below each other)",
    )


def run(arguments: Namespace) -> int:
    """Play what is asked for; return the exit status: 2 for bad input, with one line on standard error."""
    try:
        parts, options = _chosen(arguments)
    except _Refused as refused:
        print(f"mockbroker demo: {refused}", file=sys.stderr)
        return 2
    width = arguments.width or _terminal_width()
    for number, part in enumerate(parts):
        stage = Stage(seed=arguments.seed, traced=arguments.json)
        part.play(stage, options)
        if arguments.json:
            lines = stage.trace_lines(part.name)
        else:
            lines = [*([""] if number else []), f"== {part.name}: {part.summary}", "", *stage.layout(width)]
        for line in lines:
            print(line)
    return 0


def _chosen(arguments: Namespace) -> tuple[list[Part], Options]:
    options = Options(
        tasks=_tasks(arguments.tasks, arguments.tasks_file),
        workers=arguments.workers,
        prefetch=arguments.prefetch,
        interval_s=arguments.interval,
    )
    given = {
        "tasks": options.tasks,
        "workers": options.workers,
        "prefetch": options.prefetch,
        "interval": options.interval_s,
    }
    asked = [name for name, value in given.items() if value is not None]
    if arguments.name is None:
        if asked:
            raise _Refused(f"say which demo takes {_flag(asked[0])}: {', '.join(PARTS)}")
        return list(PARTS.values()), options
    part = PARTS.get(arguments.name)
    if part is None:
        raise _Refused(f"unknown demo {arguments.name!r}: choose from {', '.join(PARTS)}")
    for name in asked:
        if name not in part.takes:
            takes = ", ".join(map(_flag, part.takes)) or "no input of its own"
            raise _Refused(f"the demo {part.name} does not take {_flag(name)}; it takes {takes}")
    return [part], options


def _flag(option: str) -> str:
    return "tasks" if option == "tasks" else f"--{option}"


def _tasks(words: list[str], file: str | None) -> tuple[str, ...] | None:
    """Return the user's tasks, None when none were given."""
    if file is None:
        if not words:
            return None
        tasks = words
    else:
        if words:
            raise _Refused("give tasks or --tasks FILE, not both")
        tasks = _read_lines(file)
    tasks = [task for task in tasks if task.strip()]
    if not tasks:
        raise _Refused(
            f"no tasks in {_file_name(file)}" if file is not None else "no tasks: all of them are empty"
        )
    return tuple(tasks)


def _read_lines(file: str) -> list[str]:
    try:
        if file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(file, "rb") as stream:
                data = stream.read()
        return data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise _Refused(f"cannot read {_file_name(file)}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _Refused(f"cannot read {_file_name(file)}: not UTF-8 at byte {error.start}") from None


def _file_name(file: str) -> str:
    return "standard input" if file == "-" else repr(file)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
        return number

    return convert


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= _MOST_SECONDS:
        raise ArgumentTypeError(f"must be a number of seconds from 0 to {_MOST_SECONDS}, not {text!r}")
    return number


def _terminal_width() -> int | None:
    """Return the columns of the terminal, None when standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
    except (OSError, ValueError):
        return None
