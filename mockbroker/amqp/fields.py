"""Field tables as bytes: the values of ``values.py``, to the wire and back without loss.

Owns: the type letters that RabbitMQ knows and the layout of tables and arrays.
Refuses to know: methods and frames (``frames.py``), and what a table is for.

The letters are RabbitMQ's (https://www.rabbitmq.com/amqp-0-9-1-errata, section 3), not the specification's:
``s`` is a 16-bit number, ``l`` and ``L`` both are signed 64-bit numbers. Keys, and long strings that are not
UTF-8, keep their bytes: a key's stray bytes become surrogate escapes, such a long string becomes
`LongString`.

Read next: ``values.py``, ``frames.py``.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any

from mockbroker.values import (
    ByteArray,
    Decimal,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongString,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.values import Table

MAX_DEPTH = 128
"""Tables and arrays inside one another. RabbitMQ has no such limit; Python's stack has."""

_SIZE = Struct(">I")
_LENGTHS = [bytes((n,)) for n in range(256)]
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


class FieldError(ValueError):
    """Bytes that are no field value, or a Python value that has no bytes; the text says why."""


def _long(value: int) -> int:
    return Int64(value) if value in _INT32 else value


def _decimal(value: tuple[int, int]) -> Decimal:
    return Decimal(*value)


def _same(value: Any) -> Any:
    return value


def _finite(value: float) -> float:
    """Erlang has no infinite numbers, and none that are not one."""
    if not isfinite(value):
        raise FieldError(f"{value!r} is no number")
    return value


_NUMBERS: dict[str, tuple[type, str, Callable[[Any], Any]]] = {
    "b": (Int8, ">b", Int8),
    "B": (UInt8, ">B", UInt8),
    "s": (Int16, ">h", Int16),
    "u": (UInt16, ">H", UInt16),
    "I": (Int32, ">i", _same),
    "i": (UInt32, ">I", UInt32),
    "l": (Int64, ">q", _long),
    "f": (Float32, ">f", lambda value: Float32(_finite(value))),
    "d": (float, ">d", _finite),
    "T": (Timestamp, ">Q", Timestamp),
    "t": (bool, ">B", bool),
}
"""Letter -> the Python type that has it, its layout, and how what was read becomes a value."""

_FIXED: dict[int, tuple[Struct, Callable[[Any], Any]]] = {
    ord(letter): (Struct(layout), convert) for letter, (_, layout, convert) in _NUMBERS.items()
}
_FIXED[ord("L")] = _FIXED[ord("l")]

_TEXT, _BYTES, _TABLE, _ARRAY, _DECIMAL, _VOID = b"SxFADV"
_SIZED = frozenset((_TEXT, _BYTES, _TABLE, _ARRAY))
_DECIMAL_LAYOUT = Struct(">Bi")


def decode_table(data: bytes, start: int, end: int, depth: int = 0) -> Table:
    """Read the table whose entries fill ``data[start:end]`` (its length not included).

    Of a key that comes twice the first value counts, as in RabbitMQ's look-ups.

    Raises `FieldError` for an unknown type letter, for a value that reaches beyond the end, for a number that
    is infinite or not one, and for more than `MAX_DEPTH` tables inside one another.
    """
    table: Table = {}
    position = start
    try:
        while position < end:
            key_end = position + 1 + data[position]
            key = data[position + 1 : key_end].decode("utf-8", "surrogateescape")
            value, position = _decode_value(data, key_end, end, depth)
            if key not in table:
                table[key] = value
    except (IndexError, StructError):
        raise FieldError(f"a table entry is cut off at octet {position} of {end}") from None
    return table


def _decode_array(data: bytes, position: int, end: int, depth: int) -> list[Any]:
    values = []
    while position < end:
        value, position = _decode_value(data, position, end, depth)
        values.append(value)
    return values


def _decode_value(data: bytes, position: int, end: int, depth: int) -> tuple[Any, int]:
    """Read one value, its letter first; return it and where it ends."""
    letter = data[position]
    position += 1
    value: Any
    if letter in _SIZED:
        size: int = _SIZE.unpack_from(data, position)[0]
        position += 4
        after = position + size
        if after > end:
            raise FieldError(f"a value of {size} octets at octet {position} reaches beyond its end, {end}")
        if letter == _TEXT:
            value = _text(data[position:after])
        elif letter == _BYTES:
            value = ByteArray(data[position:after])
        elif depth >= MAX_DEPTH:
            raise FieldError(f"more than {MAX_DEPTH} tables or arrays inside one another")
        elif letter == _TABLE:
            value = decode_table(data, position, after, depth + 1)
        else:
            value = _decode_array(data, position, after, depth + 1)
        return value, after
    if letter in _FIXED:
        layout, convert = _FIXED[letter]
        value = convert(layout.unpack_from(data, position)[0])
        position += layout.size
    elif letter == _DECIMAL:
        value = Decimal(*_DECIMAL_LAYOUT.unpack_from(data, position))
        position += _DECIMAL_LAYOUT.size
    elif letter == _VOID:
        value = None
    else:
        raise FieldError(f"unknown field type {chr(letter)!r}")
    if position > end:
        raise FieldError(f"a value reaches beyond its end, octet {end}")
    return value, position


def _text(raw: bytes) -> str | LongString:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return LongString(raw)


@lru_cache(maxsize=4096)
def encode_short_string(text: str) -> bytes:
    """Return a short string as bytes, its length first.

    Raises `FieldError` beyond 255 octets.
    """
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > 255:
        raise FieldError(f"a short string holds at most 255 octets, not {len(raw)}: {text[:40]!r}...")
    return _LENGTHS[len(raw)] + raw


def encode_long_string(value: str | bytes) -> bytes:
    """Return a long string as bytes, its length first."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return _SIZE.pack(len(raw)) + raw


def encode_table(table: Table) -> bytes:
    """Return a table as bytes, its length first.

    Raises `FieldError` for a value that no type letter can hold, for a key that is no string or too long, and
    for more than `MAX_DEPTH` tables inside one another (a table that contains itself, say).
    """
    return _encode_entries(table, 0)


def _encode_entries(table: Table, depth: int) -> bytes:
    parts: list[bytes] = []
    for key, value in table.items():
        if not isinstance(key, str):
            raise FieldError(f"a table's key must be a string, not {key!r}")
        parts += (encode_short_string(key), _encode_value(value, depth))
    raw = b"".join(parts)
    return _SIZE.pack(len(raw)) + raw


def _encode_array(values: list[Any] | tuple[Any, ...], depth: int) -> bytes:
    raw = b"".join([_encode_value(value, depth) for value in values])
    return _SIZE.pack(len(raw)) + raw


def _encode_value(value: Any, depth: int) -> bytes:
    kind = type(value)
    try:
        if kind is str:
            return b"S" + encode_long_string(value)
        if kind is int:
            return _encode_int(value)
        if kind in _ENCODERS:
            letter, pack = _ENCODERS[kind]
            return letter + pack(value)
        if kind is dict or kind is list or kind is tuple:
            if depth >= MAX_DEPTH:
                raise FieldError(f"more than {MAX_DEPTH} tables or arrays inside one another")
            if kind is dict:
                return b"F" + _encode_entries(value, depth + 1)
            return b"A" + _encode_array(value, depth + 1)
    except StructError:
        raise FieldError(f"{value!r} does not fit {kind.__name__}'s place in a table") from None
    raise FieldError(f"{value!r} is no AMQP table value: {kind.__name__} has no AMQP type")


def _encode_int(value: int) -> bytes:
    if value in _INT32:
        return b"I" + _FIXED[ord("I")][0].pack(value)
    if value in _INT64:
        return b"l" + _FIXED[ord("l")][0].pack(value)
    raise FieldError(f"{value} does not fit the 64 bits of AMQP's largest integer")


_ENCODERS: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    python_type: (letter.encode(), Struct(layout).pack)
    for letter, (python_type, layout, _) in _NUMBERS.items()
}
_ENCODERS |= {
    LongString: (b"S", encode_long_string),
    ByteArray: (b"x", encode_long_string),
    bytes: (b"x", encode_long_string),
    Decimal: (b"D", lambda value: _DECIMAL_LAYOUT.pack(*value)),
    type(None): (b"V", lambda _: b""),
}
