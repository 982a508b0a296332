"""Looking into a queue without a client, and a back door for setting one up.

Owns: the values that a test sees: messages, holders, consumers, and why the head waits.
Refuses to know: how a queue keeps its order; it asks the queue.

Read next: ``explain.py``, ``../core/queues/base.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mockbroker.clock import NS
from mockbroker.connection import Connection
from mockbroker.message import BasicProperties, GetOk, check_short_string, properties_of, snapshot

if TYPE_CHECKING:
    from mockbroker.broker import Broker
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Delivery, Message


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message in a queue; `position` counts from 0 in the order of publishing.

    `expires_in` is in seconds, None for ever. Compare what matters: ``[m.body for m in view.ready]``.
    """

    body: bytes
    position: int
    exchange: str
    routing_key: str
    redelivered: bool
    properties: BasicProperties = field(repr=False)
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message that was handed out and not settled, with its holder.

    `is_seen` says whether the client's callback has run (None for a client on the endpoint: nobody knows).
    """

    body: bytes
    position: int
    consumer_tag: str
    channel: str
    delivery_tag: int
    redelivered: bool
    is_seen: bool | None
    properties: BasicProperties = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """A consumer of the queue; `credit` is how many messages it may still be given, None without limit."""

    consumer_tag: str
    channel: str
    auto_ack: bool
    prefetch_count: int
    unacked: int
    credit: int | None
    priority: int
    is_active: bool


class QueueView:
    """A queue as it is now, whenever it is asked: read-only, but for the back door `put` and `take`.

    >>> from mockbroker import Broker
    >>> broker = Broker()
    >>> _ = broker.connect().channel().queue_declare("tasks")
    >>> tasks = broker.queue("tasks")
    >>> tasks.put(b"one")
    >>> [message.body for message in tasks.ready], tasks.waits_because
    ([b'one'], 'nobody consumes from it')
    """

    def __init__(self, broker: Broker, name: str, vhost: str = "/") -> None:
        self._broker = broker
        self._vhost: VHost = broker.node.vhost(vhost)
        self.name = name
        self._queue  # noqa: B018 - a queue that is not there is told at once

    @property
    def _queue(self) -> Queue:
        try:
            return self._vhost.queues[self.name]
        except KeyError:
            there = ", ".join(map(repr, sorted(self._vhost.queues))) or "none"
            raise ValueError(
                f"there is no queue {self.name!r} in virtual host {self._vhost.name!r}; there are: {there}"
            ) from None

    # -- looking

    @property
    def ready_count(self) -> int:
        """How many messages are ready. Cost: O(1), unlike `ready`."""
        return self._queue.ready_count

    @property
    def ready(self) -> tuple[QueuedMessage, ...]:
        """The messages that wait, in the order in which they would be delivered."""
        now_ns = self._broker.clock.now_ns
        return tuple(_queued(*entry, now_ns=now_ns) for entry in self._queue.messages())

    @property
    def unacked(self) -> tuple[HeldMessage, ...]:
        """The messages that are outstanding, with their holders, by position."""
        waiting = self._in_inboxes()
        held = [
            HeldMessage(
                body=each.message[2],
                position=each.position,
                consumer_tag=each.consumer_tag,
                channel=f"{connection.name} ({channel.number})",
                delivery_tag=each.delivery_tag,
                redelivered=each.redelivered,
                is_seen=id(each) not in waiting if isinstance(connection.sink, Connection) else None,
                properties=properties_of(each.message),
            )
            for connection in self._broker.node.connections
            for channel in connection.channels.values()
            for each in channel.outstanding
            if each.queue is self._queue
        ]
        return tuple(sorted(held, key=lambda each: each.position))

    def _in_inboxes(self) -> set[int]:
        """The deliveries, by identity, that no callback has seen."""
        sinks = [connection.sink for connection in self._broker.node.connections]
        return {id(entry) for sink in sinks if isinstance(sink, Connection) for entry in sink.inbox.entries}

    @property
    def consumers(self) -> tuple[ConsumerView, ...]:
        """The consumers, in order of arrival."""
        ring = self._queue.ring
        return tuple(
            ConsumerView(
                consumer_tag=each.tag,
                channel=f"{each.channel.connection.name} ({each.channel.number})",
                auto_ack=not each.ack_required,
                prefetch_count=each.prefetch_count,
                unacked=_held_by(each),
                credit=_credit(each),
                priority=each.priority,
                is_active=not ring.single_active or each is ring.active,
            )
            for each in ring.all
        )

    @property
    def waits_because(self) -> str:
        """Why the head is not with a consumer, in words; what would help is told too."""
        queue = self._queue
        if not queue.ready_count:
            unseen = sum(each.is_seen is False for each in self.unacked)
            waiting = f"; {unseen} delivered messages wait for broker.run()" if unseen else ""
            return f"nothing is ready{waiting}"
        if not queue.ring.all:
            return "nobody consumes from it"
        active = queue.ring.active
        if queue.ring.single_active and active is not None:
            waiting = ", ".join(repr(each.tag) for each in queue.ring.all if each is not active)
            behind = f" ({waiting} only stand by)" if waiting else ""
            return f"the single active consumer {_why_not(active)}{behind}"
        return "; ".join(_why_not(consumer) for consumer in queue.ring.all)

    def peek(self, count: int = 1) -> tuple[QueuedMessage, ...]:
        """Return the first `count` ready messages, and leave them where they are."""
        return self.ready[:count]

    # -- the back door

    def put(
        self, body: bytes | str, properties: Any = None, *, exchange: str = "", routing_key: str | None = None
    ) -> None:
        """Put a message into the queue as if it had been routed there: limits and time to live count.

        No permissions, alarms or confirms stand in the way. `routing_key` is the queue's name unless given.
        Raises ValueError when the full queue refuses it; TypeError for a body that is neither bytes nor text.
        """
        queue, node = self._queue, self._broker.node
        key = self.name if routing_key is None else check_short_string("routing_key", routing_key)
        if not isinstance(body, bytes | str):
            raise TypeError(f"body must be bytes or a string, not {body!r}")
        fields = None if properties is None else snapshot(properties)
        expiration = (fields or {}).get("expiration")
        due_ns = None if expiration is None else node.clock.now_ns + int(expiration) * NS // 1000
        content = body.encode() if isinstance(body, str) else body
        message: Message = (exchange, key, content, fields, due_ns)
        if node.trace is not None:
            node.trace.published(_BackDoor(self._vhost), message, (queue,))  # type: ignore[arg-type]  # has what a trace reads
        accepted = queue.publish(message)
        node.drain()
        if not accepted:
            raise ValueError(f"queue {self.name!r} is full and refuses {content!r}")

    def take(self) -> QueuedMessage | None:
        """Take the head out for good, None when nothing is ready."""
        door, queue, node = _BackDoor(self._vhost), self._queue, self._broker.node
        now_ns = node.clock.now_ns
        delivery = queue.get(door, no_ack=True)  # type: ignore[arg-type]  # has what a queue needs
        if delivery is None:
            return None
        assert isinstance(delivery, GetOk)
        delivery.message_count = queue.ready_count
        if node.trace is not None:
            node.trace.got(door, delivery, no_ack=True)  # type: ignore[arg-type]  # has what a trace reads
        node.drain()
        return _queued(delivery.position, delivery.message, delivery.redelivered, now_ns=now_ns)

    def __repr__(self) -> str:
        queue = self._queue
        consumers = ", ".join(map(_short, self.consumers)) or "none"
        return (
            f"<queue {self.name!r} {queue.type}: {queue.ready_count} ready, {len(self.unacked)} unacked, "
            f"consumers: {consumers}; {self.waits_because}>"
        )


class _BackDoor:
    """Stands where a queue and a trace look for a channel: nobody's, number 0."""

    name = "back door"
    number = 0

    def __init__(self, vhost: VHost) -> None:
        self.vhost = vhost
        self.connection = self
        self.watch = None

    def fetched(
        self, queue: Queue, message: Message, position: int, *, redelivered: bool, no_ack: bool
    ) -> Delivery:
        """Take a message out of the queue; nobody owes an acknowledgement."""
        return GetOk(None, queue, message, position, 0, redelivered)


def _queued(position: int, message: Message, redelivered: bool, *, now_ns: int) -> QueuedMessage:
    return QueuedMessage(
        body=message[2],
        position=position,
        exchange=message[0],
        routing_key=message[1],
        redelivered=redelivered,
        properties=properties_of(message),
        expires_in=None if message[4] is None else (message[4] - now_ns) / NS,
    )


def _held_by(consumer: Consumer) -> int:
    return sum(each.consumer is consumer for each in consumer.channel.outstanding)


def _credit(consumer: Consumer) -> int | None:
    """How many messages a consumer may still be given: its own window, and that of its channel."""
    windows = [consumer.credit] if consumer.is_limited else []
    limiter = consumer.channel.limiter
    if limiter is not None and consumer.ack_required:
        windows.append(max(limiter.limit - limiter.in_flight, 0))
    return min(windows) if windows else None


def _why_not(consumer: Consumer) -> str:
    """Say why a consumer is given nothing more."""
    limiter = consumer.channel.limiter
    if consumer.is_limited and not consumer.credit:
        held, extra = _held_by(consumer), consumer.queue.ring.extra(consumer)
        return f"{consumer.tag!r} holds {held} unacknowledged of the {consumer.prefetch_count + extra} it may"
    if limiter is not None and (consumer.queue in limiter.suspended or _credit(consumer) == 0):
        return (
            f"{consumer.tag!r} is on a channel that holds {limiter.in_flight} unacknowledged of the "
            f"{limiter.limit} that its consumers may together"
        )
    return f"{consumer.tag!r} may take more, once the broker has taken its next step"


def _short(consumer: ConsumerView) -> str:
    credit = "unlimited" if consumer.credit is None else consumer.credit
    return f"{consumer.consumer_tag!r} (unacked {consumer.unacked}, credit {credit})"
