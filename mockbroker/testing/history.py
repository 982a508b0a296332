"""What became of each message, read from a trace.

Owns: the way of a message through queues, as events tell it. Refuses to know: the broker that was traced; a
trace that has ended is as good as one that still listens.

A message has one `Copy` for each queue that it entered; a dead letter is a new copy that knows where it came
from. A trace that began late shows copies whose beginning is unknown.

Read next: ``../events.py``, ``explain.py``, ``assertions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mockbroker import events
from mockbroker.broker import Broker
from mockbroker.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Place = tuple[str, str, int]

READY, UNACKED, ACKNOWLEDGED, REJECTED, REFUSED, LOST, DELETED = (
    "ready",
    "unacked",
    "acknowledged",
    "rejected",
    "refused",
    "lost",
    "deleted",
)
"""The states of a copy; one that a queue dropped has the reason as its state: ``expired``, ``maxlen``..."""

Source = Broker | Trace | list[events.Event]
"""What a measure reads: a trace, its events, or a broker that is being traced."""


def events_of(source: Source) -> Sequence[events.Event]:
    """Return the events of a trace, or of the oldest trace that listens to a broker.

    Raises ValueError for a broker that nobody traces, or whose trace has forgotten its beginning.
    """
    if not isinstance(source, Broker):
        return source
    recorder = source.node.trace
    if recorder is None:
        raise ValueError(
            f"nothing was recorded of {source!r}: trace it from the start, `with broker.tracing() as trace:`"
        )
    trace = next((each for each in recorder.traces if getattr(each, "keeps_events", True)), None)
    if trace is None:
        raise ValueError(f"nothing was recorded of {source!r}, only faults listen: trace it from the start")
    forgotten = getattr(trace, "forgotten_count", 0)
    if forgotten:
        raise ValueError(
            f"the fixture's trace has forgotten its first {forgotten} events: keep a trace of your own, "
            "`with mockbroker.tracing() as trace:`"
        )
    return trace


@dataclass(slots=True, eq=False)
class Copy:
    """A message's stay in one queue; `indexes` has those of its events in the trace.

    `held_by` is the delivery that is outstanding; `deliveries` counts how often it was handed out.
    `keeps_letter` says that its queue keeps its dead letter, for not every queue that has to has it.
    """

    vhost: str
    queue: str
    position: int
    body: bytes
    published: events.Published | None = None
    came_from: Copy | None = None
    letters: list[Copy] = field(default_factory=list)
    dead_lettered: events.DeadLettered | None = None
    keeps_letter: bool = False
    indexes: list[int] = field(default_factory=list)
    state: str = READY
    held_by: events.Delivered | events.Got | None = None
    deliveries: int = 0

    @property
    def place(self) -> Place:
        """Virtual host, queue and position."""
        return (self.vhost, self.queue, self.position)

    @property
    def is_there(self) -> bool:
        """Whether the broker still has it in this queue."""
        return self.state in (READY, UNACKED)

    @property
    def origin(self) -> Copy:
        """The copy that was published: this one, unless it is a dead letter."""
        copy = self
        while copy.came_from is not None:
            copy = copy.came_from
        return copy


class History:
    """Follows events; `copies` has every copy in the order in which they came up.

    `unroutable` has the indexes of publishes, and of releases by an exchange, that no queue took; `waiting`
    those of messages that an exchange still keeps. Cost: the number of events.
    """

    def __init__(self, recorded: Iterable[events.Event]) -> None:
        self.events: list[events.Event] = []
        self.copies: list[Copy] = []
        self.unroutable: list[int] = []
        self.waiting: dict[int, events.Delayed] = {}
        self.declared: dict[tuple[str, str], events.QueueDeclared] = {}
        self._now: dict[Place, Copy] = {}
        for event in recorded:
            self.follow(event)

    def follow(self, event: events.Event) -> None:
        """Take the next event in."""
        self.events.append(event)
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)

    def of_queue(self, queue: str, vhost: str = "/") -> list[Copy]:
        """Return the copies that entered a queue, in the order in which they did."""
        return [copy for copy in self.copies if copy.queue == queue and copy.vhost == vhost]

    def is_stream(self, vhost: str, queue: str) -> bool:
        """Whether a queue is a stream, whose messages stay when they are delivered."""
        declared = self.declared.get((vhost, queue))
        return declared is not None and declared.type == "stream"

    # -- one event each

    def _enter(self, place: Place, body: bytes) -> Copy:
        copy = Copy(*place, body)
        self._now[place] = copy
        self.copies.append(copy)
        copy.indexes.append(len(self.events) - 1)
        return copy

    def _at(self, event: Any, body: bytes = b"") -> Copy:
        """The copy at an event's place; one that nobody saw enter is new."""
        place = (event.vhost, event.queue, event.position)
        copy = self._now.get(place)
        if copy is None:
            return self._enter(place, getattr(event, "body", body))
        copy.indexes.append(len(self.events) - 1)
        return copy

    def published(self, event: events.Published) -> None:
        """A message enters its queues, or waits in an exchange that has just said so."""
        is_delayed = len(self.events) > 1 and isinstance(self.events[-2], events.Delayed)
        if not event.queues and not is_delayed:
            self.unroutable.append(len(self.events) - 1)
        for queue, position in event.queues:
            self._enter((event.vhost, queue, position), event.body).published = event

    def delayed(self, event: events.Delayed) -> None:
        """An exchange keeps a message."""
        self.waiting[len(self.events) - 1] = event

    def released(self, event: events.Released) -> None:
        """A message that an exchange kept enters queues."""
        for index, kept in self.waiting.items():
            if kept.due_ns <= event.time_ns and _same_message(kept, event):
                del self.waiting[index]
                break
        if not event.queues:
            self.unroutable.append(len(self.events) - 1)
        for queue, position in event.queues:
            self._enter((event.vhost, queue, position), event.body)

    def refused(self, event: events.PublishRefused) -> None:
        """A queue refuses what was just published to it."""
        for copy in reversed(self.copies):
            if (copy.vhost, copy.queue) == (event.vhost, event.queue):
                copy.indexes.append(len(self.events) - 1)
                copy.state = REFUSED
                self._now.pop(copy.place, None)
                return

    def delivered(self, event: events.Delivered | events.Got) -> None:
        """A message is handed out."""
        if event.queue.startswith("amq.rabbitmq.reply-to"):
            return
        copy = self._at(event)
        copy.deliveries += 1
        if not self.is_stream(event.vhost, event.queue):
            copy.held_by = None if event.auto_ack else event
            copy.state = ACKNOWLEDGED if event.auto_ack else UNACKED

    def settled(self, event: events.OfDelivery) -> None:
        """A delivery is acknowledged, returned or rejected."""
        copy = self._at(event)
        copy.held_by = None
        if not self.is_stream(event.vhost, event.queue):
            copy.state = _SETTLED[type(event)]

    def dropped(self, event: events.Dropped) -> None:
        """A queue gives a message up."""
        self._at(event).state = event.reason

    def dead_lettered(self, event: events.DeadLettered) -> None:
        """A message goes on to other queues; what was refused or lost there before is sent once more."""
        if event.position is None:
            copy = next(each for each in reversed(self.copies) if each.queue == event.queue)
        else:
            copy = self._at(event)
        copy.dead_lettered = event
        copy.keeps_letter = False
        again = [queue for queue, _ in event.queues]
        copy.letters = [
            each for each in copy.letters if each.queue not in again or each.state not in (REFUSED, LOST)
        ]
        for queue, position in event.queues:
            letter = self._enter((event.vhost, queue, position), copy.body)
            letter.came_from = copy
            letter.published = copy.published
            copy.letters.append(letter)

    def letter_kept(self, event: events.DeadLetterKept) -> None:
        """A queue keeps a dead letter."""
        self._at(event).keeps_letter = True

    def letter_given_up(self, event: events.DeadLetterGivenUp) -> None:
        """A queue gives up a dead letter that it kept."""
        self._at(event).keeps_letter = False

    def recovered(self, event: events.Recovered) -> None:
        """A queue comes back with what the disk held."""
        kept = dict.fromkeys(event.positions)
        for copy in self.of_queue(event.queue, event.vhost):
            if self._now.get(copy.place) is not copy:
                continue
            if copy.position in kept:
                copy.indexes.append(len(self.events) - 1)
                copy.state, copy.held_by = READY, None
            elif copy.is_there:
                copy.indexes.append(len(self.events) - 1)
                copy.state, copy.held_by = LOST, None

    def queue_declared(self, event: events.QueueDeclared) -> None:
        """A queue is new: positions begin anew."""
        self.declared[event.vhost, event.queue] = event

    def queue_deleted(self, event: events.QueueDeleted) -> None:
        """A queue is gone with everything in it."""
        for place in [place for place in self._now if place[:2] == (event.vhost, event.queue)]:
            copy = self._now.pop(place)
            if copy.is_there and not self.is_stream(event.vhost, event.queue):
                copy.indexes.append(len(self.events) - 1)
                copy.state, copy.held_by = DELETED, None
            copy.keeps_letter = False


def _same_message(kept: events.Delayed, released: events.Released) -> bool:
    names = ("vhost", "exchange", "routing_key", "body")
    return all(getattr(kept, name) == getattr(released, name) for name in names)


_SETTLED: dict[type, str] = {
    events.Acknowledged: ACKNOWLEDGED,
    events.Requeued: READY,
    events.Rejected: REJECTED,
}

_HANDLERS: dict[type, Callable[[History, Any], None]] = {
    events.Published: History.published,
    events.Delayed: History.delayed,
    events.Released: History.released,
    events.PublishRefused: History.refused,
    events.Delivered: History.delivered,
    events.Got: History.delivered,
    events.Acknowledged: History.settled,
    events.Requeued: History.settled,
    events.Rejected: History.settled,
    events.Dropped: History.dropped,
    events.DeadLettered: History.dead_lettered,
    events.DeadLetterKept: History.letter_kept,
    events.DeadLetterGivenUp: History.letter_given_up,
    events.Recovered: History.recovered,
    events.QueueDeclared: History.queue_declared,
    events.QueueDeleted: History.queue_deleted,
}

LONGEST_STRETCH = 14
"""How many lines of a trace an assertion shows."""


def stretch(recorded: Sequence[events.Event], marked: Iterable[int], around: int = 3) -> str:
    """Return the lines of a trace near the marked events, each of those behind a ``>``.

    What lies between is left out; of many lines the last are shown.
    """
    wanted = dict.fromkeys(marked)
    lines: list[str] = []
    previous = None
    for index in sorted({near for each in wanted for near in range(each - around, each + around + 1)}):
        if 0 <= index < len(recorded):
            if previous is not None and index > previous + 1:
                lines.append("  ...")
            lines.append(f"{'>' if index in wanted else ' '} {recorded[index]}")
            previous = index
    if len(lines) > LONGEST_STRETCH:
        lines = ["  ...", *lines[-LONGEST_STRETCH:]]
    return "\n".join(lines)
