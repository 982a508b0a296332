"""rabbitmqctl's commands about the node as it runs: connections to close, and whether it is well.

Owns: these commands, their banners and the texts of their failures.
Refuses to know: how a connection ends (``core/connection.py``), and why an alarm goes off.
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl_invocation.py``, ``../core/node.py``.
"""

from __future__ import annotations

from mockbroker.admin.columns import connection_pid
from mockbroker.admin.ctl_invocation import Command, Failure, Invocation, Message, Misuse, says, says_nothing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.node import Node


def _close_connection(invocation: Invocation) -> None:
    """Close the connection with this process identifier; one that is gone already is no error."""
    pid, explanation = invocation.arguments
    if not (pid.startswith("<") and pid.endswith(">")):
        raise Failure(f'Error:\nError:\n{{:invalid_pid_syntax, "{pid}"}}')
    for connection in [each for each in invocation.node.connections if connection_pid(each) == pid]:
        invocation.node.force_close(connection, explanation)


def _close_all_connections(invocation: Invocation) -> str:
    """Close the connections of a virtual host, or all; with a limit the oldest so many."""
    node, limit = invocation.node, _limit(invocation)
    connections = [
        each
        for each in node.connections
        if "--global" in invocation.options or each.vhost.name == invocation.vhost_name
    ]
    chosen = connections[:limit] if limit else connections
    for connection in chosen:
        node.force_close(connection, invocation.arguments[0])
    return f"Closed {len(chosen)} connections"


def _limit(invocation: Invocation) -> int:
    """How many connections to close; 0 is all. Raises `Misuse` for what is no such number."""
    text = invocation.options.get("--limit", "0")
    if not text.isdecimal():
        raise Misuse(f"Invalid options for this command:\n--limit : {text}")
    return int(text)


def _close_all_connections_banner(invocation: Invocation) -> list[str]:
    which, where = "all", f"in vhost {invocation.vhost_name}"
    if "--global" in invocation.options:
        where = f"to node {invocation.node.name} (across all vhosts)"
    elif _limit(invocation):
        which = str(_limit(invocation))
    return [f"Closing {which} connections {where}, reason: {invocation.arguments[0]}..."]


def _close_all_user_connections(invocation: Invocation) -> None:
    """Close a user's connections; a user who is not there has none."""
    name, explanation = invocation.arguments
    for connection in [each for each in invocation.node.connections if each.user.name == name]:
        invocation.node.force_close(connection, explanation)


def _version(invocation: Invocation) -> str:
    return invocation.node.rules.version


def _ping_banner(invocation: Invocation) -> list[str]:
    return [
        f"Will ping {invocation.node.name}. This only checks if the OS process is running and registered "
        f"with epmd. Timeout: {invocation.timeout_s * 1000} ms."
    ]


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


COMMANDS = {
    "close_connection": Command(
        _close_connection, says("Closing connection {0}, reason: {1}..."), least=2, most=2
    ),
    "close_all_connections": Command(
        _close_all_connections,
        _close_all_connections_banner,
        least=1,
        most=1,
        options={"--global": False, "--limit": True},
    ),
    "close_all_user_connections": Command(
        _close_all_user_connections, says("Closing connections of user {0}, reason: {1}..."), least=2, most=2
    ),
    "status": Command(_status, says("Status of node {node} ...")),
    "version": Command(_version, says_nothing),
    "ping": Command(lambda invocation: Message("Ping succeeded"), _ping_banner),
    "await_startup": Command(lambda invocation: None, says_nothing),
}
"""Name -> command."""
