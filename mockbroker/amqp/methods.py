"""The methods of AMQP 0-9-1 with RabbitMQ's extensions, as one table.

Owns: names, numbers and fields of the methods, and which of them carry content.
Refuses to know: how a field looks on the wire, and what a method does.

The kinds of fields are ``bit``, ``octet``, ``short``, ``long``, ``longlong``, ``shortstr``, ``longstr`` and
``table``. Names of fields have ``_`` where the specification has ``-``.

Source: AMQP 0-9-1 specification, and RabbitMQ's "Protocol Extensions"; access.* is of AMQP 0-8, and
basic.credit* are of servers before 4.0: both are still known (``errors/access-request``,
``errors/basic-credit-*``).

Read next: ``conversation.py``.
"""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """One method: its name (``queue.declare``), the numbers of its class and its own, its fields in order."""

    name: str
    class_id: int
    method_id: int
    fields: tuple[tuple[str, str], ...]


_VERSION = "version_major:octet version_minor:octet"
_TUNE = "channel_max:short frame_max:long heartbeat:short"
_CLOSE = "reply_code:short reply_text:shortstr class_id:short method_id:short"
_EXCHANGE = "reserved_1:short exchange:shortstr"
_EXCHANGES = "reserved_1:short destination:shortstr source:shortstr"
_QUEUE = "reserved_1:short queue:shortstr"
_ROUTE = "exchange:shortstr routing_key:shortstr"
_REPLY = "reply_code:short reply_text:shortstr"
_DELIVERY = "delivery_tag:longlong redelivered"

# (class, its number) -> method -> its number and fields; a field that names no kind is a bit.
_SPECIFICATION: dict[tuple[str, int], dict[str, tuple[int, str]]] = {
    ("connection", 10): {
        "start": (10, f"{_VERSION} server_properties:table mechanisms:longstr locales:longstr"),
        "start-ok": (11, "client_properties:table mechanism:shortstr response:longstr locale:shortstr"),
        "secure": (20, "challenge:longstr"),
        "secure-ok": (21, "response:longstr"),
        "tune": (30, _TUNE),
        "tune-ok": (31, _TUNE),
        "open": (40, "virtual_host:shortstr reserved_1:shortstr reserved_2"),
        "open-ok": (41, "reserved_1:shortstr"),
        "close": (50, _CLOSE),
        "close-ok": (51, ""),
        "blocked": (60, "reason:shortstr"),
        "unblocked": (61, ""),
        "update-secret": (70, "new_secret:longstr reason:shortstr"),
        "update-secret-ok": (71, ""),
    },
    ("channel", 20): {
        "open": (10, "reserved_1:shortstr"),
        "open-ok": (11, "reserved_1:longstr"),
        "flow": (20, "active"),
        "flow-ok": (21, "active"),
        "close": (40, _CLOSE),
        "close-ok": (41, ""),
    },
    ("access", 30): {
        "request": (10, "realm:shortstr exclusive passive active write read"),
        "request-ok": (11, "ticket:short"),
    },
    ("exchange", 40): {
        "declare": (
            10,
            f"{_EXCHANGE} type:shortstr passive durable auto_delete internal no_wait arguments:table",
        ),
        "declare-ok": (11, ""),
        "delete": (20, f"{_EXCHANGE} if_unused no_wait"),
        "delete-ok": (21, ""),
        "bind": (30, f"{_EXCHANGES} routing_key:shortstr no_wait arguments:table"),
        "bind-ok": (31, ""),
        "unbind": (40, f"{_EXCHANGES} routing_key:shortstr no_wait arguments:table"),
        "unbind-ok": (51, ""),
    },
    ("queue", 50): {
        "declare": (10, f"{_QUEUE} passive durable exclusive auto_delete no_wait arguments:table"),
        "declare-ok": (11, "queue:shortstr message_count:long consumer_count:long"),
        "bind": (20, f"{_QUEUE} {_ROUTE} no_wait arguments:table"),
        "bind-ok": (21, ""),
        "purge": (30, f"{_QUEUE} no_wait"),
        "purge-ok": (31, "message_count:long"),
        "delete": (40, f"{_QUEUE} if_unused if_empty no_wait"),
        "delete-ok": (41, "message_count:long"),
        "unbind": (50, f"{_QUEUE} {_ROUTE} arguments:table"),
        "unbind-ok": (51, ""),
    },
    ("basic", 60): {
        "qos": (10, "prefetch_size:long prefetch_count:short global"),
        "qos-ok": (11, ""),
        "consume": (20, f"{_QUEUE} consumer_tag:shortstr no_local no_ack exclusive no_wait arguments:table"),
        "consume-ok": (21, "consumer_tag:shortstr"),
        "cancel": (30, "consumer_tag:shortstr no_wait"),
        "cancel-ok": (31, "consumer_tag:shortstr"),
        "publish": (40, f"reserved_1:short {_ROUTE} mandatory immediate"),
        "return": (50, f"{_REPLY} {_ROUTE}"),
        "deliver": (60, f"consumer_tag:shortstr {_DELIVERY} {_ROUTE}"),
        "get": (70, f"{_QUEUE} no_ack"),
        "get-ok": (71, f"{_DELIVERY} {_ROUTE} message_count:long"),
        "get-empty": (72, "reserved_1:shortstr"),
        "ack": (80, "delivery_tag:longlong multiple"),
        "reject": (90, "delivery_tag:longlong requeue"),
        "recover-async": (100, "requeue"),
        "recover": (110, "requeue"),
        "recover-ok": (111, ""),
        "nack": (120, "delivery_tag:longlong multiple requeue"),
        "credit": (200, "consumer_tag:shortstr credit:long drain"),
        "credit-ok": (201, "available:long"),
        "credit-drained": (202, "consumer_tag:shortstr credit_drained:long"),
    },
    ("confirm", 85): {
        "select": (10, "no_wait"),
        "select-ok": (11, ""),
    },
    ("tx", 90): {
        "select": (10, ""),
        "select-ok": (11, ""),
        "commit": (20, ""),
        "commit-ok": (21, ""),
        "rollback": (30, ""),
        "rollback-ok": (31, ""),
    },
}


def _method(name: str, class_id: int, method_id: int, fields: str) -> Method:
    pairs = (field.partition(":") for field in fields.split())
    return Method(name, class_id, method_id, tuple((field, kind or "bit") for field, _, kind in pairs))


METHODS: dict[str, Method] = {
    f"{class_name}.{verb}": _method(f"{class_name}.{verb}", class_id, method_id, fields)
    for (class_name, class_id), methods in _SPECIFICATION.items()
    for verb, (method_id, fields) in methods.items()
}
"""Name -> method."""

CONTENT_METHODS = frozenset({"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"})
"""The methods that a content header and a body follow, whoever sends them."""
