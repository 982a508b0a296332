"""Virtual hosts, users, permissions, limits and policies over HTTP.

Owns: the paths below ``/api/vhosts``, ``/api/users``, ``/api/permissions``, ``/api/topic-permissions``, the
limits and the policies, and what their objects show.
Refuses to know: what a permission, a limit or a policy does.

Source: RabbitMQ documentation, "Management HTTP API"; the answers of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``http_requests.py``, ``core/administration.py``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from mockbroker.admin import columns
from mockbroker.admin.http_requests import Page, Request, Route, Row, bad_request, not_found
from mockbroker.errors import PolicyError

if TYPE_CHECKING:
    from mockbroker.core.access import User
    from mockbroker.core.policies import Policy
    from mockbroker.core.vhost import VHost

_SALT_BYTES = 4


# Virtual hosts


def vhost_row(vhost: VHost) -> Row:
    """Return a virtual host as the API shows it."""
    shown = {name: column(vhost) for name, column in columns.VHOST.columns.items()}
    metadata = {"description": shown["description"], "tags": shown["tags"]}
    if shown["default_queue_type"] != "undefined":
        metadata["default_queue_type"] = shown["default_queue_type"]
    ready = sum(queue.ready_count for queue in vhost.queues.values())
    unacked = sum(vhost.node.unacked_count(queue) for queue in vhost.queues.values())
    return {
        **shown,
        "metadata": metadata,
        "cluster_state": {"rabbit@localhost": "running"},
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }


def list_vhosts(request: Request) -> Page:
    """The virtual hosts that the user may see."""
    return Page([vhost_row(vhost) for vhost in request.visible_vhosts()])


def show_vhost(request: Request, name: str) -> Row:
    """One virtual host."""
    return vhost_row(request.vhost(name))


def put_vhost(request: Request, name: str) -> Any:
    """Add a virtual host, or change its description, tags or default queue type."""
    body = request.body()
    is_new = name not in request.node.vhosts
    vhost = request.node.add_vhost(name)
    set_metadata(vhost, body)
    if is_new:
        request.node.set_permissions(request.user.name, name, ".*", ".*", ".*")
    return (201, None, {}) if is_new else None


def set_metadata(vhost: VHost, body: Row) -> None:
    """Keep what a definition says of a virtual host itself."""
    if "description" in body:
        vhost.metadata["description"] = str(body["description"])
    if "tags" in body:
        vhost.metadata["tags"] = words(body["tags"])
    kind = body.get("default_queue_type", "undefined")
    if kind in ("classic", "quorum", "stream"):
        vhost.default_queue_type = kind


def words(given: Any) -> list[str]:
    """Return tags, which come as a list or as text with commas."""
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, list):
        raise bad_request("tags must be a list or a text with commas")
    return [str(word).strip() for word in given if str(word).strip()]


def delete_vhost(request: Request, name: str) -> None:
    """Delete a virtual host with everything in it."""
    if name not in request.node.vhosts:
        raise not_found()
    request.node.delete_vhost(name)


def permissions_in(request: Request, name: str) -> Page:
    """Who may do what in a virtual host."""
    if name not in request.node.vhosts:
        raise not_found()
    return Page([row for row in permission_rows(request) if row["vhost"] == name])


# Users


def password_hash(user: User) -> str:
    """Return the salted hash of a user's password, in RabbitMQ's form; the salt is made of the name."""
    if user.password is None:
        return ""
    if isinstance(user.password, HashedPassword):
        return str(user.password)
    salt = hashlib.sha256(user.name.encode()).digest()[:_SALT_BYTES]
    return base64.b64encode(salt + hashlib.sha256(salt + user.password.encode()).digest()).decode()


class HashedPassword(str):
    """A password of which only the salted SHA-256 hash is known; it equals the password itself."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HashedPassword) or not isinstance(other, str):
            return str.__eq__(self, other) if isinstance(other, str) else NotImplemented
        raw = base64.b64decode(self)
        salt = raw[:_SALT_BYTES]
        return raw[_SALT_BYTES:] == hashlib.sha256(salt + other.encode()).digest()

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def user_row(user: User) -> Row:
    """Return a user as the API shows it."""
    return {
        "name": user.name,
        "password_hash": password_hash(user),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def list_users(request: Request) -> Page:
    """All users."""
    return Page([user_row(user) for _, user in sorted(request.node.users.items())])


def list_users_without_permissions(request: Request) -> Page:
    """Users who may not do anything anywhere."""
    users = sorted(request.node.users.items())
    return Page([user_row(user) for _, user in users if not user.permissions])


def _user(request: Request, name: str) -> User:
    if name not in request.node.users:
        raise not_found()
    return request.node.users[name]


def show_user(request: Request, name: str) -> Row:
    """One user."""
    return user_row(_user(request, name))


def put_user(request: Request, name: str) -> Any:
    """Add or change a user."""
    body = request.body()
    if "tags" not in body:
        raise bad_request("tags_not_present")
    is_new = name not in request.node.users
    request.node.set_user(name, given_password(body), tuple(words(body["tags"])))
    return (201, None, {}) if is_new else None


def given_password(body: Row) -> str | None:
    """Return the password of a request or definition; None lets nobody in.

    Raises HttpError 400 for a hash that is none.
    """
    if "password" in body:
        return str(body["password"])
    text = str(body.get("password_hash", ""))
    if not text:
        return None
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise bad_request("password_hash is not base64") from None
    return HashedPassword(text)


def delete_user(request: Request, name: str) -> None:
    """Delete a user."""
    _user(request, name)
    request.node.delete_user(name)


def delete_users(request: Request) -> None:
    """Delete all the users that are named."""
    names = request.body("users")["users"]
    for name in names:
        if name in request.node.users:
            request.node.delete_user(name)


def whoami(request: Request) -> Row:
    """The user who asks."""
    return {"name": request.user.name, "tags": list(request.user.tags), "is_internal_user": True}


# Permissions


def permission_rows(request: Request) -> list[Row]:
    """Return every permission of every user."""
    return [
        {
            "user": name,
            "vhost": vhost,
            "configure": granted.configure,
            "write": granted.write,
            "read": granted.read,
        }
        for name, user in sorted(request.node.users.items())
        for vhost, granted in sorted(user.permissions.items())
    ]


def list_permissions(request: Request) -> Page:
    """Who may do what where."""
    return Page(permission_rows(request))


def permissions_of(request: Request, name: str) -> Page:
    """What a user may do."""
    _user(request, name)
    return Page([row for row in permission_rows(request) if row["user"] == name])


def show_permission(request: Request, vhost: str, name: str) -> Row:
    """What a user may do in a virtual host."""
    for row in permission_rows(request):
        if (row["vhost"], row["user"]) == (vhost, name):
            return row
    raise not_found()


def put_permission(request: Request, vhost: str, name: str) -> Any:
    """Grant permissions."""
    body = request.body("configure", "write", "read")
    if vhost not in request.node.vhosts or name not in request.node.users:
        raise bad_request("vhost_or_user_not_found")
    is_new = vhost not in request.node.users[name].permissions
    try:
        request.node.set_permissions(
            name, vhost, str(body["configure"]), str(body["write"]), str(body["read"])
        )
    except ValueError as error:
        raise bad_request(str(error)) from None
    return (201, None, {}) if is_new else None


def delete_permission(request: Request, vhost: str, name: str) -> None:
    """Take permissions away."""
    show_permission(request, vhost, name)
    request.node.clear_permissions(name, vhost)


def topic_permission_rows(request: Request) -> list[Row]:
    """Return every topic permission of every user."""
    return [
        {"user": name, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
        for name, user in sorted(request.node.users.items())
        for (vhost, exchange), (write, read) in sorted(user.topic_permissions.items())
    ]


def list_topic_permissions(request: Request) -> Page:
    """Who may use which routing keys where."""
    return Page(topic_permission_rows(request))


def topic_permissions_of(request: Request, name: str) -> Page:
    """Which routing keys a user may use."""
    _user(request, name)
    return Page([row for row in topic_permission_rows(request) if row["user"] == name])


def topic_permissions_in(request: Request, name: str) -> Page:
    """Who may use which routing keys in a virtual host."""
    if name not in request.node.vhosts:
        raise not_found()
    return Page([row for row in topic_permission_rows(request) if row["vhost"] == name])


def show_topic_permissions(request: Request, vhost: str, name: str) -> list[Row]:
    """Which routing keys a user may use in a virtual host."""
    rows = [row for row in topic_permission_rows(request) if (row["vhost"], row["user"]) == (vhost, name)]
    if not rows:
        raise not_found()
    return rows


def put_topic_permission(request: Request, vhost: str, name: str) -> Any:
    """Limit a user's routing keys on one exchange."""
    body = request.body("exchange", "write", "read")
    if vhost not in request.node.vhosts or name not in request.node.users:
        raise bad_request("vhost_or_user_not_found")
    user = request.node.users[name]
    is_new = not any(key[0] == vhost for key in user.topic_permissions)
    request.node.set_topic_permissions(
        name, vhost, str(body["exchange"]), str(body["write"]), str(body["read"])
    )
    return (201, None, {}) if is_new else None


def delete_topic_permissions(request: Request, vhost: str, name: str) -> None:
    """Lift the limits on a user's routing keys in a virtual host."""
    show_topic_permissions(request, vhost, name)
    request.node.clear_topic_permissions(name, vhost)


# Limits


def vhost_limits(request: Request, *vhosts: str) -> list[Row]:
    """The limits of virtual hosts."""
    hosts = [request.vhost(name) for name in vhosts] or request.visible_vhosts()
    return [{"vhost": host.name, "value": dict(host.limits)} for host in hosts if host.limits or vhosts]


def put_vhost_limit(request: Request, vhost: str, name: str) -> None:
    """Limit a virtual host."""
    request.vhost(vhost)
    _accepted(request.node.set_vhost_limit, vhost, name, request.body("value")["value"])


def delete_vhost_limit(request: Request, vhost: str, name: str) -> None:
    """Take a limit away."""
    request.vhost(vhost)
    request.node.clear_vhost_limit(vhost, name)


def user_limits(request: Request, *names: str) -> list[Row]:
    """The limits of users."""
    users = [_user(request, name) for name in names] or list(request.node.users.values())
    return [{"user": user.name, "value": dict(user.limits)} for user in users if user.limits or names]


def put_user_limit(request: Request, user: str, name: str) -> None:
    """Limit a user."""
    _accepted(request.node.set_user_limit, user, name, request.body("value")["value"])


def delete_user_limit(request: Request, user: str, name: str) -> None:
    """Take a limit away."""
    _user(request, user)
    request.node.clear_user_limit(user, name)


def _accepted(change: Any, *args: Any, **kwargs: Any) -> None:
    """Make a change that the broker may not accept: HttpError 400 with its reason."""
    try:
        change(*args, **kwargs)
    except PolicyError as error:
        raise bad_request(error.reason) from None


# Policies


def policy_row(vhost: str, policy: Policy) -> Row:
    """Return a policy as the API shows it."""
    return {
        "vhost": vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": policy.definition,
        "priority": policy.priority,
    }


def _is_operator(request: Request) -> bool:
    return request.path_head == "operator-policies"


def _book(request: Request, vhost: VHost) -> dict[str, Policy]:
    return vhost.operator_policies if _is_operator(request) else vhost.policies


def list_policies(request: Request, *vhosts: str) -> Page:
    """The policies of one virtual host, or of all that the user may see."""
    hosts = [request.vhost(name) for name in vhosts] or request.visible_vhosts()
    return Page([policy_row(host.name, policy) for host in hosts for policy in _book(request, host).values()])


def show_policy(request: Request, vhost: str, name: str) -> Row:
    """One policy."""
    book = _book(request, request.vhost(vhost))
    if name not in book:
        raise not_found()
    return policy_row(vhost, book[name])


def put_policy(request: Request, vhost: str, name: str) -> Any:
    """Set a policy."""
    body = request.body("pattern", "definition")
    is_new = name not in _book(request, request.vhost(vhost))
    set_policy(request, vhost, {**body, "name": name}, operator=_is_operator(request))
    return (201, None, {}) if is_new else None


def set_policy(request: Request, vhost: str, body: Row, *, operator: bool) -> None:
    """Set a policy of a request or definition. Raises HttpError 400 for one that is not accepted."""
    _accepted(
        request.node.set_policy,
        vhost,
        body["name"],
        body["pattern"],
        body["definition"],
        body.get("priority", 0),
        body.get("apply-to", "all"),
        operator=operator,
    )


def delete_policy(request: Request, vhost: str, name: str) -> None:
    """Delete a policy."""
    show_policy(request, vhost, name)
    request.node.delete_policy(vhost, name, operator=_is_operator(request))


def list_parameters(request: Request, *_: str) -> list[Row]:
    """There are no other parameters than limits."""
    return [
        {"value": dict(host.limits), "vhost": host.name, "component": "vhost-limits", "name": "limits"}
        for host in request.visible_vhosts()
        if host.limits
    ]


def _policies(kind: str) -> tuple[Route, ...]:
    return (
        Route("GET", kind, list_policies),
        Route("GET", f"{kind}/*", list_policies),
        Route("GET", f"{kind}/*/*", show_policy),
        Route("PUT", f"{kind}/*/*", put_policy, "policymaker"),
        Route("DELETE", f"{kind}/*/*", delete_policy, "policymaker"),
    )


_ADMIN = "administrator"

ROUTES = (
    Route("GET", "whoami", whoami),
    Route("GET", "vhosts", list_vhosts),
    Route("GET", "vhosts/*", show_vhost),
    Route("PUT", "vhosts/*", put_vhost, _ADMIN),
    Route("DELETE", "vhosts/*", delete_vhost, _ADMIN),
    Route("GET", "vhosts/*/permissions", permissions_in, _ADMIN),
    Route("GET", "vhosts/*/topic-permissions", topic_permissions_in, _ADMIN),
    Route("GET", "users", list_users, _ADMIN),
    Route("GET", "users/without-permissions", list_users_without_permissions, _ADMIN),
    Route("POST", "users/bulk-delete", delete_users, _ADMIN),
    Route("GET", "users/*", show_user, _ADMIN),
    Route("PUT", "users/*", put_user, _ADMIN),
    Route("DELETE", "users/*", delete_user, _ADMIN),
    Route("GET", "users/*/permissions", permissions_of, _ADMIN),
    Route("GET", "users/*/topic-permissions", topic_permissions_of, _ADMIN),
    Route("GET", "permissions", list_permissions, _ADMIN),
    Route("GET", "permissions/*/*", show_permission, _ADMIN),
    Route("PUT", "permissions/*/*", put_permission, _ADMIN),
    Route("DELETE", "permissions/*/*", delete_permission, _ADMIN),
    Route("GET", "topic-permissions", list_topic_permissions, _ADMIN),
    Route("GET", "topic-permissions/*/*", show_topic_permissions, _ADMIN),
    Route("PUT", "topic-permissions/*/*", put_topic_permission, _ADMIN),
    Route("DELETE", "topic-permissions/*/*", delete_topic_permissions, _ADMIN),
    Route("GET", "vhost-limits", vhost_limits),
    Route("GET", "vhost-limits/*", vhost_limits),
    Route("PUT", "vhost-limits/*/*", put_vhost_limit, _ADMIN),
    Route("DELETE", "vhost-limits/*/*", delete_vhost_limit, _ADMIN),
    Route("GET", "user-limits", user_limits),
    Route("GET", "user-limits/*", user_limits),
    Route("PUT", "user-limits/*/*", put_user_limit, _ADMIN),
    Route("DELETE", "user-limits/*/*", delete_user_limit, _ADMIN),
    Route("GET", "parameters", list_parameters, "policymaker"),
    Route("GET", "parameters/*", list_parameters, "policymaker"),
    *_policies("policies"),
    *_policies("operator-policies"),
)
