"""Policies: settings that an operator gives to queues and exchanges by name.

Owns: what a policy may define, and which one applies to a name. Refuses to know: what a setting does
(``core/queues/``). Source: RabbitMQ documentation, "Parameters and Policies"; recorded area ``policies``.

Read next: ``core/vhost.py``, ``core/queues/settings.py``.
"""

from __future__ import annotations

import re

from mockbroker.core import arguments as args
from mockbroker.core.patterns import compiled, fault_of, matches
from mockbroker.core.refusals import term
from mockbroker.erlang_text import pretty
from mockbroker.errors import HardError, PolicyError, UnreadablePolicyError
from mockbroker.terms import Characters
from mockbroker.values import is_integer, octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from mockbroker.rules import Rules


class Policy:
    """One policy: a pattern of names and what it defines for them."""

    __slots__ = ("_wrong_types", "apply_to", "definition", "name", "pattern", "priority")

    def __init__(
        self,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        priority: float,
        apply_to: str,
        *,
        rules: Rules,
        operator: bool,
    ) -> None:
        faults = [
            *_faults_of_definition(definition, rules, operator=operator),
            *_faults_of_target(apply_to, rules),
            *_faults_of_pattern(pattern),
            *_faults_of_priority(priority),
        ]
        if faults:
            raise PolicyError("\n".join(("Validation failed\n", *faults, "")))
        self.name = name
        self.pattern = pattern
        self._wrong_types = [
            queue_type
            for queue_type, keys in rules.policy_keys_not_for.items()
            if any(key in definition for key in keys)
        ]
        self.definition = dict(definition)
        self.priority = priority
        self.apply_to = apply_to

    def says_the_same_as(self, other: Policy) -> bool:
        """Whether nothing would change if it took the other's place."""
        return all(getattr(self, fact) == getattr(other, fact) for fact in self.__slots__)

    def matches(self, kind: str, queue_type: str, name: str) -> bool:
        """Whether it applies to a queue (of a type) or an exchange of this name; the pattern may match
        anywhere.

        One with a key that is not for a queue's type does not apply to that queue at all. Source: recorded
        scenarios ``policies/keys-of-other-types*``.
        """
        if kind == "queue" and queue_type in self._wrong_types:
            return False
        wanted = self.apply_to
        if wanted not in ("all", f"{kind}s"):
            of_type = {"classic_queues": "classic", "quorum_queues": "quorum", "streams": "stream"}.get(
                wanted
            )
            if kind != "queue" or of_type != queue_type:
                return False
        return matches(self.pattern, name)

    def __repr__(self) -> str:
        return f"<Policy {self.name!r} {self.pattern!r} priority {self.priority}: {self.definition}>"


def best_match(policies: Iterable[Policy], kind: str, queue_type: str, name: str) -> Policy | None:
    """Return the policy that applies to a name: of those that match the one of highest priority."""
    matching = [policy for policy in policies if policy.matches(kind, queue_type, name)]
    return max(matching, key=lambda policy: policy.priority) if matching else None


# -- validation, with the management API's texts; what makes a server's request fail is unreadable


def _whole(least: int | None = 0, most: int | None = None) -> Callable[[Any], bool]:
    return lambda value: (
        is_integer(value) and (least is None or value >= least) and (most is None or value <= most)
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _word(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


def _age(value: Any) -> bool:
    try:
        return args.parse_age_s(value if isinstance(value, str) else "") is not None
    except HardError:
        raise UnreadablePolicyError(f"max-age must begin with a digit, as '7D' does, not {value!r}") from None


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "alternate-exchange": (_text, "alternate exchange name"),
    "consumer-timeout": (_whole(), "consumer timeout"),
    "dead-letter-exchange": (_text, "dead letter exchange name"),
    "dead-letter-routing-key": (_text, "dead letter routing key"),
    "dead-letter-strategy": (_word("at-most-once", "at-least-once"), "dead letter strategy"),
    "delivery-limit": (_whole(), "delivery limit"),
    "expires": (_whole(1), "queue expiry"),
    "initial-cluster-size": (_whole(), "cluster size"),
    "max-age": (_age, "max age"),
    "max-in-memory-bytes": (_whole(), "maximum memory in bytes"),
    "max-in-memory-length": (_whole(), "maximum memory in bytes"),
    "max-length": (_whole(), "maximum length"),
    "max-length-bytes": (_whole(), "maximum length in bytes"),
    "message-ttl": (_whole(), "message TTL"),
    "overflow": (_word("drop-head", "reject-publish", "reject-publish-dlx"), "overflow value"),
    "queue-leader-locator": (_word(*args.LEADER_LOCATORS), "queue leader locator value"),
    "queue-master-locator": (_word(*args.MASTER_LOCATORS), "master locator"),
    "queue-mode": (_word("default", "lazy"), "queue-mode value"),
    "queue-version": (_whole(1, 2), "queue-version value"),
    "stream-filter-size-bytes": (_whole(16, 255), "filter size. Valid range is 16-255"),
    "stream-max-segment-size-bytes": (_whole(0, args.LARGEST_SEGMENT_BYTES), "segment size"),
    "target-group-size": (_whole(1), "qq target count value"),
}
"""Key -> whether a value is one, and what a wrong one is called. In the order of their names, as RabbitMQ
looks at them."""


def _faults_of_definition(definition: Any, rules: Rules, *, operator: bool) -> Iterator[str]:
    """The first wrong value; where there is none, all keys that are not known."""
    if not isinstance(definition, dict):
        raise UnreadablePolicyError(f"the definition must be an object, not {definition!r}")
    if not definition:
        yield "no policy provided"
        return
    known = rules.operator_policy_keys if operator else _CHECKS.keys() - set(rules.unknown_policy_keys)
    for key in _in_order(known, rules):
        if key in definition:
            text = _fault_of_value(key, definition[key], rules)
            if text is not None:
                yield text
                return
    unknown = [(key, definition[key]) for key in sorted(definition, key=str) if key not in known]
    if unknown:
        shown = ",".join(f"{{{term(key)},{term(value)}}}" for key, value in unknown)
        yield f"[{shown}] are not recognised policy settings"


_MASTER_LOCATOR = "queue-master-locator"


def _in_order(keys: Iterable[str], rules: Rules) -> list[str]:
    is_apart = rules.master_locators_are_checked_apart
    return sorted(keys, key=lambda key: (not (is_apart and key == _MASTER_LOCATOR), key))


def _fault_of_value(key: str, value: Any, rules: Rules) -> str | None:
    is_valid, what = _CHECKS[key]
    if key == "delivery-limit" and rules.quorum_negative_delivery_limit_is_none:
        is_valid = _whole(None)
    if is_valid(value):
        return None
    if key == _MASTER_LOCATOR and rules.master_locators_are_checked_apart:
        return f"{term(value)} invalid queue-master-locator value"
    return f"{term(value)} is not a valid {what}"


def _faults_of_target(apply_to: Any, rules: Rules) -> Iterator[str]:
    if apply_to is None or isinstance(apply_to, bool):
        apply_to = {None: "null", True: "true", False: "false"}[apply_to]
    elif apply_to == []:
        apply_to = ""
    if not isinstance(apply_to, str):
        raise UnreadablePolicyError(f"apply-to must be a text, not {apply_to!r}")
    if apply_to not in rules.policy_targets:
        yield f"apply-to '{apply_to}' unrecognised; should be {rules.policy_targets_text}"


def _faults_of_pattern(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, str):
        yield f"pattern should be a binary but was {term(pattern)}"
        return
    try:
        compiled(pattern)
    except re.error as fault:
        words, position = fault_of(pattern, fault)
        head = "pattern should be regular expression but is invalid: "
        yield head + pretty((Characters(octets(words)), position), len(head), unicode=False)


def _faults_of_priority(priority: Any) -> Iterator[str]:
    if isinstance(priority, bool) or not isinstance(priority, int | float):
        yield f"priority should be a number, actually was {term(priority)}"
