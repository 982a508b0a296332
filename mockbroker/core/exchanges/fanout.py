"""Fanout exchanges: every destination gets every message.

Owns: the destinations in the order of their binding. Refuses to know: keys and headers.
Source: AMQP 0-9-1 specification, section 3.1.3; recorded scenario ``exchanges/fanout-ignores-key``.

Read next: ``core/exchanges/base.py``.
"""

from __future__ import annotations

from mockbroker.core.exchanges.base import CountedDestinations, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.vhost import VHost


class FanoutExchange(Exchange):
    """Routes to everything that is bound, whatever the keys."""

    __slots__ = ("_destinations",)
    type = "fanout"

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._destinations = CountedDestinations()

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return all destinations."""
        return self._destinations.counts

    def _add(self, binding: Binding) -> None:
        self._destinations.add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        self._destinations.remove(binding.destination)
