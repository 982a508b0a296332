"""Where a message has to go: the bindings there are, and what can be reached through them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mockbroker import events

from .facts import Facts
from .records import ModelQueue, best_match


def _matches(kind: str, pattern: str, key: str) -> bool:
    """Whether a binding of an exchange of this type takes a routing key."""
    if kind != "topic":
        return kind == "fanout" or pattern == key
    words = [
        {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}.get(word, re.escape(f".{word}"))
        for word in pattern.split(".")
    ]
    return re.fullmatch("".join(words), f".{key}") is not None


class Bindings:
    """The exchanges and bindings of the virtual host, as the trace tells of them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.exchanges: dict[str, events.ExchangeDeclared] = {}
        self._bindings: dict[tuple[str, str, str, str], None] = {}
        self._had_bindings: dict[str, None] = {}

    def on_ExchangeDeclared(self, event: events.ExchangeDeclared) -> None:
        assert event.exchange not in self.exchanges
        self.exchanges[event.exchange] = event

    def on_ExchangeDeleted(self, event: events.ExchangeDeleted) -> None:
        del self.exchanges[event.exchange]
        self._had_bindings.pop(event.exchange, None)
        # The bindings of an exchange that is deleted go with it without a word.
        self._bindings = {each: None for each in self._bindings if each[0] != event.exchange}

    def on_Bound(self, event: events.Bound) -> None:
        binding = (event.source, event.destination_kind, event.destination, event.routing_key)
        assert binding not in self._bindings
        self._bindings[binding] = None
        self._had_bindings[event.source] = None

    def on_Unbound(self, event: events.Unbound) -> None:
        del self._bindings[event.source, event.destination_kind, event.destination, event.routing_key]

    def _alternate(self, exchange: str) -> str | None:
        return best_match(self._facts.policies, exchange).get("alternate-exchange")

    def reached(self, exchange: str, keys: Iterable[str], queues: Mapping[str, ModelQueue]) -> list[str]:
        """The queues, of those there are, that a message with these keys has to reach, in order."""
        keys = tuple(keys)
        names = queues.keys() & keys if not exchange else self._bound(exchange, keys)
        return sorted(names, key=lambda name: (queues[name].type, name))

    def _bound(self, exchange: str, keys: tuple[str, ...]) -> set[str]:
        reached: set[tuple[str, str]] = set()
        ahead = [("exchange", exchange)]
        while ahead:
            place = ahead.pop()
            if place in reached:
                continue
            reached.add(place)
            kind, name = place
            if kind == "exchange" and name in self.exchanges:
                found = [
                    (to_kind, to)
                    for source, to_kind, to, pattern in self._bindings
                    if source == name
                    and any(_matches(self.exchanges[name].type, pattern, key) for key in keys)
                ]
                alternate = self._alternate(name)
                ahead += found or ([("exchange", alternate)] if alternate else [])
        return {name for kind, name in reached if kind == "queue"}

    def check(self) -> None:
        """Nothing is bound to what is gone; an exchange that deletes itself goes with its last binding."""
        for source, kind, destination, _ in self._bindings:
            assert source in self.exchanges
            assert kind != "exchange" or destination in self.exchanges
        sources = {source for source, *_ in self._bindings}
        for exchange in self._had_bindings:
            assert exchange in sources or not self.exchanges[exchange].auto_delete, (
                f"{exchange} should be gone"
            )
