"""Which exchange types there are: those of the broker itself, and those of the plugins that are enabled.

Owns: the register of types and plugins. Refuses to know: what a type does. A type's room is opened when its
first exchange is made.

Read next: ``core/exchanges/base.py``.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mockbroker.core.exchanges.base import Exchange
    from mockbroker.rules import Rules

_CLASSES = {
    "direct": "direct.DirectExchange",
    "fanout": "fanout.FanoutExchange",
    "headers": "headers.HeadersExchange",
    "topic": "topic.TopicExchange",
    "x-consistent-hash": "consistent_hash.ConsistentHashExchange",
    "x-delayed-message": "delayed_message.DelayedMessageExchange",
    "x-local-random": "local_random.LocalRandomExchange",
    "x-modulus-hash": "modulus_hash.ModulusHashExchange",
    "x-random": "chance.RandomExchange",
    "x-recent-history": "recent_history.RecentHistoryExchange",
}
"""Type -> module in this folder and class."""

PLUGINS = {
    "rabbitmq_consistent_hash_exchange": "x-consistent-hash",
    "rabbitmq_delayed_message_exchange": "x-delayed-message",
    "rabbitmq_random_exchange": "x-random",
    "rabbitmq_recent_history_exchange": "x-recent-history",
    "rabbitmq_sharding": "x-modulus-hash",
}
"""Plugin -> the exchange type that it brings. Source: the READMEs of the plugins."""


_opened: dict[str, type[Exchange]] = {}
"""The classes whose rooms are open."""


def exchange_types(rules: Rules, plugins: Iterable[str]) -> tuple[str, ...]:
    """Return the types of a broker with these rules and plugins, by name.

    Raises ValueError for a plugin that is not known here; TypeError for one string in place of several.
    """
    if isinstance(plugins, str):
        raise TypeError(f"plugins must be several names, not the string {plugins!r}")
    enabled = list(plugins)
    if not enabled:
        return rules.exchange_types
    for plugin in enabled:
        if plugin not in PLUGINS:
            raise ValueError(f"there is no plugin {plugin!r}: choose from {', '.join(PLUGINS)}")
    return tuple(sorted({*rules.exchange_types, *(PLUGINS[plugin] for plugin in enabled)}))


def exchange_class(kind: str) -> type[Exchange]:
    """Return the class of an exchange type, one of `exchange_types`."""
    found = _opened.get(kind)
    if found is None:
        module, _, name = _CLASSES[kind].partition(".")
        found = _opened[kind] = getattr(import_module(f"mockbroker.core.exchanges.{module}"), name)
    return found
