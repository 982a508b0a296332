"""What can happen, as values: one event for each change of the broker.

Owns: the events. Refuses to know: the broker's objects (``core/recorder.py`` turns a change of theirs into an
event), why something happens, and who collects it (``trace.py``).

An event is complete when it is made; its ``repr`` can be evaluated, its ``str`` is one line for a reader. A
message is followed by its place: queue and position. `Published` and `DeadLettered` say which places it got,
`Delivered`, `Got`, `Acknowledged`, `Requeued`, `Rejected` and `Dropped` what became of it there, `Recovered`
what came back from disk.

Read next: ``trace.py``, ``core/recorder.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mockbroker.values import Decimal

if TYPE_CHECKING:
    Places = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened; `time_ns` counts nanoseconds since the broker's clock began."""

    time_ns: int

    @property
    def text(self) -> str:
        """What happened, without the time: one line."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """The event in JSON's kinds of value: see `Trace.json_lines`."""
        values = {field.name: _jsonable(getattr(self, field.name)) for field in fields(self)}
        return {"event": type(self).__name__, **values}

    def __str__(self) -> str:
        return f"{seconds_text(self.time_ns):>9} s  {self.text}"


def seconds_text(time_ns: int) -> str:
    """Show a time in seconds: three decimals, or as many as it needs.

    >>> seconds_text(1_500_000_000), seconds_text(1)
    ('1.500', '0.000000001')
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    decimals = f"{rest:09}"
    return f"{seconds}.{decimals[:3]}{decimals[3:].rstrip('0')}"


# -- connections and channels


@dataclass(frozen=True, kw_only=True, slots=True)
class OfConnection(Event):
    """Something of one connection, called by its name."""

    connection: str

    @property
    def peer(self) -> str:
        """The client's end: host and port."""
        return self.connection.partition(" -> ")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOpened(OfConnection):
    """A client was let in."""

    vhost: str
    user: str

    @property
    def text(self) -> str:
        return f"{self.peer} connects as {self.user!r} to {self.vhost!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionClosed(OfConnection):
    """A connection ended, whoever ended it; its channels had ended before."""

    @property
    def text(self) -> str:
        return f"{self.peer} is gone"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorSent(OfConnection):
    """The broker closes a channel, or with `channel` None the connection, and says why."""

    channel: int | None
    reply_code: int
    reply_text: str

    @property
    def text(self) -> str:
        what = "the connection" if self.channel is None else f"channel {self.channel}"
        return f"{self.peer} is told that {what} is closed: {self.reply_code} {self.reply_text}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfChannel(OfConnection):
    """Something of one channel, called by its connection's name and its number."""

    channel: int

    @property
    def peer(self) -> str:
        """The client's end: host, port and channel number."""
        return f"{self.connection.partition(' -> ')[0]} ({self.channel})"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelOpened(OfChannel):
    """A channel was opened."""

    @property
    def text(self) -> str:
        return f"{self.peer} opens"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelClosed(OfChannel):
    """A channel ended; what it had outstanding was returned before."""

    @property
    def text(self) -> str:
        return f"{self.peer} is closed"


# -- publishing


@dataclass(frozen=True, kw_only=True, slots=True)
class Published(OfChannel):
    """A message enters its queues; in a transaction that is at the commit.

    `queues` has the name of each and the position that the message gets there. A queue that refuses the
    message says so in a `PublishRefused` that follows.
    """

    vhost: str
    exchange: str
    routing_key: str
    body: bytes
    properties: dict[str, Any] | None
    queues: Places

    @property
    def text(self) -> str:
        address = (
            f"exchange {self.exchange!r} key {self.routing_key!r}" if self.exchange else "default exchange"
        )
        return f"{self.peer} publishes {_short(self.body)} to {address}: {_places(self.queues)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishRefused(Event):
    """A queue refused a message: it is full, or a stream that does not take such dead letters."""

    vhost: str
    queue: str
    exchange: str
    routing_key: str
    body: bytes

    @property
    def text(self) -> str:
        return f"{_queue(self.vhost, self.queue)} refuses {_short(self.body)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned(OfChannel):
    """A mandatory message that no queue took went back to its publisher."""

    reply_code: int
    reply_text: str
    exchange: str
    routing_key: str
    body: bytes

    @property
    def text(self) -> str:
        return f"{self.peer} gets {_short(self.body)} back: {self.reply_code} {self.reply_text}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed(OfChannel):
    """Publishes were confirmed; `delivery_tags` are their numbers."""

    delivery_tags: tuple[int, ...]

    @property
    def text(self) -> str:
        return f"{self.peer} is confirmed {_numbers(self.delivery_tags)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Nacked(OfChannel):
    """Publishes were refused; `delivery_tags` are their numbers."""

    delivery_tags: tuple[int, ...]

    @property
    def text(self) -> str:
        return f"{self.peer} is refused {_numbers(self.delivery_tags)}"


# -- consuming


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefetchSet(OfChannel):
    """A channel set its window (basic.qos): of consumers to come, or with `global_` one that all share."""

    prefetch_count: int
    global_: bool

    @property
    def text(self) -> str:
        whose = "shared by its consumers" if self.global_ else "for each new consumer"
        return f"{self.peer} sets prefetch {self.prefetch_count or 'unlimited'}, {whose}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerAdded(OfChannel):
    """A consumer started; a `prefetch_count` of 0 is without limit."""

    consumer_tag: str
    vhost: str
    queue: str
    auto_ack: bool
    exclusive: bool
    prefetch_count: int
    priority: int

    @property
    def text(self) -> str:
        mode = "auto-ack" if self.auto_ack else f"prefetch {self.prefetch_count or 'unlimited'}"
        return f"{self.peer} consumes from {_queue(self.vhost, self.queue)} as {self.consumer_tag!r}, {mode}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerCancelled(OfChannel):
    """A consumer ended: by its client or its channel's end, or, its queue gone, by the broker."""

    consumer_tag: str
    vhost: str
    queue: str
    by_broker: bool

    @property
    def text(self) -> str:
        who = ", cancelled by the broker" if self.by_broker else ""
        queue = _queue(self.vhost, self.queue)
        return f"{self.peer} consumes no more from {queue} as {self.consumer_tag!r}{who}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfDelivery(OfChannel):
    """Something of one delivery: its tag on the channel, and the message's place."""

    delivery_tag: int
    vhost: str
    queue: str
    position: int

    @property
    def place(self) -> str:
        """Queue and position."""
        return _place(self.vhost, self.queue, self.position)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered(OfDelivery):
    """A message was sent to a consumer; with `auto_ack` it has left its queue for good."""

    consumer_tag: str
    redelivered: bool
    auto_ack: bool
    exchange: str
    routing_key: str
    body: bytes

    @property
    def text(self) -> str:
        what = f"{_short(self.body)} from {self.place}, tag {self.delivery_tag}"
        return f"{self.peer} {self.consumer_tag!r} <- {what}{_flags(self.redelivered, self.auto_ack)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Got(OfDelivery):
    """A message was fetched with basic.get; with `auto_ack` it has left its queue for good."""

    redelivered: bool
    auto_ack: bool
    exchange: str
    routing_key: str
    body: bytes

    @property
    def text(self) -> str:
        what = f"{_short(self.body)} from {self.place}, tag {self.delivery_tag}"
        return f"{self.peer} gets {what}{_flags(self.redelivered, self.auto_ack)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledged(OfDelivery):
    """A delivery was acknowledged: the message has left its queue for good."""

    @property
    def text(self) -> str:
        return f"{self.peer} acknowledges {self.place}, tag {self.delivery_tag}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued(OfDelivery):
    """A delivery goes back to its queue: refused with requeue, recovered, or its channel ended."""

    @property
    def text(self) -> str:
        return f"{self.peer} returns {self.place}, tag {self.delivery_tag}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected(OfDelivery):
    """A delivery was refused without requeue: the message has left its queue for good."""

    @property
    def text(self) -> str:
        return f"{self.peer} rejects {self.place}, tag {self.delivery_tag}"


# -- queues


@dataclass(frozen=True, kw_only=True, slots=True)
class OfQueue(Event):
    """Something of one queue, called by its virtual host and name."""

    vhost: str
    queue: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDeclared(OfQueue):
    """A queue was made; one that was there already is not declared again."""

    type: str
    durable: bool
    exclusive: bool
    auto_delete: bool
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        flags = "".join(f" {name}" for name in ("durable", "exclusive", "auto_delete") if getattr(self, name))
        return f"{_queue(self.vhost, self.queue)} is declared: {self.type}{flags}{_arguments(self.arguments)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDeleted(OfQueue):
    """A queue is gone, with what was ready or outstanding in it.

    `reason` is ``deleted`` (somebody asked for it), ``exclusive`` (its connection ended), ``auto_delete``
    (its last consumer left), ``expired`` (nobody used it for its x-expires) or ``transient`` (the node
    stopped).
    """

    reason: str

    @property
    def text(self) -> str:
        return f"{_queue(self.vhost, self.queue)} is gone: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped(OfQueue):
    """A queue gave up a message that was ready: ``expired``, ``maxlen``, ``purged`` or ``delivery_limit``."""

    position: int
    body: bytes
    reason: str

    @property
    def text(self) -> str:
        place = _place(self.vhost, self.queue, self.position)
        return f"{place} drops {_short(self.body)}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLettered(OfQueue):
    """A message that `queue` gave up enters `queues`, by way of the dead-letter exchange.

    `queues` has the name of each and the position that the message gets there. `position` is its place in the
    old queue, None for one that never was in it (``reject-publish-dlx``).
    """

    position: int | None
    reason: str
    exchange: str
    routing_key: str
    queues: Places

    @property
    def text(self) -> str:
        place = _place(self.vhost, self.queue, self.position)
        return (
            f"{place} is dead-lettered ({self.reason}) to exchange {self.exchange!r}: {_places(self.queues)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OfDeadLetter(OfQueue):
    """Something of a dead letter that its queue keeps, called by the place where the message died."""

    position: int
    reason: str

    @property
    def place(self) -> str:
        """The old queue and the position that the message had there."""
        return _place(self.vhost, self.queue, self.position)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterKept(OfDeadLetter):
    """A queue that dead-letters at least once keeps a letter that no queue took, or that one refused.

    It comes after each try; the `DeadLettered` before it says who was tried, if anybody was.
    """

    @property
    def text(self) -> str:
        return f"{self.place} keeps its dead letter ({self.reason})"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGivenUp(OfDeadLetter):
    """A letter that was kept is gone: its queue does not keep any more, or nobody is left to wait for."""

    @property
    def text(self) -> str:
        return f"{self.place} gives its dead letter up ({self.reason})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered(OfQueue):
    """A durable queue came back after a stop with the messages at these positions; all others are lost."""

    positions: tuple[int, ...]

    @property
    def text(self) -> str:
        count = len(self.positions)
        messages = "1 message" if count == 1 else f"{count} messages"
        return f"{_queue(self.vhost, self.queue)} comes back with {messages}"


# -- exchanges and bindings


@dataclass(frozen=True, kw_only=True, slots=True)
class OfExchange(Event):
    """Something of one exchange, called by its virtual host and name."""

    vhost: str
    exchange: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeDeclared(OfExchange):
    """An exchange was made; one that was there already is not declared again."""

    type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        flags = "".join(f" {name}" for name in ("durable", "auto_delete", "internal") if getattr(self, name))
        return f"exchange {self.exchange!r} is declared: {self.type}{flags}{_arguments(self.arguments)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeDeleted(OfExchange):
    """An exchange is gone; its bindings went before."""

    @property
    def text(self) -> str:
        return f"exchange {self.exchange!r} is gone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delayed(OfExchange):
    """An exchange keeps a message until `due_ns`, counted as `time_ns` is.

    The `Published` that brought it comes after: it has no queues yet.
    """

    routing_key: str
    body: bytes
    due_ns: int

    @property
    def text(self) -> str:
        return f"exchange {self.exchange!r} keeps {_short(self.body)} until {seconds_text(self.due_ns)} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Released(OfExchange):
    """A message that an exchange kept enters `queues`: its delay is over, or a queue was bound to a history.

    `queues` has the name of each and the position that the message gets there.
    """

    routing_key: str
    body: bytes
    queues: Places

    @property
    def text(self) -> str:
        return f"exchange {self.exchange!r} releases {_short(self.body)}: {_places(self.queues)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfBinding(Event):
    """Something of one binding; `destination_kind` is ``queue`` or ``exchange``."""

    vhost: str
    source: str
    destination: str
    destination_kind: str
    routing_key: str
    arguments: dict[str, Any]

    @property
    def ends(self) -> str:
        """What is bound to what."""
        key = f"key {self.routing_key!r}{_arguments(self.arguments)}"
        return f"{self.destination_kind} {self.destination!r} to exchange {self.source!r}, {key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound(OfBinding):
    """A binding was made."""

    @property
    def text(self) -> str:
        return f"bound: {self.ends}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unbound(OfBinding):
    """A binding is gone: unbound, or one of its ends was deleted."""

    @property
    def text(self) -> str:
        return f"unbound: {self.ends}"


# -- the node


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped(Event):
    """The broker stops: in good order, or by a power cut.

    A cut ends all connections, and returns or loses what they held, without more events.
    """

    power_cut: bool

    @property
    def text(self) -> str:
        return "the power fails" if self.power_cut else "the broker stops"


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(Event):
    """The broker is back."""

    @property
    def text(self) -> str:
        return "the broker is back"


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced(Event):
    """All writes have reached the disk."""

    @property
    def text(self) -> str:
        return "the disk is synced"


# -- how a line says it

_LONGEST_BODY = 40


def _short(body: bytes) -> str:
    if len(body) <= _LONGEST_BODY:
        return repr(body)
    return f"{body[:_LONGEST_BODY]!r}... ({len(body)} bytes)"


def _queue(vhost: str, name: str) -> str:
    return f"queue {name!r}" if vhost == "/" else f"queue {name!r} of {vhost!r}"


def _place(vhost: str, queue: str, position: int | None) -> str:
    return _queue(vhost, queue) + ("" if position is None else f" #{position}")


def _flags(redelivered: bool, auto_ack: bool) -> str:
    return f"{', redelivered' if redelivered else ''}{', auto-ack' if auto_ack else ''}"


def _places(queues: Places) -> str:
    return ", ".join(f"queue {name!r} #{position}" for name, position in queues) or "no queue"


def _numbers(tags: tuple[int, ...]) -> str:
    return f"publish {', '.join(map(str, tags))}"


def _arguments(arguments: dict[str, Any]) -> str:
    return f" {arguments!r}" if arguments else ""


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Decimal):
        return {"scale": value.scale, "unscaled": value.unscaled}
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
