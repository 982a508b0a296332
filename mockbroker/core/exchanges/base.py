"""What all exchange types share: properties, bindings, and the memory of routes.

Owns: the bindings of one exchange as their source, and the routes found so far. Refuses to know: how keys
match (each type's room) and what happens to a message that is routed. `route` answers destinations and never
delivers.

Read next: ``core/exchanges/topic.py``, ``core/vhost.py``.
"""

from __future__ import annotations

from mockbroker.terms import table_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeAlias

    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message
    from mockbroker.terms import Identity

    Destination: TypeAlias = "Queue | Exchange"
    BindingIdentity: TypeAlias = "tuple[str, str, str, Identity]"

ROUTES_KEPT = 10_000
"""How many routes an exchange remembers before it forgets them all: programs that never repeat a key stay
small."""


class Binding:
    """One binding. Two bindings are the same when source, destination, key and arguments are.

    The type of an argument counts: 5 in 32 bits is another one than 5 in 64 bits.
    """

    __slots__ = ("arguments", "destination", "routing_key", "source")

    def __init__(
        self, source: Exchange, destination: Destination, routing_key: str, arguments: dict[str, Any]
    ) -> None:
        self.source = source
        self.destination = destination
        self.routing_key = routing_key
        self.arguments = arguments

    @property
    def identity(self) -> BindingIdentity:
        """What tells bindings of one source apart, in a form that sorts."""
        destination, arguments = self.destination, self.arguments
        if not arguments:
            return (destination.kind, destination.name, self.routing_key, ())
        exactly = not self.source.vhost.node.rules.equal_numbers_are_one
        identity = table_identity(arguments, exactly=exactly)
        return (destination.kind, destination.name, self.routing_key, identity)

    def __repr__(self) -> str:
        return f"<Binding {self.source.name!r} -> {self.destination.name!r} key={self.routing_key!r}>"


def by_binding(binding: Binding) -> tuple[bytes, str, bytes, Identity]:
    """The order in which RabbitMQ keeps the bindings of one exchange, as a key to sort by."""
    kind, name, routing_key, arguments = binding.identity
    return (routing_key.encode(), kind, name.encode(), arguments)


def postponed(message: Message, by_ns: int) -> Message:
    """Return a message whose time to live begins so much later."""
    if message[4] is None:
        return message
    return (*message[:4], message[4] + by_ns)


class Exchange:
    """An exchange of one virtual host. A type's class says how `route` finds destinations for one key, or how
    `destinations` does for a message, when it looks at more of it.

    Invariant: `routes` holds only what `VHost.find_route` would find now; whoever changes a binding forgets
    the routes.
    """

    __slots__ = (
        "_bindings",
        "alternate",
        "arguments",
        "auto_delete",
        "durable",
        "internal",
        "name",
        "routes",
        "vhost",
    )
    kind = "exchange"
    type = ""

    def __init__(
        self,
        vhost: VHost,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.vhost = vhost
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments or {}
        self.alternate: str | None = None
        """The alternate exchange in force, by argument or policy; `VHost` keeps it up to date."""
        self.routes: dict[str, tuple[Queue, ...]] = {}
        self._bindings: dict[BindingIdentity, Binding] = {}

    @property
    def routes_by_key(self) -> bool:
        """Whether the routing key alone decides; otherwise nothing is remembered."""
        return True

    @classmethod
    def check_declaration(cls, vhost: VHost, arguments: dict[str, Any]) -> None:
        """Refuse arguments that an exchange of this type cannot have (SoftError 406)."""

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return this exchange's own destinations for a message, each once, in a fixed order.

        The message's own routing key comes first, then those of its copies. `message` is None when only the
        key matters.
        """
        properties = None if message is None else message[3]
        headers = None if properties is None else properties.get("headers")
        if len(routing_keys) == 1:
            return self.route(routing_keys[0], headers)
        found: dict[Destination, None] = {}
        for key in routing_keys:
            found.update(dict.fromkeys(self.route(key, headers)))
        return found

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return the destinations for one routing key."""
        raise NotImplementedError

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse a binding that this exchange cannot have (SoftError 406)."""

    def bind(self, binding: Binding) -> bool:
        """Add a binding; return False when it was there already."""
        identity = binding.identity
        if identity in self._bindings:
            return False
        self._bindings[identity] = binding
        self._add(binding)
        return True

    def unbind(self, binding: Binding) -> bool:
        """Remove the binding that is the same as `binding`; return False when there was none."""
        there = self._bindings.pop(binding.identity, None)
        if there is None:
            return False
        self._remove(there)
        return True

    def _add(self, binding: Binding) -> None:
        raise NotImplementedError

    def _remove(self, binding: Binding) -> None:
        raise NotImplementedError

    @property
    def bindings(self) -> list[Binding]:
        """The bindings from this exchange, oldest first."""
        return list(self._bindings.values())

    @property
    def has_bindings(self) -> bool:
        """Whether anything is bound: what if_unused asks for."""
        return bool(self._bindings)

    def remember(self, routing_key: str, queues: tuple[Queue, ...]) -> None:
        """Keep a route that was found."""
        if len(self.routes) >= ROUTES_KEPT:
            self.routes.clear()
        self.routes[routing_key] = queues

    def forget_routes(self) -> None:
        """Drop the memory of routes: something that they depend on has changed."""
        self.routes.clear()

    def lend(self, borrower: object, routes: dict[str, tuple[Queue, ...]]) -> None:
        """Let somebody keep some of the routes in a memory of his own: `forget_routes` empties that, too."""

    def take_back(self, borrower: object) -> None:
        """He has no use for it any more."""

    def survive(self) -> None:
        """Keep what a restart leaves: the bindings in any case."""

    def check(self) -> None:
        """Assert the exchange's invariants."""
        for identity, binding in self._bindings.items():
            assert binding.identity == identity, f"{binding!r} is filed under {identity!r}"
            assert binding.source is self, f"{binding!r} is in the book of {self.name!r}"
        for key, queues in self.routes.items():
            found = self.vhost.find_route(self, (key,), None)
            assert queues == found, f"exchange {self.name!r} remembers {queues!r} for {key!r}, not {found!r}"

    def __repr__(self) -> str:
        flags = [name for name in ("durable", "auto_delete", "internal") if getattr(self, name)]
        shown = f" {' '.join(flags)}" if flags else ""
        return f"<Exchange {self.name!r} {self.type}{shown}, {len(self._bindings)} bindings>"


class CountedDestinations:
    """Destinations with the number of bindings that lead to each: one is gone with its last binding."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[Destination, int] = {}

    def add(self, destination: Destination) -> None:
        """Count one more binding to `destination`."""
        self.counts[destination] = self.counts.get(destination, 0) + 1

    def remove(self, destination: Destination) -> None:
        """Count one binding less."""
        if self.counts[destination] == 1:
            del self.counts[destination]
        else:
            self.counts[destination] -= 1
