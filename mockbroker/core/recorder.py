"""Tracing: turns what the core reports into events, while somebody listens.

Owns: the traces that listen to a node, and the translation of the core's objects into plain values. Refuses
to know: who reads a trace. The core calls a method here at each change; while nobody listens there is no
recorder, nothing is called and no event is made.

Read next: ``events.py``, ``core/node.py``.
"""

from __future__ import annotations

from mockbroker import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.clock import Clock
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.exchanges.base import Binding, Exchange
    from mockbroker.core.queues.base import Queue
    from mockbroker.errors import AMQPError
    from mockbroker.message import Delivery, Message
    from mockbroker.trace import Trace

_SETTLEMENTS: dict[str, type[events.OfDelivery]] = {
    "ack": events.Acknowledged,
    "requeue": events.Requeued,
    "discard": events.Rejected,
}


class Recorder:
    """Whom the core tells of every change: makes the event and hands it to each trace of the node."""

    __slots__ = ("_clock", "_traces")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._traces: list[Trace] = []

    @property
    def is_listening(self) -> bool:
        """Whether any trace is left."""
        return bool(self._traces)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Who listens, the oldest first."""
        return tuple(self._traces)

    def add(self, trace: Trace) -> None:
        """Let a trace hear of every change from now on."""
        self._traces.append(trace)

    def remove(self, trace: Trace) -> None:
        """Let a trace hear no more."""
        self._traces = [each for each in self._traces if each is not trace]

    def _record(self, kind: type[events.Event], **values: Any) -> None:
        event = kind(time_ns=self._clock.now_ns, **values)
        for trace in self._traces:
            trace.record(event)

    def _record_of_channel(self, kind: type[events.OfChannel], channel: BrokerChannel, **values: Any) -> None:
        self._record(kind, connection=channel.connection.name, channel=channel.number, **values)

    def connection_opened(self, connection: BrokerConnection) -> None:
        """A connection was let in."""
        self._record(
            events.ConnectionOpened,
            connection=connection.name,
            vhost=connection.vhost.name,
            user=connection.user.name,
        )

    def connection_closed(self, connection: BrokerConnection) -> None:
        """A connection ended."""
        self._record(events.ConnectionClosed, connection=connection.name)

    def error_sent(
        self, connection: BrokerConnection, channel: BrokerChannel | None, error: AMQPError
    ) -> None:
        """A client is told that its channel, or its connection, is closed."""
        self._record(
            events.ErrorSent,
            connection=connection.name,
            channel=None if channel is None else channel.number,
            reply_code=error.reply_code,
            reply_text=error.reply_text,
        )

    def channel_opened(self, channel: BrokerChannel) -> None:
        """A channel was opened."""
        self._record_of_channel(events.ChannelOpened, channel)

    def channel_closed(self, channel: BrokerChannel) -> None:
        """A channel ended."""
        self._record_of_channel(events.ChannelClosed, channel)

    def published(self, channel: BrokerChannel, message: Message, queues: Iterable[Queue]) -> None:
        """A message is about to enter these queues."""
        exchange, routing_key, body, properties, _ = message
        self._record_of_channel(
            events.Published,
            channel,
            vhost=channel.vhost.name,
            exchange=exchange,
            routing_key=routing_key,
            body=body,
            properties=_copy(properties),
            queues=_positions(queues),
        )

    def refused(self, queue: Queue, message: Message) -> None:
        """A queue refused a message."""
        self._record(
            events.PublishRefused,
            vhost=queue.vhost.name,
            queue=queue.name,
            exchange=message[0],
            routing_key=message[1],
            body=message[2],
        )

    def returned(self, channel: BrokerChannel, reply_code: int, reply_text: str, message: Message) -> None:
        """A mandatory message goes back to its publisher."""
        self._record_of_channel(
            events.Returned,
            channel,
            reply_code=reply_code,
            reply_text=reply_text,
            exchange=message[0],
            routing_key=message[1],
            body=message[2],
        )

    def confirmed(self, channel: BrokerChannel, tags: Iterable[int]) -> None:
        """Publishes are confirmed."""
        self._record_of_channel(events.Confirmed, channel, delivery_tags=tuple(tags))

    def nacked(self, channel: BrokerChannel, tags: Iterable[int]) -> None:
        """Publishes are refused."""
        self._record_of_channel(events.Nacked, channel, delivery_tags=tuple(tags))

    def prefetch_set(self, channel: BrokerChannel, count: int, *, global_: bool) -> None:
        """A channel sets its window."""
        self._record_of_channel(events.PrefetchSet, channel, prefetch_count=count, global_=global_)

    def consumer_added(self, consumer: Consumer) -> None:
        """A consumer starts."""
        self._record_of_channel(
            events.ConsumerAdded,
            consumer.channel,
            consumer_tag=consumer.tag,
            vhost=consumer.queue.vhost.name,
            queue=consumer.queue.name,
            auto_ack=not consumer.ack_required,
            exclusive=consumer.exclusive,
            prefetch_count=consumer.prefetch_count,
            priority=consumer.priority,
        )

    def consumer_cancelled(self, consumer: Consumer, *, by_broker: bool) -> None:
        """A consumer ends."""
        self._record_of_channel(
            events.ConsumerCancelled,
            consumer.channel,
            consumer_tag=consumer.tag,
            vhost=consumer.queue.vhost.name,
            queue=consumer.queue.name,
            by_broker=by_broker,
        )

    def _record_delivery(
        self, kind: type[events.OfDelivery], channel: BrokerChannel, delivery: Delivery, **values: Any
    ) -> None:
        self._record_of_channel(
            kind,
            channel,
            delivery_tag=delivery.delivery_tag,
            vhost=delivery.queue.vhost.name,
            queue=delivery.queue.name,
            position=delivery.position,
            **values,
        )

    def delivered(self, delivery: Delivery) -> None:
        """A message is sent to a consumer."""
        consumer = delivery.consumer
        assert consumer is not None
        self._record_delivery(
            events.Delivered,
            consumer.channel,
            delivery,
            consumer_tag=consumer.tag,
            redelivered=delivery.redelivered,
            auto_ack=not consumer.ack_required,
            exchange=delivery.exchange,
            routing_key=delivery.routing_key,
            body=delivery.message[2],
        )

    def got(self, channel: BrokerChannel, delivery: Delivery, *, no_ack: bool) -> None:
        """A message is fetched."""
        self._record_delivery(
            events.Got,
            channel,
            delivery,
            redelivered=delivery.redelivered,
            auto_ack=no_ack,
            exchange=delivery.exchange,
            routing_key=delivery.routing_key,
            body=delivery.message[2],
        )

    def settled(self, channel: BrokerChannel, delivery: Delivery, how: str) -> None:
        """A delivery is acknowledged (``ack``), returned (``requeue``) or rejected (``discard``)."""
        self._record_delivery(_SETTLEMENTS[how], channel, delivery)

    def queue_declared(self, queue: Queue) -> None:
        """A queue was made."""
        self._record(
            events.QueueDeclared,
            vhost=queue.vhost.name,
            queue=queue.name,
            type=queue.type,
            durable=queue.durable,
            exclusive=queue.exclusive_to is not None,
            auto_delete=queue.auto_delete,
            arguments=_copy(queue.arguments),
        )

    def queue_deleted(self, queue: Queue, reason: str) -> None:
        """A queue is gone."""
        self._record(events.QueueDeleted, vhost=queue.vhost.name, queue=queue.name, reason=reason)

    def dropped(self, queue: Queue, position: int, message: Message, reason: str) -> None:
        """A queue gives a ready message up."""
        self._record(
            events.Dropped,
            vhost=queue.vhost.name,
            queue=queue.name,
            position=position,
            body=message[2],
            reason=reason,
        )

    def dead_lettered(
        self, queue: Queue, position: int | None, letter: Message, reason: str, targets: Iterable[Queue]
    ) -> None:
        """A message that `queue` gave up is about to enter `targets`."""
        self._record(
            events.DeadLettered,
            vhost=queue.vhost.name,
            queue=queue.name,
            position=position,
            reason=reason,
            exchange=letter[0],
            routing_key=letter[1],
            queues=_positions(targets),
        )

    def _record_letter(
        self, kind: type[events.OfDeadLetter], queue: Queue, position: int, reason: str
    ) -> None:
        self._record(kind, vhost=queue.vhost.name, queue=queue.name, position=position, reason=reason)

    def dead_letter_kept(self, queue: Queue, position: int, reason: str) -> None:
        """A dead letter stays with `queue`: not every queue that has to have it does."""
        self._record_letter(events.DeadLetterKept, queue, position, reason)

    def dead_letter_given_up(self, queue: Queue, position: int, reason: str) -> None:
        """A dead letter that stayed with `queue` is gone."""
        self._record_letter(events.DeadLetterGivenUp, queue, position, reason)

    def recovered(self, queue: Queue, positions: Iterable[int]) -> None:
        """A durable queue comes back."""
        self._record(events.Recovered, vhost=queue.vhost.name, queue=queue.name, positions=tuple(positions))

    def exchange_declared(self, exchange: Exchange) -> None:
        """An exchange was made."""
        self._record(
            events.ExchangeDeclared,
            vhost=exchange.vhost.name,
            exchange=exchange.name,
            type=exchange.type,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            internal=exchange.internal,
            arguments=_copy(exchange.arguments),
        )

    def exchange_deleted(self, exchange: Exchange) -> None:
        """An exchange is gone."""
        self._record(events.ExchangeDeleted, vhost=exchange.vhost.name, exchange=exchange.name)

    def delayed(self, exchange: Exchange, message: Message, due_ns: int) -> None:
        """An exchange keeps a message until `due_ns`."""
        self._record(
            events.Delayed,
            vhost=exchange.vhost.name,
            exchange=exchange.name,
            routing_key=message[1],
            body=message[2],
            due_ns=due_ns,
        )

    def released(self, exchange: Exchange, message: Message, queues: Iterable[Queue]) -> None:
        """A message that an exchange kept is about to enter these queues."""
        self._record(
            events.Released,
            vhost=exchange.vhost.name,
            exchange=exchange.name,
            routing_key=message[1],
            body=message[2],
            queues=_positions(queues),
        )

    def _record_binding(self, kind: type[events.OfBinding], binding: Binding) -> None:
        self._record(
            kind,
            vhost=binding.source.vhost.name,
            source=binding.source.name,
            destination=binding.destination.name,
            destination_kind=binding.destination.kind,
            routing_key=binding.routing_key,
            arguments=_copy(binding.arguments),
        )

    def bound(self, binding: Binding) -> None:
        """A binding was made."""
        self._record_binding(events.Bound, binding)

    def unbound(self, binding: Binding) -> None:
        """A binding is gone."""
        self._record_binding(events.Unbound, binding)

    def stopped(self, *, power_cut: bool) -> None:
        """The node stops."""
        self._record(events.Stopped, power_cut=power_cut)

    def started(self) -> None:
        """The node is back."""
        self._record(events.Started)

    def synced(self) -> None:
        """The disk is synced."""
        self._record(events.Synced)


def _positions(queues: Iterable[Queue]) -> events.Places:
    return tuple([(queue.name, queue.next_position) for queue in queues])


def _copy(value: Any) -> Any:
    """Copy a table value, so that an event shares nothing with the broker that could change."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
