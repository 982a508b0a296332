"""Modulus-hash exchanges: the hash of the routing key, modulo the number of bindings, chooses one of them.

Owns: the order in which bindings are counted. Refuses to know: how Erlang hashes, and the sharding of queues
that the plugin was made for.
Source: the README of RabbitMQ's plugin rabbitmq_sharding; recorded scenarios ``exchanges/modulus-hash-*``.

Read next: ``core/exchanges/erlang.py``.
"""

from __future__ import annotations

from mockbroker.core.exchanges.base import Exchange, by_binding
from mockbroker.core.exchanges.erlang import phash2
from mockbroker.terms import term_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message


class ModulusHashExchange(Exchange):
    """Routes to one destination, by hash of all routing keys; binding keys decide the order only."""

    __slots__ = ("_targets",)
    type = "x-modulus-hash"

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._targets: list[Destination] = []
        """The destinations by binding; empty when they must be listed anew."""

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return the one destination that the hash chooses."""
        if not self._targets:
            ordered = sorted(self._bindings.values(), key=by_binding)
            self._targets = [binding.destination for binding in ordered]
        if not self._targets:
            return ()
        return (self._targets[phash2([term_of(key) for key in routing_keys]) % len(self._targets)],)

    def _add(self, binding: Binding) -> None:
        self._targets = []

    def _remove(self, binding: Binding) -> None:
        self._targets = []
