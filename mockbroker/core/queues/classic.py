"""Classic queues: first in, first out, and what is returned goes back to its place.

Owns: the ready messages of a classic queue and their positions, its byte count, and its journal on the disk
model. Refuses to know: who consumes (``core/dispatch.py``) and what a delivery tag means
(``core/channel.py``).

A message's *position* is its number in the queue, counted at the head: a message that waits needs none, so
the common path is one append to a deque. Returned messages wait in a side lane; all of them are older than
the whole deque. Source: RabbitMQ documentation, "Queues", "Consumer Acknowledgements"; recorded areas
``work-queues``, ``acks``, ``ttl``, ``length-limits``, ``durability``.

Read next: ``core/queues/priority.py`` (another order), ``core/queues/expiry.py``,
``core/queues/dead_letter.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.core.queues.base import Queue
from mockbroker.core.queues.dead_letter import bury
from mockbroker.core.queues.expiry import HeadTimer, earliest_ns
from mockbroker.core.queues.lane import ReturnLane
from mockbroker.core.queues.overflow import is_above
from mockbroker.core.storage import Journal
from mockbroker.message import Delivery, is_persistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.queues.settings import Settings
    from mockbroker.core.sinks import Publisher
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message


class ClassicQueue(Queue):
    """A classic queue.

    Invariant: positions in the lane are below `head`, the position of the first message of `ready`.
    `ready_bytes` is counted only while a limit asks for it (`_counts_bytes`).
    """

    __slots__ = (
        "_counts_bytes",
        "_expiring",
        "_expiry_timer",
        "_head",
        "_journal",
        "_returned",
        "ready_bytes",
    )
    type = "classic"
    may_overtake = False
    """Whether a new message may come to the head of others, where its expiry is not looked at."""

    def __init__(self, vhost: VHost, name: str, **declaration: Any) -> None:
        super().__init__(vhost, name, **declaration)
        self._head = 0
        self._returned = ReturnLane()
        self._expiring = False
        """Whether some message may have a time to live: sticky until the queue is empty."""
        self._expiry_timer: HeadTimer | None = None
        self._counts_bytes = False
        self.ready_bytes = 0
        self._journal = Journal(self.node.disk) if self.durable else None
        self.keeps_book = self.durable

    def apply_settings(self, settings: Settings) -> None:
        """Put new settings in force; a limit that became lower drops what is above it at once.

        A new time to live counts for messages to come; those that wait keep theirs. Whether a limit drops is
        up to the overflow before the change, so one that comes together with ``reject-publish`` still does.
        Then what has expired at the head goes. Source: recorded scenarios
        ``policies/max-length-on-full-reject``, ``policies/limit-on-queue-that-rejects`` and
        ``policies/lower-limit-uncovers-expired``.
        """
        before = self.settings
        super().apply_settings(settings)
        counts = settings.max_length_bytes is not None
        if counts and not self._counts_bytes:
            self.ready_bytes = sum(len(message[2]) for _, message, _ in self.messages())
        self._counts_bytes = counts
        self.plain = self._is_plain()
        if settings.drops_head or not before.says_reject:
            self._drop_excess()
        if self._expiring:
            self.expire()

    def _is_plain(self) -> bool:
        """Whether a message without properties may be appended with no further thought."""
        settings = self.settings
        return self.ready is not None and not settings.is_limited and settings.message_ttl_ms is None

    # -- order: what a priority queue does otherwise

    @property
    def ready_count(self) -> int:
        """How many messages are ready."""
        ready = self.ready
        return (len(ready) if ready is not None else 0) + len(self._returned)

    @property
    def awaits_sync(self) -> bool:
        """Whether a persistent message is on disk only at the next sync."""
        return self._journal is not None

    @property
    def next_position(self) -> int:
        """The position that the next message to be published will get."""
        return self._head + (len(self.ready) if self.ready is not None else 0)

    def messages(self) -> Iterator[tuple[int, Message, bool]]:
        """The ready messages in order: position, message, whether it will be flagged redelivered."""
        yield from self._returned
        for offset, message in enumerate(self.ready or ()):
            yield self._head + offset, message, False

    def _append(self, message: Message) -> int:
        """Put a new message in its place; return its position."""
        if self.ready is None:
            self.ready = deque()
            self.plain = self._is_plain()
        position = self.next_position
        self.ready.append(message)
        return position

    def _is_last(self, position: int) -> bool:
        """Whether the message that came last, at `position`, is still there."""
        return position >= self._head

    def _remove_last(self, message: Message) -> None:
        """Take the message out that came last; no other one will get its position.

        What stands before it moves to the side lane, because positions in `ready` have no gaps. Cost: one
        step for each of them, once.
        """
        self.ready.pop()
        for position, older in enumerate(self.ready, self._head):
            self._returned.put(position, older, False)
        self._head += len(self.ready) + 1
        self.ready.clear()

    def _take(self) -> tuple[int, Message, bool]:
        """Take the head: position, message, redelivered."""
        if self._returned.entries:
            return self._returned.take()
        position = self._head
        self._head = position + 1
        return position, self.ready.popleft(), False

    def _peek(self) -> Message | None:
        """The head, None when nothing is ready."""
        if self._returned.entries:
            return self._returned.head()
        return self.ready[0] if self.ready else None

    def _give_back(self, position: int, message: Message, redelivered: bool) -> None:
        """Put a message back to its place."""
        self._returned.put(position, message, redelivered)

    def _clear(self) -> None:
        """Forget all ready messages."""
        if self.ready is not None:
            self._head += len(self.ready)
            self.ready.clear()
        self._returned.clear()

    # -- in

    def publish(self, message: Message, publisher: Publisher | None = None) -> bool:
        """Take a message in and give deliveries out; return False when the full queue refuses it."""
        settings = self.settings
        if settings.rejects_publishes and is_above(
            settings, self.ready_count + 1, self.ready_bytes + len(message[2])
        ):
            if settings.overflow == "reject-publish-dlx":
                bury(self, message, "maxlen")
            return self.refuse(message)
        if message[4] is not None or settings.message_ttl_ms is not None:
            message = self._with_expiry(message)
        position = self._append(message)
        if self._counts_bytes:
            self.ready_bytes += len(message[2])
        if self._journal is not None and is_persistent(message):
            self._journal.write(position)
        if self.ring.ready:
            self._deliver()
        if settings.message_ttl_ms == 0 and settings.dead_letter_exchange is None and self._is_last(position):
            # RabbitMQ differs: without a dead-letter exchange such a message is dropped wherever it stands.
            self._withdraw(position, message)
        dropped = settings.drops_head and self._drop_excess()
        if self._expiring and (dropped or self.ready_count == 1):
            # With another head nobody looks again: recorded scenario ttl/priority-overtakes-expired.
            self.expire()
        return True

    def _withdraw(self, position: int, message: Message) -> None:
        """Drop the message that came last: nobody was there to take it at once."""
        self._remove_last(message)
        if self._counts_bytes:
            self.ready_bytes -= len(message[2])
        self._left(position, message)
        if self.node.trace is not None:
            self.node.trace.dropped(self, position, message, "expired")

    def _with_expiry(self, message: Message) -> Message:
        expires_ns = earliest_ns(self.node.clock.now_ns, self.settings.message_ttl_ms, message[4])
        self._expiring = True
        if expires_ns == message[4]:
            return message
        exchange, routing_key, body, properties, _ = message
        return (exchange, routing_key, body, properties, expires_ns)

    # -- out

    def dispatch(self) -> None:
        """Give ready messages to consumers, in turn, while both are there and windows are open."""
        if self.ring.ready:
            self._deliver()

    def _deliver(self) -> None:
        ring = self.ring
        consumers = ring.ready
        returned = self._returned.entries
        trace = self.node.trace
        take = self._take
        while consumers and (returned or self.ready):
            consumer = consumers[0]
            channel = consumer.channel
            if not consumer.credit or (channel.limiter is not None and not channel.limiter.admits(consumer)):
                ring.park()
                continue
            if not consumer.ack_required and self._hand_over_all(consumer):
                return
            position, message, redelivered = take()
            if self._counts_bytes:
                self.ready_bytes -= len(message[2])
            tag = channel.next_tag
            channel.next_tag = tag + 1
            delivery = Delivery(consumer, self, message, position, tag, redelivered)
            if consumer.ack_required:
                channel.unacked[tag] = delivery
                consumer.credit -= 1
                if channel.limiter is not None:
                    channel.limiter.in_flight += 1
                if channel.watch is not None:
                    channel.watch.delivered(delivery)
            elif self.keeps_book:
                self.settled(delivery)
            if len(consumers) > 1:
                ring.rotate()
            if trace is not None:
                trace.delivered(delivery)
            consumer.deliver(delivery)
            if self._expiring:
                self.expire()

    def _hand_over_all(self, consumer: Any) -> bool:
        """Give the whole queue to the only consumer that is ready, when it acknowledges automatically.

        The same deliveries one by one would each cost a record that waits for its callback. Return False when
        there is more to each delivery than its tag.
        """
        if (
            len(self.ring.ready) > 1
            or not self.plain
            or len(self.ready) == 1  # nothing to gain
            or self._returned.entries
            or self.keeps_book
            or self._expiring
            or self.node.trace is not None
        ):
            return False
        messages, self.ready = self.ready, deque()
        count = len(messages)
        self._head += count
        channel = consumer.channel
        first_tag = channel.next_tag
        channel.next_tag = first_tag + count
        channel.sink.deliver_run(consumer, first_tag, messages)
        return True

    def get(self, channel: BrokerChannel, *, no_ack: bool) -> Delivery | None:
        """Fetch one message for basic.get, None when nothing is ready."""
        self.lease.renew()
        if not self.ready_count:
            return None
        position, message, redelivered = self._take()
        if self._counts_bytes:
            self.ready_bytes -= len(message[2])
        delivery = channel.fetched(self, message, position, redelivered=redelivered, no_ack=no_ack)
        if no_ack and self.keeps_book:
            self.settled(delivery)
        if self._expiring:
            self.expire()
        delivery.message_count = self.ready_count
        return delivery

    def hears_first(self, *, is_ack: bool) -> bool:
        """RabbitMQ differs: a queue takes acknowledgements in at high priority. On a server it may have the
        publish in hand already, about every fourth time: see docs/differences.md."""
        return is_ack

    def settled(self, delivery: Delivery) -> None:
        """Note on disk that a persistent message left the queue for good."""
        if not self.is_deleted:
            self._left(delivery.position, delivery.message)

    def _left(self, position: int, message: Message) -> None:
        if self._journal is not None and is_persistent(message):
            self._journal.remove(position, message)

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Take deliveries back, each to its place and flagged redelivered, and give deliveries out."""
        if self.is_deleted:
            return
        for delivery in deliveries:
            message = delivery.message
            self._give_back(delivery.position, message, True)
            if message[4] is not None:
                self._expiring = True
            if self._counts_bytes:
                self.ready_bytes += len(message[2])
        if self.settings.drops_head:
            self._drop_excess()
        if self._expiring:
            self.expire()
        self.dispatch()

    def discard(self, deliveries: list[Delivery]) -> None:
        """Drop rejected deliveries: dead-letter them where the queue says so."""
        if self.is_deleted:
            return
        for delivery in deliveries:
            self._left(delivery.position, delivery.message)
            bury(self, delivery.message, "rejected", delivery.position)

    def _drop_head(self, reason: str) -> None:
        position, message, _ = self._take()
        if self._counts_bytes:
            self.ready_bytes -= len(message[2])
        self._left(position, message)
        if self.node.trace is not None:
            self.node.trace.dropped(self, position, message, reason)
        bury(self, message, reason, position)

    def _drop_excess(self) -> bool:
        """Drop from the head what is above the limits; return whether anything was."""
        dropped = False
        while self.ready_count and is_above(self.settings, self.ready_count, self.ready_bytes):
            self._drop_head("maxlen")
            dropped = True
        return dropped

    def expire(self) -> None:
        """Drop what has expired at the head, and wake up when the new head will."""
        if self._expiry_timer is None:
            self._expiry_timer = HeadTimer(self.node.clock, self._wake)
        if not self._expiry_timer.sweep(self._peek, self._drop_head):
            self._expiring = False

    def _wake(self) -> None:
        self.expire()
        self.node.drain()

    def purge(self) -> int:
        """Drop all ready messages; return how many there were."""
        count = self.ready_count
        trace = self.node.trace
        if self._journal is not None or trace is not None:
            for position, message, _ in self.messages():
                self._left(position, message)
                if trace is not None:
                    trace.dropped(self, position, message, "purged")
        self._clear()
        self.ready_bytes = 0
        if self._expiring:
            self.expire()
        return count

    def close(self) -> None:
        """The queue is deleted."""
        super().close()
        self._clear()
        self.ready_bytes = 0
        if self._expiry_timer is not None:
            self._expiry_timer.arm(None)

    # -- restart

    def survive(self, unacked: Iterable[Delivery], *, power_cut: bool) -> None:
        """Come back with what the disk holds.

        After an orderly restart only what was unacknowledged, or returned, is flagged redelivered; after a
        power cut everything is. Source: recorded scenarios ``durability/restart-unacked-redelivered`` and
        ``durability/kill-order``.
        """
        flagged = {position: redelivered for position, _, redelivered in self.messages()}
        present = [(position, message) for position, message, _ in self.messages()]
        for delivery in unacked:
            present.append((delivery.position, delivery.message))
            flagged[delivery.position] = True
        present = sorted((entry for entry in present if is_persistent(entry[1])), key=lambda entry: entry[0])
        assert self._journal is not None
        if power_cut:
            present = self._journal.survivors(present)
        self._journal.clear()
        self._clear()
        for position, message in present:
            self._restore(position, message, redelivered=power_cut or flagged[position])
        if self._counts_bytes:
            self.ready_bytes = sum(len(message[2]) for _, message in present)
        self._expiring = any(message[4] is not None for _, message in present)
        if self.node.trace is not None:
            self.node.trace.recovered(self, [position for position, _ in present])

    def stop(self) -> None:
        """The node stops: no timer fires until it is back."""
        super().stop()
        if self._expiry_timer is not None:
            self._expiry_timer.arm(None)

    def start(self) -> None:
        """The node is back: what is above the limits goes now, and what expired meanwhile.

        The head is dropped also where publishes are refused. Source: recorded scenarios
        ``durability/kill-above-limit`` and ``durability/restart-above-limit-reject``.
        """
        super().start()
        self._drop_excess()
        if self._expiring:
            self.expire()

    def _restore(self, position: int, message: Message, *, redelivered: bool) -> None:
        """Put a message that the disk held back to its place."""
        self._returned.put(position, message, redelivered)

    def check(self) -> None:
        """Assert the queue's invariants."""
        super().check()
        self._returned.check()
        assert all(-key < self._head for key, _, _ in self._returned.entries), (
            f"{self!r} returned a future message"
        )
        if self._counts_bytes:
            total = sum(len(message[2]) for _, message, _ in self.messages())
            assert self.ready_bytes == total, f"{self!r} counts {self.ready_bytes} bytes and holds {total}"
        assert self.plain == self._is_plain(), f"{self!r} has a wrong plain flag"
        head = self._peek()
        overdue = head is not None and head[4] is not None and head[4] <= self.node.clock.now_ns
        assert self.may_overtake or not overdue, f"{self!r} has an expired head"
        assert head is None or not any(self._could_take(consumer) for consumer in self.ring.ready), (
            f"{self!r} has a ready message and a consumer that could take it"
        )

    def _could_take(self, consumer: Any) -> bool:
        limiter = consumer.channel.limiter
        if limiter is not None and (self in limiter.suspended or limiter.in_flight >= limiter.limit):
            return False
        return bool(consumer.credit)
