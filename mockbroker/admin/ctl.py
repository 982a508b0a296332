"""rabbitmqctl, on a broker in this process: a command line in, the text that rabbitmqctl prints out.

Owns: the options and how a command line is read, the lines around the rows, and rabbitmqctl's complaints.
Refuses to know: what a listing says (``listings.py``), how rows look (``formatters.py``), what a command does
(``ctl_commands.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl_commands.py``, ``formatters.py``.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex

from mockbroker.admin.columns import UnknownColumn
from mockbroker.admin.ctl_commands import COMMANDS
from mockbroker.admin.ctl_invocation import (
    NOT_ENOUGH,
    TOO_MANY,
    USAGE,
    Failure,
    Invocation,
    Message,
    Misuse,
)
from mockbroker.admin.formatters import FORMATTERS, QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.admin.ctl_invocation import Answer, Command
    from mockbroker.broker import Broker
    from mockbroker.core.node import Node

_SWITCHES = {
    "-q": "quiet",
    "--quiet": "quiet",
    "-s": "silent",
    "--silent": "silent",
    "--no-table-headers": "bare",
}
_VALUES = {
    "-p": "vhost",
    "--vhost": "vhost",
    "-t": "timeout",
    "--timeout": "timeout",
    "--formatter": "formatter",
}


_NEGATIVE = re.compile(r"-[0-9]+(\.[0-9]+)?", re.ASCII)
"""A word that begins as options do, and is a number."""


class CtlError(ValueError):
    """A command line that rabbitmqctl refuses, or a command that fails; text and exit status are its own."""

    def __init__(self, text: str, exit_status: int = USAGE) -> None:
        super().__init__(text)
        self.exit_status = exit_status


def run(broker: Broker, line: str) -> str:
    """Run a rabbitmqctl command and return the text that it prints, as ``list_queues name messages_ready``.

    Words are split as a shell does. Rows are sorted by name. ``-q`` leaves out the lines around them, ``-s``
    the headers too.

    Raises `CtlError` (a ValueError) with rabbitmqctl's complaint and exit status: an unknown command, option
    or column, a wrong number of arguments (64), something that is not there (mostly 69). The broker is
    unchanged then.
    Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CtlError(f"cannot split {line!r} into words: {error}") from None
    command, invocation = _read(broker.node, words)
    try:
        answer = command.run(invocation)
    except Misuse as error:
        raise _invalid(error, words) from None
    except UnknownColumn as error:
        raise CtlError(str(error)) from None
    except Failure as error:
        raise CtlError(str(error), error.exit_status) from None
    return _print(command, invocation, answer)


def _read(node: Node, words: list[str]) -> tuple[Command, Invocation]:
    """Return the command and what it was given. Options may stand anywhere."""
    options = _OptionReader(words)
    arguments: list[str] = []
    command: Command | None = None
    for word in options:
        if command is not None:
            arguments.append(word)
        else:
            command = _command(word, node)
    if command is None:
        raise CtlError("rabbitmqctl needs a command, as in 'list_queues'")
    invocation = Invocation(node, arguments, options.take(command))
    if len(arguments) < command.least:
        raise _invalid(Misuse(NOT_ENOUGH), words)
    if command.most is not None and len(arguments) > command.most:
        raise _invalid(Misuse(TOO_MANY), words)
    return command, invocation


def _command(name: str, node: Node) -> Command:
    commands = {name: command for name, command in COMMANDS.items() if command.exists(node.rules.name)}
    if name in commands:
        return commands[name]
    similar = difflib.get_close_matches(name, commands, n=1)
    hint = f"Did you mean '{similar[0]}'? \n" if similar else ""
    raise CtlError(f"\nCommand '{name}' not found. \n{hint}")


def _invalid(misuse: Misuse, words: list[str]) -> CtlError:
    given = " ".join(words)
    return CtlError(f"Error (argument validation): {misuse}\nArguments given:\n\t{given}", misuse.exit_status)


class _OptionReader:
    """Gives the words that are no options, and keeps the options."""

    def __init__(self, words: list[str]) -> None:
        self._all = words
        self._words = iter(words)
        self._given: list[tuple[str, str | None]] = []

    def __iter__(self) -> _OptionReader:
        return self

    def __next__(self) -> str:
        for word in self._words:
            if not word.startswith("-") or word == "-" or _NEGATIVE.fullmatch(word):
                return word
            option, equals, value = word.partition("=")
            if word in _SWITCHES or word in _COMMAND_SWITCHES:
                self._given.append((word, None))
            elif equals:
                self._given.append((option, value))
            else:
                self._given.append((word, next(self._words, None)))
        raise StopIteration

    def take(self, command: Command) -> dict[str, str]:
        """Return the options by name. Raises `CtlError` for an unknown one, or one without its value."""
        options: dict[str, str] = {}
        wrong = []
        for option, value in self._given:
            if option in _SWITCHES:
                options[_SWITCHES[option]] = ""
            elif option in _COMMAND_SWITCHES and option in command.options:
                options[option] = ""
            elif value is not None and (option in _VALUES or option in command.options):
                options[_VALUES.get(option, option)] = value
            else:
                wrong.append(f"{option} : {value or ''}")
        timeout, formatter = options.get("timeout", "60"), options.get("formatter", "table")
        if not timeout.isdecimal():
            wrong.append(f"-t : {timeout}")
        if wrong:
            misuse = Misuse("\n".join(["Invalid options for this command:", *wrong]))
            raise _invalid(misuse, self._all)
        if formatter not in FORMATTERS:
            raise CtlError(f"unknown formatter {formatter!r}: choose from {', '.join(FORMATTERS)}")
        return options


_COMMAND_SWITCHES = frozenset(
    option for command in COMMANDS.values() for option, has_value in command.options.items() if not has_value
)


def _print(command: Command, invocation: Invocation, answer: Answer) -> str:
    """Return the text: the banner unless it is unwanted, then the answer, then what else was said."""
    options = invocation.options
    formatter = options.get("formatter", "table")
    is_quiet = "quiet" in options or "silent" in options or formatter in QUIET
    lines = []
    if not is_quiet:
        if command.shows_timeout:
            lines.append(f"Timeout: {float(invocation.timeout_s)} seconds ...")
        lines += command.banner(invocation)
    if answer is None:
        lines += _nothing(invocation, formatter)
    elif isinstance(answer, str):
        lines += _text(answer, invocation.node, formatter)
    elif not answer and not command.streams:
        lines += _no_rows(formatter)
    else:
        headers = command.has_headers and not ("silent" in options or "bare" in options)
        lines += FORMATTERS[formatter](answer, headers=headers)
    lines += invocation.said
    return "".join(f"{line}\n" for line in lines)


def _nothing(invocation: Invocation, formatter: str) -> list[str]:
    """What a command without an answer prints: JSON says that it was done, unless more is said."""
    if formatter != "json" or invocation.said:
        return []
    return [_as_json({"node": invocation.node.name, "result": "ok"})]


def _text(text: str, node: Node, formatter: str) -> list[str]:
    """What a command prints that answers with a text.

    RabbitMQ differs: its CSV form ends in a stack trace; here it is the text.
    """
    if formatter == "json":
        if isinstance(text, Message):
            return [_as_json({"message": text})]
        return [_as_json({"node": node.name, "result": "ok", "value": text})]
    return FORMATTERS[formatter]([{"Output": text}]) if formatter == "pretty_table" else [text]


_NO_ROWS = {"table": [""], "json": ["[]"], "csv": ["\r", "\r", ""]}


def _no_rows(formatter: str) -> list[str]:
    """What an empty listing prints that is made before it is printed."""
    return _NO_ROWS[formatter] if formatter in _NO_ROWS else FORMATTERS[formatter]([{"Output": "[]"}])


def _as_json(answer: dict[str, str]) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
