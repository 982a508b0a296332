"""Listings: the state of a broker as rows, under rabbitmqctl's names for the columns.

Owns: which columns there are, what each means, and the order of rows (by name, so that two listings compare).
Refuses to know: how rows are printed (``formatters.py``), and how the state changes; it only reads.
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5, ``list_*``.

A cell is a plain Python value: a table is a dict, a list of words a list. None stands where the server
leaves the cell empty because the column has no meaning for the row, as ``message_bytes`` has none for a
quorum queue.

Read next: ``columns.py``, ``ctl.py``, ``../core/node.py``.
"""

from __future__ import annotations

from mockbroker.admin import columns as cells
from mockbroker.terms import table_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.node import Node
    from mockbroker.core.policies import Policy
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Delivery

    Row = dict[str, Any]


def list_queues(node: Node, vhost: str = "/", columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each queue: by default ``name`` and ``messages``.

    Raises ValueError for an unknown column or virtual host. Cost: what is outstanding on the node; with a
    column in bytes, or of persistent messages, all messages of the virtual host.
    Source: RabbitMQ documentation, "Monitoring"; rabbitmqctl ``list_queues``.
    """
    chosen = cells.choose(cells.QUEUE, columns or ("name", "messages"), node)
    return [chosen.row(state) for state in queue_states(node, vhost)]


def queue_states(node: Node, vhost: str) -> list[cells.QueueState]:
    """Return each queue of a virtual host by name, with what is outstanding of it.

    Raises ValueError for an unknown virtual host. Cost: what is outstanding on the node.
    """
    unacked: dict[Queue, list[Delivery]] = {}
    for connection in node.connections:
        for channel in connection.channels.values():
            for delivery in channel.outstanding:
                unacked.setdefault(delivery.queue, []).append(delivery)
    queues = node.vhost(vhost).queues
    return [cells.QueueState(queues[name], unacked.get(queues[name], [])) for name in sorted(queues)]


def list_consumers(node: Node, vhost: str = "/", columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each consumer, by queue, then in order of arrival; those of streams are not listed.

    To a quorum queue a fetched message that is not settled is a consumer, too; these come last.

    RabbitMQ has an order of its own for these columns, whatever the order in which they are asked for.

    Raises ValueError for an unknown column or virtual host. Source: rabbitmqctl ``list_consumers``.
    """
    default = (
        "queue_name",
        "channel_pid",
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "arguments",
    )
    chosen = cells.choose(cells.CONSUMER, columns or default, node).in_order_of(cells.CONSUMER)
    queues = node.vhost(vhost).queues
    fetches: dict[Queue, list[cells.Fetch]] = {}
    for connection in node.connections:
        for channel in connection.channels.values():
            for each in channel.outstanding:
                if each.consumer is None and each.queue.type == "quorum":
                    fetch = cells.Fetch(each.queue, channel, str(each.delivery_tag))
                    fetches.setdefault(each.queue, []).append(fetch)
    return [
        chosen.row(consumer)
        for name in sorted(queues)
        if queues[name].type != "stream"
        for consumer in (*queues[name].ring.all, *fetches.get(queues[name], ()))
    ]


def list_channels(node: Node, columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each channel of all virtual hosts, by connection, then by number.

    Raises ValueError for an unknown column. Source: rabbitmqctl ``list_channels``.
    """
    default = ("pid", "user", "consumer_count", "messages_unacknowledged")
    chosen = cells.choose(cells.CHANNEL, columns or default, node)
    return [
        chosen.row(connection.channels[number])
        for connection in node.connections
        for number in sorted(connection.channels)
    ]


def list_connections(node: Node, columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each connection, in the order in which they were opened.

    Raises ValueError for an unknown column. Source: rabbitmqctl ``list_connections``.
    """
    chosen = cells.choose(cells.CONNECTION, columns or ("user", "peer_host", "peer_port", "state"), node)
    return [chosen.row(connection) for connection in node.connections]


def list_exchanges(node: Node, vhost: str = "/", columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each exchange: by default ``name`` and ``type``.

    Raises ValueError for an unknown column or virtual host. Source: rabbitmqctl ``list_exchanges``.
    """
    chosen = cells.choose(cells.EXCHANGE, columns or ("name", "type"), node)
    exchanges = node.vhost(vhost).exchanges
    return [chosen.row(exchanges[name]) for name in sorted(exchanges)]


def list_bindings(node: Node, vhost: str = "/", columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each binding, those of the default exchange included.

    Raises ValueError for an unknown column or virtual host. Source: rabbitmqctl ``list_bindings``.
    """
    default = (
        "source_name",
        "source_kind",
        "destination_name",
        "destination_kind",
        "routing_key",
        "arguments",
    )
    chosen = cells.choose(cells.BINDING, columns or default, node)
    host = node.vhost(vhost)
    bindings = [cells.BindingEnds("", "queue", name, name, {}) for name in host.queues]
    for exchange in host.exchanges.values():
        bindings += [
            cells.BindingEnds(
                exchange.name, each.destination.kind, each.destination.name, each.routing_key, each.arguments
            )
            for each in exchange.bindings
        ]
    bindings.sort(key=lambda each: (*each[:4], table_identity(each.arguments)))
    return [chosen.row(each) for each in bindings]


def list_vhosts(node: Node, columns: Sequence[str] = ()) -> list[Row]:
    """Return a row for each virtual host: by default ``name``. Raises ValueError for an unknown column."""
    chosen = cells.choose(cells.VHOST, columns or ("name",), node)
    return [chosen.row(node.vhosts[name]) for name in sorted(node.vhosts)]


def list_users(node: Node) -> list[Row]:
    """Return a row for each user: ``user`` and ``tags``."""
    return [{"user": name, "tags": list(node.users[name].tags)} for name in sorted(node.users)]


def list_permissions(node: Node, vhost: str = "/") -> list[Row]:
    """Return a row for each user with permissions in a virtual host. Raises ValueError for an unknown one."""
    node.vhost(vhost)
    return [
        {"user": name, "configure": granted.configure, "write": granted.write, "read": granted.read}
        for name in sorted(node.users)
        if (granted := node.users[name].permissions.get(vhost)) is not None
    ]


def list_user_permissions(node: Node, user: str) -> list[Row]:
    """Return a row for each virtual host that a user may enter. Raises ValueError for an unknown user."""
    permissions = node.user(user).permissions
    return [
        {
            "vhost": vhost,
            "configure": permissions[vhost].configure,
            "write": permissions[vhost].write,
            "read": permissions[vhost].read,
        }
        for vhost in sorted(permissions)
    ]


def list_topic_permissions(node: Node, vhost: str = "/") -> list[Row]:
    """Return a row for each topic permission in a virtual host. Raises ValueError for an unknown one."""
    node.vhost(vhost)
    return [
        {"user": name, "exchange": exchange, "write": write, "read": read}
        for name in sorted(node.users)
        for (host, exchange), (write, read) in sorted(node.users[name].topic_permissions.items())
        if host == vhost
    ]


def list_policies(node: Node, vhost: str = "/", *, operator: bool = False) -> list[Row]:
    """Return a row for each policy (or operator policy). Raises ValueError for an unknown virtual host."""
    host = node.vhost(vhost)
    policies: Iterable[Policy] = (host.operator_policies if operator else host.policies).values()
    return [
        {
            "vhost": vhost,
            "name": policy.name,
            "pattern": policy.pattern,
            "apply-to": policy.apply_to,
            "definition": dict(policy.definition),
            "priority": policy.priority,
        }
        for policy in sorted(policies, key=lambda each: each.name)
    ]
