"""How evenly a queue's messages were spread over its consumers.

Owns: the measures of dispatch, and the assertion on them. Refuses to know: who is right; RabbitMQ promises
turns among consumers of one priority that may take more, and nothing else.
Source: RabbitMQ documentation, "Consumer Prefetch", "Consumer Priorities"; R. Jain, D. Chiu, W. Hawe, "A
Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared Computer Systems".

Read next: ``assertions.py``, ``history.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mockbroker import events
from mockbroker.clock import NS
from mockbroker.testing.history import events_of, stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mockbroker.testing.history import Source

    Key = tuple[str, int, str]
    """Connection, channel, consumer tag."""


def jain(counts: Iterable[int]) -> float:
    """Return Jain's index: 1.0 when all counts are equal, 1/n when one of n has everything.

    >>> jain([3, 3, 3]), jain([4, 0]), jain([])
    (1.0, 0.5, 1.0)
    """
    values = list(counts)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


@dataclass(frozen=True)
class Fairness:
    """Measures of one queue; consumers are called by their tags, in order of arrival.

    - `counts`: deliveries to each
    - `largest_gap`: the most deliveries in a row that went past one consumer while it was there
    - `jain`: Jain's index of the counts
    - `longest_wait`: the longest that a message was ready before it was delivered, in seconds
    - `idle`: seconds in which a consumer held nothing while work waited: in the queue, or behind the message
      that another consumer is at. An auto-ack consumer never holds anything, so nobody knows: 0
    - `largest_difference`: the largest difference of turns between consumers of one priority, over any
      stretch in which all of them could take more; RabbitMQ keeps it at 1
    """

    queue: str
    counts: dict[str, int]
    largest_gap: int
    jain: float
    longest_wait: float
    idle: dict[str, float]
    largest_difference: int
    places: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    """For each measure, the events at which it was worst."""

    @property
    def largest_idle(self) -> float:
        """The longest that any one consumer was idle while work waited, in seconds."""
        return max(self.idle.values(), default=0.0)

    def __str__(self) -> str:
        width = max(map(len, self.counts), default=0)
        lines = [
            f"queue {self.queue!r}: {sum(self.counts.values())} deliveries, Jain's index {self.jain:.3f}"
        ]
        lines += [
            f"  {tag:<{width}}  {count} deliveries, idle {self.idle[tag]:g} s while work waited"
            for tag, count in self.counts.items()
        ]
        lines.append(
            f"  largest gap {self.largest_gap}, largest difference of turns {self.largest_difference}, "
            f"longest wait {self.longest_wait:g} s"
        )
        return "\n".join(lines)


def of(source: Source, queue: str, vhost: str = "/") -> Fairness:
    """Measure how a queue's messages were spread, from a trace or a broker that is traced.

    Raises ValueError for a stream, which gives everybody everything. Cost: the number of events.
    """
    meter = _Meter(queue, vhost)
    for index, event in enumerate(events_of(source)):
        meter.follow(index, event)
    return meter.result()


def assert_fair(
    source: Source,
    queue: str,
    *,
    vhost: str = "/",
    max_difference: int = 1,
    min_jain: float | None = None,
    max_gap: int | None = None,
    max_wait: float | None = None,
    max_idle: float | None = None,
) -> None:
    """Assert that consumers had their turns, and more where asked for; see `Fairness` for the measures.

    `max_wait` and `max_idle` are in seconds. A window that consumers share (``global_qos``) is not in a
    trace: with one, give a larger `max_difference`. Raises AssertionError with the measures and the stretch
    of the trace.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not this function
    found = of(source, queue, vhost)
    for name, value, limit in (
        ("largest_difference", found.largest_difference, max_difference),
        ("largest_gap", found.largest_gap, max_gap),
        ("longest_wait", found.longest_wait, max_wait),
        ("largest_idle", found.largest_idle, max_idle),
        ("jain", -found.jain, None if min_jain is None else -min_jain),
    ):
        if limit is not None and value > limit:
            wanted = f"at least {min_jain}" if name == "jain" else f"at most {limit}"
            shown = stretch(events_of(source), found.places.get(name, ()), around=2)
            raise AssertionError(
                f"dispatch is not fair: {name} is {abs(value):g}, wanted {wanted}\n{found}\n{shown}"
            )


class _Consumer:
    """What is known of a consumer while a trace is followed."""

    def __init__(self, label: str, event: events.ConsumerAdded) -> None:
        self.label = label
        self.auto_ack = event.auto_ack
        self.limit = 0 if event.auto_ack else event.prefetch_count
        self.priority = event.priority
        self.count = 0
        self.turns = 0
        self.passed_by: list[int] = []
        self.held: dict[int, None] = {}

    @property
    def may_take(self) -> bool:
        return not self.limit or len(self.held) < self.limit


class _Meter:
    """Follows the events of one queue."""

    def __init__(self, queue: str, vhost: str) -> None:
        self._queue, self._vhost = queue, vhost
        self._present: dict[Key, _Consumer] = {}
        self._all: dict[str, _Consumer] = {}
        self._ready: dict[int, int] = {}
        self._idle_ns: dict[str, int] = {}
        self._now_ns = 0
        self._single_active = False
        self._gap, self._difference, self._wait_ns = 0, 0, 0
        self._places: dict[str, tuple[int, ...]] = {}

    def follow(self, index: int, event: events.Event) -> None:
        """Take the next event in."""
        self._pass_time(event.time_ns, index)
        match event:
            case events.Published() | events.DeadLettered() | events.Released():
                for queue, position in event.queues:
                    if (event.vhost, queue) == (self._vhost, self._queue):
                        self._ready[position] = event.time_ns
            case events.Stopped():
                self._present.clear()
                self._ready.clear()
            case _ if getattr(event, "queue", None) == self._queue and event.vhost == self._vhost:  # type: ignore[attr-defined]  # who has a queue has a virtual host
                self._follow_own(index, event)

    def _follow_own(self, index: int, event: events.Event) -> None:
        match event:
            case events.QueueDeclared():
                self._single_active = event.arguments.get("x-single-active-consumer") is True
                if event.type == "stream":
                    raise ValueError(f"{self._queue!r} is a stream: it gives every consumer everything")
            case events.QueueDeleted():
                self._ready.clear()
            case events.ConsumerAdded():
                self._add(event)
            case events.ConsumerCancelled():
                self._present.pop((event.connection, event.channel, event.consumer_tag), None)
                self._start_anew()
            case events.Delivered():
                self._deliver(index, event)
            case events.Got() | events.Dropped():
                self._ready.pop(event.position, None)
            case events.PublishRefused() if self._ready:
                self._ready.popitem()
            case events.Recovered():
                self._ready.update(dict.fromkeys(event.positions, event.time_ns))
            case events.Acknowledged() | events.Rejected() | events.Requeued():
                self._settle(event)
            case _:
                pass

    def _add(self, event: events.ConsumerAdded) -> None:
        label, number = event.consumer_tag, 1
        while label in self._all:
            number += 1
            label = f"{event.consumer_tag} ({number})"
        consumer = self._all[label] = _Consumer(label, event)
        self._present[event.connection, event.channel, event.consumer_tag] = consumer
        self._idle_ns[label] = 0
        self._start_anew()

    def _start_anew(self) -> None:
        """Another stretch begins: not the same consumers could take more as before."""
        for consumer in self._present.values():
            consumer.turns = 0

    def _deliver(self, index: int, event: events.Delivered) -> None:
        since_ns = self._ready.pop(event.position, event.time_ns)
        if event.time_ns - since_ns > self._wait_ns:
            self._wait_ns = event.time_ns - since_ns
            self._places["longest_wait"] = (index,)
        taker = self._present.get((event.connection, event.channel, event.consumer_tag))
        if taker is None:
            return
        self._compare(index, taker)
        taker.count += 1
        taker.passed_by.clear()
        if not event.auto_ack:
            taker.held[event.position] = None
            if not taker.may_take:
                self._start_anew()

    def _compare(self, index: int, taker: _Consumer) -> None:
        """Count a turn, and whom it went past."""
        taker.turns += 1
        for other in self._present.values():
            if other is taker or self._single_active:
                continue
            other.passed_by.append(index)
            if len(other.passed_by) > self._gap:
                self._gap = len(other.passed_by)
                self._places["largest_gap"] = self._places["jain"] = tuple(other.passed_by)
            if not (other.may_take and taker.may_take) or other.priority < taker.priority:
                continue
            # One of a higher priority that may take more has every turn: each that goes past it counts.
            turns = other.turns if other.priority == taker.priority else 0
            if taker.turns - turns > self._difference:
                self._difference = taker.turns - turns
                self._places["largest_difference"] = tuple(other.passed_by)

    def _settle(self, event: events.OfDelivery) -> None:
        for consumer in self._present.values():
            if event.position in consumer.held:
                was_full = not consumer.may_take
                del consumer.held[event.position]
                if was_full:
                    self._start_anew()
        if isinstance(event, events.Requeued):
            self._ready[event.position] = event.time_ns

    def _pass_time(self, now_ns: int, index: int) -> None:
        """Time has passed since the last event: who was idle meanwhile?"""
        passed_ns, self._now_ns = now_ns - self._now_ns, now_ns
        if not passed_ns or not self._present:
            return
        behind = any(len(consumer.held) > 1 for consumer in self._present.values())
        if not self._ready and not behind:
            return
        for consumer in self._present.values():
            if not consumer.held and not consumer.auto_ack:
                self._idle_ns[consumer.label] += passed_ns
                if self._idle_ns[consumer.label] == max(self._idle_ns.values()):
                    self._places["largest_idle"] = (index,)

    def result(self) -> Fairness:
        """Return the measures."""
        counts = {label: consumer.count for label, consumer in self._all.items()}
        return Fairness(
            queue=self._queue,
            counts=counts,
            largest_gap=self._gap,
            jain=jain(counts.values()),
            longest_wait=self._wait_ns / NS,
            idle={label: idle_ns / NS for label, idle_ns in self._idle_ns.items()},
            largest_difference=self._difference,
            places=self._places,
        )
