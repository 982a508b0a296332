"""Consistent-hash exchanges: the binding key is a weight, and a hash of the message chooses one destination.

Owns: the ring, and what of a message is hashed. Refuses to know: how Erlang hashes.
Source: the README of RabbitMQ's plugin rabbitmq_consistent_hash_exchange; recorded scenarios
``exchanges/consistent-hash-*``.

Read next: ``core/exchanges/erlang.py``.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from mockbroker.core import refusals
from mockbroker.core.exchanges.base import Exchange, by_binding
from mockbroker.core.exchanges.erlang import ERLANG_INTEGER, jump_consistent_hash, phash2
from mockbroker.errors import SoftError
from mockbroker.terms import UNDEFINED, term_of, typed
from mockbroker.values import Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, Destination
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message

_HEADER = "hash-header"
_PROPERTY = "hash-property"
_PROPERTIES = ("correlation_id", "message_id", "timestamp")


class ConsistentHashExchange(Exchange):
    """Routes to one destination, by hash of the routing key, of a header or of a property.

    The ring counts a destination once: with the weight of the first binding to it. When any binding to a
    destination goes, all its buckets go. Cost of a route: the logarithm of the sum of weights.
    """

    __slots__ = ("_ends", "_ring")
    type = "x-consistent-hash"

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._ring: dict[Destination, int] = {}
        """Destination -> how many buckets it has, in the order of the ring."""
        self._ends: list[int] = []
        """For each destination of the ring, the first bucket behind its own; empty when it must be counted
        anew."""

    @property
    def routes_by_key(self) -> bool:
        """Whether it hashes the routing key."""
        return _HEADER not in self.arguments and _PROPERTY not in self.arguments

    @classmethod
    def check_declaration(cls, vhost: VHost, arguments: dict[str, Any]) -> None:
        """Refuse a property that cannot be hashed, and a header beside a property (SoftError 406).

        A name that is no string is a HardError 541.
        """
        for name in (_HEADER, _PROPERTY):
            if not isinstance(arguments.get(name, ""), str):
                raise refusals.internal_error()
        if _HEADER in arguments and _PROPERTY in arguments:
            raise SoftError("PRECONDITION_FAILED", f"{_HEADER} and {_PROPERTY} are mutually exclusive")
        if _PROPERTY in arguments and arguments[_PROPERTY] not in _PROPERTIES:
            raise SoftError("PRECONDITION_FAILED", f"Unsupported property: {arguments[_PROPERTY]}")

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse a binding key that is no integer above 0 (SoftError 406)."""
        if not ERLANG_INTEGER.fullmatch(routing_key):
            before = "The binding key must be an integer: "
            shown = refusals.printed(routing_key, self.vhost.node.rules, len(before))
            raise SoftError("PRECONDITION_FAILED", before + shown)
        if int(routing_key) < 1:
            raise SoftError("PRECONDITION_FAILED", "The binding key must be greater than 0")

    def destinations(self, routing_keys: Sequence[str], message: Message | None) -> Iterable[Destination]:
        """Return the one destination that the hash chooses; of several routing keys the first one counts.

        Raises HardError 541 for an empty array or table in the header, where the rules hash what it begins
        with.
        """
        if not self._ends:
            self._ends = list(accumulate(self._ring.values()))
        if not self._ends:
            return ()
        if self._ends[-1] == 1:
            return self._ring
        bucket = jump_consistent_hash(self._hash(routing_keys, message), self._ends[-1])
        return (list(self._ring)[bisect_right(self._ends, bucket)],)

    def _hash(self, routing_keys: Sequence[str], message: Message | None) -> int:
        """Return the hash of what the arguments name."""
        if self.routes_by_key or message is None:
            return phash2(term_of(routing_keys[0]))
        properties = message[3] or {}
        if _PROPERTY in self.arguments:
            value = properties.get(self.arguments[_PROPERTY])
            return phash2(UNDEFINED if value is None else term_of(str(value)))
        headers = properties.get("headers") or {}
        name = self.arguments[_HEADER]
        if name not in headers:
            return phash2(UNDEFINED)
        value = headers[name]
        if self.vhost.node.rules.hashes_headers_with_type:
            return phash2(typed(value))
        if isinstance(value, Timestamp):
            return value * 1000
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        term = term_of(value)
        if term == []:
            raise refusals.internal_error()
        return phash2(term[0] if isinstance(term, list) else term)

    def _add(self, binding: Binding) -> None:
        self._ring.setdefault(binding.destination, int(binding.routing_key))
        self._ends.clear()

    def _remove(self, binding: Binding) -> None:
        self._ring.pop(binding.destination, None)
        self._ends.clear()

    def survive(self) -> None:
        """Build the ring anew from the bindings that are left, by key and destination."""
        self._ring.clear()
        for binding in sorted(self._bindings.values(), key=by_binding):
            self._add(binding)

    def check(self) -> None:
        """Assert the exchange's invariants."""
        super().check()
        bound = [binding.destination for binding in self._bindings.values()]
        for destination, weight in self._ring.items():
            assert destination in bound, f"{destination!r} has buckets of {self!r} and is not bound"
            assert weight > 0, f"{destination!r} has {weight} buckets of {self!r}"
        assert not self._ends or self._ends == list(accumulate(self._ring.values())), f"{self!r} counts wrong"
