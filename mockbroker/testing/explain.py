"""A message's life, told in sentences.

Owns: the words. Refuses to know: how a trace is followed (``history.py``).

Read next: ``history.py``, ``views.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mockbroker import events
from mockbroker.message import Delivery
from mockbroker.testing import history
from mockbroker.testing.history import History
from mockbroker.testing.views import HeldMessage, QueuedMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.testing.history import Copy, Source


def explain(source: Source, message: Any) -> str:
    """Tell what became of a message, and why it is where it is: one line for each thing that happened.

    `message` is a body (bytes or text), a ``message_id`` as text, the ``method`` of a delivery, or a message
    of a `QueueView`. Where several messages fit, each life is told. Raises ValueError when none does, or when
    the broker is not traced.
    """
    told = History(history.events_of(source))
    fits = _test_for(message)
    found = [copy for copy in told.copies if fits(copy)]
    lives = list(dict.fromkeys(_root(copy, told) for copy in found))
    unroutable = [index for index in told.unroutable if _is_body(told.events[index], message)]
    waiting = [event for event in told.waiting.values() if _is_body(event, message)]
    if not lives and not unroutable and not waiting:
        raise ValueError(f"no message in the trace is {message!r}")
    texts = [_tell(life, told) for life in lives]
    texts += [f"{told.events[index]}: it was lost there" for index in unroutable]
    texts += [f"{event}: it waits there" for event in waiting]
    return "\n\n".join(texts)


def _is_body(event: events.Event, message: Any) -> bool:
    body = message.encode() if isinstance(message, str) else message
    return isinstance(event, events.Published | events.Delayed | events.Released) and event.body == body


def _test_for(message: Any) -> Callable[[Copy], bool]:
    if isinstance(message, Delivery):
        place = (message.queue.vhost.name, message.queue.name, message.position)
        return lambda copy: copy.place == place
    if isinstance(message, QueuedMessage | HeldMessage):
        body, position = message.body, message.position
        return lambda copy: copy.body == body and copy.position == position
    if isinstance(message, bytes):
        return lambda copy: copy.body == message
    if isinstance(message, str):
        encoded = message.encode()
        return lambda copy: copy.body == encoded or _message_id(copy) == message
    raise TypeError(f"a message is told by its body, its message_id or its delivery, not by {message!r}")


def _message_id(copy: Copy) -> Any:
    published = copy.published
    return None if published is None else (published.properties or {}).get("message_id")


def _root(copy: Copy, told: History) -> Copy:
    """The first copy of the same publish."""
    origin = copy.origin
    if origin.published is None:
        return origin
    return next(each for each in told.copies if each.published is origin.published)


def _tell(root: Copy, told: History) -> str:
    if root.published is None:
        copies = [root]
    else:
        copies = [copy for copy in told.copies if copy.published is root.published]
    indexes = dict.fromkeys(index for copy in copies for index in copy.indexes)
    lines = [str(told.events[index]) for index in sorted(indexes)]
    if root.published is None:
        lines.insert(0, "  the trace began later than this message")
    return "\n".join([*lines, *(f"so: {_fate(copy)}" for copy in copies)])


def _fate(copy: Copy) -> str:
    where = f"queue {copy.queue!r} #{copy.position}"
    holder = copy.held_by
    if copy.state == history.UNACKED and holder is not None:
        who = f"{holder.consumer_tag!r} of " if isinstance(holder, events.Delivered) else ""
        return f"in {where} it is held, unacknowledged, by {who}{holder.peer}, tag {holder.delivery_tag}"
    if copy.state == history.READY:
        again = f", handed out and returned {_times(copy.deliveries)}" if copy.deliveries else ""
        return f"in {where} it is ready{again}"
    fate = f"it has left {where}: {_FATES.get(copy.state, copy.state)}"
    kept = "; its dead letter waits for its next try" if copy.keeps_letter else ""
    if copy.letters:
        places = ", ".join(f"queue {each.queue!r} #{each.position}" for each in copy.letters)
        return f"{fate}, and went on as a dead letter to {places}{kept}"
    if kept:
        return f"{fate}{kept}"
    if copy.dead_lettered is not None:
        return f"{fate}, and its dead letter found no queue"
    return fate


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


_FATES = {
    history.ACKNOWLEDGED: "acknowledged",
    history.REJECTED: "rejected without requeue",
    history.REFUSED: "the full queue refused it",
    history.LOST: "lost when the broker stopped, it was not on disk",
    history.DELETED: "the queue was deleted with it",
    "expired": "its time to live was over",
    "maxlen": "dropped, the queue was above its limit",
    "purged": "purged",
    "delivery_limit": "returned more often than the delivery limit allows",
}
