"""Streams: a log that consumers read, each from its own offset, and that nobody takes anything from.

Owns: the messages of a stream by offset, where each consumer has got to, and what it wants to read.
Refuses to know: what AMQP 1.0 leaves of a message (``stream_message.py``), how many bytes a segment takes
(``stream_segments.py``), and what a delivery tag means.

Each message is a chunk of its own: offsets and times find a single message, and filters match exactly.
Source: RabbitMQ documentation, "Streams"; recorded area ``streams``.

Read next: ``core/queues/stream_message.py``, ``core/queues/quorum.py``.
"""

from __future__ import annotations

from bisect import bisect_left

from mockbroker.clock import MS
from mockbroker.core import arguments as args
from mockbroker.core import refusals
from mockbroker.core.dispatch import Ring
from mockbroker.core.queues import unsupported
from mockbroker.core.queues.base import Queue
from mockbroker.core.queues.stream_message import (
    check_storable,
    filter_value,
    is_readable,
    shown,
    stored,
)
from mockbroker.errors import HardError
from mockbroker.message import Delivery
from mockbroker.values import LongString, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.sinks import Publisher
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message


def is_dead_letter(message: Message) -> bool:
    """Whether a queue has given the message up before."""
    return bool(getattr(message[3], "deaths", None))


class StreamRing(Ring):
    """The consumers of a stream: those in `ready` have credit, and all of them are served."""

    __slots__ = ()

    def __len__(self) -> int:
        """How many consumers queue.declare tells of: always none. Source: ``streams/declare-counts``."""
        return 0


class Reader:
    """What a consumer reads: `offset` comes next; `wanted` are the filter values, None for everything."""

    __slots__ = ("matches_unfiltered", "offset", "wanted")

    def __init__(
        self, offset: int, wanted: frozenset[str | bytes] | None, *, matches_unfiltered: bool
    ) -> None:
        self.offset = offset
        self.wanted = wanted
        self.matches_unfiltered = matches_unfiltered

    def wants(self, message: Message) -> bool:
        """Whether the filter lets a message through."""
        if self.wanted is None:
            return True
        value = filter_value(message)
        return value in self.wanted or (not value and self.matches_unfiltered)


class StreamQueue(Queue):
    """A stream.

    Invariant: `_messages[i]` has offset `_first + i` and was published at `_times_ms[i]`, in milliseconds of
    the time of day; times never go back. A consumer that is not set aside has read all that it wants.
    """

    __slots__ = ("_first", "_known_to", "_messages", "_readers", "_times_ms")
    type = "stream"
    is_shared = True
    ring: StreamRing

    def __init__(self, vhost: VHost, name: str, **declaration: Any) -> None:
        super().__init__(vhost, name, **declaration)
        self._first = 0
        self._messages: list[Message] = []
        self._times_ms: list[int] = []
        self._readers: dict[Consumer, Reader] = {}
        self.ring = StreamRing()
        self._known_to: dict[BrokerChannel, None] = {}
        """The channels that have consumed from this stream; those that are closed go when another comes."""

    def heir(self, channel: BrokerChannel) -> StreamQueue | None:
        """Return the stream that has the name now, if the channel knows it already: it has consumed from it.

        Raises HardError 506 otherwise. Source: recorded scenarios ``tx/stream-*``.
        """
        heir = self.vhost.queues.get(self.name)
        if isinstance(heir, StreamQueue) and channel in heir._known_to:
            return heir
        raise refusals.stream_not_found(self.name, self.vhost.name)

    # -- declaring

    @classmethod
    def check_declaration(
        cls,
        vhost: VHost,
        name: str,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: dict[str, Any],
    ) -> None:
        """Refuse what is not durable or is temporary in another way, then wrong sizes: SoftError 406."""
        unsupported.check_replicated(
            vhost, name, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )
        args.check_stream_sizes(arguments, vhost.node.rules)

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse nothing: a stream is deleted whatever the conditions. Source: ``streams/delete-if-*``."""

    # -- the log

    @property
    def ready_count(self) -> int:
        """How many messages are there."""
        return len(self._messages)

    @property
    def deleted_count(self) -> int:
        """queue.delete tells of no messages. Source: recorded scenario ``streams/delete-counts-none``."""
        return 0

    @property
    def next_position(self) -> int:
        """The offset that the next message to be published will get."""
        return self._first + len(self._messages)

    def messages(self) -> Iterator[tuple[int, Message, bool]]:
        """The messages in order: offset, message, and that it is never redelivered."""
        for index, message in enumerate(self._messages):
            yield self._first + index, message, False

    def publish(self, message: Message, publisher: Publisher | None = None) -> bool:
        """Append a message, and deliver it to whoever has read up to here.

        Raises HardError 541 for what a stream cannot store; as a dead letter, such a message is refused.
        Where the rules have it so, streams refuse all dead letters for which nobody waits for an answer.
        """
        rules, is_letter = self.node.rules, is_dead_letter(message)
        if is_letter and publisher is None and not rules.stream_takes_dead_letters:
            return self.refuse(message)
        try:
            check_storable(message, rules)
        except HardError:
            if is_letter:
                return self.refuse(message)
            raise
        self._messages.append(stored(message, rules, is_letter=is_letter))
        self._times_ms.append(self._now_ms())
        self.dispatch()
        return True

    def _now_ms(self) -> int:
        return self.node.epoch_s * 1000 + self.node.clock.now_ns // MS

    def _offset_of(self, spec: Any) -> int:
        """Return the offset at which a consumer begins. `spec` is its (checked) x-stream-offset."""
        end = self.next_position
        if isinstance(spec, Timestamp):
            return self._offset_at(spec * 1000)
        if isinstance(spec, int):
            return max(spec, 0)
        if spec == "first":
            return self._first
        if spec == "last":
            return max(end - 1, self._first)
        if spec is None or spec == "next":
            return end
        age_s = args.parse_age_s(spec)
        assert age_s is not None
        return self._offset_at(self._now_ms() - age_s * 1000)

    def _offset_at(self, time_ms: int) -> int:
        """Return the offset of the first message that is not older than a time."""
        return self._first + bisect_left(self._times_ms, time_ms)

    # -- out

    def dispatch(self) -> None:
        """Let everybody who has credit read on."""
        # Order matters: on one channel the last tag comes first. Source: ``streams/consumers-in-order``.
        for consumer in sorted(self.ring.ready, key=lambda each: each.tag, reverse=True):
            self._serve(consumer)

    def _serve(self, consumer: Consumer) -> None:
        reader, end = self._readers[consumer], self.next_position
        reader.offset = max(reader.offset, self._first)
        while consumer.credit and reader.offset < end:
            offset = reader.offset
            message = self._messages[offset - self._first]
            reader.offset = offset + 1
            if reader.wants(message):
                if is_readable(message):
                    self._send(consumer, offset, message)
                else:
                    consumer.credit = 0  # nothing more comes to it
                    self.node.later(_end_connection, consumer)
        if not consumer.credit:
            self.ring.set_aside(consumer)

    def _send(self, consumer: Consumer, offset: int, message: Message) -> None:
        channel = consumer.channel
        tag = channel.next_tag
        channel.next_tag = tag + 1
        delivery = Delivery(consumer, self, shown(message, offset), offset, tag, False)
        channel.unacked[tag] = delivery
        consumer.credit -= 1
        if channel.watch is not None:
            channel.watch.delivered(delivery)
        if self.node.trace is not None:
            self.node.trace.delivered(delivery)
        consumer.deliver(delivery)

    def get(self, channel: BrokerChannel, *, no_ack: bool) -> Delivery | None:
        """Refuse basic.get: HardError 540."""
        raise unsupported.for_stream(self, "basic.get")

    @property
    def refuses_returns(self) -> bool:
        """Whether the rules have no returns to a stream; one that is deleted is told of none. Source:
        recorded scenario ``streams/deleted-then-returned``."""
        return self.node.rules.stream_nack_is_refused and not self.is_deleted

    def check_recover(self) -> None:
        """Refuse basic.recover where the rules have no returns: HardError 541."""
        if self.refuses_returns:
            raise refusals.internal_error()

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Do nothing but let their consumer read on: see `discard`. The end of a channel is never refused."""
        consumer = deliveries[0].consumer
        if consumer is not None and consumer.channel.is_open:
            self.discard(deliveries)
            self.dispatch()

    def discard(self, deliveries: list[Delivery]) -> None:
        """Do nothing: a stream keeps its messages. Raises HardError 540 where the rules refuse that."""
        if self.refuses_returns:
            raise unsupported.for_stream(self, "basic.nack and basic.reject")

    def purge(self) -> int:
        """Refuse queue.purge: HardError 540."""
        raise unsupported.for_stream(self, "queue.purge")

    # -- consumers

    def check_consume(
        self, *, channel: BrokerChannel, no_ack: bool, exclusive: bool, arguments: dict[str, Any]
    ) -> None:
        """Refuse a consumer: SoftError 406 for its arguments or without a prefetch window, HardError 540 with
        a shared window or automatic acknowledgement, 541 for an offset that is none.

        RabbitMQ differs: `exclusive` keeps nobody out. Source: ``streams/exclusive-consumer``.
        """
        args.check_consumer_arguments_of(self.type, self.name, self.vhost.name, arguments, self.node.rules)
        args.check_stream_offset(self.name, self.vhost.name, arguments, self.node.rules)
        if not channel.prefetch_count:
            raise unsupported.no_prefetch(self)
        if channel.limiter is not None:
            raise unsupported.global_qos(self)
        if no_ack:
            raise unsupported.automatic_ack(self)
        wanted = arguments.get(args.STREAM_FILTER)
        if self.node.rules.stream_filters and isinstance(wanted, list) and _filter_values(wanted) is None:
            raise refusals.internal_error()

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer in, at the offset that it asks for. Deliveries to it follow the reply."""
        wanted = None
        if self.node.rules.stream_filters:
            wanted = _filter_values(consumer.arguments.get(args.STREAM_FILTER))
        self._readers[consumer] = Reader(
            self._offset_of(consumer.arguments.get(args.STREAM_OFFSET)),
            wanted,
            matches_unfiltered=consumer.arguments.get(args.STREAM_MATCH_UNFILTERED) is True,
        )
        self._known_to = {each: None for each in self._known_to if each.is_open}
        self._known_to[consumer.channel] = None
        self.ring.add(consumer)
        self.node.later(self.dispatch)

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let a consumer go."""
        super().remove_consumer(consumer)
        del self._readers[consumer]

    # -- restart and the end

    def forget_consumers(self) -> None:
        """All links are dead: nobody consumes any more, and nobody is told."""
        self.ring = StreamRing()
        self._readers.clear()

    def survive(self, unacked: Iterable[Delivery], *, power_cut: bool) -> None:
        """Come back with everything: all that is done is on disk at once."""

    def close(self) -> None:
        """The stream is deleted."""
        super().close()
        self._readers.clear()
        self._messages.clear()
        self._times_ms.clear()

    def check(self) -> None:
        """Assert the stream's invariants."""
        super().check()
        assert len(self._times_ms) == len(self._messages), f"{self!r} misses the time of a message"
        assert self._times_ms == sorted(self._times_ms), f"{self!r} has its times out of order"
        assert list(self._readers) == list(self.ring.all), f"{self!r} has a reader too many or too few"
        for consumer, reader in self._readers.items():
            assert bool(consumer.parked_at) == (not consumer.credit), (
                f"{consumer!r} is set aside and has credit, or the reverse"
            )
            assert consumer.parked_at or reader.offset >= self.next_position, (
                f"{consumer!r} could read on at {reader.offset}"
            )


def _end_connection(consumer: Consumer) -> None:
    """Close the connection of a consumer that met an unreadable message: 541."""
    if consumer.channel.is_open:
        consumer.channel.connection.close_forced(refusals.internal_error())


def _filter_values(argument: Any) -> frozenset[str | bytes] | None:
    """Return the values that x-stream-filter asks for: one or a list; None when it asks for nothing.

    One that is not UTF-8 is the value of no message.
    """
    given = argument if isinstance(argument, list) else [argument]
    values = frozenset(value for value in given if isinstance(value, str | LongString))
    return values or None
