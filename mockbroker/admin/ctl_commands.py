"""The commands of rabbitmqctl: what each says first, and what it does.

Owns: the table of commands, their banners and the texts of their failures.
Refuses to know: options that all commands share, and printing (``ctl.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl.py``, ``listings.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from mockbroker.admin import listings
from mockbroker.admin.columns import connection_pid
from mockbroker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost

    Rows = list[dict[str, Any]]


class Failure(Exception):
    """A command that cannot be done; the text is rabbitmqctl's."""


@dataclass(slots=True)
class Invocation:
    """One use of a command: the broker, the arguments and options, and what came of it."""

    node: Node
    arguments: list[str]
    options: dict[str, str]
    rows: Rows | None = None
    said: list[str] = field(default_factory=list)

    @property
    def vhost_name(self) -> str:
        """The virtual host that was named, else ``/``."""
        return self.options.get("vhost", "/")

    @property
    def vhost(self) -> VHost:
        """The virtual host. Raises `Failure` when there is none of that name."""
        vhost = self.node.vhosts.get(self.vhost_name)
        if vhost is None:
            raise Failure(f"Virtual host '{self.vhost_name}' does not exist")
        return vhost

    @property
    def columns(self) -> list[str]:
        """The arguments as names of columns, which commas may part too."""
        return [name for word in self.arguments for name in word.split(",") if name]

    def user(self, name: str) -> User:
        """Return a user. Raises `Failure` when there is none of that name."""
        user = self.node.users.get(name)
        if user is None:
            raise Failure(f'Error:\nUser "{name}" does not exist')
        return user


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `run` does it and returns rows, or None where it has none to print."""

    run: Callable[[Invocation], Rows | None]
    banner: Callable[[Invocation], list[str]]
    least: int = 0
    most: int | None = 0
    """How many arguments it takes; None: as many as there are columns."""
    options: dict[str, bool] = field(default_factory=dict)
    """Options of its own -> whether they have a value."""
    shows_timeout: bool = False


def _says(text: str) -> Callable[[Invocation], list[str]]:
    """Return a banner: ``{vhost}`` stands for the virtual host, ``{0}`` and so on for arguments."""

    def banner(invocation: Invocation) -> list[str]:
        return [text.format(*invocation.arguments, vhost=invocation.vhost_name)]

    return banner


def _of_vhost(listing: Callable[[Node, str, list[str]], Rows]) -> Callable[[Invocation], Rows]:
    """Return a command that lists what is in a virtual host: nothing where there is none of that name."""

    def run(invocation: Invocation) -> Rows:
        is_there = invocation.vhost_name in invocation.node.vhosts
        rows = listing(invocation.node, invocation.vhost_name if is_there else "/", invocation.columns)
        return rows if is_there else []

    return run


def _queues(invocation: Invocation) -> Rows:
    rows = _of_vhost(listings.list_queues)(invocation)
    return [] if "--offline" in invocation.options else rows


def _of_node(listing: Callable[[Node, list[str]], Rows]) -> Callable[[Invocation], Rows]:
    return lambda invocation: listing(invocation.node, invocation.columns)


def _permissions(invocation: Invocation) -> Rows:
    return listings.list_permissions(invocation.node, invocation.vhost.name)


def _topic_permissions(invocation: Invocation) -> Rows:
    return listings.list_topic_permissions(invocation.node, invocation.vhost.name)


def _user_permissions(invocation: Invocation) -> Rows:
    name = invocation.arguments[0]
    if name not in invocation.node.users:
        raise Failure(f'Error:\n{{:no_such_user, "{name}"}}')
    return listings.list_user_permissions(invocation.node, name)


def _policies(*, operator: bool) -> Callable[[Invocation], Rows]:
    return lambda invocation: listings.list_policies(
        invocation.node, invocation.vhost.name, operator=operator
    )


_NO_QUEUE_TYPE = {
    "rabbitmq-3.10": "Error:\ninvalid_queue_type",
    "rabbitmq-4.0": '{{:error, :invalid_queue_type, "{}"}}',
}


def _add_vhost(invocation: Invocation) -> None:
    """Add a virtual host; one that is there stays as it is."""
    (name,), node, options = invocation.arguments, invocation.node, invocation.options
    kind = options.get("--default-queue-type")
    if kind not in (None, "classic", "quorum", "stream"):
        raise Failure(_NO_QUEUE_TYPE[node.rules.name].format(kind))
    if name in node.vhosts:
        return
    vhost = node.add_vhost(name)
    if "--description" in options:
        vhost.metadata["description"] = options["--description"]
    if "--tags" in options:
        vhost.metadata["tags"] = options["--tags"].split(",")
    if kind is not None:
        vhost.default_queue_type = kind


def _delete_vhost(invocation: Invocation) -> None:
    name = invocation.arguments[0]
    if name not in invocation.node.vhosts:
        raise Failure(f"Virtual host '{name}' does not exist")
    invocation.node.delete_vhost(name)


def _add_user(invocation: Invocation) -> None:
    name, password = invocation.arguments
    if not name:
        raise Failure("Error (argument validation): Bad argument: user cannot be an empty string")
    if name in invocation.node.users:
        raise Failure(f'Error:\nUser "{name}" already exists')
    invocation.node.set_user(name, password)
    if "quiet" not in invocation.options and "silent" not in invocation.options:
        invocation.said.append(
            "Done. Don't forget to grant the user permissions to some virtual hosts! "
            "See 'rabbitmqctl help set_permissions' to learn more."
        )


def _delete_user(invocation: Invocation) -> None:
    invocation.node.delete_user(invocation.user(invocation.arguments[0]).name)


def _change_password(invocation: Invocation) -> None:
    name, password = invocation.arguments
    invocation.node.set_user(name, password, invocation.user(name).tags)


def _set_user_tags(invocation: Invocation) -> None:
    name, *tags = invocation.arguments
    invocation.node.set_user(name, invocation.user(name).password, tuple(tags))


def _set_permissions(invocation: Invocation) -> None:
    name, configure, write, read = invocation.arguments
    node = invocation.node
    if name not in node.users:
        raise Failure(f"Error:\nUser {name} does not exist")
    if invocation.vhost_name not in node.vhosts:
        raise Failure(f"Error:\nVirtual host {invocation.vhost_name} does not exist")
    try:
        node.set_permissions(name, invocation.vhost_name, configure, write, read)
    except ValueError as error:
        raise Failure(f"Error:\n{error}") from None


def _clear_permissions(invocation: Invocation) -> None:
    name, vhost = invocation.arguments[0], invocation.vhost
    if name in invocation.node.users:
        invocation.node.clear_permissions(name, vhost.name)
    elif invocation.node.rules.name == "rabbitmq-3.10":
        # RabbitMQ differs: 4.0 says nothing.
        raise Failure(f"Error:\nUser {name} does not exist")


_NO_JSON = {
    "rabbitmq-3.10": "JSON decoding error. Reason: badarg",
    "rabbitmq-4.0": 'Could not parse JSON document: {{error,{{failed_to_decode_json,<<"{}">>}}}}',
}


def _policy_banner(what: str) -> Callable[[Invocation], list[str]]:
    def banner(invocation: Invocation) -> list[str]:
        name, pattern, definition = invocation.arguments
        priority = invocation.options.get("--priority", "0")
        return [
            f'Setting {what} "{name}" for pattern "{pattern}" to "{definition}" with priority "{priority}" '
            f'for vhost "{invocation.vhost_name}" ...'
        ]

    return banner


def _set_policy(*, operator: bool) -> Callable[[Invocation], None]:
    def run(invocation: Invocation) -> None:
        name, pattern, text = invocation.arguments
        priority = invocation.options.get("--priority", "0")
        if not priority.removeprefix("-").isdecimal():
            raise Failure(
                f"Error (argument validation): Invalid options for this command:\n--priority : {priority}"
            )
        vhost = invocation.vhost
        try:
            definition = json.loads(text)
        except ValueError:
            raise Failure("Error:\n" + _NO_JSON[invocation.node.rules.name].format(text)) from None
        try:
            invocation.node.set_policy(
                vhost.name,
                name,
                pattern,
                definition,
                int(priority),
                invocation.options.get("--apply-to", "all"),
                operator=operator,
            )
        except PolicyError as error:
            raise Failure(f"Error:\n{error.reason}") from None

    return run


def _clear_policy(*, operator: bool) -> Callable[[Invocation], None]:
    def run(invocation: Invocation) -> None:
        name, vhost = invocation.arguments[0], invocation.vhost
        if name not in (vhost.operator_policies if operator else vhost.policies):
            raise Failure("Error:\nParameter does not exist")
        invocation.node.delete_policy(vhost.name, name, operator=operator)

    return run


_NO_QUEUE_TO_PURGE = {
    "rabbitmq-3.10": "Error:\nnot_found",
    "rabbitmq-4.0": "Object (queue, stream, exchange, etc) was not found",
}


def _queue(invocation: Invocation) -> Queue | None:
    vhost = invocation.node.vhosts.get(invocation.vhost_name)
    return vhost.queues.get(invocation.arguments[0]) if vhost is not None else None


def _purge_queue(invocation: Invocation) -> None:
    queue = _queue(invocation)
    if queue is None:
        raise Failure(_NO_QUEUE_TO_PURGE[invocation.node.rules.name])
    queue.purge()
    invocation.node.drain()


def _delete_queue_banner(invocation: Invocation) -> list[str]:
    conditions = " and ".join(
        text
        for options, text in ((_IF_EMPTY, "if queue is empty"), (_IF_UNUSED, "if queue is unused"))
        if any(option in invocation.options for option in options)
    )
    where = f"Deleting queue '{invocation.arguments[0]}' on vhost '{invocation.vhost_name}'"
    return [f"{where} {conditions} ..." if conditions else f"{where} ..."]


_IF_EMPTY, _IF_UNUSED = ("--if-empty", "-e"), ("--if-unused", "-u")


_REFUSED_BY_4_0 = (
    "{{:amqp_error, :precondition_failed, ~c\"queue '{queue}' in vhost '{vhost}' {reason}\", :none}}"
)
_QUEUE_IS_NOT_EMPTY = {"rabbitmq-3.10": "Queue is not empty", "rabbitmq-4.0": "not empty"}
_QUEUE_IS_IN_USE = {"rabbitmq-3.10": "Queue is in use", "rabbitmq-4.0": "in use"}


def _delete_queue(invocation: Invocation) -> None:
    queue = _queue(invocation)
    if queue is None:
        raise Failure("Error:\nQueue not found")
    rules = invocation.node.rules.name
    for options, is_met, reason in (
        (_IF_EMPTY, not queue.ready_count, _QUEUE_IS_NOT_EMPTY[rules]),
        (_IF_UNUSED, not queue.ring.all, _QUEUE_IS_IN_USE[rules]),
    ):
        if not is_met and any(option in invocation.options for option in options):
            form = "{reason}" if rules == "rabbitmq-3.10" else _REFUSED_BY_4_0
            text = form.format(reason=reason, queue=queue.name, vhost=queue.vhost.name)
            raise Failure(f"Error:\n{text}")
    count = queue.vhost.delete_queue(queue)
    invocation.node.drain()
    invocation.said.append(f"Queue was successfully deleted with {count} ready messages")


def _close_connection(invocation: Invocation) -> None:
    """Close the connection with this process identifier; one that is gone already is no error."""
    pid, explanation = invocation.arguments
    if not (pid.startswith("<") and pid.endswith(">")):
        raise Failure(f'Error:\nError:\n{{:invalid_pid_syntax, "{pid}"}}')
    for connection in [each for each in invocation.node.connections if connection_pid(each) == pid]:
        invocation.node.force_close(connection, explanation)


_ALARMS = {"disk": "Free disk space alarm on node {}", "memory": "Memory alarm on node {}"}


def _gigabytes(count: int) -> str:
    return f"{round(count / 1_000_000_000, 4)} gb"


def _descriptor_lines(node: Node) -> list[str]:
    """Each connection takes a file descriptor; nothing else of the model does."""
    used = f"{len(node.connections)}, limit: {node.most_connections}"
    return [f"Total: {used}", *([f"Sockets: {used}"] if node.rules.name == "rabbitmq-3.10" else [])]


def _status(invocation: Invocation) -> None:
    node = invocation.node
    sections = {
        "Runtime": [
            f"Uptime (seconds): {node.clock.now:.0f}",
            f"RabbitMQ version: {node.rules.version}",
            f"Node name: {node.name}",
        ],
        "Alarms": [_ALARMS[resource].format(node.name) for resource in sorted(node.alarms)] or ["(none)"],
        "File Descriptors": _descriptor_lines(node),
        "Free Disk Space": [
            f"Low free disk space watermark: {_gigabytes(node.disk_free_limit_bytes)}",
            f"Free disk space: {_gigabytes(node.disk_free_bytes)}",
        ],
        "Totals": [
            f"Connection count: {len(node.connections)}",
            f"Queue count: {sum(len(vhost.queues) for vhost in node.vhosts.values())}",
            f"Virtual host count: {len(node.vhosts)}",
        ],
    }
    for title, lines in sections.items():
        invocation.said += [title, "", *lines, ""]
    invocation.said.pop()


_POLICY_OPTIONS = {"--priority": True, "--apply-to": True}

COMMANDS: dict[str, Command] = {
    "list_queues": Command(
        _queues,
        _says("Listing queues for vhost {vhost} ..."),
        most=None,
        options={"--online": False, "--offline": False, "--local": False},
        shows_timeout=True,
    ),
    "list_consumers": Command(
        _of_vhost(listings.list_consumers), _says("Listing consumers in vhost {vhost} ..."), most=None
    ),
    "list_channels": Command(_of_node(listings.list_channels), _says("Listing channels ..."), most=None),
    "list_connections": Command(
        _of_node(listings.list_connections), _says("Listing connections ..."), most=None
    ),
    "list_exchanges": Command(
        _of_vhost(listings.list_exchanges), _says("Listing exchanges for vhost {vhost} ..."), most=None
    ),
    "list_bindings": Command(
        _of_vhost(listings.list_bindings), _says("Listing bindings for vhost {vhost}..."), most=None
    ),
    "list_vhosts": Command(_of_node(listings.list_vhosts), _says("Listing vhosts ..."), most=None),
    "list_users": Command(
        lambda invocation: listings.list_users(invocation.node), _says("Listing users ...")
    ),
    "list_permissions": Command(_permissions, _says('Listing permissions for vhost "{vhost}" ...')),
    "list_user_permissions": Command(
        _user_permissions, _says('Listing permissions for user "{0}" ...'), least=1, most=1
    ),
    "list_topic_permissions": Command(
        _topic_permissions, _says('Listing topic permissions for vhost "{vhost}" ...')
    ),
    "list_policies": Command(_policies(operator=False), _says('Listing policies for vhost "{vhost}" ...')),
    "list_operator_policies": Command(
        _policies(operator=True), _says('Listing operator policy overrides for vhost "{vhost}" ...')
    ),
    "add_vhost": Command(
        _add_vhost,
        _says('Adding vhost "{0}" ...'),
        least=1,
        most=1,
        options={"--description": True, "--tags": True, "--default-queue-type": True},
    ),
    "delete_vhost": Command(_delete_vhost, _says('Deleting vhost "{0}" ...'), least=1, most=1),
    "add_user": Command(_add_user, _says('Adding user "{0}" ...'), least=2, most=2),
    "delete_user": Command(_delete_user, _says('Deleting user "{0}" ...'), least=1, most=1),
    "change_password": Command(
        _change_password, _says('Changing password for user "{0}" ...'), least=2, most=2
    ),
    "set_user_tags": Command(
        _set_user_tags,
        lambda invocation: [
            f'Setting tags for user "{invocation.arguments[0]}" '
            f"to [{', '.join(invocation.arguments[1:])}] ..."
        ],
        least=1,
        most=None,
    ),
    "set_permissions": Command(
        _set_permissions,
        _says('Setting permissions for user "{0}" in vhost "{vhost}" ...'),
        least=4,
        most=4,
    ),
    "clear_permissions": Command(
        _clear_permissions,
        _says('Clearing permissions for user "{0}" in vhost "{vhost}" ...'),
        least=1,
        most=1,
    ),
    "set_policy": Command(
        _set_policy(operator=False), _policy_banner("policy"), least=3, most=3, options=_POLICY_OPTIONS
    ),
    "set_operator_policy": Command(
        _set_policy(operator=True),
        _policy_banner("operator policy override"),
        least=3,
        most=3,
        options=_POLICY_OPTIONS,
    ),
    "clear_policy": Command(
        _clear_policy(operator=False), _says('Clearing policy "{0}" on vhost "{vhost}" ...'), least=1, most=1
    ),
    "clear_operator_policy": Command(
        _clear_policy(operator=True),
        _says('Clearing operator policy "{0}" on vhost "{vhost}" ...'),
        least=1,
        most=1,
    ),
    "purge_queue": Command(
        _purge_queue, _says("Purging queue '{0}' in vhost '{vhost}' ..."), least=1, most=1
    ),
    "delete_queue": Command(
        _delete_queue,
        _delete_queue_banner,
        least=1,
        most=1,
        options=dict.fromkeys((*_IF_EMPTY, *_IF_UNUSED), False),
    ),
    "close_connection": Command(
        _close_connection, _says("Closing connection {0}, reason: {1}..."), least=2, most=2
    ),
    "status": Command(_status, _says("Status of node rabbit@localhost ...")),
}
"""Name -> command."""
