"""What a stream keeps of a message: it is stored as AMQP 1.0, which has no place for everything.

Owns: what is lost or changed on the way into a stream and out again, and where a filter value is.
Refuses to know: offsets and consumers. Source: recorded scenarios ``streams/all-properties``,
``streams/header-*`` and ``streams/annotation-*``.

Read next: ``core/queues/stream.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.values import ByteArray, Decimal, Int64, LongString, octets, with_leaves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.message import Message, Properties
    from mockbroker.rules import Rules

FILTER_VALUE = "x-stream-filter-value"
"""The header that carries what consumers filter by."""

_TRANSIENT, _PERSISTENT = 1, 2
_UINT64 = 2**64
_LONGEST_SHORT_STRING_BYTES = 255
_OWN_ANNOTATIONS = ("x-exchange", "x-routing-key", "x-death", "x-opt-deaths")
"""Names under which the broker itself notes something: what a publisher says there is not told."""
_PROPERTY_ANNOTATION = "x-basic-"
"""Begins the names under which the broker notes properties."""


class Unreadable(dict[str, "Any"]):
    """The properties of a message that no consumer can be given."""

    __slots__ = ()


def check_storable(message: Message, rules: Rules) -> None:
    """Refuse what a stream cannot store: a decimal header, one inside an annotation that is kept, or a filter
    value that is no string.

    Raises HardError 541. Source: recorded scenarios ``streams/header-*`` and ``streams/nested-decimal-*``.
    """
    headers = (message[3] or {}).get("headers") or {}
    value = headers.get(FILTER_VALUE, "")
    for name, each in headers.items():
        if isinstance(each, Decimal) or (_is_kept(name, each, rules) and _has_decimal(each)):
            raise refusals.internal_error()
    if rules.stream_filters and not isinstance(value, str):
        raise refusals.internal_error()


def _has_decimal(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_has_decimal, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Decimal)


def stored(message: Message, rules: Rules, *, is_letter: bool = False) -> Message:
    """Return what a stream keeps of a message: no cluster_id, and only some of the headers.

    A dead letter (`is_letter`) keeps the broker's record of its deaths, and has the expiration again that its
    death took away where the rules have it so (recorded scenario ``streams/letter-keeps-expiration``).
    The properties are `Unreadable` when a header stands for a property and cannot be one.
    """
    exchange, routing_key, body, properties, _ = message
    kept: Properties = dict(properties or {})
    kept.pop("cluster_id", None)
    if is_letter and rules.stream_letters_keep_expiration:
        expiration = getattr(properties, "expiration", None)
        if expiration is not None:
            kept["expiration"] = expiration
    if rules.stream_shows_transient:
        kept["delivery_mode"] = _PERSISTENT if kept.get("delivery_mode") == _PERSISTENT else _TRANSIENT
    if "timestamp" in kept:
        kept["timestamp"] = _stored_timestamp(kept["timestamp"])
    given: dict[str, Any] = kept.get("headers", {})
    headers = {
        name: _stored_value(value, rules) for name, value in given.items() if _is_kept(name, value, rules)
    }
    kept["headers"] = headers
    if headers:
        if not _take_properties(headers, kept, rules):
            kept = Unreadable(kept)
        if rules.stream_keeps_annotations:
            kept["headers"] = _without_own_annotations(headers, with_deaths=is_letter)
    return (exchange, routing_key, body, kept, None)


def is_readable(message: Message) -> bool:
    """Whether a consumer can be given a stored message: a real server's channel dies of one that is not."""
    return type(message[3]) is not Unreadable


def _stored_timestamp(seconds: int) -> int:
    """Return what is left of a timestamp: it is kept in milliseconds, in 64 bits with a sign.

    Source: recorded scenario ``streams/timestamp-wraps``.
    """
    milliseconds = seconds * 1000 % _UINT64
    if milliseconds < _UINT64 // 2:
        return milliseconds // 1000
    return -((_UINT64 - milliseconds) // 1000) % _UINT64


def _take_properties(headers: dict[str, Any], properties: Properties, rules: Rules) -> bool:
    """Turn headers that stand for a property into that property, unless it is set; return False when one
    cannot be.

    Source: recorded scenarios ``streams/annotation-of-property-*``.
    """
    for header, name in rules.stream_property_headers.items():
        if header in headers and name not in properties:
            value = headers.pop(header)
            if value is None:
                continue
            taken = _as_octet(value) if name == "priority" else _as_short_string(value)
            if taken is None:
                return False
            properties[name] = taken
    return True


def _as_octet(value: Any) -> int | None:
    """Return the low octet of a whole number; None for anything else."""
    return int(value) & 0xFF if isinstance(value, int) and not isinstance(value, bool) else None


def _as_short_string(value: Any) -> str | None:
    """Return a text that fits a property; None for anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return None
    return value if len(octets(value)) <= _LONGEST_SHORT_STRING_BYTES else None


def _without_own_annotations(headers: dict[str, Any], *, with_deaths: bool) -> dict[str, Any]:
    """Return the headers without the broker's own annotations; its note of CC comes out as that.

    Source: recorded scenarios ``streams/annotation-own`` and ``streams/annotation-cc``.
    """
    shown = {
        name: value
        for name, value in headers.items()
        if not (name in _OWN_ANNOTATIONS or name.startswith(_PROPERTY_ANNOTATION))
        or (with_deaths and name == "x-death")
    }
    if "x-cc" in shown:
        shown["CC"] = shown.pop("x-cc")
    return shown


def _is_kept(name: str, value: Any, rules: Rules) -> bool:
    """Whether a header survives: lists and tables do only as annotations, where the rules have them."""
    if not isinstance(value, list | dict):
        return True
    return rules.stream_keeps_annotations and (name.startswith("x-") or name == "CC")


def _stored_value(value: Any, rules: Rules) -> Any:
    return with_leaves(value, _text_for_bytes) if rules.stream_turns_bytes_into_text else value


def _text_for_bytes(value: Any) -> Any:
    if isinstance(value, ByteArray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return LongString(value)
    return value


def shown(message: Message, offset: int) -> Message:
    """Return the message as a consumer gets it, with its offset."""
    exchange, routing_key, body, properties, expires_ns = message
    assert properties is not None
    headers = {**properties["headers"], "x-stream-offset": Int64(offset)}
    return (exchange, routing_key, body, {**properties, "headers": headers}, expires_ns)


def filter_value(message: Message) -> str:
    """Return what the message is filtered by; empty when it does not say."""
    assert message[3] is not None
    value = message[3]["headers"].get(FILTER_VALUE, "")
    return value if isinstance(value, str) else ""
