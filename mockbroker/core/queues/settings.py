"""The settings of a queue that are in force: its arguments, its policy and the operator's policy put
together.

Owns: how the three meet. Refuses to know: which policy applies (``core/policies.py``) and what a setting
does. Source: RabbitMQ documentation, "Parameters and Policies"; recorded area ``policies``: for numbers the
lower of argument and policy counts, for everything else the argument wins, and the operator's limits bind
both.

Read next: ``core/queues/base.py``.
"""

from __future__ import annotations

from mockbroker.core import arguments as args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any


class Settings:
    """The settings in force; None where there is none. Times are milliseconds, sizes bytes of bodies."""

    __slots__ = (
        "consumer_timeout_ms",
        "dead_letter_exchange",
        "dead_letter_routing_key",
        "dead_letter_strategy",
        "expires_ms",
        "max_length",
        "max_length_bytes",
        "message_ttl_ms",
        "overflow",
    )

    def __init__(self) -> None:
        self.expires_ms: int | None = None
        self.message_ttl_ms: int | None = None
        self.max_length: int | None = None
        self.max_length_bytes: int | None = None
        self.consumer_timeout_ms: int | None = None
        self.dead_letter_exchange: str | None = None
        self.dead_letter_routing_key: str | None = None
        self.dead_letter_strategy: str | None = None
        self.overflow: str | None = None

    @classmethod
    def of(
        cls,
        arguments: dict[str, Any],
        policy: dict[str, Any],
        operator_policy: dict[str, Any],
        *,
        policy_first: Collection[str] = (),
    ) -> Settings:
        """Put a queue's arguments and the definitions of its policies together.

        `policy_first` are the words (by their names here) for which a policy wins over the argument.
        """
        if not (arguments or policy or operator_policy):
            return NO_SETTINGS
        settings = cls()
        for field, (argument, key) in _NUMBERS.items():
            given = (arguments.get(argument), policy.get(key), operator_policy.get(key))
            numbers = [int(number) for number in given if isinstance(number, int)]
            setattr(settings, field, min(numbers) if numbers else None)
        for field, (argument, key) in _WORDS.items():
            merged = {**policy, **operator_policy}
            if field in policy_first:
                word = merged.get(key, arguments.get(argument))
            else:
                word = arguments.get(argument, merged.get(key))
            setattr(settings, field, word if isinstance(word, str) else None)
        return settings

    @property
    def is_limited(self) -> bool:
        """Whether the queue has a length limit."""
        return self.max_length is not None or self.max_length_bytes is not None

    @property
    def drops_head(self) -> bool:
        """Whether a full queue drops its oldest messages."""
        return self.is_limited and not self.rejects_publishes

    @property
    def rejects_publishes(self) -> bool:
        """Whether a full queue refuses new messages instead of dropping old ones."""
        return self.is_limited and self.says_reject

    @property
    def says_reject(self) -> bool:
        """Whether the overflow in force refuses new messages, be there a limit or not."""
        return self.overflow in ("reject-publish", "reject-publish-dlx")


_NUMBERS = {
    "expires_ms": (args.EXPIRES, "expires"),
    "message_ttl_ms": (args.MESSAGE_TTL, "message-ttl"),
    "max_length": (args.MAX_LENGTH, "max-length"),
    "max_length_bytes": (args.MAX_LENGTH_BYTES, "max-length-bytes"),
    "consumer_timeout_ms": (args.CONSUMER_TIMEOUT, "consumer-timeout"),
}
_WORDS = {
    "dead_letter_exchange": (args.DEAD_LETTER_EXCHANGE, "dead-letter-exchange"),
    "dead_letter_routing_key": (args.DEAD_LETTER_ROUTING_KEY, "dead-letter-routing-key"),
    "dead_letter_strategy": (args.DEAD_LETTER_STRATEGY, "dead-letter-strategy"),
    "overflow": (args.OVERFLOW, "overflow"),
}

NO_SETTINGS = Settings()
"""What most queues have; they share it, and nothing changes it."""
