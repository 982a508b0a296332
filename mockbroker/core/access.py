"""Users and what they may do.

Owns: names, passwords, tags, permissions and topic permissions, and the limits set on a user. Refuses to
know: which method needs which permission (``core/channel.py`` asks). Source: RabbitMQ documentation,
"Authentication, Authorisation, Access Control"; recorded area ``permissions``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

from mockbroker.errors import HardError

ALL = ".*"
LOCAL_HOSTS = ("localhost", "::1", "::ffff:127.0.0.1")


class Permissions:
    """Three patterns over the names of queues and exchanges of one virtual host; an empty pattern grants
    nothing."""

    __slots__ = ("configure", "read", "write")

    def __init__(self, configure: str = ALL, write: str = ALL, read: str = ALL) -> None:
        self.configure = check_pattern("configure", configure)
        self.write = check_pattern("write", write)
        self.read = check_pattern("read", read)

    def allows(self, permission: str, name: str) -> bool:
        """Whether `permission` (configure, write or read) covers a resource of this name."""
        return covers(getattr(self, permission), name or "amq.default")

    def __repr__(self) -> str:
        return f"<Permissions configure={self.configure!r} write={self.write!r} read={self.read!r}>"


def check_pattern(what: str, pattern: str) -> str:
    """Return a pattern that compiles. Raises ValueError that names it."""
    if pattern != ALL:
        import re  # noqa: PLC0415 - most nodes have no other pattern than '.*'

        from mockbroker.core.patterns import compiled  # noqa: PLC0415 - most nodes have no other than '.*'

        try:
            compiled(pattern)
        except (re.error, TypeError) as fault:
            raise ValueError(
                f"permission {what} must be a regular expression, not {pattern!r}: {fault}"
            ) from None
    return pattern


def covers(pattern: str, name: str) -> bool:
    """Whether a permission's pattern covers a name: the match may stand anywhere; an empty pattern means
    ``^$``, which covers no name of a queue or exchange. Raises `re.error`.

    >>> covers("^q", "q1"), covers("^q$", "q1"), covers("", "q1")
    (True, False, False)
    """
    if pattern == ALL:
        return True
    from mockbroker.core.patterns import matches  # noqa: PLC0415 - most nodes have no other than '.*'

    return matches(pattern or "^$", name)


class User:
    """A user of the node."""

    __slots__ = ("limits", "name", "password", "permissions", "tags", "topic_permissions")

    def __init__(self, name: str, password: str | None, tags: tuple[str, ...] = ()) -> None:
        self.name = name
        self.password = password
        """None: nobody can log in with a password."""
        self.tags = tags
        self.permissions: dict[str, Permissions] = {}
        self.topic_permissions: dict[tuple[str, str], tuple[str, str]] = {}
        """(virtual host, exchange) -> patterns for write and read."""
        self.limits: dict[str, int] = {}

    def may(self, permission: str, name: str, vhost: str) -> bool:
        """Whether he has `permission` (configure, write, read) on the queue or exchange of a name."""
        granted = self.permissions.get(vhost)
        return granted is not None and granted.allows(permission, name)

    def may_topic(
        self, permission: str, exchange: str, vhost: str, key: str, variables: dict[str, str]
    ) -> bool:
        """Whether his topic permission covers a routing key (write) or binding key (read).

        Patterns may hold ``{username}`` and ``{vhost}``. Without a topic permission every key is covered.
        Raises HardError 541 when a pattern is none any more with what stands for these. Source: recorded
        scenario ``permissions/topic-pattern-with-odd-name``.
        """
        patterns = self.topic_permissions.get((vhost, exchange))
        if patterns is None:
            return True
        pattern = patterns[0] if permission == "write" else patterns[1]
        for variable, value in variables.items():
            pattern = pattern.replace(f"{{{variable}}}", value)
        import re  # noqa: PLC0415 - few nodes have topic permissions

        try:
            return covers(pattern, key)
        except re.error:
            raise HardError("INTERNAL_ERROR") from None

    def __repr__(self) -> str:
        return f"<User {self.name!r} tags={','.join(self.tags) or 'none'}>"


def is_local(host: str) -> bool:
    """Whether a peer's address is of this host.

    >>> is_local("127.0.0.1"), is_local("10.0.0.7")
    (True, False)
    """
    return host.startswith("127.") or host in LOCAL_HOSTS
