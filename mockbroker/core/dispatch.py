"""Who gets the next message: the consumers of a queue, in turn.

Owns: a queue's consumers, whose turn it is, who is set aside for want of credit, and which one is active.
Refuses to know: messages, and what a channel does with them.

RabbitMQ's rule, and ours: the consumer at the head takes one message and goes to the tail of its priority.
One that comes to the head without credit is set aside (*parked*) and rejoins at the tail when credit returns;
until it came to the head it had kept its turn. Choosing the next consumer never scans those set aside.
Source: RabbitMQ documentation, "Consumer Prefetch", "Consumer Priorities", "Single Active Consumer"; recorded
areas ``work-queues``, ``consumer-priority``, ``single-active-consumer``.

Read next: ``core/queues/base.py``, ``core/channel.py``.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Delivery

UNLIMITED = -1
"""The credit of a consumer without a window: it counts further down and so never reaches zero."""


class Consumer:
    """One basic.consume.

    `credit` is the number of messages that it may still be given (below zero: without limit); `parked_at` is
    not zero while it is set aside, and orders those that are. `context` belongs to the adapter.
    """

    __slots__ = (
        "ack_required",
        "arguments",
        "channel",
        "context",
        "credit",
        "deliver",
        "exclusive",
        "parked_at",
        "prefetch_count",
        "priority",
        "queue",
        "tag",
    )

    def __init__(
        self,
        tag: str,
        channel: BrokerChannel,
        queue: Queue,
        *,
        ack_required: bool,
        exclusive: bool,
        prefetch_count: int,
        arguments: dict[str, Any],
    ) -> None:
        self.tag = tag
        self.channel = channel
        self.queue = queue
        self.ack_required = ack_required
        self.exclusive = exclusive
        self.prefetch_count = prefetch_count
        self.credit = prefetch_count if ack_required and prefetch_count else UNLIMITED
        self.priority = int(arguments.get("x-priority", 0))
        self.arguments = arguments
        self.deliver = channel.sink.deliver
        self.parked_at = 0
        self.context: Any = None

    def lose_link(self) -> None:
        """Hear of nothing more: what it is given from now on is lost on the way, and comes back at the end of
        the channel."""
        self.deliver = _lose
        self.ack_required = True
        self.prefetch_count = 0

    @property
    def is_limited(self) -> bool:
        """Whether it has a prefetch window of its own."""
        return self.ack_required and self.prefetch_count > 0

    def __repr__(self) -> str:
        mode = f"prefetch {self.prefetch_count}" if self.ack_required else "auto-ack"
        return f"<Consumer {self.tag!r} of {self.queue.name!r}, {mode}>"


class Ring:
    """The consumers of one queue.

    Invariant: every consumer is in exactly one place: in `ready`, parked, or (single active consumer)
    `waiting`. `ready` is ordered by priority, highest first; `all` in order of arrival.
    """

    __slots__ = ("_parkings", "_uniform", "_widened", "active", "all", "ready", "single_active", "waiting")

    def __init__(self, *, single_active: bool = False) -> None:
        self.all: dict[Consumer, None] = {}
        self.ready: deque[Consumer] = deque()
        self.waiting: list[Consumer] = []
        self.active: Consumer | None = None
        """The one consumer that gets messages, where the queue has a single active consumer."""
        self.single_active = single_active
        self._parkings = 0
        self._uniform = True
        self._widened: dict[Consumer, int] | None = None
        """Made when the first window becomes wider than was asked for."""

    def __len__(self) -> int:
        return len(self.all)

    def add(self, consumer: Consumer) -> None:
        """Let a new consumer in, at the tail of its priority."""
        if self.all and self._uniform:
            self._uniform = next(iter(self.all)).priority == consumer.priority
        self.all[consumer] = None
        if not self.single_active:
            self._join(consumer)
        elif self.active is None:
            self._activate(consumer)
        else:
            _insert_by_priority(self.waiting, consumer)

    def remove(self, consumer: Consumer) -> None:
        """Take a consumer out, wherever it stands. The next one becomes active if it was the active one."""
        del self.all[consumer]
        if self._widened is not None:
            self._widened.pop(consumer, None)
        self._uniform = len({each.priority for each in self.all}) <= 1
        if consumer.parked_at:
            consumer.parked_at = 0
        elif consumer in self.waiting:
            self.waiting.remove(consumer)
        else:
            self.ready.remove(consumer)
        if consumer is self.active:
            self.active = None
            if self.waiting:
                self._activate(self.waiting.pop(0))

    def _activate(self, consumer: Consumer) -> None:
        self.active = consumer
        self._join(consumer)

    def rotate(self) -> None:
        """Send the head, which got a message, to the tail of its priority. Cost: O(1) with one priority."""
        if self._uniform:
            self.ready.rotate(-1)
        else:
            self._join(self.ready.popleft())

    def park(self) -> None:
        """Set the head aside: it came to its turn without credit."""
        self._parkings += 1
        self.ready.popleft().parked_at = self._parkings

    def set_aside(self, consumer: Consumer) -> None:
        """Set a consumer without credit aside, wherever it stands."""
        self._parkings += 1
        self.ready.remove(consumer)
        consumer.parked_at = self._parkings

    def rejoin(self, consumer: Consumer) -> None:
        """Let one parked consumer rejoin."""
        consumer.parked_at = 0
        self._join(consumer)

    def unpark(self, consumers: Iterable[Consumer]) -> None:
        """Let parked consumers rejoin, in the order in which they were set aside."""
        for consumer in sorted(consumers, key=lambda each: each.parked_at):
            self.rejoin(consumer)

    def _join(self, consumer: Consumer) -> None:
        if self._uniform:
            self.ready.append(consumer)
        else:
            _insert_by_priority(self.ready, consumer)

    def adopt(self, consumer: Consumer, count: int) -> None:
        """Let a new consumer hold so many messages from before, and get credit for each that is settled.

        RabbitMQ differs: they do not count in its window. Source: recorded scenarios
        ``consumer-cancel/tag-again-*``.
        """
        if consumer.is_limited:
            self.widen(consumer, count)
        else:
            consumer.credit -= count

    def widen(self, consumer: Consumer, count: int) -> None:
        """Make a window wider than was asked for, for good."""
        if self._widened is None:
            self._widened = {}
        self._widened[consumer] = self._widened.get(consumer, 0) + count

    def extra(self, consumer: Consumer) -> int:
        """By how much a consumer's window is wider than was asked for."""
        return self._widened.get(consumer, 0) if self._widened else 0

    def check(self, queue: Queue) -> None:
        """Assert the ring's invariants."""
        ready, waiting = list(self.ready), self.waiting
        parked = [consumer for consumer in self.all if consumer.parked_at]
        assert len(ready) + len(waiting) + len(parked) == len(self.all), (
            f"{queue!r} has consumers in two places"
        )
        for consumer in (*ready, *waiting, *parked):
            assert consumer in self.all, f"{consumer!r} is not a consumer of {queue!r}"
            assert consumer.queue is queue, f"{consumer!r} stands in the ring of {queue!r}"
            assert consumer.channel.consumers.get(consumer.tag) is consumer, (
                f"{consumer!r} is unknown to its channel"
            )
        for order in (ready, waiting):
            priorities = [consumer.priority for consumer in order]
            assert priorities == sorted(priorities, reverse=True), f"{queue!r} has priorities out of order"
        if self.single_active:
            assert (self.active is None) == (not self.all), f"{queue!r} has consumers, none of them active"
            assert ready in ([], [self.active]), f"{queue!r} has another consumer ready than the active one"


def _insert_by_priority(order: Any, consumer: Consumer) -> None:
    """Insert at the tail of the consumer's priority. Cost: the number of consumers of lower priority."""
    index = len(order)
    while index and order[index - 1].priority < consumer.priority:
        index -= 1
    order.insert(index, consumer)


class Limiter:
    """The prefetch window that all consumers of a channel share (basic.qos with global).

    `in_flight` counts deliveries to consumers that must be acknowledged, not what basic.get fetched; a shut
    window holds auto-ack consumers back too, though they do not fill it; a channel that turns the limit on
    starts with all that is unacknowledged, fetched messages included, as RabbitMQ does. `suspended` has the
    queues that wanted to deliver and could not: they stay suspended, for auto-ack consumers of the channel
    too, until the window opens. `served` is the queue that was let in last: the others come before it then,
    so none starves. RabbitMQ differs: it draws by lot who comes first, to the same end.
    """

    __slots__ = ("in_flight", "limit", "served", "suspended")

    def __init__(self, limit: int, in_flight: int) -> None:
        self.limit = limit
        self.in_flight = in_flight
        self.served: Queue | None = None
        self.suspended: dict[Queue, None] = {}

    def admits(self, consumer: Consumer) -> bool:
        """Whether the window lets one more message out; remembers the queue when it does not."""
        if consumer.queue in self.suspended:
            return False
        if self.in_flight >= self.limit:
            self.suspended[consumer.queue] = None
            return False
        self.served = consumer.queue
        return True

    def release(self, count: int) -> bool:
        """Count `count` settled deliveries off; return whether the window, which was full, is open now."""
        was_full = self.in_flight >= self.limit
        self.in_flight = max(self.in_flight - count, 0)
        return was_full and self.in_flight < self.limit

    def resume(self) -> list[Queue]:
        """Return the suspended queues, which are so no more, in the order in which they may try."""
        queues = sorted(self.suspended, key=lambda queue: queue is self.served)
        self.suspended.clear()
        return queues


def _lose(delivery: Delivery) -> None:
    """Take what is sent to a link that is going."""
