"""Policies: settings that an operator gives to queues and exchanges by name.

Owns: what a policy may define, and which one applies to a name. Refuses to know: what a setting does
(``core/queues/``). Source: RabbitMQ documentation, "Parameters and Policies"; recorded area ``policies``.

Read next: ``core/vhost.py``, ``core/queues/settings.py``.
"""

from __future__ import annotations

import re

from mockbroker.core.refusals import term
from mockbroker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mockbroker.rules import Rules


class Policy:
    """One policy: a pattern of names and what it defines for them."""

    __slots__ = ("_regex", "apply_to", "definition", "name", "pattern", "priority")

    def __init__(
        self,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        priority: int,
        apply_to: str,
        *,
        rules: Rules,
        operator: bool,
    ) -> None:
        self.name = name
        self.pattern = pattern
        self._regex = _compiled(pattern)
        _check_definition(definition, rules, operator=operator)
        self.definition = dict(definition)
        if apply_to not in rules.policy_targets:
            wanted = rules.policy_targets_text
            raise PolicyError(
                f"Validation failed\n\napply-to '{apply_to}' unrecognised; should be {wanted}\n"
            )
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise PolicyError(
                f"Validation failed\n\npriority should be a number, actually was {term(priority)}\n"
            )
        self.priority = priority
        self.apply_to = apply_to

    def says_the_same_as(self, other: Policy) -> bool:
        """Whether nothing would change if it took the other's place."""
        return all(getattr(self, fact) == getattr(other, fact) for fact in self.__slots__)

    def matches(self, kind: str, queue_type: str, name: str) -> bool:
        """Whether it applies to a queue (of a type) or an exchange of this name; the pattern may match
        anywhere."""
        wanted = self.apply_to
        if wanted not in ("all", f"{kind}s"):
            of_type = {"classic_queues": "classic", "quorum_queues": "quorum", "streams": "stream"}.get(
                wanted
            )
            if kind != "queue" or of_type != queue_type:
                return False
        return self._regex.search(name) is not None

    def __repr__(self) -> str:
        return f"<Policy {self.name!r} {self.pattern!r} priority {self.priority}: {self.definition}>"


def best_match(policies: Iterable[Policy], kind: str, queue_type: str, name: str) -> Policy | None:
    """Return the policy that applies to a name: of those that match the one of highest priority."""
    matching = [policy for policy in policies if policy.matches(kind, queue_type, name)]
    return max(matching, key=lambda policy: policy.priority) if matching else None


# -- validation, with the management API's texts


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _word(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "alternate-exchange": (_text, "alternate exchange name"),
    "consumer-timeout": (_whole(0), "consumer timeout"),
    "dead-letter-exchange": (_text, "dead letter exchange name"),
    "dead-letter-routing-key": (_text, "dead letter routing key"),
    "dead-letter-strategy": (_word("at-most-once", "at-least-once"), "dead letter strategy"),
    "delivery-limit": (_whole(0), "delivery limit"),
    "expires": (_whole(1), "queue expiry"),
    "max-age": (_text, "max age"),
    "max-in-memory-bytes": (_whole(0), "maximum memory in bytes"),
    "max-in-memory-length": (_whole(0), "maximum memory in bytes"),
    "max-length": (_whole(0), "maximum length"),
    "max-length-bytes": (_whole(0), "maximum length in bytes"),
    "message-ttl": (_whole(0), "message TTL"),
    "overflow": (_word("drop-head", "reject-publish", "reject-publish-dlx"), "overflow value"),
    "queue-leader-locator": (_text, "queue leader locator value"),
    "queue-master-locator": (_text, "queue master locator"),
    "queue-mode": (_word("default", "lazy"), "queue-mode value"),
    "queue-version": (_word(1, 2), "queue version"),  # type: ignore[arg-type]  # the one word that is a number
    "stream-max-segment-size-bytes": (_whole(0), "segment size"),
}


_OPERATOR_KEYS = (
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-length-bytes",
    "message-ttl",
)
"""What an operator policy may define: limits."""


def _check_definition(definition: Any, rules: Rules, *, operator: bool) -> None:
    """Refuse unknown keys and values that a key cannot have: `PolicyError` with the management API's text."""
    if not isinstance(definition, dict) or not definition:
        raise PolicyError("Validation failed\n\nno policy provided\n")
    known = _OPERATOR_KEYS if operator else tuple(_CHECKS)
    unknown = [
        (key, value)
        for key, value in definition.items()
        if key not in known or key in rules.unknown_policy_keys
    ]
    if unknown:
        shown = ",".join(f"{{{term(key)},{term(value)}}}" for key, value in unknown)
        raise PolicyError(f"Validation failed\n\n[{shown}] are not recognised policy settings\n")
    for key, value in definition.items():
        is_valid, what = _CHECKS[key]
        if not is_valid(value):
            raise PolicyError(f"Validation failed\n\n{term(value)} is not a valid {what}\n")


_REGEX_FAULTS = {
    "unterminated character set": "missing terminating ] for character class",
    "missing ), unterminated subpattern": "missing )",
    "unbalanced parenthesis": "unmatched parentheses",
    "nothing to repeat": "nothing to repeat",
    "multiple repeat": "nothing to repeat",
}
"""Python's words for a fault in a pattern -> PCRE's, which the server shows."""


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as fault:
        reason = _REGEX_FAULTS.get(fault.msg, fault.msg)
        unclosed = fault.msg in ("unterminated character set", "missing ), unterminated subpattern")
        position = len(pattern) if unclosed else fault.pos
        head = "pattern should be regular expression but is invalid: "
        term = f'{{"{reason}",{position}}}'
        if len(head) + len(term) > 80:  # Erlang breaks a term that does not fit the line
            term = f'{{"{reason}",\n{" " * (len(head) + 1)}{position}}}'
        raise PolicyError(f"Validation failed\n\n{head}{term}\n") from None
