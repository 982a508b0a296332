"""The plain records of the model: a message in a queue, a consumer, and a queue with the settings in force.

Owns: what is where, and in which order the messages of a queue are to leave it.
Refuses to know: events; `model.py` keeps the records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .facts import ChannelName, Facts, Policy

RETURNED, URGENT, NORMAL = "returned", "urgent", "normal"
"""The lanes of a quorum queue."""

Publisher = ChannelName | str
"""A channel, or the name of a queue that keeps its dead letters until others have them."""

NOT_FOR = {
    "classic": {"dead-letter-strategy", "delivery-limit"},
    "stream": {
        *("dead-letter-exchange", "dead-letter-routing-key", "dead-letter-strategy", "delivery-limit"),
        *("expires", "max-length", "message-ttl", "overflow"),
    },
}
"""Type of queue -> keys with which a policy is not for it."""


def best_match(policies: dict[str, Policy], name: str, queue_type: str | None = None) -> dict[str, Any]:
    """The definition of the policy that counts for this name, empty when there is none."""
    wrong = NOT_FOR.get(queue_type or "", set())
    matching = [each for each in policies.values() if re.search(each[0], name) and not wrong & each[2].keys()]
    return max(matching, key=lambda each: each[1])[2] if matching else {}


@dataclass(eq=False)
class Copy:
    """One message in one queue.

    `key`, `copies` and `blind_keys` are what it is routed by; `deaths` its history: queue and reason, oldest
    first; `failures` counts deliveries from quorum queues that failed; `returns` how often it came back here.
    """

    body: bytes
    position: int
    persistent: bool
    priority: int
    key: str
    copies: tuple[str, ...] = ()
    blind_keys: tuple[str, ...] = ()
    label: str | None = None
    published_ns: int = 0
    expires_ns: int | None = None
    deaths: tuple[tuple[str, str], ...] = ()
    failures: int = 0
    returns: int = 0
    is_returned: bool = False
    is_confirmed: bool = False
    is_synced: bool = False
    lane: str = NORMAL
    turn: int = 0
    """When it came into its lane; what came together has the same turn."""
    holder: tuple[str, int] = ("", 0)
    """Who gave it back, and as which one of his: among what came together only that orders."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, *self.copies, *self.blind_keys)


@dataclass(eq=False)
class ModelLetter:
    """A dead letter that its queue keeps: `missing` are the queues that are to have it, `unsynced` those
    where it waits for the disk, `settled` those that have it.

    `tried_ns` is when it was last sent to a queue, `looked_at_ns` when the queue last tried to.
    """

    copy: Copy
    reason: str
    missing: dict[str, None] = field(default_factory=dict)
    unsynced: dict[str, None] = field(default_factory=dict)
    settled: dict[str, None] = field(default_factory=dict)
    is_home: bool = False
    """Whether its own queue has it, which 3.10 does not hear."""
    tried_ns: int | None = None
    looked_at_ns: int | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.settled) and not self.missing and not self.unsynced


@dataclass(eq=False)
class ModelConsumer:
    """A consumer; `unacked` counts what it holds, `served` its deliveries since the last change.

    `unsettled` counts what a quorum queue sent it in this command, to be acknowledged automatically.
    `offset` is where a stream's consumer reads on, `wanted` what it filters by.
    """

    tag: str
    channel: ChannelName
    auto_ack: bool
    prefetch: int
    priority: int
    exclusive: bool
    unacked: int = 0
    unsettled: int = 0
    served: int = 0
    offset: int = 0
    wanted: str | None = None

    @property
    def has_credit(self) -> bool:
        return self.auto_ack or not self.prefetch or self.unacked < self.prefetch

    @property
    def is_waiting(self) -> bool:
        """Whether it surely has credit: no message may pass it by."""
        held = self.unsettled + (self.unacked if self.auto_ack else 0)
        return self.has_credit and not (self.prefetch and held >= self.prefetch)


@dataclass(eq=False)
class ModelQueue:
    """A queue, from its declaration to its end."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    exclusive: bool
    arguments: dict[str, Any]
    facts: Facts
    ready: dict[int, Copy] = field(default_factory=dict)
    unacked: dict[tuple[ChannelName, int], Copy] = field(default_factory=dict)
    on_disk: dict[int, Copy] = field(default_factory=dict)
    spent: dict[int, Copy] = field(default_factory=dict)
    """Came back more often than the delivery limit allows, and have to be dropped."""
    consumers: dict[str, ModelConsumer] = field(default_factory=dict)
    next_position: int = 0
    next_turn: int = 0
    given_up: list[tuple[int | None, str, Copy, str, str | None]] = field(default_factory=list)
    """Dead letters to come: old position, reason, message, dead-letter exchange and routing key."""
    letters: dict[int, ModelLetter] = field(default_factory=dict)
    """Dead letters that must not get lost, in the order in which their messages died."""
    publishers: dict[Publisher, None] = field(default_factory=dict)
    """Who has published here."""
    active: ModelConsumer | None = None
    had_consumers: bool = False
    used_ns: int = 0
    was_full_at: int | None = None
    """How often policies had changed when it last was so full that it refuses publishes."""
    run: list[tuple[Copy, ModelConsumer | None]] = field(default_factory=list)
    """What a quorum queue has given out or dropped in the present step, and to whom."""
    _settings: dict[tuple[int, str], list[Any]] = field(default_factory=dict)

    # -- settings in force

    def _given(self, key: str) -> list[Any]:
        """What argument, operator policy and policy say, in this order."""
        changes = self.facts.policy_changes
        if (changes, key) not in self._settings:
            operator = best_match(self.facts.operator_policies, self.name, self.type)
            policy = best_match(self.facts.policies, self.name, self.type)
            given = (self.arguments.get(f"x-{key}"), operator.get(key), policy.get(key))
            self._settings[changes, key] = [value for value in given if value is not None]
        return self._settings[changes, key]

    def number(self, key: str) -> int | None:
        """A setting that is a number: the lowest counts."""
        return min(self._given(key), default=None)

    def word(self, key: str) -> str | None:
        """A setting that is a word: the first counts, but a quorum queue's overflow is a policy's."""
        given = self._given(key)
        is_own = self.arguments.get(f"x-{key}") is not None
        if self.type == "quorum" and key == "overflow" and is_own and len(given) > 1:
            given = given[1:]
        return next(iter(given), None)

    def delivery_limit(self, *, negative_is_none: bool, default: int | None) -> int | None:
        """The delivery limit; where a negative one is none, any other that is given counts instead of it."""
        given = self._given("delivery-limit")
        if negative_is_none and given:
            return min((each for each in given if each >= 0), default=None)
        return min(given, default=default)

    @property
    def refuses_publishes(self) -> bool:
        overflow = self.word("overflow") or ""
        return overflow == "reject-publish" or (overflow == "reject-publish-dlx" and self.type == "classic")

    @property
    def keeps_letters(self) -> bool:
        is_safe = self.word("dead-letter-strategy") == "at-least-once"
        is_safe = is_safe and self.word("overflow") == "reject-publish"
        return is_safe and self.type == "quorum" and self.word("dead-letter-exchange") is not None

    @property
    def drops_head(self) -> bool:
        return self.type != "stream" and not self.refuses_publishes

    def is_above_limit(self, *, extra: int = 0, extra_bytes: int = 0, fifths: int = 5) -> bool:
        """Whether so much more would exceed the limits, or `fifths` fifths of them."""
        limit, limit_bytes = self.number("max-length"), self.number("max-length-bytes")
        there = [*self.ready.values(), *(letter.copy for letter in self.letters.values())]
        body_bytes = sum(len(copy.body) for copy in there)
        return (limit is not None and len(there) + extra > limit * fifths // 5) or (
            limit_bytes is not None and body_bytes + extra_bytes > limit_bytes * fifths // 5
        )

    def look_at_limits(self) -> None:
        """Note that it is full, if it is."""
        if self.refuses_publishes and self.is_above_limit():
            self.was_full_at = self.facts.policy_changes

    # -- order

    @property
    def max_priority(self) -> int | None:
        return self.arguments.get("x-max-priority")

    @property
    def may_overtake(self) -> bool:
        """Whether what has expired may come to the head unnoticed, until the queue next looks there."""
        return self.max_priority is not None

    def precedes(self, one: Copy, other: Copy) -> bool:
        """Whether `one` has to leave before `other` when both are ready."""
        if self.type == "classic":
            return self._classic_order(one) < self._classic_order(other)
        if one.lane != other.lane:
            return one.lane == RETURNED  # between urgent and normal ones only their number counts
        if one.turn != other.turn:
            return one.turn < other.turn
        return one.holder[0] == other.holder[0] and one.holder[1] < other.holder[1]

    def _classic_order(self, copy: Copy) -> tuple[int, int]:
        return (-min(copy.priority, self.max_priority or 0), copy.position)

    def assert_in_order(self, copies: Iterable[Copy], what: str) -> None:
        """Fail when one of `copies`, in the order in which they leave, has to precede one before it."""
        before: list[Copy] = []
        for copy in copies:
            for earlier in before:
                assert not self.precedes(copy, earlier), f"{what}: {copy} comes after {earlier}"
            before.append(copy)

    def assert_nothing_overtaken(self, gone: Copy, what: object) -> None:
        """Fail when something that is ready had to leave before `gone`."""
        for copy in self.ready.values():
            assert not self.precedes(copy, gone), f"{what} overtakes {copy}"

    def take_turn(self) -> int:
        self.next_turn += 1
        return self.next_turn

    def start_counting_anew(self) -> None:
        for consumer in self.consumers.values():
            consumer.served = 0
