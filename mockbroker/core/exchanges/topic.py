"""Topic exchanges: patterns of words. ``*`` stands for one word, ``#`` for zero or more.

Owns: a trie over the words of the binding keys. Refuses to know: anything but words; an empty word is one
too. Source: AMQP 0-9-1 specification, section 3.1.3; recorded scenarios ``exchanges/topic-*``.

A node is a dict from word to node; its destinations stand under the key None, which no word equals.

Read next: ``core/exchanges/base.py``.
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

    Node = dict[str | None, Any]


def _words(key: str) -> list[str]:
    """The words of a key; an empty key has none, not one empty word."""
    return key.split(".") if key else []


class TopicExchange(Exchange):
    """Routes to what is bound with a pattern that the routing key matches.

    The cost grows with the words of the key and the ``#`` on the way, hardly with the number of bindings.
    """

    __slots__ = ("_lent", "_root")
    type = "topic"

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._root: Node = {}
        self._lent: dict[object, dict[str, tuple[Queue, ...]]] = {}
        """The memories that channels keep of its routes, until these change."""

    def lend(self, borrower: object, routes: dict[str, tuple[Queue, ...]]) -> None:
        """See `Exchange.lend`."""
        self._lent[borrower] = routes

    def take_back(self, borrower: object) -> None:
        """See `Exchange.take_back`."""
        self._lent.pop(borrower, None)

    def forget_routes(self) -> None:
        """Drop the memory of routes, the exchange's and the channels'."""
        super().forget_routes()
        for routes in self._lent.values():
            routes.clear()
        self._lent.clear()

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return the destinations of all patterns that match."""
        words = _words(routing_key)
        end = len(words)
        found: dict[Destination, int] = {}
        stack: list[tuple[Node, int]] = [(self._root, 0)]
        seen: set[tuple[int, int]] = set()  # (node, words used) behind a '#': several ways may lead there
        pop, push = stack.pop, stack.append
        while stack:
            node, used = pop()
            many = node.get("#")
            if many is not None:
                if (here := many.get(None)) is not None:
                    found.update(here.counts)
                if len(many) > (here is not None):
                    for rest in range(used, end + 1):
                        if (id(many), rest) not in seen:
                            seen.add((id(many), rest))
                            push((many, rest))
            if used == end:
                if (here := node.get(None)) is not None:
                    found.update(here.counts)
                continue
            if (following := node.get(words[used])) is not None and words[used] not in ("*", "#"):
                push((following, used + 1))
            if (following := node.get("*")) is not None:
                push((following, used + 1))
        return found

    def _add(self, binding: Binding) -> None:
        node = self._root
        for word in _words(binding.routing_key):
            node = node.setdefault(word, {})
        if None not in node:
            node[None] = CountedDestinations()
        node[None].add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        path = [self._root]
        words = _words(binding.routing_key)
        for word in words:
            path.append(path[-1][word])
        destinations = path[-1][None]
        destinations.remove(binding.destination)
        if not destinations.counts:
            del path[-1][None]
        for parent, word in zip(reversed(path[:-1]), reversed(words), strict=True):
            if parent[word]:
                break
            del parent[word]
