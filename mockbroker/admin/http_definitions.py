"""Definitions: everything that is declared, as one JSON object, out and in.

Owns: the shape of RabbitMQ's definitions, of the whole broker and of one virtual host.
Refuses to know: messages, which are no definitions, and files (``amqp/serve.py`` reads one).

Exclusive queues and what the server declares itself are left out. Coming in, what is there already stays as
it is.

Source: RabbitMQ documentation, "Schema Definition Export and Import"; the answers of RabbitMQ 3.10.8 and
4.0.5.

Read next: ``http_access.py``, ``http_topology.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mockbroker.admin import listings
from mockbroker.admin.http_access import (
    given_password,
    permission_rows,
    policy_row,
    set_metadata,
    topic_permission_rows,
    user_row,
    vhost_row,
    words,
)
from mockbroker.admin.http_requests import HttpError, Request, Route, Row, bad_request
from mockbroker.core.exchanges.base import Exchange
from mockbroker.errors import AMQPError, PolicyError

if TYPE_CHECKING:
    from mockbroker.core.node import Node
    from mockbroker.core.vhost import VHost

_QUEUE = ("name", "durable", "auto_delete", "arguments")
_EXCHANGE = ("name", "type", "durable", "auto_delete", "internal", "arguments")
_BINDING = ("source_name", "destination_name", "destination_kind", "routing_key", "arguments")


def _queues(vhost: VHost) -> list[Row]:
    rows = listings.list_queues(vhost.node, vhost.name, _QUEUE)
    return [row for row in rows if vhost.queues[row["name"]].exclusive_to is None]


def _exchanges(vhost: VHost) -> list[Row]:
    rows = listings.list_exchanges(vhost.node, vhost.name, _EXCHANGE)
    return [row for row in rows if row["name"] and not row["name"].startswith("amq.")]


def _bindings(vhost: VHost) -> list[Row]:
    exclusive = {name for name, queue in vhost.queues.items() if queue.exclusive_to is not None}
    return [
        {
            "source": row["source_name"],
            "destination": row["destination_name"],
            "destination_type": row["destination_kind"],
            "routing_key": row["routing_key"],
            "arguments": row["arguments"],
        }
        for row in listings.list_bindings(vhost.node, vhost.name, _BINDING)
        if row["source_name"]
        and (row["destination_kind"] != "queue" or row["destination_name"] not in exclusive)
    ]


def _policies(vhost: VHost) -> list[Row]:
    return [policy_row(vhost.name, policy) for policy in vhost.policies.values()]


def _parameters(vhost: VHost) -> list[Row]:
    limits = {"value": dict(vhost.limits), "vhost": vhost.name, "component": "vhost-limits", "name": "limits"}
    operator = [
        {
            "value": {key: row[key] for key in ("pattern", "definition", "priority", "apply-to")},
            "vhost": vhost.name,
            "component": "operator_policy",
            "name": row["name"],
        }
        for row in (policy_row(vhost.name, policy) for policy in vhost.operator_policies.values())
    ]
    return ([limits] if vhost.limits else []) + operator


_PARTS: dict[str, Any] = {
    "parameters": _parameters,
    "policies": _policies,
    "queues": _queues,
    "exchanges": _exchanges,
    "bindings": _bindings,
}
_VHOST_KEYS = ("name", "description", "tags", "default_queue_type", "metadata")


def _head(node: Node) -> Row:
    version = node.rules.version
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def export_all(request: Request) -> Row:
    """Everything."""
    hosts = list(request.node.vhosts.values())
    return {
        **_head(request.node),
        "rabbitmq_definition_format": "cluster",
        "users": [user_row(user) for user in request.node.users.values()],
        "vhosts": [{key: vhost_row(host)[key] for key in _VHOST_KEYS} for host in hosts],
        "permissions": permission_rows(request),
        "topic_permissions": topic_permission_rows(request),
        "global_parameters": [],
        **{
            part: [{"vhost": host.name, **row} for host in hosts for row in rows(host)]
            for part, rows in _PARTS.items()
        },
    }


def export_vhost(request: Request, name: str) -> Row:
    """Everything in one virtual host."""
    host = request.vhost(name)
    parts = {part: [_without_vhost(row) for row in rows(host)] for part, rows in _PARTS.items()}
    return {
        **_head(request.node),
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": name,
        **{key: vhost_row(host)[key] for key in ("metadata", "description", "default_queue_type")},
        "limits": [],
        **parts,
    }


def _without_vhost(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "vhost"}


def import_all(request: Request) -> Any:
    """Declare everything that the body defines."""
    load(request.node, _definitions(request))
    return None


def import_vhost(request: Request, name: str) -> Any:
    """Declare everything that the body defines, in one virtual host."""
    request.vhost(name)
    load(request.node, _definitions(request), name)
    return None


def _definitions(request: Request) -> Row:
    try:
        definitions = json.loads(request.raw_body or b"{}")
    except ValueError:
        raise bad_request("failed_to_parse_json") from None
    if not isinstance(definitions, dict):
        raise bad_request("failed_to_parse_json")
    return definitions


def load(node: Node, definitions: Row, vhost: str | None = None) -> None:
    """Put definitions into a node; with `vhost` into that virtual host, whatever they say.

    What is there already stays. Raises HttpError 400 that names the first definition that is not accepted;
    those before it stay.
    """
    if vhost is None:
        _load_vhosts_and_users(node, definitions)
    for section, declare in _LOADERS.items():
        for row in definitions.get(section, ()):
            try:
                name = vhost if vhost is not None else row.get("vhost", "/")
                declare(node.vhost(name), row)
            except (AMQPError, PolicyError, ValueError, TypeError, KeyError) as error:
                reason = getattr(error, "reason", None) or str(error) or repr(error)
                raise bad_request(f"{section}: {json.dumps(row)}: {reason}") from None
    node.drain()


def _load_vhosts_and_users(node: Node, definitions: Row) -> None:
    try:
        for row in definitions.get("users", ()):
            user = node.set_user(row["name"], given_password(row), tuple(words(row.get("tags", []))))
            user.limits.update(row.get("limits") or {})
        for row in definitions.get("vhosts", ()):
            set_metadata(node.add_vhost(row["name"]), {**row.get("metadata", {}), **row})
        for row in definitions.get("permissions", ()):
            node.set_permissions(row["user"], row["vhost"], row["configure"], row["write"], row["read"])
        for row in definitions.get("topic_permissions", ()):
            node.set_topic_permissions(row["user"], row["vhost"], row["exchange"], row["write"], row["read"])
    except (PolicyError, ValueError, TypeError, KeyError) as error:
        raise bad_request(f"users, vhosts or permissions: {error!r}") from None


def _load_parameter(vhost: VHost, row: Row) -> None:
    node, component, value = vhost.node, row["component"], row["value"]
    if component == "vhost-limits":
        for name, limit in dict(value).items():
            node.set_vhost_limit(vhost.name, name, limit)
    elif component == "operator_policy":
        _load_policy(vhost, {**value, "name": row["name"]}, operator=True)


def _load_policy(vhost: VHost, row: Row, *, operator: bool = False) -> None:
    vhost.node.set_policy(
        vhost.name,
        row["name"],
        row["pattern"],
        row["definition"],
        row.get("priority", 0),
        row.get("apply-to", "all"),
        operator=operator,
    )


def _load_exchange(vhost: VHost, row: Row) -> None:
    if row["name"] not in vhost.exchanges:
        vhost.declare_exchange(
            row["name"],
            row["type"],
            durable=bool(row.get("durable", False)),
            auto_delete=bool(row.get("auto_delete", False)),
            internal=bool(row.get("internal", False)),
            arguments=row.get("arguments", {}),
        )


def _load_queue(vhost: VHost, row: Row) -> None:
    if row["name"] not in vhost.queues:
        vhost.declare_queue(
            row["name"],
            durable=bool(row.get("durable", False)),
            exclusive_to=None,
            auto_delete=bool(row.get("auto_delete", False)),
            arguments=row.get("arguments", {}),
        )


def _load_binding(vhost: VHost, row: Row) -> None:
    source = vhost.exchange(row["source"])
    destination: Any = (
        vhost.queue(row["destination"])
        if row["destination_type"] == "queue"
        else vhost.exchange(row["destination"])
    )
    assert isinstance(source, Exchange)
    vhost.bind(source, destination, row["routing_key"], row.get("arguments", {}))


# In the order in which they build on one another.
_LOADERS = {
    "exchanges": _load_exchange,
    "queues": _load_queue,
    "bindings": _load_binding,
    "policies": _load_policy,
    "parameters": _load_parameter,
}

ROUTES = (
    Route("GET", "definitions", export_all, "administrator"),
    Route("POST", "definitions", import_all, "administrator"),
    Route("GET", "definitions/*", export_vhost, "administrator"),
    Route("POST", "definitions/*", import_vhost, "administrator"),
)

__all__ = ["ROUTES", "HttpError", "load"]
