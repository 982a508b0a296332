"""Definitions: everything that is declared, as one JSON object, out and in.

Owns: the shape of RabbitMQ's definitions, of the whole broker and of one virtual host, and of the users,
permissions and policies in them.
Refuses to know: messages, which are no definitions, and where the JSON comes from.

Exclusive queues and what the server declares itself are left out. Coming in, what is there already stays as
it is, and a binding whose queue or exchange is missing is passed over: a server's own exports have such.

Source: RabbitMQ documentation, "Schema Definition Export and Import"; the answers of RabbitMQ 3.10.8 and
4.0.5.

Read next: ``http_definitions.py``, ``listings.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mockbroker.admin import columns, listings
from mockbroker.core.limits import check_user_limit
from mockbroker.errors import AMQPError, PolicyError
from mockbroker.values import Int64, with_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.core.policies import Policy
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost

Row = dict[str, Any]

_SALT_BYTES = 4
_QUEUE = ("name", "durable", "auto_delete", "arguments")
_EXCHANGE = ("name", "type", "durable", "auto_delete", "internal", "arguments")
_BINDING = ("source_name", "destination_name", "destination_kind", "routing_key", "arguments")


def table(given: Any) -> Any:
    """Return JSON as a table of AMQP: whole numbers are ``long``, as RabbitMQ makes them."""
    return with_leaves(given, lambda each: Int64(each) if type(each) is int else each)


def _without_void(rows: list[Row]) -> list[Row]:
    """Return rows with their arguments as RabbitMQ exports them: what is void has become a text."""
    return [{**row, "arguments": with_leaves(row["arguments"], _text_for_void)} for row in rows]


def _text_for_void(value: Any) -> Any:
    return "undefined" if value is None else value


def _queues(vhost: VHost) -> list[Row]:
    rows = listings.list_queues(vhost.node, vhost.name, _QUEUE)
    return _without_void([row for row in rows if vhost.queues[row["name"]].exclusive_to is None])


def _exchanges(vhost: VHost) -> list[Row]:
    rows = listings.list_exchanges(vhost.node, vhost.name, _EXCHANGE)
    return _without_void([row for row in rows if row["name"] and not row["name"].startswith("amq.")])


def _bindings(vhost: VHost) -> list[Row]:
    exclusive = {name for name, queue in vhost.queues.items() if queue.exclusive_to is not None}
    rows = [
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
    return _without_void(rows)


def _policies(vhost: VHost) -> list[Row]:
    return [policy_row(vhost.name, policy) for policy in vhost.policies.values()]


def parameter_rows(vhost: VHost) -> list[Row]:
    """Return the parameters of a virtual host: its limits and its operator policies."""
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
    "parameters": parameter_rows,
    "policies": _policies,
    "queues": _queues,
    "exchanges": _exchanges,
    "bindings": _bindings,
}
_NAMES_ITS_ORIGIN = {"rabbitmq-3.10": False, "rabbitmq-4.0": True}
"""Whether an export says what it was made of, and what a virtual host itself is."""
_VHOST_KEYS: tuple[str, ...] = ("name", "description", "tags", "default_queue_type", "metadata")


# What things look like


def vhost_row(vhost: VHost) -> Row:
    """Return a virtual host as the API shows it."""
    shown = {name: column(vhost) for name, column in columns.VHOST.columns.items()}
    metadata = {"description": shown["description"], "tags": shown["tags"]}
    if shown["default_queue_type"] != "undefined":
        metadata["default_queue_type"] = shown["default_queue_type"]
    return {
        **shown,
        "metadata": metadata,
        "cluster_state": {"rabbit@localhost": "running"},
        **message_totals(vhost.node, list(vhost.queues.values())),
    }


def message_totals(node: Node, queues: Sequence[Queue]) -> dict[str, int]:
    """Return how many messages queues have in all; dead letters that they keep are neither ready nor held."""
    ready = sum(queue.ready_count for queue in queues)
    unacked = sum(node.unacked_count(queue) for queue in queues)
    return {
        "messages": ready + unacked + sum(queue.dead_letter_count for queue in queues),
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }


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
        raise ValueError("tags must be a list or a text with commas")
    return [str(word).strip() for word in given if str(word).strip()]


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


def given_password(body: Row) -> str | None:
    """Return the password that a definition has; None lets nobody in.

    Raises ValueError for a hash that is none.
    """
    if "password" in body:
        return str(body["password"])
    text = str(body.get("password_hash", ""))
    if not text:
        return None
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("password_hash is not base64") from None
    return HashedPassword(text)


def permission_rows(node: Node) -> list[Row]:
    """Return every permission of every user."""
    return [
        {
            "user": name,
            "vhost": vhost,
            "configure": granted.configure,
            "write": granted.write,
            "read": granted.read,
        }
        for name, user in sorted(node.users.items())
        for vhost, granted in sorted(user.permissions.items())
    ]


def topic_permission_rows(node: Node) -> list[Row]:
    """Return every topic permission of every user."""
    return [
        {"user": name, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
        for name, user in sorted(node.users.items())
        for (vhost, exchange), (write, read) in sorted(user.topic_permissions.items())
    ]


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


# Out


def _head(node: Node) -> Row:
    version = node.rules.version
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def export(node: Node, vhost: str | None = None) -> Row:
    """Return the definitions of a node, or of one virtual host. Raises ValueError for an unknown one."""
    if vhost is not None:
        return _export_vhost(node.vhost(vhost))
    hosts = list(node.vhosts.values())
    head = _head(node)
    vhost_keys = _VHOST_KEYS[:1]
    if _NAMES_ITS_ORIGIN[node.rules.name]:
        vhost_keys = _VHOST_KEYS
        head["rabbitmq_definition_format"] = "cluster"
        head["original_cluster_name"] = node.name
        head["explanation"] = f"Definitions of cluster '{node.name}'"
    return {
        **head,
        "users": [user_row(user) for user in node.users.values()],
        "vhosts": [{key: vhost_row(host)[key] for key in vhost_keys} for host in hosts],
        "permissions": permission_rows(node),
        "topic_permissions": topic_permission_rows(node),
        "global_parameters": [],
        **{
            part: [{"vhost": host.name, **row} for host in hosts for row in rows(host)]
            for part, rows in _PARTS.items()
        },
    }


def _export_vhost(host: VHost) -> Row:
    parts = {part: rows(host) for part, rows in _PARTS.items()}
    if not _NAMES_ITS_ORIGIN[host.node.rules.name]:
        return {"rabbit_version": host.node.rules.version, **parts}
    return {
        **_head(host.node),
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": host.name,
        "explanation": f"Definitions of virtual host '{host.name}'",
        **{key: vhost_row(host)[key] for key in ("metadata", "description", "default_queue_type")},
        "limits": dict(host.limits) or [],
        **{part: [_without_vhost(row) for row in rows] for part, rows in parts.items()},
    }


def _without_vhost(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "vhost"}


# In


PARAMETERS = ("vhost-limits", "operator_policy")
"""The components whose parameters mean something here."""


def not_emulated(definitions: Row) -> list[str]:
    """Return by name what definitions hold that `load` passes over: federation, shovels and their like."""
    names = [
        f"parameter {row.get('component')}/{row.get('name')}"
        for row in definitions.get("parameters", ())
        if row.get("component") not in PARAMETERS
    ]
    names += [f"global parameter {row.get('name')}" for row in definitions.get("global_parameters", ())]
    sections = {*_GLOBAL_LOADERS, *_LOADERS, "global_parameters"}
    names += [
        f"section {section}"
        for section, rows in definitions.items()
        if isinstance(rows, list) and rows and section not in sections
    ]
    return names


def load(node: Node, definitions: Row, vhost: str | None = None) -> list[str]:
    """Put definitions into a node; with `vhost` into that virtual host, whatever they say.

    What is there already stays. Returns the names of what is passed over: bindings whose queue or exchange is
    missing, and what is not emulated. Raises ValueError that names the first definition that is not
    accepted; those before it stay.
    """
    passed_over: list[str] = []
    if vhost is None:
        for section, declare in _GLOBAL_LOADERS.items():
            for row in definitions.get(section, ()):
                with _named(section, row):
                    declare(node, row)
    for section, declare_in in _LOADERS.items():
        for row in definitions.get(section, ()):
            with _named(section, row):
                name = vhost if vhost is not None else row.get("vhost", "/")
                missing = declare_in(node.vhost(name), row)
            if missing is not None:
                passed_over.append(missing)
    node.drain()
    return passed_over + not_emulated(definitions)


@contextmanager
def _named(section: str, row: Row) -> Iterator[None]:
    """Name the definition that is not accepted."""
    try:
        yield
    except (AMQPError, PolicyError, ValueError, TypeError, KeyError) as error:
        reason = getattr(error, "reason", None) or str(error) or repr(error)
        raise ValueError(f"{section}: {json.dumps(row)}: {reason}") from None


def _load_user(node: Node, row: Row) -> None:
    if "tags" not in row:
        raise ValueError("tags_not_present")
    limits = row.get("limits") or {}
    for name, limit in limits.items():
        check_user_limit(name, limit)
    node.set_user(row["name"], given_password(row), tuple(words(row["tags"]))).limits.update(limits)


def _load_vhost(node: Node, row: Row) -> None:
    set_metadata(node.add_vhost(row["name"]), {**row.get("metadata", {}), **row})


def _load_permission(node: Node, row: Row) -> None:
    node.set_permissions(row["user"], row["vhost"], row["configure"], row["write"], row["read"])


def _load_topic_permission(node: Node, row: Row) -> None:
    node.set_topic_permissions(row["user"], row["vhost"], row["exchange"], row["write"], row["read"])


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
        _definition(row["definition"]),
        row.get("priority", 0),
        row.get("apply-to", "all"),
        operator=operator,
    )


def _definition(given: Any) -> Any:
    """Return what a policy defines; ``rabbitmqctl`` writes that of operators as a list of pairs."""
    is_pairs = isinstance(given, list) and all(isinstance(each, list) and len(each) == 2 for each in given)
    return dict(given) if is_pairs else given


def _load_exchange(vhost: VHost, row: Row) -> None:
    if row["type"] not in vhost.node.exchange_types:
        raise ValueError(f"unknown exchange type {row['type']!r}")
    if row["name"] not in vhost.exchanges:
        vhost.declare_exchange(
            row["name"],
            row["type"],
            durable=bool(row.get("durable", False)),
            auto_delete=bool(row.get("auto_delete", False)),
            internal=bool(row.get("internal", False)),
            arguments=table(row.get("arguments", {})),
        )


def _load_queue(vhost: VHost, row: Row) -> None:
    if row["name"] not in vhost.queues:
        vhost.declare_queue(
            row["name"],
            durable=bool(row.get("durable", False)),
            exclusive_to=None,
            auto_delete=bool(row.get("auto_delete", False)),
            arguments=table(row.get("arguments", {})),
        )


def _load_binding(vhost: VHost, row: Row) -> str | None:
    source, name, kind = row["source"], row["destination"], row["destination_type"]
    ends: Any = vhost.queues if kind == "queue" else vhost.exchanges
    if source not in vhost.exchanges or name not in ends:
        return f"binding from {source} to {kind} {name}"
    arguments = table(row.get("arguments", {}))
    vhost.bind(vhost.exchanges[source], ends[name], row["routing_key"], arguments)
    return None


# In the order in which they build on one another.
_GLOBAL_LOADERS: dict[str, Callable[[Node, Row], None]] = {
    "users": _load_user,
    "vhosts": _load_vhost,
    "permissions": _load_permission,
    "topic_permissions": _load_topic_permission,
}
_LOADERS: dict[str, Callable[[VHost, Row], str | None]] = {
    "parameters": _load_parameter,
    "policies": _load_policy,
    "exchanges": _load_exchange,
    "queues": _load_queue,
    "bindings": _load_binding,
}
