"""Headers exchanges: the binding's arguments are compared with the message's headers.

Owns: what ``x-match`` means. Refuses to know: routing keys.
Source: RabbitMQ documentation, "Exchanges: Headers Exchanges"; recorded scenarios ``exchanges/headers-*``.

Read next: ``core/exchanges/base.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.core.exchanges.base import Exchange
from mockbroker.terms import comparable, term_of
from mockbroker.values import LongString, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.exchanges.base import Binding, BindingIdentity, Destination
    from mockbroker.core.vhost import VHost

_MATCH = "x-match"
_KINDS = ("all", "any", "all-with-x", "any-with-x")


class _Matcher:
    """The compiled arguments of one binding."""

    __slots__ = ("any_is_enough", "binding", "pairs")

    def __init__(self, binding: Binding, *, exactly: bool) -> None:
        arguments = binding.arguments
        kind = arguments.get(_MATCH, "all")
        self.binding = binding
        self.any_is_enough = kind in ("any", "any-with-x")
        with_x = kind in ("all-with-x", "any-with-x")
        self.pairs = [
            (name, None if value is None else comparable(term_of(value), exactly=exactly))
            for name, value in arguments.items()
            if name != _MATCH and (with_x or not name.startswith("x-"))
        ]

    def matches(self, headers: dict[str, Any]) -> bool:
        """Whether a message with these (comparable) headers matches; a void value asks for presence alone."""
        results = (
            name in headers and (wanted is None or headers[name] == wanted) for name, wanted in self.pairs
        )
        return any(results) if self.any_is_enough else all(results)


class HeadersExchange(Exchange):
    """Routes by headers; the cost is proportional to the number of bindings."""

    __slots__ = ("_matchers",)
    type = "headers"
    routes_by_key = False

    def __init__(self, vhost: VHost, name: str, **properties: Any) -> None:
        super().__init__(vhost, name, **properties)
        self._matchers: dict[BindingIdentity, _Matcher] = {}

    def check_binding(self, destination: Destination, routing_key: str, arguments: dict[str, Any]) -> None:
        """Refuse an x-match that is no string or none of the four words (SoftError 406)."""
        if _MATCH not in arguments:
            return
        kind, rules = arguments[_MATCH], self.vhost.node.rules
        if not isinstance(kind, str | LongString):
            raise refusals.bad_match_type(kind, rules)
        if kind not in _KINDS:
            raise refusals.bad_match_value(kind, rules)

    def route(self, routing_key: str, headers: dict[str, Any] | None) -> Iterable[Destination]:
        """Return the destinations of all bindings whose arguments match."""
        rules = self.vhost.node.rules
        exactly = not rules.equal_numbers_are_one
        compared = {}
        for name, value in (headers or {}).items():
            is_scaled = rules.headers_count_milliseconds and isinstance(value, Timestamp)
            compared[name] = comparable(term_of(value * 1000 if is_scaled else value), exactly=exactly)
        return {
            matcher.binding.destination: None
            for matcher in self._matchers.values()
            if matcher.matches(compared)
        }

    def _add(self, binding: Binding) -> None:
        exactly = not self.vhost.node.rules.equal_numbers_are_one
        self._matchers[binding.identity] = _Matcher(binding, exactly=exactly)

    def _remove(self, binding: Binding) -> None:
        del self._matchers[binding.identity]
