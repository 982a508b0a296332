"""Virtual hosts, users, permissions, limits and policies over HTTP.

Owns: the paths below ``/api/vhosts``, ``/api/users``, ``/api/permissions``, ``/api/topic-permissions``, the
limits and the policies, and what their objects show. Limits and policies as parameters are in
``http_settings.py``.
Refuses to know: what a permission, a limit or a policy does.

Source: RabbitMQ documentation, "Management HTTP API"; the answers of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``http_requests.py``, ``core/administration.py``.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from mockbroker.admin.definitions import (
    given_password,
    permission_rows,
    policy_row,
    set_metadata,
    topic_permission_rows,
    user_row,
    vhost_row,
    words,
)
from mockbroker.admin.http_requests import (
    NODE_NAME,
    HttpError,
    Page,
    Request,
    Route,
    Row,
    bad_request,
    not_found,
)
from mockbroker.core.limits import check_user_limit
from mockbroker.core.patterns import compiled, fault_of
from mockbroker.errors import PolicyError, UnreadablePolicyError

if TYPE_CHECKING:
    from mockbroker.core.access import User
    from mockbroker.core.policies import Policy
    from mockbroker.core.vhost import VHost

# Virtual hosts


def list_vhosts(request: Request) -> Page:
    """The virtual hosts that the user may see."""
    return Page([_vhost_row(request, vhost) for vhost in request.visible_vhosts()], pages=True)


def _vhost_row(request: Request, vhost: VHost) -> Row:
    statistics, now_ns = request.statistics, request.now_ns
    row = vhost_row(vhost) | statistics.length_details(now_ns, [vhost.name])
    message_stats = statistics.of_vhosts([vhost.name], now_ns)
    return row | {"message_stats": message_stats} if message_stats else row


def show_vhost(request: Request, name: str) -> Row:
    """One virtual host."""
    if name not in request.node.vhosts:
        raise not_found()
    return _vhost_row(request, request.node.vhosts[name])


def put_vhost(request: Request, name: str) -> Any:
    """Add a virtual host, or change its description, tags or default queue type.

    RabbitMQ differs from what one would expect: a description and tags that are not given are taken away.
    """
    body = request.body()
    is_new = name not in request.node.vhosts
    vhost = request.node.add_vhost(name)
    try:
        set_metadata(vhost, {"description": "", "tags": "", **body})
    except ValueError as error:
        raise bad_request(str(error)) from None
    if is_new:
        request.node.set_permissions(request.user.name, name, ".*", ".*", ".*")
    return (201, None, {}) if is_new else None


def delete_vhost(request: Request, name: str) -> None:
    """Delete a virtual host with everything in it."""
    if name not in request.node.vhosts:
        raise not_found()
    request.node.delete_vhost(name)


def start_vhost(request: Request, name: str, node: str) -> None:
    """Start a virtual host again; here it runs always."""
    if node != NODE_NAME:
        raise bad_request(f"Request to node {node} failed with nodedown")
    if name not in request.node.vhosts:
        raise bad_request(f'Request to node {node} failed with {{no_such_vhost,<<"{name}">>}}')


def permissions_in(request: Request, name: str) -> Page:
    """Who may do what in a virtual host."""
    if name not in request.node.vhosts:
        raise not_found()
    return Page([row for row in permission_rows(request.node) if row["vhost"] == name])


# Users


def list_users(request: Request) -> Page:
    """All users."""
    rows = [user_row(user) for _, user in sorted(request.node.users.items())]
    return Page(rows, pages=request.manners.users_have_pages)


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
        if "administrator" not in body:
            raise bad_request("tags_not_present")
        body["tags"] = "administrator" if body["administrator"] else ""
    if "password" in body and "password_hash" in body:
        raise bad_request("both_password_and_password_hash_are_provided")
    limits = body.get("limits", {})
    is_new = name not in request.node.users
    try:
        password, tags = given_password(body), tuple(words(body["tags"]))
        for limit, value in limits.items():
            check_user_limit(limit, value)
    except PolicyError as error:
        raise bad_request(error.reason) from None
    except ValueError as error:
        raise bad_request(str(error)) from None
    user = request.node.set_user(name, password, tags)
    user.limits.update(limits)
    return (201, None, {}) if is_new else None


def delete_user(request: Request, name: str) -> None:
    """Delete a user."""
    _user(request, name)
    request.node.delete_user(name)


def delete_users(request: Request) -> None:
    """Delete all the users that are named."""
    for name in request.body("users")["users"]:
        if name in request.node.users:
            request.node.delete_user(name)
        elif request.manners.bulk_delete_checks_names:
            raise bad_request(["no_such_user", name])


def whoami(request: Request) -> Row:
    """The user who asks."""
    row: Row = {"name": request.user.name, "tags": list(request.user.tags)}
    return row | {"is_internal_user": True} if request.manners.tells_internal_users else row


# Permissions


def list_permissions(request: Request) -> Page:
    """Who may do what where."""
    return Page(permission_rows(request.node))


def permissions_of(request: Request, name: str) -> Page:
    """What a user may do."""
    _user(request, name)
    return Page([row for row in permission_rows(request.node) if row["user"] == name])


def show_permission(request: Request, vhost: str, name: str) -> Row:
    """What a user may do in a virtual host."""
    for row in permission_rows(request.node):
        if (row["vhost"], row["user"]) == (vhost, name):
            return row
    raise not_found()


def put_permission(request: Request, vhost: str, name: str) -> Any:
    """Grant permissions."""
    body = request.body("configure", "write", "read")
    if vhost not in request.node.vhosts or name not in request.node.users:
        raise bad_request("vhost_or_user_not_found")
    patterns = _patterns(body, "configure", "write", "read", in_codes=True)
    is_new = vhost not in request.node.users[name].permissions
    request.node.set_permissions(name, vhost, *patterns)
    return (201, None, {}) if is_new else None


def _patterns(body: Row, *keys: str, in_codes: bool) -> list[str]:
    """Return regular expressions of a body. Raises HttpError 400 for one that is none, 500 for another value.

    A refusal has its texts as lists of codes; that of a topic permission has its pattern as it is.
    """
    patterns = [body[key] for key in keys]
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise HttpError(500, "", None)
    for pattern in patterns:
        try:
            compiled(pattern)
        except re.error as error:
            words, position = fault_of(pattern, error)
            fault = [list(words.encode()), position]
            shown = list(pattern.encode()) if in_codes else pattern
            raise bad_request(["invalid_regexp", shown, fault]) from None
    return patterns


def delete_permission(request: Request, vhost: str, name: str) -> None:
    """Take permissions away."""
    show_permission(request, vhost, name)
    request.node.clear_permissions(name, vhost)


def list_topic_permissions(request: Request) -> Page:
    """Who may use which routing keys where."""
    return Page(topic_permission_rows(request.node))


def topic_permissions_of(request: Request, name: str) -> Page:
    """Which routing keys a user may use."""
    _user(request, name)
    return Page([row for row in topic_permission_rows(request.node) if row["user"] == name])


def topic_permissions_in(request: Request, name: str) -> Page:
    """Who may use which routing keys in a virtual host."""
    if name not in request.node.vhosts:
        raise not_found()
    return Page([row for row in topic_permission_rows(request.node) if row["vhost"] == name])


def show_topic_permissions(request: Request, vhost: str, name: str) -> list[Row]:
    """Which routing keys a user may use in a virtual host."""
    rows = [
        row for row in topic_permission_rows(request.node) if (row["vhost"], row["user"]) == (vhost, name)
    ]
    if not rows:
        raise not_found()
    return rows


def put_topic_permission(request: Request, vhost: str, name: str) -> Any:
    """Limit a user's routing keys on one exchange."""
    body = request.body("exchange", "write", "read")
    if vhost not in request.node.vhosts or name not in request.node.users:
        raise bad_request("vhost_or_user_not_found")
    user = request.node.users[name]
    write, read = _patterns(body, "write", "read", in_codes=False)
    is_new = not any(key[0] == vhost for key in user.topic_permissions)
    request.node.set_topic_permissions(name, vhost, str(body["exchange"]), write, read)
    return (201, None, {}) if is_new else None


def delete_topic_permissions(request: Request, vhost: str, name: str) -> None:
    """Lift the limits on a user's routing keys in a virtual host."""
    show_topic_permissions(request, vhost, name)
    request.node.clear_topic_permissions(name, vhost)


# Limits


def vhost_limits(request: Request, *vhosts: str) -> list[Row]:
    """The limits of virtual hosts."""
    hosts = [request.vhost(name, "monitoring") for name in vhosts] or request.visible_vhosts()
    return [{"vhost": host.name, "value": dict(host.limits)} for host in hosts if host.limits]


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
    return [{"user": user.name, "value": dict(user.limits)} for user in users if user.limits]


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


def _is_operator(request: Request) -> bool:
    return request.path_head == "operator-policies"


def _book(request: Request, vhost: VHost) -> dict[str, Policy]:
    return vhost.operator_policies if _is_operator(request) else vhost.policies


def list_policies(request: Request, *vhosts: str) -> Page:
    """The policies of one virtual host, or of all that the user may see."""
    hosts = request.open_vhosts(*vhosts)
    return Page([policy_row(host.name, policy) for host in hosts for policy in _book(request, host).values()])


def show_policy(request: Request, vhost: str, name: str) -> Row:
    """One policy."""
    book = _book(request, request.vhost(vhost))
    if name not in book:
        raise not_found()
    return policy_row(vhost, book[name])


def put_policy(request: Request, vhost: str, name: str) -> Any:
    """Set a policy. Raises HttpError 400, and 500 without a word for what a real server fails on."""
    body = request.body("pattern", "definition")
    is_new = name not in _book(request, request.vhost(vhost))
    try:
        request.node.set_policy(
            vhost,
            name,
            body["pattern"],
            body["definition"],
            body.get("priority", 0),
            body.get("apply-to", "all"),
            operator=_is_operator(request),
        )
    except UnreadablePolicyError:
        raise HttpError(500, "", None) from None
    except PolicyError as error:
        reason = str(error.reason)
        # The real API escapes what this page shows, but not what that of operator policies does.
        raise bad_request(reason if _is_operator(request) else html.escape(reason, quote=False)) from None
    return (201, None, {}) if is_new else None


def delete_policy(request: Request, vhost: str, name: str) -> None:
    """Delete a policy."""
    show_policy(request, vhost, name)
    request.node.delete_policy(vhost, name, operator=_is_operator(request))


def _policies(kind: str, tag: str, *, needs_json_type: bool) -> tuple[Route, ...]:
    return (
        Route("GET", kind, list_policies),
        Route("GET", f"{kind}/*", list_policies),
        Route("GET", f"{kind}/*/*", show_policy),
        Route("PUT", f"{kind}/*/*", put_policy, tag, needs_json_type=needs_json_type),
        Route("DELETE", f"{kind}/*/*", delete_policy, tag),
    )


_ADMIN = "administrator"

ROUTES = (
    Route("GET", "whoami", whoami),
    Route("GET", "vhosts", list_vhosts),
    Route("GET", "vhosts/*", show_vhost, _ADMIN),
    Route("PUT", "vhosts/*", put_vhost, _ADMIN),
    Route("DELETE", "vhosts/*", delete_vhost, _ADMIN),
    Route("POST", "vhosts/*/start/*", start_vhost, _ADMIN),
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
    Route("PUT", "vhost-limits/*/*", put_vhost_limit, _ADMIN, needs_json_type=True),
    Route("DELETE", "vhost-limits/*/*", delete_vhost_limit, _ADMIN),
    Route("GET", "user-limits", user_limits),
    Route("GET", "user-limits/*", user_limits),
    Route("PUT", "user-limits/*/*", put_user_limit, _ADMIN, needs_json_type=True),
    Route("DELETE", "user-limits/*/*", delete_user_limit, _ADMIN),
    *_policies("policies", "policymaker", needs_json_type=False),
    *_policies("operator-policies", _ADMIN, needs_json_type=True),
)
