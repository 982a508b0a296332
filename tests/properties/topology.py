"""What programs declare, and what operators set: queues of every kind, exchanges, policies.

Owns: the names and what stands behind them. Refuses to know: who uses them.
"""

from __future__ import annotations

from typing import Any

from .facts import Policy

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
Q_DEAD = {**DEAD, "x-dead-letter-routing-key": "q-dead"}
TO_GRAVEYARD = {"x-dead-letter-exchange": "graveyard"}
KEPT = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}

CLASSIC: dict[str, dict[str, Any]] = {
    "plain": {},
    "durable": {"durable": True},
    "ttl": {"arguments": {"x-message-ttl": 300, **DEAD}},
    "durable-ttl": {"durable": True, "arguments": {"x-message-ttl": 500, **DEAD}},
    "instant": {"arguments": {"x-message-ttl": 0}},
    "short": {"arguments": {"x-max-length": 2, **DEAD}},
    "narrow": {"durable": True, "arguments": {"x-max-length-bytes": 12, **TO_GRAVEYARD}},
    "full": {"arguments": {"x-max-length": 2, "x-overflow": "reject-publish"}},
    "full-dlx": {"arguments": {"x-max-length": 1, "x-overflow": "reject-publish-dlx", **DEAD}},
    "priority": {"durable": True, "arguments": {"x-max-priority": 3, **DEAD}},
    "single": {"arguments": {"x-single-active-consumer": True}},
    "auto": {"auto_delete": True},
    "own": {"exclusive": True},
    "fleeting": {"arguments": {"x-expires": 400}},
    "loop": {"arguments": {"x-message-ttl": 200, **DEAD, "x-dead-letter-routing-key": "loop"}},
    "ping": {
        "durable": True,
        "arguments": {"x-message-ttl": 200, **DEAD, "x-dead-letter-routing-key": "pong"},
    },
    "pong": {"durable": True, "arguments": {"x-max-length": 1, **DEAD, "x-dead-letter-routing-key": "ping"}},
}
QUORUM: dict[str, dict[str, Any]] = {
    name: {"durable": True, "arguments": {"x-queue-type": "quorum", **arguments}}
    for name, arguments in {
        "q-plain": {},
        "q-dead": {},
        "q-twice": {"x-delivery-limit": 2, **Q_DEAD},
        "q-patient": {"x-delivery-limit": -1, **DEAD},
        "q-ttl": {"x-message-ttl": 300, **TO_GRAVEYARD},
        "q-short": {"x-max-length": 2, **Q_DEAD},
        "q-full": {"x-max-length": 3, "x-overflow": "reject-publish"},
        "q-careful": {"x-delivery-limit": 1, **KEPT, **TO_GRAVEYARD},
        "q-kept": {"x-message-ttl": 200, "x-max-length": 3, **KEPT, **Q_DEAD},
        "q-single": {"x-single-active-consumer": True},
        "q-fleeting": {"x-expires": 400},
        "q-loop": {"x-delivery-limit": 1, **DEAD, "x-dead-letter-routing-key": "q-loop"},
    }.items()
}
STREAMS: dict[str, dict[str, Any]] = {
    "log": {"durable": True, "arguments": {"x-queue-type": "stream"}},
    "log-2": {"durable": True, "arguments": {"x-queue-type": "stream", "x-max-length-bytes": 20}},
}

QUEUES = {"dead": {"durable": True}, **CLASSIC, **QUORUM, **STREAMS}
"""The queues that programs declare: name -> how."""

EXCHANGES: dict[str, dict[str, Any]] = {
    "everywhere": {"exchange_type": "fanout", "durable": True},
    "graveyard": {"exchange_type": "direct", "durable": True},
    "topics": {"exchange_type": "topic", "auto_delete": True},
}
"""The exchanges that programs declare: name -> how."""

BINDING_KEYS = {"everywhere": ("",), "graveyard": (), "topics": ("#", "*", "q-*", "plain.#", "log.*")}
"""The keys that queues are bound with; a queue's own name is one more."""

POLICIES: dict[str, Policy] = {
    "short": ("^(plain|durable|q-plain|priority)$", 1, {"max-length": 3}),
    "tiny": ("^(plain|durable|q-plain|full)$", 7, {"max-length": 1, "overflow": "reject-publish"}),
    "brief": ("", 2, {"message-ttl": 250}),
    "buried": ("^[a-oq]", 3, {"dead-letter-exchange": "graveyard", "max-length-bytes": 15}),
    "back": ("", 4, {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}),
    "careful": ("^q-", 9, {"dead-letter-exchange": "", "dead-letter-strategy": "at-least-once"}),
    "mixed": ("", 10, {"max-length": 2, "delivery-limit": 2}),
    "patience": ("^q-", 5, {"delivery-limit": 1}),
    "alternate": ("^(topics|graveyard)$", 6, {"alternate-exchange": "everywhere"}),
    "passing": ("plain$|single$", 8, {"expires": 700}),
}
"""Policies by name."""

OPERATOR_POLICIES: dict[str, Policy] = {
    "cap": ("", 1, {"max-length": 2}),
    "haste": ("", 2, {"message-ttl": 100}),
    "strict": ("^q-", 3, {"delivery-limit": 1}),
}
"""The operator's policies by name."""


def type_of(name: str) -> str:
    """The type of a queue of this name."""
    return str(QUEUES.get(name, {}).get("arguments", {}).get("x-queue-type", "classic"))
