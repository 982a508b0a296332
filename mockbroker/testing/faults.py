"""What goes wrong, and exactly when: one line for each fault.

Owns: the faults, the points at which they strike, and the way back. Refuses to know: what the broker does
about them; a fault uses the ways in that an operator and a network have.

A fault strikes at a named point, counted from the moment it was planted: at the n-th publish, say. It strikes
once the broker's step is done, never in the middle of one, so that the same program meets it in the same
place each time. A plan of faults (`Plan`) is a value that Hypothesis can draw.

Points are exact for native connections. The link of a client on the endpoint dies when the broker's step is
done; bytes that the step sent are on their way then. Programs in a simulation have faults of their own
(``Simulation.kill``, ``cut``, ``freeze``).

Read next: ``plugin.py``, ``../core/node.py`` (`gate`, `nacks_due`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mockbroker import events
from mockbroker.clock import NS, to_ns
from mockbroker.connection import Connection
from mockbroker.core.queues.base import Queue
from mockbroker.message import Delivery
from mockbroker.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from mockbroker.broker import Broker
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.node import Node

    Target = Broker | Connection

BEFORE_DELIVERY, BEFORE_ACK, BEFORE_CONFIRM = "before delivery", "before ack", "before confirm"

_OPERATIONS: dict[str, tuple[type[events.Event], ...]] = {
    "connect": (events.ConnectionOpened,),
    "channel": (events.ChannelOpened,),
    "declare": (events.QueueDeclared,),
    "bind": (events.Bound,),
    "consume": (events.ConsumerAdded,),
    "publish": (events.Published,),
    "deliver": (events.Delivered,),
    "get": (events.Got,),
    "ack": (events.Acknowledged,),
    "requeue": (events.Requeued,),
    "reject": (events.Rejected,),
}
POINTS: dict[str, tuple[type[events.Event], ...]] = {
    **_OPERATIONS,
    "operation": tuple(kind for name, kinds in _OPERATIONS.items() if name != "deliver" for kind in kinds),
}
"""Name -> the events that count. ``operation`` is all that clients do; ``deliver`` is the broker's."""

LINK_POINTS = (
    BEFORE_DELIVERY,
    BEFORE_ACK,
    BEFORE_CONFIRM,
    *(name for name, kinds in POINTS.items() if any(issubclass(kind, events.OfConnection) for kind in kinds)),
)
"""Where a link may die: not at ``declare`` and ``bind``, of which a trace does not tell who did them."""


class Fault:
    """A fault that is planted: `strikes` counts how often it has struck. `cancel` takes it back.

    As a context manager it is cancelled at the end of the block.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.strikes = 0
        self._undo: list[Callable[[], object]] = []

    @property
    def has_struck(self) -> bool:
        """Whether it has struck."""
        return self.strikes > 0

    def on_cancel(self, undo: Callable[[], object]) -> None:
        """Have `undo()` called when the fault is cancelled."""
        self._undo.append(undo)

    def cancel(self) -> None:
        """Take the fault back; what it has done stays done. Cancelling again does nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()

    def __repr__(self) -> str:
        state = f"struck {self.strikes} times" if self.strikes else "has not struck"
        return f"<fault: {self.what}; {state}>"


class _Watch(Trace):
    """Listens without keeping anything: the measures do not take it for a trace."""

    keeps_events = False

    def __init__(self, node: Node, see: Callable[[Any], object]) -> None:
        self._see = see
        super().__init__(node)

    def record(self, event: events.Event) -> None:
        """See an event; the node's recorder calls it in the middle of a step."""
        self._see(event)


def _node_of(target: Target) -> Node:
    return target.broker.node if isinstance(target, Connection) else target.node


def _name_of(target: Target) -> str | None:
    return target.core.name if isinstance(target, Connection) else None


def _check_count(name: str, value: int, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer from {least}, not {value!r}")


def strike_at(
    target: Target,
    point: str,
    nth: int,
    strike: Callable[[Any], object],
    what: str = "",
    kind: type[events.Event] = events.Event,
) -> Fault:
    """Call `strike(event)` once the `nth` event of a point is seen, in the middle of the broker's step.

    Points are the keys of `POINTS`; with a connection only its own count, and of all only events of `kind`.
    `strike` must not call the broker: it puts that on the node's list of work (``node.later``). Raises
    ValueError for an unknown point.
    """
    if point not in POINTS:
        raise ValueError(f"there is no point {point!r}: choose from {', '.join(POINTS)}")
    _check_count("nth", nth)
    kinds, name = tuple(each for each in POINTS[point] if issubclass(each, kind)), _name_of(target)
    fault = Fault(what or f"{point} {nth}")
    left = nth

    def see(event: Any) -> None:
        nonlocal left
        if isinstance(event, kinds) and name in (None, getattr(event, "connection", None)):
            left -= 1
            if left == 0:
                fault.strikes += 1
                fault.cancel()
                strike(event)

    fault.on_cancel(_Watch(_node_of(target), see).stop)
    return fault


# -- links


def drop(target: Target, at: str | None = None, nth: int = 1) -> Fault:
    """Let a link die without a goodbye: at once, or at a point.

    With a broker it is the link of whoever comes to the point. `at` is one of `LINK_POINTS`: what a client
    does, or

    - ``before delivery``: before the `nth` delivery is seen; those before it are
    - ``before ack``: the `nth` delivery is seen, and nothing that the program then says arrives
    - ``before confirm``: the `nth` publish has arrived, and its publisher does not hear of it

    Raises ValueError for another point, and for a broker without one.
    """
    if at is None:
        if not isinstance(target, Connection):
            raise ValueError("whose link is to die? Give a connection, or a point (at=...)")
        fault = Fault("drop the link")
        target.drop()
        fault.strikes = 1
        return fault
    node, what = _node_of(target), f"drop the link {at} {nth}"
    if at == BEFORE_DELIVERY:
        return strike_at(target, "deliver", nth, lambda event: _drop_unseen(node, event), what)
    if at == BEFORE_ACK:
        return strike_at(target, "deliver", nth, lambda event: _drop_seen(node, event), what)
    if at not in LINK_POINTS:
        raise ValueError(f"a link cannot die at {at!r}: choose from {', '.join(LINK_POINTS)}")
    point = "publish" if at == BEFORE_CONFIRM else at
    return strike_at(
        target, point, nth, lambda event: node.later(_drop, node, event.connection), what, events.OfConnection
    )


def _connection(node: Node, name: str) -> BrokerConnection | None:
    return next((each for each in node.connections if each.name == name), None)


def _drop(node: Node, name: str) -> None:
    """End a connection as a lost link does, on both sides."""
    connection = _connection(node, name)
    if connection is not None:
        connection.drop()
        connection.sink.link_lost()
        node.drain()


def _drop_unseen(node: Node, event: events.Delivered) -> None:
    connection = _connection(node, event.connection)
    assert connection is not None
    if isinstance(connection.sink, Connection):
        # Order matters: the delivery goes into the inbox after this.
        connection.sink.inbox.put((_drop, (node, event.connection)))
    else:
        node.later(_drop, node, event.connection)


def _drop_seen(node: Node, event: events.Delivered) -> None:
    def drop_and_go_on(callback: Callable[..., object], *args: Any) -> None:
        _drop(node, event.connection)
        callback(*args)

    if not _wrap_delivery(node, event, drop_and_go_on):
        node.later(_drop, node, event.connection)


def _consumer(node: Node, event: events.Delivered | events.ConsumerAdded) -> Consumer | None:
    connection = _connection(node, event.connection)
    channel = None if connection is None else connection.channels.get(event.channel)
    return None if channel is None else channel.consumers.get(event.consumer_tag)


def _wrap(consumer: Consumer, call: Callable[..., object]) -> Callable[[], None]:
    """Have `call(callback, channel, method, properties, body)` called in the callback's place; return the
    way back."""
    channel, callback = consumer.context

    def instead(*args: Any) -> None:
        call(callback, *args)

    context = consumer.context = (channel, instead)

    def undo() -> None:
        if consumer.context is context:
            consumer.context = (channel, callback)

    return undo


def _wrap_delivery(node: Node, event: events.Delivered, call: Callable[..., object]) -> bool:
    """The same for one delivery; return False for a client that has no callbacks here."""
    consumer = _consumer(node, event)
    if consumer is None or not isinstance(consumer.context, tuple):
        return False

    def for_this_one(callback: Callable[..., object], channel: Any, method: Any, *rest: Any) -> None:
        if method.delivery_tag == event.delivery_tag:
            undo()
            call(callback, channel, method, *rest)
        else:
            callback(channel, method, *rest)

    undo = _wrap(consumer, for_this_one)
    return True


# -- connections and channels


def refuse_connections(broker: Broker, count: int | None = None) -> Fault:
    """Have nobody listen for the next `count` clients that knock, or for all until it is cancelled.

    A native client gets ConnectionRefusedError, one on the endpoint a link that closes at once.
    """
    if count is not None:
        _check_count("count", count)
    fault = Fault(f"refuse {'all' if count is None else count} connections")
    node, before = broker.node, broker.node.gate

    def is_open() -> bool:
        if fault.strikes == count:
            return before is None or before()
        fault.strikes += 1
        return False

    node.gate = is_open
    fault.on_cancel(lambda: setattr(node, "gate", before))
    return fault


def limit_connections(broker: Broker, most: int) -> Fault:
    """Let the broker have `most` connections and no more, as one that is short of file descriptors.

    ``ctl("status")`` shows the limit. The next client meets what `refuse_connections` says.
    """
    _check_count("most", most, least=0)
    node, before = broker.node, broker.node.most_connections
    node.most_connections = most
    fault = Fault(f"no more than {most} connections")
    fault.on_cancel(lambda: setattr(node, "most_connections", before))
    return fault


def limit_channels(broker: Broker, most: int, username: str = "guest") -> Fault:
    """Let a user have `most` channels in all: the next costs its connection (530).

    Source: RabbitMQ documentation, "Per-User Resource Limits".
    """
    _check_count("most", most, least=0)
    node = broker.node
    before = node.user(username).limits.get("max-channels")
    node.set_user_limit(username, "max-channels", most)
    fault = Fault(f"no more than {most} channels of {username!r}")
    if before is None:
        fault.on_cancel(lambda: node.clear_user_limit(username, "max-channels"))
    else:
        fault.on_cancel(lambda: node.set_user_limit(username, "max-channels", before))
    return fault


# -- publishers


def nack_confirms(broker: Broker, count: int = 1) -> Fault:
    """Refuse the next `count` publishes in confirm mode: no queue gets the message, the publisher a nack."""
    _check_count("count", count)
    node = broker.node
    fault = Fault(f"nack the next {count} confirms")
    node.nacks_due += count

    def see(event: Any) -> None:
        if isinstance(event, events.Nacked):
            fault.strikes += len(event.delivery_tags)

    def undo() -> None:
        node.nacks_due = max(node.nacks_due - max(count - fault.strikes, 0), 0)

    fault.on_cancel(undo)
    fault.on_cancel(_Watch(node, see).stop)
    return fault


def block(broker: Broker, resource: Literal["memory", "disk"] = "memory") -> Fault:
    """Raise an alarm: who publishes is told that he is blocked, and what he sends waits until `cancel`.

    Source: RabbitMQ documentation, "Memory and Disk Alarms".
    """
    broker.set_alarm(resource)
    fault = Fault(f"{resource} alarm")
    fault.strikes = 1
    fault.on_cancel(lambda: broker.clear_alarm(resource))
    return fault


def fill_disk(broker: Broker, free_bytes: int, *, disk_free_limit: int | None = None) -> Fault:
    """Leave `free_bytes` on the disk: below `disk_free_limit` (50 MB unless set) that is an alarm.

    ``ctl("status")`` shows both. Source: RabbitMQ documentation, "Free Disk Space Alarms".
    """
    _check_count("free_bytes", free_bytes, least=0)
    node = broker.node
    before = (node.disk_free_bytes, node.disk_free_limit_bytes)
    fault = Fault(f"{free_bytes} bytes free on the disk")

    def set_to(free: int, limit: int) -> None:
        node.set_disk_free(free, limit)

    set_to(free_bytes, before[1] if disk_free_limit is None else disk_free_limit)
    fault.strikes = int("disk" in node.alarms)
    fault.on_cancel(lambda: set_to(*before))
    return fault


# -- consumers


def slow(target: Target, seconds: float) -> Fault:
    """Let native consumers be busy for `seconds` of virtual time with each message, one at a time.

    The callback runs at the end of that time. With a connection only its consumers, with a broker all; those
    to come too. A worker whose link dies meanwhile does nothing more.
    """
    return _defer(target, seconds, is_busy=True)


def delay(target: Target, seconds: float) -> Fault:
    """Let deliveries travel for `seconds` of virtual time before native consumers see them."""
    return _defer(target, seconds, is_busy=False)


def _defer(target: Target, seconds: float, *, is_busy: bool) -> Fault:
    duration_ns = to_ns(seconds)
    if duration_ns < 0:
        raise ValueError(f"seconds must not be negative, not {seconds!r}")
    node, name = _node_of(target), _name_of(target)
    fault = Fault(f"each message takes {seconds:g} s" if is_busy else f"deliveries travel {seconds:g} s")

    def wrap(consumer: Consumer | None) -> None:
        if consumer is not None and isinstance(consumer.context, tuple):
            busy_until_ns = 0

            def later(callback: Callable[..., object], channel: Any, *args: Any) -> None:
                nonlocal busy_until_ns
                fault.strikes += 1
                now_ns = node.clock.now_ns
                start_ns = max(now_ns, busy_until_ns) if is_busy else now_ns
                busy_until_ns = start_ns + duration_ns
                wait_s = (busy_until_ns - now_ns) / NS
                channel.connection.call_later(wait_s, _if_open, callback, channel, *args)

            fault.on_cancel(_wrap(consumer, later))

    def see(event: Any) -> None:
        if isinstance(event, events.ConsumerAdded) and name in (None, event.connection):
            wrap(_consumer(node, event))

    for connection in node.connections:
        if name in (None, connection.name):
            for channel in connection.channels.values():
                for consumer in channel.consumers.values():
                    wrap(consumer)
    fault.on_cancel(_Watch(node, see).stop)
    return fault


def _if_open(callback: Callable[..., object], channel: Any, *args: Any) -> None:
    if channel.is_open:
        callback(channel, *args)


class _LostAcknowledgements(Queue):
    """Where a settlement goes that is to have no effect."""

    __slots__ = ()
    type = "lost"

    @property
    def ready_count(self) -> int:
        """Always none."""
        return 0

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Nothing comes back."""

    def discard(self, deliveries: list[Delivery]) -> None:
        """Nothing is dropped."""


def redeliver(target: Target, nth: int = 1) -> Fault:
    """Lose what the program says about the `nth` delivery: the message is delivered again, as redelivered.

    The program sees it, settles it, and meets it once more, on an open channel: a duplicate.
    """
    node = _node_of(target)

    def lose_settlement(event: events.Delivered) -> None:
        consumer = _consumer(node, event)
        if consumer is None or event.auto_ack:
            return
        channel = consumer.channel
        delivery = channel.unacked[event.delivery_tag]
        nowhere = _LostAcknowledgements(delivery.queue.vhost, f"(lost from {event.queue})")
        tag, position = event.delivery_tag, event.position

        def again() -> None:
            if channel.unacked.get(tag) is delivery:
                channel.basic_nack(tag, requeue=True)
                ghost = Delivery(None, nowhere, delivery.message, position, tag, delivery.redelivered)
                channel.unacked = dict(sorted({**channel.unacked, tag: ghost}.items()))
                node.drain()

        def swap_and_go_on(callback: Callable[..., object], *args: Any) -> None:
            again()
            callback(*args)

        if not _wrap_delivery(node, event, swap_and_go_on):
            node.later(again)

    return strike_at(target, "deliver", nth, lose_settlement, f"redeliver delivery {nth}")


# -- the broker


def crash(broker: Broker, at: str = "operation", nth: int = 1, downtime: float = 0) -> Fault:
    """Cut the power once the `nth` event of a point is through; back `downtime` virtual seconds later.

    What was confirmed survives; see `Broker.crash`. Time does not stand still for a downtime: the program
    goes on, and finds nobody listening.
    """
    node = broker.node
    return _go_down(broker, node.lose_power, at, nth, downtime, "cut the power")


def restart(broker: Broker, at: str = "operation", nth: int = 1, downtime: float = 0) -> Fault:
    """Stop in good order once the `nth` event of a point is through; back after `downtime` virtual s."""
    return _go_down(broker, broker.node.stop, at, nth, downtime, "restart")


def _go_down(
    broker: Broker, down: Callable[[], None], point: str, nth: int, downtime: float, what: str
) -> Fault:
    node = broker.node
    downtime_ns = to_ns(downtime)
    if downtime_ns < 0:
        raise ValueError(f"downtime must not be negative, not {downtime!r}")

    def strike() -> None:
        if node.is_running:
            down()
            if downtime_ns:
                node.clock.schedule(node.clock.now_ns + downtime_ns, node.start)
            else:
                node.start()

    return strike_at(broker, point, nth, lambda _event: node.later(strike), f"{what} at {point} {nth}")


# -- plans


@dataclass(frozen=True)
class Plan:
    """A fault as a value: `plant` puts it into a broker. What Hypothesis draws (``strategies.fault_plans``).

    `kind` is ``drop``, ``crash``, ``restart``, ``redeliver`` or ``nack``; `at` a point where the kind has
    one.
    """

    kind: Literal["drop", "crash", "restart", "redeliver", "nack"]
    at: str = "operation"
    nth: int = 1

    def plant(self, broker: Broker) -> Fault:
        """Put the fault into a broker. Raises ValueError for a kind or a point that there is not."""
        match self.kind:
            case "drop":
                return drop(broker, self.at, self.nth)
            case "crash":
                return crash(broker, self.at, self.nth)
            case "restart":
                return restart(broker, self.at, self.nth)
            case "redeliver":
                return redeliver(broker, self.nth)
            case "nack":
                return nack_confirms(broker, self.nth)
        raise ValueError(f"there is no kind of fault {self.kind!r}")
