"""What a test may claim of a trace: nothing was lost, the order was kept, nobody took too much.

Owns: the claims, and how a broken one is shown: what is wrong, and the stretch of the trace. Refuses to know:
the broker; each claim is about a trace, or a broker that is traced.

Read next: ``history.py``, ``fairness.py``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from mockbroker import events
from mockbroker.testing import history
from mockbroker.testing.history import History, events_of, stretch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mockbroker.testing.history import Copy, Source

_MOST_SHOWN = 3
_TAKEN_ON_PURPOSE = ("purged",)


def assert_no_loss(
    source: Source,
    queue: str | None = None,
    *,
    vhost: str = "/",
    processed: Iterable[bytes] | None = None,
    allow: Collection[str] = _TAKEN_ON_PURPOSE,
) -> None:
    """Assert that every message that was published has been acknowledged, or is still in the broker.

    A message that left a queue in another way is lost, unless a dead letter of it is accounted for: rejected,
    ``expired``, ``maxlen``, ``delivery_limit``, gone with a deleted queue or a stopped broker, never routed.
    `allow` names such ends that are no loss (``purged`` unless given; also ``unroutable``, ``rejected``,
    ``lost``, ``deleted``). What was refused or returned is not lost: its publisher knows.

    An acknowledgement counts as done. Who knows better gives `processed`: the bodies of the work that was
    really done, once for each message; then what was acknowledged and not processed is lost too. `queue`
    limits the claim to one queue. Raises AssertionError that shows the first losses with their way.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not this function
    told = History(events_of(source))
    lost: list[tuple[str, Collection[int]]] = []
    for copy in told.copies:
        if copy.came_from is None and queue in (None, copy.queue) and (queue is None or copy.vhost == vhost):
            ends = _bad_ends(copy, allow)
            lost += [(f"{copy.body!r} of queue {each.queue!r}: {each.state}", each.indexes) for each in ends]
    if queue is None and "unroutable" not in allow:
        lost += [(f"{_body(told, index)!r}: no queue", [index]) for index in _unreturned(told)]
    if processed is not None:
        lost += _unprocessed(told, queue, vhost, Counter(processed))
    if lost:
        shown = [
            f"lost: {what}\n{stretch(told.events, places, around=0)}" for what, places in lost[:_MOST_SHOWN]
        ]
        more = [f"... and {len(lost) - _MOST_SHOWN} more"] if len(lost) > _MOST_SHOWN else []
        raise AssertionError("\n".join([f"{len(lost)} messages were lost", *shown, *more]))


def _bad_ends(copy: Copy, allow: Collection[str]) -> list[Copy]:
    """The ends of a copy, or of its dead letters, that are losses."""
    if copy.keeps_letter:
        return []
    if copy.letters:
        return [end for letter in copy.letters for end in _bad_ends(letter, allow)]
    fine = copy.is_there or copy.state in (history.ACKNOWLEDGED, history.REFUSED)
    return [] if fine or copy.state in allow else [copy]


def _body(told: History, index: int) -> bytes:
    event = told.events[index]
    assert isinstance(event, events.Published | events.Released)
    return event.body


def _unreturned(told: History) -> list[int]:
    """Publishes that no queue took and whose publisher was not told."""
    after = dict(enumerate(told.events[1:]))
    return [
        index
        for index in told.unroutable
        if not isinstance(after.get(index), events.Returned | events.Nacked)
        and not _is_reply(told.events[index])
    ]


def _is_reply(event: events.Event) -> bool:
    """Direct replies pass no queue."""
    return isinstance(event, events.Published) and event.routing_key.startswith("amq.rabbitmq.reply-to")


def _unprocessed(
    told: History, queue: str | None, vhost: str, processed: Counter[bytes]
) -> list[tuple[str, Collection[int]]]:
    lost: list[tuple[str, Collection[int]]] = []
    for copy in told.copies:
        meant = queue is None or (copy.queue, copy.vhost) == (queue, vhost)
        if not meant or copy.state != history.ACKNOWLEDGED:
            continue
        if processed[copy.body]:
            processed[copy.body] -= 1
        else:
            what = f"{copy.body!r} of queue {copy.queue!r}: acknowledged and not processed"
            lost.append((what, copy.indexes))
    return lost


def assert_ordered(
    source: Source,
    queue: str,
    *,
    vhost: str = "/",
    of: Literal["deliveries", "acknowledgements"] = "deliveries",
    redelivered: bool = True,
) -> None:
    """Assert that a queue's messages were delivered (or acknowledged) in the order of publishing.

    With `redelivered` False only the first delivery of each message counts. Several consumers, priorities,
    rejections with requeue and lost links all break the order. Raises AssertionError with the two events.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not this function
    kinds: tuple[type[events.OfDelivery], ...] = (events.Delivered, events.Got)
    if of == "acknowledgements":
        kinds = (events.Acknowledged,)
    elif of != "deliveries":
        raise ValueError(f"of must be 'deliveries' or 'acknowledgements', not {of!r}")
    recorded = events_of(source)
    last: tuple[int, int] | None = None
    for index, event in enumerate(recorded):
        if isinstance(event, events.QueueDeleted) and (event.queue, event.vhost) == (queue, vhost):
            last = None
        if not isinstance(event, kinds) or (event.queue, event.vhost) != (queue, vhost):
            continue
        if not redelivered and getattr(event, "redelivered", False):
            continue
        assert isinstance(event, events.OfDelivery)
        if last is not None and event.position < last[0]:
            raise AssertionError(
                f"queue {queue!r} is out of order: #{event.position} came after #{last[0]}\n"
                f"{stretch(recorded, (last[1], index), around=1)}"
            )
        last = (event.position, index)


def assert_within_prefetch(
    source: Source, queue: str | None = None, *, vhost: str = "/", limit: int | None = None
) -> None:
    """Assert that no consumer ever held more unacknowledged messages than its prefetch window.

    With `limit`, than that: consumers without a window break it as soon as they hold more. `queue` limits the
    claim to one queue. Raises AssertionError with the deliveries that the consumer held.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not this function
    recorded = events_of(source)
    windows: dict[tuple[str, int, str], int] = {}
    held: dict[tuple[str, int, str], dict[int, int]] = {}
    holder: dict[tuple[str, int, int], tuple[str, int, str]] = {}
    for index, event in enumerate(recorded):
        match event:
            case events.ConsumerAdded():
                windows[event.connection, event.channel, event.consumer_tag] = event.prefetch_count
            case events.Delivered(auto_ack=False):
                key = (event.connection, event.channel, event.consumer_tag)
                holder[event.connection, event.channel, event.delivery_tag] = key
                mine = held.setdefault(key, {})
                mine[event.delivery_tag] = index
                most = windows.get(key, 0) if limit is None else limit
                meant = queue is None or (event.queue, event.vhost) == (queue, vhost)
                if meant and len(mine) > most and (most or limit is not None):
                    raise AssertionError(
                        f"consumer {event.consumer_tag!r} of queue {event.queue!r} holds {len(mine)} "
                        f"unacknowledged messages, and may hold {most}\n"
                        f"{stretch(recorded, mine.values(), around=0)}"
                    )
            case events.Acknowledged() | events.Rejected() | events.Requeued():
                settled = holder.pop((event.connection, event.channel, event.delivery_tag), None)
                if settled is not None:
                    del held[settled][event.delivery_tag]
            case events.Stopped():
                held.clear()
                holder.clear()
            case _:
                pass
