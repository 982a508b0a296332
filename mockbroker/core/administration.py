"""What an operator may change on a running node: virtual hosts, users, permissions, limits, policies, alarms.

Owns: the registries of virtual hosts and users, and the alarms.
Refuses to know: who asks (``broker.py``, ``admin/``), and what a change does once it is in force.
Source: RabbitMQ's management HTTP API; recorded areas ``permissions``, ``limits``, ``policies``, ``blocked``.

Something that is not there raises ValueError, a value that is not accepted `PolicyError` with the management
API's text.

Read next: ``core/node.py``, ``core/access.py``, ``core/limits.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.core.access import Permissions, User, check_pattern
from mockbroker.core.limits import check_user_limit, check_vhost_limit
from mockbroker.core.vhost import VHost
from mockbroker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.node import Node

ALARMS = ("disk", "memory")
"""The resources that a node can be low on."""

DISK_FREE_BYTES = 50_000_000_000
"""How much room the model's disk has unless told otherwise: plenty."""
DISK_FREE_LIMIT_BYTES = 50_000_000
"""Source: RabbitMQ documentation, "Free Disk Space Alarms": ``disk_free_limit`` as installed."""


class Administration:
    """The part of a node that operators change."""

    def __init__(self, node: Node) -> None:
        self._node = node
        guest = User("guest", "guest", ("administrator",))
        guest.permissions["/"] = Permissions()
        self.users: dict[str, User] = {"guest": guest}
        self.vhosts: dict[str, VHost] = {"/": VHost(node, "/")}
        self.alarms: dict[str, None] = {}
        self.disk_free_bytes = DISK_FREE_BYTES
        self.disk_free_limit_bytes = DISK_FREE_LIMIT_BYTES

    # -- virtual hosts

    def vhost(self, name: str) -> VHost:
        """Return a virtual host. Raises ValueError when there is none of that name."""
        try:
            return self.vhosts[name]
        except KeyError:
            raise ValueError(f"there is no virtual host {name!r}") from None

    def add_vhost(self, name: str) -> VHost:
        """Add a virtual host; one that is there already stays as it is."""
        if name not in self.vhosts:
            self.vhosts[name] = VHost(self._node, name)
        return self.vhosts[name]

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host: its connections are closed (320), everything in it is gone."""
        vhost = self.vhost(name)
        for connection in [each for each in self._node.connections if each.vhost is vhost]:
            self.force_close(connection, f"vhost '{name}' is deleted")
        for queue in list(vhost.queues.values()):
            if not queue.is_deleted:
                vhost.delete_queue(queue)
        for user in self.users.values():
            user.permissions.pop(name, None)
            self.clear_topic_permissions(user.name, name)
        del self.vhosts[name]
        self._node.drain()

    def set_vhost_limit(self, vhost: str, name: str, value: Any) -> None:
        """Limit a virtual host: ``max-connections`` or ``max-queues``; a negative number is no limit."""
        host = self.vhost(vhost)
        check_vhost_limit(name, value)
        host.limits[name] = value

    def clear_vhost_limit(self, vhost: str, name: str) -> None:
        """Take a limit away; one that is not set is no error."""
        self.vhost(vhost).limits.pop(name, None)

    # -- users

    def user(self, name: str) -> User:
        """Return a user. Raises ValueError when there is none of that name."""
        try:
            return self.users[name]
        except KeyError:
            raise ValueError(f"there is no user {name!r}") from None

    def set_user(self, name: str, password: str | None, tags: tuple[str, ...] = ()) -> User:
        """Add a user, or change password and tags of one that is there; permissions stay."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name, password, tags)
        else:
            user.password, user.tags = password, tags
        return user

    def delete_user(self, name: str) -> None:
        """Delete a user; his connections are closed (320)."""
        user = self.user(name)
        del self.users[name]
        for connection in [each for each in self._node.connections if each.user is user]:
            self.force_close(connection, f"user '{name}' is deleted")

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Grant a user permissions in a virtual host: patterns over the names of queues and exchanges.

        What a channel was granted lately it may still do. Raises ValueError for a pattern that is none.
        """
        if user not in self.users:
            raise PolicyError("vhost_or_user_not_found")
        self.vhost(vhost)
        self.user(user).permissions[vhost] = Permissions(configure, write, read)

    def clear_permissions(self, user: str, vhost: str) -> None:
        """Take a user's permissions in a virtual host away."""
        self.vhost(vhost)
        self.user(user).permissions.pop(vhost, None)

    def set_topic_permissions(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Limit a user's routing keys (write) and binding keys (read) on a topic exchange to patterns.

        A key that a channel used lately it may still use. Raises ValueError for a pattern that is none.
        """
        self.vhost(vhost)
        patterns = check_pattern("write", write), check_pattern("read", read)
        limited = self.user(user)
        limited.topic_permissions[vhost, exchange] = patterns
        for connection in self._node.connections:
            if connection.user is limited:
                for channel in connection.channels.values():
                    channel.forget_publishable()

    def clear_topic_permissions(self, user: str, vhost: str) -> None:
        """Lift the limits on a user's routing and binding keys in a virtual host."""
        self.vhost(vhost)
        permissions = self.user(user).topic_permissions
        for key in [key for key in permissions if key[0] == vhost]:
            del permissions[key]

    def set_user_limit(self, user: str, name: str, value: Any) -> None:
        """Limit a user: ``max-connections`` or ``max-channels``; a negative number is no limit."""
        if user not in self.users:
            raise PolicyError(["no_such_user", user])
        check_user_limit(name, value)
        self.user(user).limits[name] = value

    def clear_user_limit(self, user: str, name: str) -> None:
        """Take a limit away; one that is not set is no error."""
        self.user(user).limits.pop(name, None)

    # -- policies

    def set_policy(
        self,
        vhost: str,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        priority: float = 0,
        apply_to: str = "all",
        *,
        operator: bool = False,
    ) -> None:
        """Set a policy (or an operator policy) and put it in force at once. Raises `PolicyError`.

        One that is set as it was changes nothing. Source: recorded scenario
        ``policies/same-policy-keeps-lease``.
        """
        from mockbroker.core.policies import Policy  # noqa: PLC0415 - only nodes with policies pay for it

        host = self.vhost(vhost)
        book = host.operator_policies if operator else host.policies
        rules = self._node.rules
        policy = Policy(name, pattern, definition, priority, apply_to, rules=rules, operator=operator)
        if name in book and policy.says_the_same_as(book[name]):
            return
        book[name] = policy
        host.policies_changed()
        self._node.drain()

    def delete_policy(self, vhost: str, name: str, *, operator: bool = False) -> None:
        """Delete a policy. Raises ValueError when there is none of that name."""
        host = self.vhost(vhost)
        book = host.operator_policies if operator else host.policies
        if name not in book:
            raise ValueError(f"there is no policy {name!r} in virtual host {vhost!r}")
        del book[name]
        host.policies_changed()
        self._node.drain()

    # -- connections and alarms

    def force_close(self, connection: BrokerConnection, reason: str) -> None:
        """Close a connection of the broker's own accord: CONNECTION_FORCED with a reason."""
        connection.close_forced(refusals.forced(reason))
        self._node.drain()

    def set_alarm(self, resource: str) -> None:
        """Be low on ``disk`` or ``memory``: a connection is blocked when it next publishes."""
        if resource not in ALARMS:
            raise ValueError(f"an alarm is about one of {', '.join(ALARMS)}, not {resource!r}")
        self.alarms[resource] = None

    def set_disk_free(self, free_bytes: int, limit_bytes: int) -> None:
        """Have so much room on the disk: below the limit that is an alarm, above it none."""
        self.disk_free_bytes, self.disk_free_limit_bytes = free_bytes, limit_bytes
        if free_bytes < limit_bytes:
            self.set_alarm("disk")
        else:
            self.clear_alarm("disk")

    def clear_alarm(self, resource: str) -> None:
        """Have enough again. When no alarm is left, blocked connections go on."""
        self.alarms.pop(resource, None)
        if not self.alarms:
            for connection in list(self._node.connections):
                connection.unblock()
            self._node.drain()
