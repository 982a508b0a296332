"""Direct exchanges: the binding key equals the routing key. The default exchange is one that every queue is
bound to.

Owns: an index from binding key to destinations. Refuses to know: patterns and headers. Source: AMQP 0-9-1
specification, section 3.1.3; recorded scenarios ``exchanges/direct-*`` and ``exchanges/default-*``.

Read next: ``core/exchanges/topic.py``.
"""

from __future__ import annotations

from mockbroker.core.exchanges.base import CountedDestinations, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost


class DirectExchange(Exchange):
    """Routes to what is bound with exactly the routing key."""

    __slots__ = ("_by_key",)
    type = "direct"

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._by_key: dict[str, CountedDestinations] = {}

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return what is bound with `routing_key`: one look-up."""
        found = self._by_key.get(routing_key)
        return found.counts if found is not None else ()

    def _add(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, CountedDestinations()).add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        found = self._by_key[binding.routing_key]
        found.remove(binding.destination)
        if not found.counts:
            del self._by_key[binding.routing_key]


class DefaultExchange(DirectExchange):
    """The exchange without a name: each queue is reachable by its own name, and nothing can be bound or
    unbound.

    Its routes are no memory but the truth: one for each queue, made when the queue is declared.
    """

    __slots__ = ()

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return the queue of that name."""
        return self.routes.get(routing_key, ())

    def add_queue(self, queue: Queue) -> None:
        """Make a new queue reachable by its name."""
        self.routes[queue.name] = (queue,)

    def remove_queue(self, queue: Queue) -> None:
        """Take a deleted queue out."""
        del self.routes[queue.name]

    def remember(self, routing_key: str, queues: tuple[Queue, ...]) -> None:
        """Nothing: a name without a queue may get one."""

    def forget_routes(self) -> None:
        """Nothing: see the class."""
