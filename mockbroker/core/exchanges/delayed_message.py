"""Delayed-message exchanges: a message with the header ``x-delay`` waits, then another type routes it.

Owns: how long a message waits, and the messages that are waiting in a virtual host. Refuses to know: how the
other type routes. Source: the README of RabbitMQ's plugin rabbitmq_delayed_message_exchange, which no
recorded server has; ``docs/routing.md`` says what follows from it.

Read next: ``core/exchanges/base.py``, ``core/queues/dead_letter.py``.
"""

from __future__ import annotations

from copy import copy

from mockbroker.clock import MS
from mockbroker.core import refusals
from mockbroker.core.exchanges.base import Exchange, postponed
from mockbroker.core.exchanges.erlang import ERLANG_INTEGER
from mockbroker.core.exchanges.types import exchange_class
from mockbroker.errors import SoftError
from mockbroker.values import Decimal, LongString, is_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.clock import Timer
    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message

_DELAY = "x-delay"
_TYPE = "x-delayed-type"
LONGEST_DELAY_MS = 2**32 - 1
"""A message that asks for more is not delayed at all: the longest timer that Erlang has."""


class DelayedMessageExchange(Exchange):
    """Routes as the type in its argument ``x-delayed-type`` does: at once, or when the delay is over.

    A message that is delayed has no destinations yet: it goes to the alternate exchange if there is one,
    comes back if it is mandatory and that finds no queue either, and is confirmed.
    """

    __slots__ = ("_inner",)
    type = "x-delayed-message"
    routes_by_key = False

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._inner = exchange_class(self.arguments[_TYPE])(vhost, name, **properties)
        if vhost.delayed is None:
            vhost.delayed = DelayedMessages(vhost)

    @classmethod
    def check_declaration(cls, vhost: VHost, arguments: dict[str, Any]) -> None:
        """Refuse an ``x-delayed-type`` that is missing, no string or this type itself (SoftError 406).

        One that is unknown is refused as an exchange of that type is; then that type looks at the arguments.
        """
        kind = arguments.get(_TYPE)
        if not isinstance(kind, str):
            raise SoftError(
                "PRECONDITION_FAILED", f"Invalid argument, '{_TYPE}' must be an existing exchange type"
            )
        if kind == cls.type:
            raise SoftError(
                "PRECONDITION_FAILED", f"Invalid argument, '{cls.type}' can't be used for '{_TYPE}'"
            )
        if kind not in vhost.node.exchange_types:
            raise refusals.unknown_exchange_type(kind, vhost.node.rules)
        exchange_class(kind).check_declaration(vhost, arguments)

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse what the other type refuses."""
        self._inner.check_binding(destination, routing_key, arguments)

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return the destinations of a message that is not delayed; keep one that is, and return none."""
        delay_ms = 0 if message is None else delay_of(message)
        if message is None or not 0 < delay_ms <= LONGEST_DELAY_MS:
            return self._inner.destinations(routing_keys, message)
        assert self.vhost.delayed is not None
        self.vhost.delayed.add(self, routing_keys, message, delay_ms)
        return ()

    @property
    def messages_delayed(self) -> int:
        """How many messages wait in it. Cost: all that wait in the virtual host."""
        assert self.vhost.delayed is not None
        return self.vhost.delayed.count(self)

    def _add(self, binding: Binding) -> None:
        self._inner.bind(binding)

    def _remove(self, binding: Binding) -> None:
        self._inner.unbind(binding)

    def survive(self) -> None:
        """Keep what a restart leaves of the other type."""
        self._inner.survive()

    def check(self) -> None:
        """Assert the exchange's invariants."""
        super().check()
        assert self._inner.bindings == self.bindings, f"{self!r} and its {self._inner.type} disagree"


def delay_of(message: Message) -> int:
    """Return the delay that a message asks for, in milliseconds; 0 when it asks for none.

    An integer may be a string; what is behind a number's point is cut off. Raises HardError 541 for a string
    that is no integer, and for a decimal.
    """
    headers = (message[3] or {}).get("headers") or {}
    value: Any = headers.get(_DELAY)
    if is_integer(value):
        return int(value)
    if isinstance(value, float):
        return int(value)
    if isinstance(value, str) and ERLANG_INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str | Decimal | LongString):
        raise refusals.internal_error()
    return 0


class _Waiting:
    """One message that waits."""

    __slots__ = ("due_ns", "exchange", "message", "routing_keys", "since_ns", "timer")

    def __init__(
        self,
        exchange: DelayedMessageExchange,
        routing_keys: Sequence[str],
        message: Message,
        since_ns: int,
        due_ns: int,
    ) -> None:
        self.exchange = exchange
        self.routing_keys = routing_keys
        self.message = message
        self.since_ns = since_ns
        self.due_ns = due_ns
        self.timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<waits in exchange {self.exchange.name!r} until {self.due_ns}: {self.message[2][:40]!r}>"


class DelayedMessages:
    """What waits in a virtual host. It is on the disk at once, and outlives its exchange.

    Invariant: while the node is up, each message has a timer.
    """

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._clock = vhost.node.clock
        self._waiting: dict[_Waiting, None] = {}

    def add(
        self, exchange: DelayedMessageExchange, routing_keys: Sequence[str], message: Message, delay_ms: int
    ) -> None:
        """Keep a message for so long."""
        now_ns = self._clock.now_ns
        waiting = _Waiting(exchange, routing_keys, message, now_ns, now_ns + delay_ms * MS)
        self._waiting[waiting] = None
        self._schedule(waiting)
        if self._vhost.node.trace is not None:
            self._vhost.node.trace.delayed(exchange, message, waiting.due_ns)

    def count(self, exchange: Exchange) -> int:
        """How many messages wait in an exchange. Cost: all that wait in the virtual host."""
        return sum(each.exchange is exchange for each in self._waiting)

    def _schedule(self, waiting: _Waiting) -> None:
        waiting.timer = self._clock.schedule(waiting.due_ns, self._release, waiting)

    def _release(self, waiting: _Waiting) -> None:
        """Route a message whose time has come; an exchange that was declared anew takes the old one's place.

        The header shows the delay as a negative number from now on: no exchange delays it again.
        """
        del self._waiting[waiting]
        vhost, message = self._vhost, waiting.message
        source = vhost.exchanges.get(waiting.exchange.name, waiting.exchange)
        properties = copy(message[3])
        assert properties is not None
        properties["headers"] = {**properties["headers"], _DELAY: -delay_of(message)}
        exchange, routing_key, body, _, expires_ns = postponed(message, self._clock.now_ns - waiting.since_ns)
        message = (exchange, routing_key, body, properties, expires_ns)
        targets = vhost.find_route_unasked(source, waiting.routing_keys, message)
        trace = vhost.node.trace
        if trace is not None:
            trace.released(source, message, targets)
        for target in targets:
            target.publish(message)
        vhost.node.drain()

    def stop(self) -> None:
        """The node goes down: nothing is routed meanwhile."""
        for waiting in self._waiting:
            if waiting.timer is not None:
                waiting.timer.cancel()
                waiting.timer = None

    def start(self) -> None:
        """The node is back: what is overdue is routed at once, in order."""
        for waiting in sorted(self._waiting, key=lambda each: each.due_ns):
            self._schedule(waiting)

    def check(self) -> None:
        """Assert that every message has its timer."""
        for waiting in self._waiting:
            assert (waiting.timer is not None) == self._vhost.node.is_running, f"{waiting!r} has no timer"
            assert waiting.due_ns > waiting.since_ns, f"{waiting!r} came at {waiting.since_ns}"
