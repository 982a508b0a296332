"""Frames as bytes: methods, content headers and bodies, both ways.

Owns: the layout of frames, of each method's fields and of a message's properties.
Refuses to know: which frame may come when (``session.py``), and what a method means (``conversation.py``).

The numbers of the protocol (frame types, property flags) are pamqp's, and a test holds ``methods.py`` against
its commands. The bytes are read and written here: pamqp makes an object of each frame and loses the types in
tables, while a broker has to hand on what it got, and spends most of its time on three methods. Those three
have layouts of their own: basic.publish, basic.deliver and basic.ack.

What cannot be read is refused as RabbitMQ refuses it, see `decode_method` and `decode_properties`.

Read next: ``methods.py``, ``fields.py``, ``session.py``.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any

from mockbroker import erlang_text
from mockbroker.amqp.fields import (
    FieldError,
    decode_table,
    encode_long_string,
    encode_short_string,
    encode_table,
)
from mockbroker.amqp.methods import METHODS, Method
from mockbroker.errors import HardError
from mockbroker.message import PROPERTY_NAMES

try:
    from pamqp import commands, constants
except ImportError as error:
    raise ImportError("the AMQP endpoint needs pamqp: pip install 'mockbroker[amqp]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.message import Properties
    from mockbroker.values import Table

METHOD = constants.FRAME_METHOD
HEADER = constants.FRAME_HEADER
BODY = constants.FRAME_BODY
HEARTBEAT = constants.FRAME_HEARTBEAT
END = constants.FRAME_END
MIN_FRAME_BYTES = constants.FRAME_MIN_SIZE
OVERHEAD_BYTES = 8
"""Octets of a frame that are not payload: type, channel, size, end."""

FRAME_HEAD = Struct(">BHI")
"""Frame type, channel, octets of payload."""
CONTENT_HEAD = Struct(">HHQ")
"""Class, weight, octets of body."""

_END = bytes((END,))
_NEXT_FRAME = Struct(">BBHI")  # the end of a frame and the head of the next
_IDS = Struct(">HH")
_DELIVER_HEAD = Struct(">BHIHH")
_DELIVERY = Struct(">QB")
_HEADER_FRAME = Struct(">BBHIHHQ")
_ACK_FRAME = Struct(">BHIHHQBB")

_BASIC = METHODS["basic.publish"].class_id
_DELIVER = METHODS["basic.deliver"].method_id
_ACK = METHODS["basic.ack"].method_id
PUBLISH = METHODS["basic.publish"]
PUBLISH_IDS = _IDS.pack(PUBLISH.class_id, PUBLISH.method_id)

HEARTBEAT_FRAME = FRAME_HEAD.pack(HEARTBEAT, 0, 0) + _END

_BY_IDS: dict[bytes, Method] = {
    _IDS.pack(method.class_id, method.method_id): method for method in METHODS.values()
}
_NUMBERS = {"octet": Struct(">B"), "short": Struct(">H"), "long": Struct(">I"), "longlong": Struct(">Q")}


class UnknownMethod(Exception):
    """Class and method numbers that AMQP 0-9-1 does not have. RabbitMQ closes the socket without a word."""


class UndecodableMethod(HardError):
    """A method whose octets are too few or too many for its fields: 501 on a channel."""


# Methods from the wire


def method_name(payload: bytes) -> str:
    """Return the name of a method frame's method. Raises `UnknownMethod`."""
    method = _BY_IDS.get(payload[:4])
    if method is None:
        raise UnknownMethod(payload[:4].hex())
    return method.name


def decode_method(payload: bytes) -> tuple[Method, Table]:
    """Read a method frame's payload; return the method and its fields by name, without the reserved ones.

    Raises `UnknownMethod`; `UndecodableMethod` (501) for octets that do not match the fields; HardError 501
    for a short string that is not UTF-8; `FieldError` for a table that cannot be read.

    Source: what RabbitMQ 3.10.8 and 4.0.5 answer to such frames (``tests/amqp/bad_input.json``).
    """
    method = _BY_IDS.get(payload[:4])
    if method is None:
        raise UnknownMethod(payload[:4].hex())
    try:
        return method, _decode_fields(method, payload)
    except (IndexError, StructError):
        raise UndecodableMethod("FRAME_ERROR", f"cannot decode {erlang_text.plain(payload[4:])}") from None


def _decode_fields(method: Method, payload: bytes) -> Table:
    fields: Table = {}
    position, end = 4, len(payload)
    bits, bit = 0, 8
    for name, kind in method.fields:
        value: Any
        if kind == "bit":
            if bit == 8:
                bits, bit = payload[position], 0
                position += 1
            value = bool(bits >> bit & 1)
            bit += 1
        else:
            bit = 8
            value, position = _decode_field(kind, payload, position)
        if not name.startswith("reserved"):
            fields[name] = value
    if position != end:
        raise IndexError(f"{method.name} ends at octet {position} of {end}")
    return fields


def _decode_field(kind: str, payload: bytes, position: int) -> tuple[Any, int]:
    if kind == "shortstr":
        start = position + 1
        end = start + payload[position]
        _check_end(end, payload)
        return decode_utf8(payload[start:end]), end
    if kind in _NUMBERS:
        layout = _NUMBERS[kind]
        return layout.unpack_from(payload, position)[0], position + layout.size
    start = position + 4
    end = start + _NUMBERS["long"].unpack_from(payload, position)[0]
    _check_end(end, payload)
    return (decode_table(payload, start, end) if kind == "table" else payload[start:end]), end


def _check_end(end: int, payload: bytes) -> None:
    if end > len(payload):
        raise IndexError(f"a field reaches to octet {end} of {len(payload)}")


def decode_utf8(raw: bytes) -> str:
    """Return a method's short string as text.

    Raises HardError 501 when it is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise HardError("FRAME_ERROR", "Malformed UTF-8 in shortstr") from None


def decode_publish(payload: bytes) -> Table:
    """Read basic.publish, as `decode_method` does, in one go.

    RabbitMQ does not look into its strings: octets that are not UTF-8 become surrogate escapes. Source:
    recorded scenario ``publish/names-not-utf8``.
    """
    try:
        key = 7 + payload[6]
        bits = key + 1 + payload[key]
        if bits + 1 != len(payload):
            raise IndexError(bits)
        flags = payload[bits]
        return {
            "exchange": payload[7:key].decode("utf-8", "surrogateescape"),
            "routing_key": payload[key + 1 : bits].decode("utf-8", "surrogateescape"),
            "mandatory": flags & 1 == 1,
            "immediate": flags & 2 == 2,
        }
    except IndexError:
        return decode_method(payload)[1]


# Methods for the wire


def frame(kind: int, channel_number: int, payload: bytes) -> bytes:
    """Return one frame."""
    return FRAME_HEAD.pack(kind, channel_number, len(payload)) + payload + _END


def encode_method(name: str, fields: Table) -> bytes:
    """Return a method frame's payload; a field that is not given is 0, false, empty.

    Raises FieldError for a value that has no place on the wire.
    """
    method = METHODS[name]
    parts = [_IDS.pack(method.class_id, method.method_id)]
    bits, bit = 0, 0
    for field, kind in method.fields:
        if kind == "bit":
            bits |= bool(fields.get(field)) << bit
            bit += 1
            continue
        if bit:
            parts.append(bytes((bits,)))
            bits, bit = 0, 0
        try:
            parts.append(_ENCODE[kind](fields[field]) if field in fields else _EMPTY[kind])
        except StructError:
            raise FieldError(f"{name}: {field}={fields[field]!r} does not fit a {kind}") from None
    if bit:
        parts.append(bytes((bits,)))
    return b"".join(parts)


_ENCODE: dict[str, Callable[[Any], bytes]] = {
    **{kind: layout.pack for kind, layout in _NUMBERS.items()},
    "shortstr": encode_short_string,
    "longstr": encode_long_string,
    "table": encode_table,
}
_EMPTY = {
    **{kind: bytes(layout.size) for kind, layout in _NUMBERS.items()},
    "shortstr": b"\0",
    "longstr": bytes(4),
    "table": bytes(4),
}


def encode_ack(channel_number: int, delivery_tag: int, multiple: bool) -> bytes:
    """Return basic.ack as a frame."""
    return _ACK_FRAME.pack(METHOD, channel_number, 13, _BASIC, _ACK, delivery_tag, multiple, END)


# Content


def encode_delivery(
    channel_number: int,
    consumer_tag: str,
    delivery_tag: int,
    redelivered: bool,
    exchange: str,
    routing_key: str,
    properties: Properties | None,
    body: bytes,
    body_max: int,
) -> bytes:
    """Return basic.deliver with its content as frames; a body frame carries at most `body_max` octets."""
    tag, source, key = (
        encode_short_string(consumer_tag),
        encode_short_string(exchange),
        encode_short_string(routing_key),
    )
    size = 13 + len(tag) + len(source) + len(key)
    return b"".join(
        (
            _DELIVER_HEAD.pack(METHOD, channel_number, size, _BASIC, _DELIVER),
            tag,
            _DELIVERY.pack(delivery_tag, redelivered),
            source,
            key,
            encode_content(channel_number, properties, body, body_max),
        )
    )


def encode_content(channel_number: int, properties: Properties | None, body: bytes, body_max: int) -> bytes:
    """Return the end of a method frame, then the header and the body frames that follow it."""
    raw = encode_properties(properties)
    size = len(body)
    head = _HEADER_FRAME.pack(END, HEADER, channel_number, 12 + len(raw), _BASIC, 0, size) + raw
    if not size:
        return head + _END
    if size <= body_max:
        return head + _NEXT_FRAME.pack(END, BODY, channel_number, size) + body + _END
    parts = [head]
    for start in range(0, size, body_max):
        chunk = body[start : start + body_max]
        parts += (_NEXT_FRAME.pack(END, BODY, channel_number, len(chunk)), chunk)
    parts.append(_END)
    return b"".join(parts)


_PROPERTIES = commands.Basic.Properties
_PAMQP_NAMES = {"type": "message_type"}
_FLAGS: list[tuple[str, int, str]] = [
    (name, _PROPERTIES.flags[pamqp_name], _PROPERTIES.amqp_type(pamqp_name))
    for name in PROPERTY_NAMES
    for pamqp_name in (_PAMQP_NAMES.get(name, name),)
]
"""Name, flag and kind of each property, in the order of the wire."""

_NO_PROPERTIES = bytes(2)
_FLAG_WORD = Struct(">H")
_TIMESTAMP = _NUMBERS["longlong"]
_MORE_FLAGS = 1


def decode_properties(raw: bytes) -> Properties | None:
    """Read what follows the body size in a content header; None when no property is set.

    Equal octets may give the same dict again: what a message carries is never changed.

    Raises HardError 541 for octets that do not match the flags, as RabbitMQ's channel dies of them.
    """
    if raw == _NO_PROPERTIES:
        return None
    return _decode_short(raw) if len(raw) <= 64 else _decode_properties(raw)


def _decode_properties(raw: bytes) -> Properties | None:
    properties: dict[str, Any] = {}
    try:
        flags: int = _FLAG_WORD.unpack_from(raw)[0]
        position = 2
        for name, flag, kind in _FLAGS:
            if flags & flag:
                properties[name], position = _decode_property(kind, raw, position)
        if position != len(raw) or flags & _MORE_FLAGS:
            raise IndexError(f"properties end at octet {position} of {len(raw)}")
    except (IndexError, StructError, FieldError):
        raise HardError("INTERNAL_ERROR") from None
    return properties or None


_decode_short = lru_cache(maxsize=1024)(_decode_properties)


def _decode_property(kind: str, raw: bytes, position: int) -> tuple[Any, int]:
    if kind == "shortstr":
        # RabbitMQ does not look into a property's string, so its octets are kept whatever they are.
        start = position + 1
        end = start + raw[position]
        _check_end(end, raw)
        return raw[start:end].decode("utf-8", "surrogateescape"), end
    if kind == "timestamp":
        return _TIMESTAMP.unpack_from(raw, position)[0], position + 8
    return _decode_field(kind, raw, position)


def encode_properties(properties: Properties | None) -> bytes:
    """Return a content header's flags and properties.

    Raises FieldError for a value that has no place on the wire.
    """
    if properties is None:
        return _NO_PROPERTIES
    flags = 0
    parts = [_NO_PROPERTIES]
    for name, flag, kind in _FLAGS:
        value = properties.get(name)
        if value is None:
            continue
        flags |= flag
        try:
            parts.append(_TIMESTAMP.pack(value) if kind == "timestamp" else _ENCODE[kind](value))
        except StructError:
            raise FieldError(f"property {name}={value!r} does not fit a {kind}") from None
    parts[0] = _FLAG_WORD.pack(flags)
    return b"".join(parts)
