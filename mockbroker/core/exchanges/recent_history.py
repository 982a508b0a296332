"""Recent-history exchanges: a fanout whose last messages are handed to each queue that is bound later.

Owns: the history of one exchange. Refuses to know: keys.
Source: the README of RabbitMQ's plugin rabbitmq_recent_history_exchange; recorded scenarios
``exchanges/recent-history-*``.

Read next: ``core/exchanges/fanout.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.core import refusals
from mockbroker.core.exchanges.base import Exchange, postponed
from mockbroker.core.exchanges.fanout import FanoutExchange
from mockbroker.errors import HardError, SoftError
from mockbroker.values import type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message

_LENGTH = "x-recent-history-length"
_NO_STORE = "x-recent-history-no-store"
_USUAL_LENGTH = 20
_INTEGERS = ("byte", "short", "signedint", "long")
"""The types that the length may have."""


class RecentHistoryExchange(FanoutExchange):
    """Routes to everything that is bound, and keeps the last messages; a restart forgets them."""

    __slots__ = ("_history",)
    type = "x-recent-history"
    routes_by_key = False

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        length = int(self.arguments.get(_LENGTH, _USUAL_LENGTH))
        self._history: deque[tuple[int, tuple[str, ...], Message]] = deque(maxlen=length)
        """When each message came, its routing keys and the message, the oldest first."""

    @classmethod
    def check_declaration(cls, vhost: VHost, arguments: dict[str, Any]) -> None:
        """Refuse a length that is no integer above 0 (SoftError 406)."""
        if _LENGTH not in arguments:
            return
        length = arguments[_LENGTH]
        if type_name(length) not in _INTEGERS or length < 1:
            before = "Invalid argument "
            shown = refusals.printed(length, vhost.node.rules, len(before))
            raise SoftError("PRECONDITION_FAILED", f"{before}{shown}, '{_LENGTH}' must be a positive integer")

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse an exchange that has no queue for a message of the history (HardError 541)."""
        if isinstance(destination, Exchange):
            for _, keys, message in self._history:
                if not self.vhost.find_route_unasked(destination, keys, message):
                    if self.vhost.node.rules.says_that_history_has_no_queue:
                        raise HardError("INTERNAL_ERROR", "could not find queue/exchange ''")
                    raise refusals.internal_error()

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return all destinations; the message enters the history, unless its header says not to."""
        headers = (message[3] or {}).get("headers") or {} if message is not None else {}
        if message is not None and headers.get(_NO_STORE) is not True:
            self._history.append((self.vhost.node.clock.now_ns, tuple(routing_keys), message))
        return super().destinations(routing_keys, message)

    def _add(self, binding: Binding) -> None:
        super()._add(binding)
        destination = binding.destination
        if isinstance(destination, Exchange):
            # RabbitMQ differs: another exchange is given the history backwards.
            for since_ns, keys, message in reversed(self._history):
                queues = self.vhost.find_route_unasked(destination, keys, message)
                self.vhost.node.later(self._replay, queues, since_ns, message)
        else:
            for since_ns, _, message in self._history:
                self.vhost.node.later(self._replay, (destination,), since_ns, message)

    def _replay(self, queues: tuple[Queue, ...], since_ns: int, message: Message) -> None:
        message = postponed(message, self.vhost.node.clock.now_ns - since_ns)
        trace = self.vhost.node.trace
        if trace is not None:
            trace.released(self, message, queues)
        for queue in queues:
            if not queue.is_deleted:
                queue.publish(message)

    def survive(self) -> None:
        """Forget the history: it was in memory only."""
        self._history.clear()
