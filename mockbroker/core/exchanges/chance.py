"""Random exchanges: each message goes to one of the bindings, chosen by chance.

Owns: the choice; it is drawn from the broker's one generator, so the seed decides it. Refuses to know: keys
and headers. Source: the README of RabbitMQ's plugin rabbitmq_random_exchange.

Read next: ``core/exchanges/local_random.py``, ``core/node.py`` (`Node.random`).
"""

from __future__ import annotations

from mockbroker.core.exchanges.base import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message


class RandomExchange(Exchange):
    """Routes to the destination of one binding; two bindings to a queue make it twice as likely."""

    __slots__ = ("_targets",)
    type = "x-random"
    routes_by_key = False

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._targets: list[Destination] = []
        """The destinations by binding; empty when they must be listed anew."""

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return one destination; with a single binding nothing is drawn."""
        if not self._targets:
            self._targets = [binding.destination for binding in self._bindings.values()]
        if len(self._targets) < 2:
            return self._targets
        return (self._targets[self.vhost.node.random.randrange(len(self._targets))],)

    def _add(self, binding: Binding) -> None:
        self._targets = []

    def _remove(self, binding: Binding) -> None:
        self._targets = []
