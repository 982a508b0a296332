"""What clients and operators have asked for, where no event tells it.

Owns: a notebook that the program writes and the model reads. Refuses to know: what the broker does with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ChannelName = tuple[str, int]
Policy = tuple[str, int, dict[str, Any]]
"""Pattern, priority and definition."""


@dataclass
class Asked:
    """A publish that a client has asked for; `since` is the number of events that had happened then."""

    channel: ChannelName
    mandatory: bool
    blind_keys: tuple[str, ...]
    since: int


@dataclass
class Facts:
    """The notebook of one program."""

    asked: dict[bytes, Asked] = field(default_factory=dict)
    """Publishes that no event has told of yet, by body; no two have the same."""
    confirming: dict[ChannelName, None] = field(default_factory=dict)
    transactional: dict[ChannelName, None] = field(default_factory=dict)
    committing: ChannelName | None = None
    """The channel whose tx.commit is the present command."""
    consumer_arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    operator_policies: dict[str, Policy] = field(default_factory=dict)
    policy_changes: int = 0
    is_policy_changing: bool = False
    """Whether the present command sets or clears a policy."""
    limits: dict[str, int] = field(default_factory=dict)
    """The limits of the virtual host."""
    is_alarmed: bool = False
    had_alarm: bool = False
    used_ns: dict[str, int] = field(default_factory=dict)
    """When a client last declared a queue or fetched from it."""
    owners: dict[str, str] = field(default_factory=dict)
    """The connection that declared an exclusive queue."""

    def forget(self, channel: ChannelName) -> None:
        """What a channel has asked for and not got will not come any more."""
        self.asked = {body: each for body, each in self.asked.items() if each.channel != channel}
