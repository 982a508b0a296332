"""What a stream keeps of a message: it is stored as AMQP 1.0, which has no place for everything.

Owns: what is lost or changed on the way into a stream and out again, and where a filter value is.
Refuses to know: offsets and consumers. Source: recorded scenarios ``streams/all-properties`` and
``streams/header-*``.

Read next: ``core/queues/stream.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.values import ByteArray, Decimal, Int64, LongString

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.message import Message, Properties
    from mockbroker.rules import Rules

FILTER_VALUE = "x-stream-filter-value"
"""The header that carries what consumers filter by."""

_TRANSIENT = 1


def check_storable(message: Message, rules: Rules) -> None:
    """Refuse what a stream cannot store: a decimal header, or a filter value that is no string.

    Raises HardError 541.
    """
    headers = (message[3] or {}).get("headers") or {}
    value = headers.get(FILTER_VALUE, "")
    if any(isinstance(each, Decimal) for each in headers.values()):
        raise refusals.internal_error()
    if rules.stream_filters and not isinstance(value, str):
        raise refusals.internal_error()


def stored(message: Message, rules: Rules) -> Message:
    """Return what a stream keeps of a message: no cluster_id, and only some of the headers."""
    exchange, routing_key, body, properties, _ = message
    kept: Properties = dict(properties or {})
    kept.pop("cluster_id", None)
    if rules.stream_shows_transient:
        kept.setdefault("delivery_mode", _TRANSIENT)
    headers: dict[str, Any] = kept.get("headers", {})
    kept["headers"] = {
        name: _stored_value(value, rules) for name, value in headers.items() if _is_kept(name, value, rules)
    }
    return (exchange, routing_key, body, kept, None)


def as_stored_letter(message: Message, rules: Rules) -> Message:
    """Return a dead letter as a stream takes it: with the expiration that its death took away, where the
    rules have it so. Source: recorded scenario ``streams/letter-keeps-expiration``."""
    properties = message[3]
    expiration = getattr(properties, "expiration", None)
    if properties is None or expiration is None or not rules.stream_letters_keep_expiration:
        return message
    return (*message[:3], {**properties, "expiration": expiration}, message[4])


def _is_kept(name: str, value: Any, rules: Rules) -> bool:
    """Whether a header survives: lists and tables do only as annotations, where the rules have them."""
    if not isinstance(value, list | dict):
        return True
    return rules.stream_keeps_annotations and (name.startswith("x-") or name == "CC")


def _stored_value(value: Any, rules: Rules) -> Any:
    if isinstance(value, ByteArray) and rules.stream_turns_bytes_into_text:
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
