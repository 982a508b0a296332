"""One use of a rabbitmqctl command: what was given, what came of it, and how it fails.

Owns: the shape of a command, the values that its arguments stand for, and the kinds of answers.
Refuses to know: which commands there are (``ctl_commands.py``) and how answers are printed (``ctl.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl.py``, ``ctl_commands.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from mockbroker.admin.formatters import erlang_term

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.core.vhost import VHost

    Rows = list[dict[str, Any]]
    Answer = Rows | str | None
    """What a command has to say: rows, a text, or nothing."""


USAGE, DATA_ERROR, NO_USER, UNAVAILABLE, SOFTWARE = 64, 65, 67, 69, 70
"""The exit statuses of rabbitmqctl."""


class Failure(Exception):
    """A command that cannot be done; text and exit status are rabbitmqctl's."""

    def __init__(self, text: str, exit_status: int = UNAVAILABLE) -> None:
        super().__init__(text)
        self.exit_status = exit_status


class Misuse(Exception):
    """Arguments that do not fit the command, found before anything is done; the text is the reason."""

    exit_status = USAGE


class BadArgument(Misuse):
    """An argument with a value that the command does not take; rabbitmqctl does not always say why."""

    exit_status = DATA_ERROR

    def __init__(self, reason: str | None = None) -> None:
        super().__init__("Bad argument." if reason is None else f"Bad argument: {reason}")


NOT_ENOUGH = "not enough arguments."
TOO_MANY = "too many arguments."


class Message(str):
    """A text that the JSON form calls a message; a plain one is a value there."""

    __slots__ = ()


@dataclass(slots=True)
class Invocation:
    """One use of a command: the broker, the arguments and options, and what is said besides the answer."""

    node: Node
    arguments: list[str]
    options: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def vhost_name(self) -> str:
        """The virtual host that was named, else ``/``."""
        return self.options.get("vhost", "/")

    @property
    def vhost(self) -> VHost:
        """The virtual host. Raises `Failure` when there is none of that name."""
        return self.named_vhost(self.vhost_name)

    @property
    def columns(self) -> list[str]:
        """The arguments as names of columns, which commas may part too."""
        return [name for word in self.arguments for name in word.split(",") if name]

    @property
    def timeout_s(self) -> int:
        """How long rabbitmqctl would wait for a server, in seconds."""
        return int(self.options.get("timeout", "60"))

    @property
    def rules(self) -> str:
        """The name of the broker's rules, by which texts differ."""
        return self.node.rules.name

    def named_vhost(self, name: str) -> VHost:
        """Return a virtual host. Raises `Failure` when there is none of that name."""
        vhost = self.node.vhosts.get(name)
        if vhost is None:
            raise Failure(f"Virtual host '{name}' does not exist", DATA_ERROR)
        return vhost

    def user(self, name: str) -> User:
        """Return a user. Raises `Failure` when there is none of that name."""
        user = self.node.users.get(name)
        if user is None:
            raise Failure(f'Error:\nUser "{name}" does not exist', NO_USER)
        return user

    def stored_user(self, name: str) -> User:
        """The same, in the words of the commands that look into the store of users."""
        if name not in self.node.users:
            raise Failure(f'Error:\n{{:no_such_user, "{name}"}}')
        return self.node.users[name]

    def json(self, text: str) -> Any:
        """Return what a JSON text stands for. Raises `Failure` when it is none."""
        try:
            return json.loads(text)
        except ValueError:
            raise Failure("Error:\n" + _NO_JSON[self.rules](text)) from None


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `run` does it and returns its answer."""

    run: Callable[[Invocation], Answer]
    banner: Callable[[Invocation], list[str]]
    least: int = 0
    most: int | None = 0
    """How many arguments it takes; None: as many as there are columns or tags."""
    options: dict[str, bool] = field(default_factory=dict)
    """Options of its own -> whether they have a value."""
    shows_timeout: bool = False
    has_headers: bool = True
    streams: bool = False
    """Whether rows come one by one, so that none are no line at all instead of an empty one."""
    since: tuple[str, ...] = ()
    """The names of the rules that have it; none: all."""

    def exists(self, rules: str) -> bool:
        """Whether a server with these rules has the command."""
        return not self.since or rules in self.since


def says(text: str) -> Callable[[Invocation], list[str]]:
    """Return a banner: ``{vhost}`` stands for the virtual host, ``{0}`` and so on for arguments."""

    def banner(invocation: Invocation) -> list[str]:
        return [text.format(*invocation.arguments, vhost=invocation.vhost_name, node=invocation.node.name)]

    return banner


def says_nothing(invocation: Invocation) -> list[str]:
    """The banner of a command that has none."""
    return []


_LINE = 78
"""Where Erlang breaks a term over lines."""


def _not_decoded(text: str) -> str:
    """Return 4.0's complaint about a text that is no JSON: an Erlang term, broken where a line is full."""
    head = "Could not parse JSON document: "
    quoted = erlang_term(text) if text else ""
    binary = f"<<{quoted}{'' if text.isascii() else '/utf8'}>>"
    reason = f"{{failed_to_decode_json,{binary}}}"
    if len(head) + len(f"{{error,{reason}}}") <= _LINE:
        return f"{head}{{error,{reason}}}"
    indent = len(head) + 4
    if indent + len(reason) + 1 > _LINE:
        reason = f"{{failed_to_decode_json,\n{' ' * (indent + 4)}{binary}}}"
    return f"{head}{{error,\n{' ' * indent}{reason}}}"


_NO_JSON: dict[str, Callable[[str], str]] = {
    "rabbitmq-3.10": lambda text: "JSON decoding error. Reason: badarg",
    "rabbitmq-4.0": _not_decoded,
}
