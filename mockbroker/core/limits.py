"""Limits on numbers: of queues and connections in a virtual host, of connections and channels of a user.

Owns: which limits there are, the checks and their wording. Refuses to know: who sets a limit; it stands with
the virtual host or the user. Source: RabbitMQ documentation, "Virtual Hosts: Limits", "Access Control: User
Limits"; recorded area ``limits``.

Read next: ``core/node.py``.
"""

from __future__ import annotations

from mockbroker.core.refusals import term
from mockbroker.errors import HardError, PolicyError, SoftError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.core.vhost import VHost

VHOST_LIMITS = ("max-connections", "max-queues")
USER_LIMITS = ("max-connections", "max-channels")


def check_vhost_limit(name: str, value: Any) -> None:
    """Refuse a limit that virtual hosts do not have, or that is no number: `PolicyError`."""
    if name not in VHOST_LIMITS:
        raise PolicyError(f"Validation failed\n\nUnrecognised terms {_terms(name, value)} in limits\n")
    if not _is_integer(value):
        raise PolicyError(f"Validation failed\n\n{name} should be a number, actually was {term(value)}\n")


def check_user_limit(name: str, value: Any) -> None:
    """Refuse a limit that users do not have, or that is no number: `PolicyError`."""
    if name not in USER_LIMITS:
        raise PolicyError(f"Unrecognised terms {_terms(name, value)} in user-limits")
    if not _is_integer(value):
        raise PolicyError(f"{name} should be a number, actually was {term(value)}")


def _terms(name: str, value: Any) -> str:
    return f"[{{{term(name)},{term(value)}}}]"


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_reached(limit: int | None, count: int) -> bool:
    """Whether one more would be too many; a negative limit is none."""
    return limit is not None and limit >= 0 and count >= limit


class Limits:
    """Checks a node's limits before something new is let in."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def check_new_queue(self, vhost: VHost, name: str) -> None:
        """Refuse a queue above the virtual host's limit: SoftError 406."""
        limit = vhost.limits.get("max-queues")
        if _is_reached(limit, len(vhost.queues)):
            raise SoftError(
                "PRECONDITION_FAILED",
                f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({limit}) is reached",
            )

    def check_new_connection(self, vhost: VHost, user: User) -> None:
        """Refuse a connection above the virtual host's or the user's limit: HardError 530."""
        connections = self._node.connections
        limit = vhost.limits.get("max-connections")
        if _is_reached(limit, sum(each.vhost is vhost for each in connections)):
            raise HardError(
                "NOT_ALLOWED",
                f"access to vhost '{vhost.name}' refused for user '{user.name}': "
                f"connection limit ({limit}) is reached",
            )
        limit = user.limits.get("max-connections")
        if _is_reached(limit, sum(each.user is user for each in connections)):
            raise HardError(
                "NOT_ALLOWED",
                f"connection refused for user '{user.name}': user connection limit ({limit}) is reached",
            )

    def check_new_channel(self, user: User) -> None:
        """Refuse a channel above the user's limit: HardError 530."""
        limit = user.limits.get("max-channels")
        if limit is None:
            return
        count = sum(len(each.channels) for each in self._node.connections if each.user is user)
        if _is_reached(limit, count):
            named = self._node.name if self._node.rules.channel_limit_names_node else user.name
            raise HardError(
                "NOT_ALLOWED",
                f"number of channels opened for user '{named}' has reached "
                f"the maximum allowed user limit of ({limit})",
            )
