"""The columns of the listings: what each one says about a queue, a consumer, a channel and so on.

Owns: the names of columns, their values, and the refusal of those that do not exist or have no meaning here.
Refuses to know: which rows there are (``listings.py``) and how they are printed (``formatters.py``).
Source: ``rabbitmqctl help list_*`` of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``listings.py``.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from mockbroker.clock import MS
from mockbroker.core.arguments import MAX_PRIORITY, QUEUE_TYPE
from mockbroker.message import is_persistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Delivery, Message

_NODE_NAME = "rabbit@localhost"


class UnknownColumn(ValueError):
    """A listing has no such column; the text is rabbitmqctl's, or says why the column has no meaning here."""


class Listing(NamedTuple):
    """What can be listed of one kind of thing."""

    columns: Mapping[str, Callable[[Any], Any]]
    meaningless: Mapping[str, str] = {}
    """Columns of rabbitmqctl that mean nothing in a broker without processes, files and sockets -> why."""
    since: Mapping[str, tuple[str, ...]] = {}
    """Columns that only some rules have -> the names of these rules."""


class Chosen(NamedTuple):
    """The columns of one listing, in the order in which they were asked for."""

    columns: dict[str, Callable[[Any], Any]]

    def row(self, thing: Any) -> dict[str, Any]:
        """Return the row of one thing."""
        return {name: value(thing) for name, value in self.columns.items()}

    def in_order_of(self, listing: Listing) -> Chosen:
        """Return the same columns in the listing's own order."""
        return Chosen({name: value for name, value in listing.columns.items() if name in self.columns})


def choose(listing: Listing, names: Sequence[str], node: Node) -> Chosen:
    """Return the columns of these names, each once.

    Raises `UnknownColumn` (a ValueError) that names those that do not exist, or the first that has no
    meaning here.
    """
    rules = node.rules.name
    unknown = [
        name
        for name in dict.fromkeys(names)
        if (name not in listing.columns and name not in listing.meaningless)
        or rules not in listing.since.get(name, (rules,))
    ]
    if unknown:
        raise UnknownColumn(
            f"Error (argument validation): Info key(s) {','.join(sorted(unknown))} are not supported"
        )
    for name in names:
        if name in listing.meaningless:
            raise UnknownColumn(f"column {name} has no meaning here: {listing.meaningless[name]}")
    return Chosen({name: listing.columns[name] for name in names})


class QueueState:
    """A queue with its outstanding deliveries; what costs a walk over messages is found out once."""

    def __init__(self, queue: Queue, unacked: list[Delivery]) -> None:
        self.queue = queue
        self.unacked = unacked

    @property
    def message_count(self) -> int:
        """All messages, dead letters that the queue keeps among them: these are neither ready nor held."""
        return self.queue.ready_count + len(self.unacked) + self.queue.dead_letter_count

    @property
    def quorum_totals(self) -> dict[str, int]:
        """What else the management API counts of a quorum queue: all is on disk, nothing in memory."""
        ready, unacked = (_body_bytes(messages) for messages in (self.ready_messages, self.unacked_messages))
        dead = self.queue.dead_letter_bytes
        return {
            "messages_dlx": self.queue.dead_letter_count,
            "messages_persistent": self.message_count,
            "messages_ram": 0,
            "message_bytes": ready + unacked + dead,
            "message_bytes_dlx": dead,
            "message_bytes_persistent": ready + unacked + dead,
            "message_bytes_ram": 0,
            "message_bytes_ready": ready,
            "message_bytes_unacknowledged": unacked,
        }

    @cached_property
    def ready_messages(self) -> list[Message]:
        """The ready messages, oldest first."""
        return [message for _, message, _ in self.queue.messages()]

    @cached_property
    def unacked_messages(self) -> list[Message]:
        """The unacknowledged messages."""
        return [delivery.message for delivery in self.unacked]

    @cached_property
    def persistent_messages(self) -> list[Message]:
        """The messages that would survive a restart: persistent, in a durable queue."""
        if not self.queue.durable:
            return []
        return [each for each in (*self.ready_messages, *self.unacked_messages) if is_persistent(each)]

    @property
    def head_timestamp(self) -> int | None:
        """The timestamp property of the message at the head, ready or not; None without one."""
        places = [(delivery.position, delivery.message) for delivery in self.unacked]
        places += [(position, message) for position, message, _ in self.queue.messages()]
        if not places:
            return None
        most = self.queue.arguments.get(MAX_PRIORITY, 0)
        head = min(places, key=lambda place: (-min(_property(place[1], "priority") or 0, most), place[0]))
        timestamp: int | None = _property(head[1], "timestamp")
        return timestamp


def _property(message: Message, name: str) -> Any:
    properties = message[3]
    return properties.get(name) if properties is not None else None


def _body_bytes(messages: list[Message]) -> int:
    return sum(len(message[2]) for message in messages)


def _classic(value: Callable[[QueueState], Any]) -> Callable[[QueueState], Any]:
    """Return a column that the server fills for classic queues only."""
    return lambda state: value(state) if state.queue.type == "classic" else None


def _arguments(state: QueueState) -> dict[str, Any]:
    """The arguments; where the default type counts as one, the server adds it and sorts them."""
    queue = state.queue
    arguments = dict(queue.arguments)
    if queue.node.rules.default_queue_type_in_equivalence and QUEUE_TYPE not in arguments:
        arguments[QUEUE_TYPE] = queue.type
        return dict(sorted(arguments.items()))
    return arguments


def _policy_name(which: int) -> Callable[[QueueState], str]:
    def name(state: QueueState) -> str:
        policy = state.queue.vhost.policies_of(state.queue)[which]
        return policy.name if policy is not None else ""

    return name


def _effective_definition(state: QueueState) -> dict[str, Any]:
    """Policy and operator policy put together: of two numbers the lower counts, else the operator's value."""
    policy, operator = state.queue.vhost.policies_of(state.queue)
    merged = dict(policy.definition) if policy is not None else {}
    for key, value in (operator.definition if operator is not None else {}).items():
        there = merged.get(key)
        merged[key] = min(value, there) if isinstance(value, int) and isinstance(there, int) else value
    return dict(sorted(merged.items()))


def _exclusive_consumer(value: Callable[[Consumer], str]) -> Callable[[QueueState], str]:
    def of_queue(state: QueueState) -> str:
        consumer = state.queue.consumer_in_exclusive_use
        return value(consumer) if consumer is not None else ""

    return of_queue


def _consumer_count(state: QueueState) -> int:
    """The consumers; those of a quorum queue that wait for their turn to be active are counted here.

    RabbitMQ differs: queue.declare-ok leaves them out.
    """
    ring = state.queue.ring
    return len(ring) + len(ring.waiting) if state.queue.type == "quorum" else len(ring)


def _is_exclusive(state: QueueState) -> bool:
    return state.queue.exclusive_to is not None


def _owner_pid(state: QueueState) -> str:
    owner = state.queue.exclusive_to
    return connection_pid(owner) if owner is not None else ""


_NO_PROCESS = "a queue is no process here"
_NO_CLUSTER = "there is one node only"
_NO_PAGING = "all messages are in memory"
_NO_LOAD = "it is an average over real time"

QUEUE = Listing(
    columns={
        "name": lambda state: state.queue.name,
        "durable": lambda state: state.queue.durable,
        "auto_delete": lambda state: state.queue.auto_delete,
        "arguments": _arguments,
        "policy": _policy_name(0),
        "operator_policy": _policy_name(1),
        "effective_policy_definition": _effective_definition,
        "exclusive": _classic(_is_exclusive),
        "owner_pid": _classic(_owner_pid),
        "exclusive_consumer_tag": _classic(_exclusive_consumer(lambda consumer: consumer.tag)),
        "exclusive_consumer_pid": _classic(
            _exclusive_consumer(lambda consumer: channel_pid(consumer.channel))
        ),
        "messages": lambda state: state.message_count,
        "messages_ready": lambda state: state.queue.ready_count,
        "messages_unacknowledged": lambda state: len(state.unacked),
        "messages_persistent": _classic(lambda state: len(state.persistent_messages)),
        "message_bytes": _classic(lambda state: _body_bytes(state.ready_messages + state.unacked_messages)),
        "message_bytes_ready": _classic(lambda state: _body_bytes(state.ready_messages)),
        "message_bytes_unacknowledged": _classic(lambda state: _body_bytes(state.unacked_messages)),
        "message_bytes_persistent": _classic(lambda state: _body_bytes(state.persistent_messages)),
        "head_message_timestamp": _classic(lambda state: state.head_timestamp),
        "consumers": _consumer_count,
        "state": lambda state: "running",
        "type": lambda state: state.queue.type,
    },
    meaningless={
        "consumer_capacity": _NO_LOAD,
        "consumer_utilisation": _NO_LOAD,
        "disk_reads": "the disk is a model",
        "disk_writes": "the disk is a model",
        "leader": _NO_CLUSTER,
        "members": _NO_CLUSTER,
        "memory": _NO_PROCESS,
        "message_bytes_ram": _NO_PAGING,
        "messages_ram": _NO_PAGING,
        "messages_ready_ram": _NO_PAGING,
        "messages_unacknowledged_ram": _NO_PAGING,
        "online": _NO_CLUSTER,
        "pid": _NO_PROCESS,
        "slave_pids": _NO_CLUSTER,
        "synchronised_slave_pids": _NO_CLUSTER,
    },
    since={
        "operator_policy": ("rabbitmq-4.0",),
        "effective_policy_definition": ("rabbitmq-4.0",),
        "slave_pids": ("rabbitmq-3.10",),
        "synchronised_slave_pids": ("rabbitmq-3.10",),
    },
)


class Fetch(NamedTuple):
    """A message fetched from a quorum queue and not settled: to that queue one more consumer."""

    queue: Queue
    channel: BrokerChannel
    tag: str
    ack_required: str = "undefined"
    prefetch_count: str = "undefined"
    arguments: Mapping[str, Any] = {}


def _activity(consumer: Consumer | Fetch) -> str:
    ring = consumer.queue.ring
    if not ring.single_active:
        return "up"
    return "single_active" if ring.active is consumer else "waiting"


CONSUMER = Listing(
    columns={
        "queue_name": lambda consumer: consumer.queue.name,
        "channel_pid": lambda consumer: channel_pid(consumer.channel),
        "consumer_tag": lambda consumer: consumer.tag,
        "ack_required": lambda consumer: consumer.ack_required,
        "prefetch_count": lambda consumer: consumer.prefetch_count,
        "active": lambda consumer: _activity(consumer) != "waiting",
        "activity_status": _activity,
        "arguments": lambda consumer: dict(consumer.arguments),
    }
)


def _peer_port(connection: BrokerConnection) -> int | None:
    return _port(connection.name.partition(" -> ")[0])


def _server_end(connection: BrokerConnection) -> str:
    return connection.name.partition(" -> ")[2]


def _port(address: str) -> int | None:
    """The number behind the last colon; a connection that was named otherwise has none."""
    text = address.rpartition(":")[2]
    return int(text) if text.isdecimal() else None


def connection_pid(connection: BrokerConnection) -> str:
    """Return a name in the form of an Erlang process identifier: unique, and the same in every run."""
    return f"<{_NODE_NAME}.{connection.node.epoch_s}.{_peer_port(connection) or 0}.0>"


def channel_pid(channel: BrokerChannel) -> str:
    """Return the same for a channel."""
    connection = channel.connection
    return f"<{_NODE_NAME}.{connection.node.epoch_s}.{_peer_port(connection) or 0}.{channel.number}>"


def _uncommitted(what: str) -> Callable[[BrokerChannel], int]:
    def count(channel: BrokerChannel) -> int:
        transaction = channel.transaction
        return len(getattr(transaction, what)) if transaction is not None else 0

    return count


CHANNEL = Listing(
    columns={
        "pid": channel_pid,
        "connection": lambda channel: connection_pid(channel.connection),
        "name": lambda channel: f"{channel.connection.name} ({channel.number})",
        "number": lambda channel: channel.number,
        "user": lambda channel: channel.connection.user.name,
        "vhost": lambda channel: channel.vhost.name,
        "transactional": lambda channel: channel.transaction is not None,
        "confirm": lambda channel: channel.confirming,
        "consumer_count": lambda channel: len(channel.consumers),
        "messages_unacknowledged": lambda channel: len(channel.unacked),
        "messages_unconfirmed": lambda channel: len(channel._unconfirmed),
        "messages_uncommitted": _uncommitted("publishes"),
        "acks_uncommitted": _uncommitted("deliveries"),
        "prefetch_count": lambda channel: channel.prefetch_count,
        "global_prefetch_count": lambda channel: channel.limiter.limit if channel.limiter is not None else 0,
    },
    since={"global_prefetch_count": ("rabbitmq-3.10",)},
)

_NOT_COUNTED = "traffic is not counted"
_NO_TLS = "there is no TLS"
_AGREED_ON_THE_WIRE = "it is agreed on the wire; a connection in the same process has none"

CONNECTION = Listing(
    columns={
        "pid": connection_pid,
        "name": lambda connection: connection.name,
        "host": lambda connection: _server_end(connection).rpartition(":")[0] or None,
        "port": lambda connection: _port(_server_end(connection)),
        "peer_host": lambda connection: connection.peer_host,
        "peer_port": _peer_port,
        "ssl": lambda connection: False,
        "protocol": lambda connection: (0, 9, 1),
        "user": lambda connection: connection.user.name,
        "vhost": lambda connection: connection.vhost.name,
        "channels": lambda connection: len(connection.channels),
        "client_properties": lambda connection: dict(connection.client_properties),
        "connected_at": lambda connection: connection.node.epoch_s * 1000 + connection.opened_ns // MS,
        "state": lambda connection: "running",
    },
    meaningless={
        **dict.fromkeys(("recv_cnt", "recv_oct", "send_cnt", "send_oct", "send_pend"), _NOT_COUNTED),
        **dict.fromkeys(("peer_cert_issuer", "peer_cert_subject", "peer_cert_validity"), _NO_TLS),
        **dict.fromkeys(("ssl_cipher", "ssl_hash", "ssl_key_exchange", "ssl_protocol"), _NO_TLS),
        **dict.fromkeys(("auth_mechanism", "channel_max", "frame_max", "timeout"), _AGREED_ON_THE_WIRE),
    },
)


def _exchange_policy(exchange: Any) -> str:
    policy, _ = exchange.vhost.policies_of(exchange)
    return policy.name if policy is not None else ""


EXCHANGE = Listing(
    columns={
        "name": lambda exchange: exchange.name,
        "type": lambda exchange: exchange.type,
        "durable": lambda exchange: exchange.durable,
        "auto_delete": lambda exchange: exchange.auto_delete,
        "internal": lambda exchange: exchange.internal,
        "arguments": lambda exchange: dict(exchange.arguments),
        "policy": _exchange_policy,
    }
)


class BindingEnds(NamedTuple):
    """A binding as it is listed; the default exchange has one to each queue."""

    source_name: str
    destination_kind: str
    destination_name: str
    routing_key: str
    arguments: dict[str, Any]


BINDING = Listing(
    columns={
        "source_name": lambda binding: binding.source_name,
        "source_kind": lambda binding: "exchange",
        "destination_name": lambda binding: binding.destination_name,
        "destination_kind": lambda binding: binding.destination_kind,
        "routing_key": lambda binding: binding.routing_key,
        "arguments": lambda binding: dict(sorted(binding.arguments.items())),
    }
)


def _default_queue_type(vhost: VHost) -> str:
    """The default type; where it is no argument of queues, it is undefined unless it was chosen."""
    kind = vhost.default_queue_type
    chosen = kind != "classic" or vhost.node.rules.default_queue_type_in_equivalence
    return kind if chosen else "undefined"


_DESCRIPTIONS = {"/": "Default virtual host"}
"""What a server calls the virtual host that it comes with."""

VHOST = Listing(
    columns={
        "name": lambda vhost: vhost.name,
        "description": lambda vhost: vhost.metadata.get("description", _DESCRIPTIONS.get(vhost.name, "")),
        "tags": lambda vhost: list(vhost.metadata.get("tags", ())),
        "default_queue_type": _default_queue_type,
        "tracing": lambda vhost: False,
    },
    meaningless={"cluster_state": _NO_CLUSTER},
)
