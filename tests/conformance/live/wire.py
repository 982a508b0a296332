"""AMQP 0-9-1 between the JSON forms of FORMAT.md and bytes: methods, table values, headers, bodies, frames.

It refuses nothing that can be written down: scenarios send what no well-behaved client would. It knows no
socket. Which methods exist, and their fields, is pamqp's table; its encoders are not used, because they
choose the integer widths.
Next: `client.py` (a connection), `../FORMAT.md` (the forms).
"""

import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from pamqp import commands

from ..transcript import decode_body as encode_body
from ..transcript import show_body

__all__ = [
    "FRAME_BODY",
    "FRAME_END",
    "FRAME_HEADER",
    "FRAME_METHOD",
    "METHODS",
    "MethodSpec",
    "Reader",
    "content_frames",
    "decode_header",
    "decode_method",
    "encode_body",
    "encode_field",
    "encode_header",
    "encode_method",
    "encode_value",
    "frame",
    "payload_of",
    "show_body",
]

FRAME_METHOD, FRAME_HEADER, FRAME_BODY = 1, 2, 3
FRAME_END = b"\xce"
_BASIC_CLASS_ID = 60
_OCTET_BITS = 8


class MethodSpec(NamedTuple):
    """One method: its numbers, its fields as (name, AMQP type), and the methods that answer it."""

    class_id: int
    method_id: int
    fields: tuple[tuple[str, str], ...]
    answers: frozenset[str]


# pamqp avoids Python's keywords and shortens a name; scenarios use the specification's names.
_SPECIFICATION_NAMES = {
    "exchange_type": "type",
    "message_type": "type",
    "nowait": "no_wait",
    "global_": "global",
}
_RESERVED = {"ticket", "out_of_band", "channel_id", "known_hosts", "capabilities", "insist"}


def _method_spec(frame: Any) -> MethodSpec:
    class_id, method_id = divmod(frame.index, 1 << 16)
    return MethodSpec(
        class_id, method_id, _fields_of(frame), frozenset(map(_wire_name, frame.valid_responses))
    )


def _fields_of(frame: Any) -> tuple[tuple[str, str], ...]:
    return tuple((_SPECIFICATION_NAMES.get(name, name), frame.amqp_type(name)) for name in frame.attributes())


def _wire_name(pamqp_name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", pamqp_name).lower()


_FRAMES: list[Any] = list(commands.INDEX_MAPPING.values())
METHODS = {_wire_name(frame.name): _method_spec(frame) for frame in _FRAMES}
_NAMES = {(spec.class_id, spec.method_id): name for name, spec in METHODS.items()}
# The properties in their order, as (name, AMQP type, flag).
_PROPERTIES = [
    (name, kind, flag)
    for (name, kind), flag in zip(
        _fields_of(commands.Basic.Properties), commands.Basic.Properties.flags.values(), strict=True
    )
]

_FIXED = {"octet": ">B", "short": ">H", "long": ">I", "longlong": ">Q", "timestamp": ">Q"}
_DEFAULTS: dict[str, Any] = {"shortstr": "", "longstr": "", "table": {}}

# Table values with a form of their own: form -> (type letter, layout).
_NUMBER_FORMS = {
    "$int8": ("b", ">b"), "$uint8": ("B", ">B"), "$int16": ("s", ">h"), "$uint16": ("u", ">H"),
    "$int32": ("I", ">i"), "$uint32": ("i", ">I"), "$int64": ("l", ">q"),
    "$float32": ("f", ">f"), "$float64": ("d", ">d"), "$timestamp": ("T", ">Q"),
}  # fmt: skip
_NUMBER_LETTERS = {letter: (form, layout) for form, (letter, layout) in _NUMBER_FORMS.items()}
_PLAIN_LETTERS = "Ild"  # shown as plain numbers


def _sized(layout: str, raw: bytes) -> bytes:
    return struct.pack(layout, len(raw)) + raw


def encode_value(value: Any) -> bytes:
    """A table value with its type letter. Raises `struct.error` for a number outside its type's range."""
    match value:
        case bool():
            return b"t" + bytes([value])
        case None:
            return b"V"
        case str():
            return b"S" + _sized(">I", value.encode())
        case int() if -(2**31) <= value < 2**31:
            return b"I" + struct.pack(">i", value)
        case int():
            return b"l" + struct.pack(">q", value)
        case float():
            return b"d" + struct.pack(">d", value)
        case list():
            return b"A" + _sized(">I", b"".join(map(encode_value, value)))
        case {"$decimal": [scale, unscaled]}:
            return b"D" + struct.pack(">Bi", scale, unscaled)
        case {"$bytes": digits}:
            return b"x" + _sized(">I", bytes.fromhex(digits))
        case {"$longstr": digits}:
            return b"S" + _sized(">I", bytes.fromhex(digits))
    if len(value) == 1:
        form, number = next(iter(value.items()))
        if form in _NUMBER_FORMS:
            letter, layout = _NUMBER_FORMS[form]
            return letter.encode() + struct.pack(layout, number)
    return b"F" + encode_field("table", value)


def encode_field(kind: str, value: Any) -> bytes:
    """A method's or property's field of an AMQP type, without a letter."""
    match kind:
        case "shortstr":
            return _sized(">B", value.encode())
        case "longstr":
            return _sized(">I", value if isinstance(value, bytes) else value.encode())
        case "table":
            return _sized(
                ">I", b"".join(encode_field("shortstr", k) + encode_value(v) for k, v in value.items())
            )
    return struct.pack(_FIXED[kind], value)


def encode_method(name: str, fields: Mapping[str, Any]) -> bytes:
    """The payload of a method frame. Raises `ValueError` for a field that the method does not have."""
    spec = METHODS[name]
    if unknown := set(fields) - {field for field, _ in spec.fields}:
        raise ValueError(f"{name} has no field {sorted(unknown)}")
    out = bytearray(struct.pack(">HH", spec.class_id, spec.method_id))
    bit = _OCTET_BITS  # the next free bit of the last octet; here: begin a new octet
    for field, kind in spec.fields:
        value = fields.get(field, _DEFAULTS.get(kind, 0))
        if kind != "bit":
            out += encode_field(kind, value)
            bit = _OCTET_BITS
            continue
        if bit == _OCTET_BITS:
            out.append(0)
            bit = 0
        out[-1] |= bool(value) << bit
        bit += 1
    return bytes(out)


def encode_header(body_bytes: int, properties: Mapping[str, Any]) -> bytes:
    """The payload of a content header frame. Raises `ValueError` for an unknown property."""
    if unknown := set(properties) - {name for name, _, _ in _PROPERTIES}:
        raise ValueError(f"a message has no property {sorted(unknown)}")
    given = [(name, kind, flag) for name, kind, flag in _PROPERTIES if properties.get(name) is not None]
    flags = sum(flag for _, _, flag in given)
    values = b"".join(encode_field(kind, properties[name]) for name, kind, _ in given)
    return struct.pack(">HHQH", _BASIC_CLASS_ID, 0, body_bytes, flags) + values


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A whole frame."""
    return struct.pack(">BH", kind, channel) + _sized(">I", payload) + FRAME_END


def payload_of(step: Mapping[str, Any]) -> bytes:
    """The bytes that a step `raw` sends, or the payload of a step `frame`."""
    if "header" in step:
        return encode_header(step["header"], step.get("properties", {}))
    if "method" in step:
        return encode_method(step["method"], step.get("fields", {}))
    return bytes.fromhex(step.get("hex", "")) * step.get("repeat", 1)


def _text_or(raw: bytes, form: str) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {form: raw.hex()}


class Reader:
    """Takes fields off the front of a payload."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._position = 0

    def _take(self, size: int) -> bytes:
        start = self._position
        if start + size > len(self._payload):
            raise ValueError(f"{size} bytes wanted at {start} of {len(self._payload)}")
        self._position = start + size
        return self._payload[start : self._position]

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _raw(self) -> bytes:
        return self._take(self._number(">I"))

    def field(self, kind: str) -> Any:
        """The next field, of an AMQP type."""
        match kind:
            case "shortstr":
                return self._take(self._number(">B")).decode("utf-8", "replace")
            case "longstr":
                return self._raw().decode("utf-8", "replace")
            case "table":
                inside = Reader(self._raw())
                return {inside.field("shortstr"): inside.value() for _ in iter(inside._more, False)}
        return self._number(_FIXED[kind])

    def _more(self) -> bool:
        return self._position < len(self._payload)

    def value(self) -> Any:
        """The next table value, in its JSON form."""
        match letter := chr(self._number(">B")):
            case "t":
                return self._number(">B") != 0
            case "V":
                return None
            case "S":
                return _text_or(self._raw(), "$longstr")
            case "x":
                return {"$bytes": self._raw().hex()}
            case "A":
                inside = Reader(self._raw())
                return [inside.value() for _ in iter(inside._more, False)]
            case "F":
                return self.field("table")
            case "D":
                return {"$decimal": [self._number(">B"), self._number(">i")]}
        form, layout = _NUMBER_LETTERS[letter]
        number = self._number(layout)
        return number if letter in _PLAIN_LETTERS else {form: number}

    def bits(self, count: int) -> list[bool]:
        """The next `count` (at most 8) bits, which share one octet."""
        octet = self._number(">B")
        return [bool(octet >> i & 1) for i in range(count)]


def decode_method(payload: bytes) -> dict[str, Any]:
    """The event of a method that arrived: `ev` and its fields, without reserved ones."""
    reader = Reader(payload)
    name = _NAMES.get((reader.field("short"), reader.field("short")))
    if name is None:
        return {"ev": "unknown", "hex": payload.hex()}
    fields = METHODS[name].fields
    # A server's methods have at most one run of bits.
    flags = [field for field, kind in fields if kind == "bit"]
    event: dict[str, Any] = {"ev": name}
    for field, kind in fields:
        if kind != "bit":
            event[field] = reader.field(kind)
        elif field == flags[0]:
            event.update(zip(flags, reader.bits(len(flags)), strict=True))
    if name == "basic.get-empty":
        del event["cluster_id"]  # reserved, under an old name
    return {key: value for key, value in event.items() if key not in _RESERVED}


def decode_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """Body size in bytes, and the properties that are set."""
    reader = Reader(payload)
    reader.field("long")
    body_bytes, flags = reader.field("longlong"), reader.field("short")
    return body_bytes, {name: reader.field(kind) for name, kind, flag in _PROPERTIES if flags & flag}


def content_frames(channel: int, properties: Mapping[str, Any], body: bytes, frame_max: int) -> bytes:
    """Header and body frames of a message, none above `frame_max` bytes."""
    room = frame_max - len(frame(FRAME_BODY, channel, b""))
    pieces = [frame(FRAME_BODY, channel, body[i : i + room]) for i in range(0, len(body), room)]
    return b"".join([frame(FRAME_HEADER, channel, encode_header(len(body), properties)), *pieces])
