"""Local random exchanges: like random ones, for classic queues on the publisher's node. There is one node.

Owns: what may be bound. Refuses to know: how the choice is made. Source: RabbitMQ documentation, "Local
Random Exchange" (4.0); recorded scenarios ``exchanges/local-random-*``.

Read next: ``core/exchanges/chance.py``.
"""

from __future__ import annotations

from mockbroker.core.exchanges.chance import RandomExchange
from mockbroker.errors import SoftError
from mockbroker.values import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.exchanges.base import Destination


class LocalRandomExchange(RandomExchange):
    """Routes to one of the classic queues that are bound with the empty key."""

    __slots__ = ()
    type = "x-local-random"

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse a binding key, an exchange, and a queue of another type (SoftError 406)."""
        if routing_key:
            shown = octets(routing_key).decode("latin-1")
            raise SoftError("PRECONDITION_FAILED", f"Non empty binding '{shown}' key not permitted")
        if destination.kind != "queue":
            raise SoftError("PRECONDITION_FAILED", "Destination not found")
        if destination.type != "classic":
            raise SoftError(
                "PRECONDITION_FAILED",
                f"Queue type rabbit_{destination.type}_queue not valid for this exchange type",
            )
