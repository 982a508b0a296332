"""The command line: ``mockbroker COMMAND ...``.

Owns: which commands there are, and what bad input looks like: one line on standard error, exit status 2.
Refuses to know: what a command does. Its module is imported only when it is asked for.

Read next: ``teach/demo.py``.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_BAD_INPUT = 2
_INTERRUPTED = 130
"""What shells report for a program that SIGINT ended."""


class _Command(NamedTuple):
    """A command: the module with its `add_arguments(parser)` and `run(arguments)`, and what it is for."""

    module: str
    summary: str
    intermixed: bool = False
    """Whether options may stand between its arguments."""


COMMANDS: dict[str, _Command] = {
    "demo": _Command(
        "mockbroker.teach.demo", "play the work-queue tutorial in virtual time", intermixed=True
    ),
    "serve": _Command("mockbroker.amqp.serve", "be a broker for programs in other processes"),
    "ctl": _Command("mockbroker.admin.remote", "run a command of rabbitmqctl on a broker that is served"),
    "simulate": _Command("mockbroker.sim.command", "run programs of your own, unmodified, in virtual time"),
    "repl": _Command("mockbroker.teach.repl", "open Python's prompt with a broker ready"),
}
"""Name -> command."""


class _Parser(ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and exit with status 2."""
        self.exit(_BAD_INPUT, f"{self.prog}: {message}\n")


def usage() -> str:
    """Return the text of ``mockbroker --help``."""
    commands = "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: mockbroker COMMAND [OPTIONS]\n"
        "       mockbroker --version | --help\n\n"
        "A deterministic RabbitMQ for tests.\n\n"
        f"commands:\n{commands}\n\n"
        "mockbroker COMMAND --help says more."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    That is 0, the command's own, or 2 with one line on standard error for bad input.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show is shown escaped, never as a traceback.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        status = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader had enough (`mockbroker demo | head`): nobody is left to tell. The interpreter flushes
        # once more at exit, which must find a place to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _run(words: list[str]) -> int:
    name = words[0] if words else ""
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        from mockbroker import __version__  # noqa: PLC0415 - no other command needs it

        print(f"mockbroker {__version__}")
        return 0
    command = COMMANDS.get(name)
    if command is None:
        problem = f"unknown command {name!r}" if name else "no command"
        print(f"mockbroker: {problem}: choose from {', '.join(COMMANDS)}", file=sys.stderr)
        return _BAD_INPUT
    module = import_module(command.module)
    parser = _Parser(prog=f"mockbroker {name}", allow_abbrev=False)
    module.add_arguments(parser)
    parse = parser.parse_intermixed_args if command.intermixed else parser.parse_args
    try:
        arguments = parse(words[1:])
    except SystemExit as exit_:
        # argparse leaves so after --help and after a complaint; the status goes back to the caller as any
        # other.
        return int(exit_.code or 0)
    return int(module.run(arguments))
