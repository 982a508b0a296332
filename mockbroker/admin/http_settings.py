"""What a server is set to: parameters, feature flags, deprecated features, and who logs in how.

Owns: the paths below ``/api/parameters``, ``/api/global-parameters``, ``/api/feature-flags``,
``/api/deprecated-features`` and ``/api/auth``.
Refuses to know: what a limit or a policy does; a parameter here is another view of one.

Global parameters and feature flags can be read and not changed: nothing here depends on them.

Source: RabbitMQ documentation, "Parameters and Policies", "Feature Flags"; the answers of RabbitMQ 3.10.8 and
4.0.5.

Read next: ``http_access.py``, ``http_requests.py``.
"""

from __future__ import annotations

import html
from typing import Any

from mockbroker.admin import server_settings
from mockbroker.admin.definitions import parameter_rows, password_hash
from mockbroker.admin.http_requests import NODE_NAME, Request, Route, Row, bad_request, not_found
from mockbroker.core.access import User
from mockbroker.core.limits import check_vhost_limit
from mockbroker.errors import PolicyError

_LIMITS = "vhost-limits"
_OPERATOR_POLICY = "operator_policy"
_40 = ("rabbitmq-4.0",)

# Parameters


def list_parameters(request: Request, *place: str) -> list[Row]:
    """All parameters, those of one component, or those of a component in one virtual host."""
    hosts = request.open_vhosts(*place[1:])
    rows = [row for host in hosts for row in parameter_rows(host)]
    return [row for row in rows if not place or row["component"] == place[0]]


def show_parameter(request: Request, component: str, vhost: str, name: str) -> Row:
    """One parameter."""
    for row in list_parameters(request, component, vhost):
        if row["name"] == name:
            return row
    raise not_found()


def put_parameter(request: Request, component: str, vhost: str, name: str) -> Any:
    """Set the limits of a virtual host; there are no other parameters to set."""
    host = request.vhost(vhost)
    value = request.body("value")["value"]
    if (component, name) != (_LIMITS, "limits"):
        raise bad_request(f"Validation failed\n\ncomponent {component} not found\n")
    if not isinstance(value, dict):
        raise bad_request(f"Validation failed\n\nlimits must be an object, not {value!r}\n")
    try:
        for limit, number in value.items():
            check_vhost_limit(limit, number)
    except PolicyError as error:
        raise bad_request(html.escape(str(error.reason), quote=False)) from None
    is_new = not host.limits
    for limit in list(host.limits):
        request.node.clear_vhost_limit(vhost, limit)
    for limit, number in value.items():
        request.node.set_vhost_limit(vhost, limit, number)
    return (201, None, {}) if is_new else None


def delete_parameter(request: Request, component: str, vhost: str, name: str) -> None:
    """Lift the limits of a virtual host."""
    show_parameter(request, component, vhost, name)
    if component == _OPERATOR_POLICY:
        request.node.delete_policy(vhost, name, operator=True)
        return
    for limit in list(request.vhost(vhost).limits):
        request.node.clear_vhost_limit(vhost, limit)


def list_global_parameters(request: Request) -> list[Row]:
    """What is set for the whole cluster."""
    return server_settings.global_parameters(request.node)


def show_global_parameter(request: Request, name: str) -> Row:
    """One global parameter."""
    for row in list_global_parameters(request):
        if row["name"] == name:
            return row
    raise not_found()


# Feature flags


def feature_flags(request: Request) -> list[Row]:
    """The feature flags of a server as installed, by name; their descriptions are left out."""
    request.require_tag(request.manners.flags_tag)
    return server_settings.feature_flags(request.node)


def deprecated_features(request: Request) -> list[Row]:
    """The deprecated features that the server knows."""
    return server_settings.deprecated_features()


def used_deprecated_features(request: Request) -> list[Row]:
    """Those in use: shared windows of channels, and transient queues that are not exclusive."""
    queues = [queue for vhost in request.node.vhosts.values() for queue in vhost.queues.values()]
    channels = [
        channel for connection in request.node.connections for channel in connection.channels.values()
    ]
    used = {
        "global_qos": any(channel.limiter is not None for channel in channels),
        "transient_nonexcl_queues": any(not queue.durable and queue.exclusive_to is None for queue in queues),
    }
    return [row for row in deprecated_features(request) if used.get(row["name"])]


# Logging in


def authentication(request: Request) -> Row:
    """How one logs in: there is no single sign-on."""
    return request.manners.authentication


def login_attempts(request: Request, node: str) -> list[Row]:
    """How often somebody logged in at this port, and how often in vain; logins of clients are not counted."""
    if node != NODE_NAME:
        raise not_found()
    logins = request.statistics.logins
    return [
        {
            "protocol": "http",
            "auth_attempts": sum(logins.values()),
            "auth_attempts_failed": logins[False],
            "auth_attempts_succeeded": logins[True],
        }
    ]


def login_attempts_by_source(request: Request, node: str) -> list[Row]:
    """Where they came from: as on a server as installed, this is not counted."""
    if node != NODE_NAME:
        raise not_found()
    return []


def hash_password(request: Request, password: str) -> Row:
    """A password's salted hash, as ``password_hash`` of a user takes it."""
    return {"ok": password_hash(User("", password))}


_POLICYMAKER = "policymaker"
_ADMIN = "administrator"

ROUTES = (
    Route("GET", "parameters", list_parameters, _POLICYMAKER),
    Route("GET", "parameters/*", list_parameters, _POLICYMAKER),
    Route("GET", "parameters/*/*", list_parameters, _POLICYMAKER),
    Route("GET", "parameters/*/*/*", show_parameter, _POLICYMAKER),
    Route("PUT", "parameters/*/*/*", put_parameter, _POLICYMAKER),
    Route("DELETE", "parameters/*/*/*", delete_parameter, _POLICYMAKER),
    Route("GET", "global-parameters", list_global_parameters, _POLICYMAKER),
    Route("GET", "global-parameters/*", show_global_parameter, _POLICYMAKER),
    Route("GET", "feature-flags", feature_flags),
    Route("GET", "deprecated-features", deprecated_features, rules=_40),
    Route("GET", "deprecated-features/used", used_deprecated_features, rules=_40),
    Route("GET", "auth", authentication),
    Route("GET", "auth/attempts/*", login_attempts, "monitoring"),
    Route("GET", "auth/attempts/*/source", login_attempts_by_source, "monitoring"),
    Route("GET", "auth/hash_password/*", hash_password, _ADMIN, rules=_40),
)
