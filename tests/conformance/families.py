"""The families of random conversations: what their queues are like, and which steps they prefer.

Owns: weights, and the choice of arguments.
Refuses to know: the conversation; a generator is asked for chances and names.

Read next: ``generator.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .generator import Generator

Arguments = dict[str, Any]

SHORT_TTL_MS = 250
"""A time to live that a test can wait for."""
SHORT_WAIT_S = 0.6
"""Longer than the short time to live, with room for a real server's delay."""


class Family(NamedTuple):
    """What sets a kind of conversation apart: its queues' arguments, and how often some steps are chosen."""

    queue_arguments: Callable[[Generator], Arguments]
    weights: dict[str, float]
    needs_server_alone: bool = False
    """Whether it changes more than its own virtual host and users, so that nothing may run beside it."""
    is_durable: bool = False
    """Whether most of what it makes is durable."""


BASE_WEIGHTS: dict[str, float] = {
    "publish": 30,
    "consume": 8,
    "cancel": 2,
    "get": 7,
    "settle": 26,
    "recover": 1,
    "qos": 4,
    "declare queue": 5,
    "declare server-named queue": 0.7,
    "redeclare": 1.5,
    "delete queue": 1,
    "count": 5,
    "purge": 1.5,
    "bind": 7,
    "declare exchange": 3,
    "delete exchange": 0.7,
    "bind exchange": 2.5,
    "connect": 3,
    "close connection": 1,
    "open channel": 6,
    "close channel": 1.2,
    "select mode": 4,
    "end transaction": 4,
    "reply": 0.8,
    "policy": 0,
    "operator policy": 0,
    "user": 0,
    "permissions": 0,
    "limit": 0,
    "alarm": 0,
    "restart": 0,
    "wait": 0,
    "mistake": 1.5,
}


def plain_arguments(generator: Generator) -> Arguments:
    """Length limits, dead-lettering, single active consumer and priorities, each now and then."""
    arguments: Arguments = {}
    if generator.chance(0.3):
        arguments["x-max-length"] = generator.rng.randint(0, 4)
        if generator.chance(0.6):
            arguments["x-overflow"] = generator.rng.choice(
                ["drop-head", "reject-publish", "reject-publish-dlx"]
            )
    if generator.chance(0.08):
        arguments["x-max-length-bytes"] = generator.rng.randint(0, 8)
    if generator.chance(0.3):
        arguments |= dead_letter_arguments(generator)
    if generator.chance(0.1):
        arguments["x-max-priority"] = generator.rng.choice([1, 5, 10])
    if generator.chance(0.1):
        arguments["x-single-active-consumer"] = True
    return arguments


def dead_letter_arguments(generator: Generator) -> Arguments:
    """Dead-lettering to the default exchange or one that may exist, with a key of its own now and then."""
    target = generator.pick({"", "amq.fanout", *generator.exchanges, generator.pick_exchange_name()})
    arguments: Arguments = {"x-dead-letter-exchange": target}
    if generator.chance(0.7):
        arguments["x-dead-letter-routing-key"] = generator.pick_queue_name()
    return arguments


def ttl_arguments(generator: Generator) -> Arguments:
    """Times to live: none, short, long; queues that expire; dead-lettering often."""
    arguments: Arguments = {}
    if generator.chance(0.5):
        arguments["x-message-ttl"] = generator.rng.choice([0, SHORT_TTL_MS, 60_000])
    if generator.chance(0.08):
        arguments["x-expires"] = 60_000
    if generator.chance(0.6):
        arguments |= dead_letter_arguments(generator)
    if generator.chance(0.15):
        arguments["x-max-length"] = generator.rng.randint(1, 3)
    if generator.chance(0.25):
        arguments["x-queue-type"] = "quorum"
    elif generator.chance(0.15):
        arguments["x-max-priority"] = 5
    return arguments


def quorum_arguments(generator: Generator) -> Arguments:
    """Quorum queues, with a classic one beside them now and then."""
    if generator.chance(0.2):
        return plain_arguments(generator)
    arguments: Arguments = {"x-queue-type": "quorum"}
    if generator.chance(0.4):
        arguments["x-delivery-limit"] = generator.rng.randint(least_delivery_limit(generator), 3)
    if generator.chance(0.3):
        arguments["x-max-length"] = generator.rng.randint(1, 4)
        if generator.chance(0.5):
            arguments["x-overflow"] = generator.rng.choice(["drop-head", "reject-publish"])
    if generator.chance(0.4):
        arguments |= dead_letter_arguments(generator)
    if generator.chance(0.15):
        arguments["x-single-active-consumer"] = True
    return arguments


def keeps_letters(generator: Generator) -> bool:
    """Whether the conversation is about dead letters that are kept."""
    return generator.family is FAMILIES["letters"]


def least_delivery_limit(generator: Generator) -> int:
    """Return the least delivery limit: with kept letters none is negative (see docs/differences.md)."""
    return 0 if keeps_letters(generator) else -1


def letter_arguments(generator: Generator) -> Arguments:
    """Quorum queues that keep their dead letters, with queues that may refuse these beside them."""
    if generator.chance(0.3):
        return dead_letter_only(generator)
    arguments = quorum_arguments(generator) | dead_letter_arguments(generator)
    arguments["x-queue-type"] = "quorum"
    if generator.chance(0.8):
        arguments["x-dead-letter-strategy"] = "at-least-once"
    if generator.chance(0.8):
        arguments["x-overflow"] = "reject-publish"
    arguments.pop("x-max-priority", None)
    return arguments


def priority_arguments(generator: Generator) -> Arguments:
    """Priority queues, with limits and dead-lettering now and then."""
    arguments = plain_arguments(generator) if generator.chance(0.4) else {}
    arguments["x-max-priority"] = generator.rng.choice([1, 3, 5, 10])
    return arguments


def dead_letter_only(generator: Generator) -> Arguments:
    """Queues that dead-letter to one another, with limits that push messages on."""
    arguments = dead_letter_arguments(generator) if generator.chance(0.85) else {}
    if generator.chance(0.35):
        arguments["x-max-length"] = generator.rng.randint(0, 2)
    if generator.chance(0.25):
        arguments["x-overflow"] = "reject-publish-dlx"
    if generator.chance(0.2):
        arguments["x-message-ttl"] = generator.rng.choice([0, 60_000])
    return arguments


def stream_arguments(generator: Generator) -> Arguments:
    """Streams, with a classic queue beside them now and then."""
    return {"x-queue-type": "stream"} if generator.chance(0.75) else {}


def restart_arguments(generator: Generator) -> Arguments:
    """Every type of queue, with limits and dead-lettering; no time to live, as a restart takes time."""
    return _of_some_type(generator, [6, 3, 1])


def mixed_arguments(generator: Generator) -> Arguments:
    """Every type of queue: a policy or a commit may mean something else for each."""
    return _of_some_type(generator, [5, 4, 1])


def _of_some_type(generator: Generator, weights: list[int]) -> Arguments:
    kind = generator.rng.choices([plain_arguments, quorum_arguments, stream_arguments], weights)[0]
    return kind(generator)


def policy_definition(generator: Generator) -> Arguments:
    """What a policy may ask of queues."""
    definition = limits_definition(generator)
    if "max-length" in definition and generator.chance(0.5):
        definition["overflow"] = generator.rng.choice(["drop-head", "reject-publish", "reject-publish-dlx"])
    if generator.chance(0.4):
        definition |= {key[len("x-") :]: value for key, value in dead_letter_arguments(generator).items()}
        if keeps_letters(generator) and generator.chance(0.5):
            definition["dead-letter-strategy"] = generator.rng.choice(["at-least-once", "at-most-once"])
    return definition or {"max-length": 2}


def limits_definition(generator: Generator) -> Arguments:
    """The part of a policy that an operator may ask for as well; empty now and then."""
    definition: Arguments = {}
    if generator.chance(0.5):
        definition["max-length"] = generator.rng.randint(1, 4)
    if generator.chance(0.1):
        definition["max-length-bytes"] = generator.rng.randint(2, 8)
    if generator.chance(0.2):
        definition["message-ttl"] = generator.rng.choice([0, 60_000])
    if generator.chance(0.2):
        definition["delivery-limit"] = generator.rng.randint(least_delivery_limit(generator), 3)
    if generator.chance(0.05):
        definition["expires"] = 60_000
    return definition


FAMILIES: dict[str, Family] = {
    "plain": Family(plain_arguments, {}),
    "ttl": Family(ttl_arguments, {"wait": 3}),
    "policy": Family(mixed_arguments, {"policy": 10, "operator policy": 4, "declare queue": 8}),
    "quorum": Family(quorum_arguments, {"settle": 32}),
    "priority": Family(priority_arguments, {}),
    "letters": Family(letter_arguments, {"settle": 36, "policy": 5, "get": 12}),
    "dlx": Family(dead_letter_only, {"settle": 32}),
    "tx": Family(mixed_arguments, {"select mode": 9, "end transaction": 14}),
    "streams": Family(stream_arguments, {"qos": 8, "consume": 12}),
    "access": Family(plain_arguments, {"user": 3, "permissions": 7, "limit": 3, "connect": 8, "bind": 10}),
    "alarms": Family(plain_arguments, {"alarm": 5, "connect": 5}, needs_server_alone=True),
    "restarts": Family(restart_arguments, {"restart": 3}, needs_server_alone=True, is_durable=True),
}
"""Name -> kind of conversation."""
