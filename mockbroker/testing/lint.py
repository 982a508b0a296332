"""Things that work here, and that RabbitMQ does not promise or that bite later.

Owns: the rules, each a function over a trace, and their remedies. Refuses to know: whether a program means
it; a finding is a question, not an error.
Source: RabbitMQ documentation, "Consumer Prefetch", "Reliability Guide", "Production Checklist", "Deprecated
Features", "Consumer Acknowledgements and Publisher Confirms"; AMQP 0-9-1 specification, section 4.7
("Content Ordering Guarantee").

Read next: ``history.py``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mockbroker import events
from mockbroker.testing import history
from mockbroker.testing.history import History, events_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockbroker.testing.history import Source

REQUEUES_TOLERATED = 5
"""So often may one message come back by requeue before it counts as a loop."""


@dataclass(frozen=True)
class Finding:
    """What was found: the rule's name, what and where, what to do, and the event's index in the trace."""

    rule: str
    what: str
    place: str
    remedy: str
    index: int

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}\n  {self.place}\n  remedy: {self.remedy}"


def lint(source: Source) -> list[Finding]:
    """Return what a trace, or a broker that is traced, shows of risky habits; by rule, then by time.

    Each rule tells a place once. Raises ValueError for a broker that is not traced. Cost: the number of
    events.
    """
    told = History(events_of(source))
    return [
        Finding(name, what, str(told.events[index]).strip(), remedy, index)
        for name, (find, remedy) in RULES.items()
        for index, what in find(told)
    ]


def _indexed(told: History, kind: type[events.Event]) -> Iterator[tuple[int, events.Event]]:
    return ((index, event) for index, event in enumerate(told.events) if isinstance(event, kind))


def _auto_ack_with_prefetch(told: History) -> Iterator[tuple[int, str]]:
    for index, event in _indexed(told, events.ConsumerAdded):
        assert isinstance(event, events.ConsumerAdded)
        if event.auto_ack and event.prefetch_count:
            yield (
                index,
                f"consumer {event.consumer_tag!r} acknowledges automatically, so its prefetch of "
                f"{event.prefetch_count} has no effect: everything is sent to it at once",
            )


def _unlimited_prefetch(told: History) -> Iterator[tuple[int, str]]:
    present: dict[tuple[str, str], dict[tuple[str, int, str], bool]] = {}
    reported: set[tuple[str, str]] = set()
    for index, event in enumerate(told.events):
        if isinstance(event, events.Stopped):
            present.clear()
        if not isinstance(event, events.ConsumerAdded | events.ConsumerCancelled):
            continue
        queue = (event.vhost, event.queue)
        here = present.setdefault(queue, {})
        key = (event.connection, event.channel, event.consumer_tag)
        if isinstance(event, events.ConsumerCancelled):
            here.pop(key, None)
            continue
        here[key] = not event.auto_ack and not event.prefetch_count
        if len(here) > 1 and any(here.values()) and queue not in reported:
            reported.add(queue)
            yield (
                index,
                f"{len(here)} consumers share queue {event.queue!r} and not all have a prefetch: the first "
                "to come is sent everything that waits, the others stand idle",
            )


def _unacked_at_end(told: History) -> Iterator[tuple[int, str]]:
    held: dict[tuple[str, str], list[int]] = {}
    for copy in told.copies:
        if copy.state == history.UNACKED:
            held.setdefault((copy.vhost, copy.queue), []).append(copy.indexes[-1])
    for (_, queue), places in held.items():
        yield (
            min(places),
            f"{len(places)} messages of queue {queue!r} are still unacknowledged at the end",
        )


def _confirming_channels(told: History) -> set[tuple[str, int]]:
    return {
        (event.connection, event.channel)
        for event in told.events
        if isinstance(event, events.Confirmed | events.Nacked)
    }


def _unconfirmed_before_crash(told: History) -> Iterator[tuple[int, str]]:
    confirming = _confirming_channels(told)
    for copy in told.copies:
        published = copy.published
        if copy.state == history.LOST and published is not None and copy.came_from is None:
            channel = (published.connection, published.channel)
            persistent = (published.properties or {}).get("delivery_mode") == 2
            if persistent and channel not in confirming:
                yield (
                    copy.indexes[0],
                    f"{copy.body!r} was persistent, published without confirms, and lost with the power",
                )


def _transient_across_restart(told: History) -> Iterator[tuple[int, str]]:
    for index, event in _indexed(told, events.QueueDeleted):
        assert isinstance(event, events.QueueDeleted)
        declared = told.declared.get((event.vhost, event.queue))
        if event.reason == "transient" and not (declared is not None and declared.exclusive):
            yield index, f"queue {event.queue!r} is not durable: it was gone after the restart"


_DEPRECATED_ARGUMENTS = {
    "x-queue-mode": "has no effect on classic queues any more",
    "x-queue-master-locator": "is replaced by x-queue-leader-locator",
    "x-ha-policy": "asked for mirroring, which 4.0 has removed",
}


def _deprecated(told: History) -> Iterator[tuple[int, str]]:
    for index, event in _indexed(told, events.QueueDeclared):
        assert isinstance(event, events.QueueDeclared)
        if not event.durable and not event.exclusive and event.type == "classic":
            yield index, f"queue {event.queue!r} is neither durable nor exclusive: such queues are deprecated"
        for name, why in _DEPRECATED_ARGUMENTS.items():
            if name in event.arguments:
                yield index, f"queue {event.queue!r} has {name}, which {why}"
    for index, qos in _indexed(told, events.PrefetchSet):
        assert isinstance(qos, events.PrefetchSet)
        if qos.global_:
            yield index, f"{qos.peer} shares one prefetch window: basic_qos(global_qos=True) is deprecated"


def _order_across_channels(told: History) -> Iterator[tuple[int, str]]:
    last: dict[tuple[str, str], events.Published] = {}
    confirmed_since: dict[tuple[str, int], bool] = {}
    reported: set[tuple[str, str]] = set()
    for index, event in enumerate(told.events):
        if isinstance(event, events.Confirmed):
            confirmed_since[event.connection, event.channel] = True
        if not isinstance(event, events.Published):
            continue
        for name, _ in event.queues:
            queue = (event.vhost, name)
            before = last.get(queue)
            last[queue] = event
            if before is None or queue in reported or before.time_ns != event.time_ns:
                continue
            publisher = (before.connection, before.channel)
            if publisher != (event.connection, event.channel) and not confirmed_since.get(publisher):
                reported.add(queue)
                yield (
                    index,
                    f"two channels publish to queue {name!r} at the same instant: here they come in the "
                    "order of the program, on a server in any order",
                )
        confirmed_since[event.connection, event.channel] = False


def _unroutable(told: History) -> Iterator[tuple[int, str]]:
    following = dict(enumerate(told.events[1:]))
    reported: set[tuple[str, str, str]] = set()
    for index in told.unroutable:
        event = told.events[index]
        assert isinstance(event, events.Published | events.Released)
        address = (event.vhost, event.exchange, event.routing_key)
        told_off = isinstance(following.get(index), events.Returned | events.Nacked)
        if told_off or address in reported or event.routing_key.startswith("amq.rabbitmq.reply-to"):
            continue
        reported.add(address)
        yield (
            index,
            f"{event.body[:40]!r} found no queue (exchange {event.exchange!r}, key {event.routing_key!r}), "
            "and its publisher was not told",
        )


def _reused_tags(told: History) -> Iterator[tuple[int, str]]:
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    for index, event in _indexed(told, events.ConsumerAdded):
        assert isinstance(event, events.ConsumerAdded)
        channel = (event.connection, event.channel)
        if seen.setdefault((event.vhost, event.consumer_tag), channel) != channel:
            yield index, f"the consumer tag {event.consumer_tag!r} is used on several channels"


def _requeue_loops(told: History) -> Iterator[tuple[int, str]]:
    ended = _ends_of_channels(told)
    counts: Counter[tuple[str, str, int]] = Counter()
    for index, event in _indexed(told, events.Requeued):
        assert isinstance(event, events.Requeued)
        if index in ended:
            continue
        place = (event.vhost, event.queue, event.position)
        counts[place] += 1
        if counts[place] == REQUEUES_TOLERATED + 1:
            yield (
                index,
                f"message #{event.position} of queue {event.queue!r} was returned more than "
                f"{REQUEUES_TOLERATED} times, and nothing ends it",
            )


def _ends_of_channels(told: History) -> set[int]:
    """The returns that the end of a channel made, not a program's decision."""
    closing: set[tuple[str, int]] = set()
    ended: set[int] = set()
    for index in range(len(told.events) - 1, -1, -1):
        event = told.events[index]
        if isinstance(event, events.ChannelClosed):
            closing.add((event.connection, event.channel))
        elif isinstance(event, events.OfChannel):
            channel = (event.connection, event.channel)
            if isinstance(event, events.Requeued) and channel in closing:
                ended.add(index)
            elif not isinstance(event, events.ConsumerCancelled):
                closing.discard(channel)
    return ended


RULES: dict[str, tuple[Callable[[History], Iterator[tuple[int, str]]], str]] = {
    "auto-ack-with-prefetch": (
        _auto_ack_with_prefetch,
        "consume with auto_ack=False and acknowledge when the work is done",
    ),
    "unlimited-prefetch": (
        _unlimited_prefetch,
        "basic_qos(prefetch_count=1) before basic_consume, or a small number for short tasks",
    ),
    "unacked-at-end": (
        _unacked_at_end,
        "acknowledge on every way out of the callback, also after an error (basic_nack)",
    ),
    "unconfirmed-before-crash": (
        _unconfirmed_before_crash,
        "confirm_delivery(), and publish again what was not confirmed",
    ),
    "transient-queue-across-restart": (
        _transient_across_restart,
        "declare the queue durable, or exclusive when it should die with its connection",
    ),
    "deprecated": (
        _deprecated,
        "durable=True, or exclusive=True for a queue of one connection; leave the argument or global_qos out",
    ),
    "order-across-channels": (
        _order_across_channels,
        "publish what must stay in order on one channel, or wait for a confirm in between",
    ),
    "unroutable-without-mandatory": (
        _unroutable,
        "publish with mandatory=True and handle the return, or give the exchange an alternate exchange",
    ),
    "consumer-tag-reuse": (
        _reused_tags,
        "let the broker choose the tag, or put the connection's name into it",
    ),
    "requeue-loop": (
        _requeue_loops,
        "reject without requeue to a dead-letter exchange, or use a quorum queue with a delivery limit",
    ),
}
"""Name -> how to find it, and what to do about it."""
