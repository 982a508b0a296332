"""The values an AMQP field table can hold.

Owns: one Python type for each type letter that RabbitMQ knows, and RabbitMQ's names for them.
Refuses to know: bytes on the wire (``amqp/fields.py``) and what a table is used for.

Plain Python values stand for the common types: ``bool`` t, ``str`` S, ``int`` I (l beyond 32 bits), ``float``
d, ``None`` V, ``list`` A, ``dict`` F. The classes below stand for the others; each is a subclass of the plain
type, so that code that only wants a number or some bytes need not care.

Read next: ``message.py``, ``terms.py``, ``core/arguments.py``.
"""

from __future__ import annotations

from collections import namedtuple
from struct import pack, unpack

TYPE_CHECKING = False  # `typing` itself is a heavy import; type checkers take this name for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Table = dict[str, Any]


class Int8(int):
    """Type ``b``: a signed octet."""


class UInt8(int):
    """Type ``B``: an unsigned octet."""


class Int16(int):
    """Type ``s``: a signed 16-bit integer."""


class UInt16(int):
    """Type ``u``: an unsigned 16-bit integer."""


class Int32(int):
    """Type ``I``: a signed 32-bit integer, as a plain ``int`` that fits is too."""


class UInt32(int):
    """Type ``i``: an unsigned 32-bit integer."""


class Int64(int):
    """Type ``l``: a signed 64-bit integer, also for a small number."""


class Float32(float):
    """Type ``f``: a single-precision number; what it is made of is rounded to one. Raises ValueError.

    >>> Float32(0.1)
    0.10000000149011612
    """

    __slots__ = ()

    def __new__(cls, number: float = 0.0) -> Float32:
        """Round to single precision. Raises ValueError for a number that is too large for it."""
        try:
            return super().__new__(cls, unpack("<f", pack("<f", float(number)))[0])
        except OverflowError:
            raise ValueError(f"a single-precision number cannot hold {number!r}") from None


class Decimal(namedtuple("Decimal", ("scale", "unscaled"))):
    """Type ``D``: ``unscaled`` divided by ten to the power of ``scale``."""

    __slots__ = ()


class Timestamp(int):
    """Type ``T``: seconds since 1970 (POSIX)."""


class ByteArray(bytes):
    """Type ``x``: a byte array."""


class LongString(bytes):
    """Type ``S`` whose bytes are not UTF-8; a long string that is UTF-8 is a ``str``."""


_INT32 = range(-(2**31), 2**31)

_NAMES: dict[type, str] = {
    bool: "bool",
    str: "longstr",
    float: "double",
    type(None): "void",
    list: "array",
    tuple: "array",
    dict: "table",
    bytes: "binary",
    Int8: "byte",
    UInt8: "unsignedbyte",
    Int16: "short",
    UInt16: "unsignedshort",
    Int32: "signedint",
    UInt32: "unsignedint",
    Int64: "long",
    Float32: "float",
    Decimal: "decimal",
    Timestamp: "timestamp",
    ByteArray: "binary",
    LongString: "longstr",
}

_INTEGERS = frozenset((int, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64))


def type_name(value: Any) -> str:
    """Return RabbitMQ's name for the type of a table value, as its error texts show it.

    >>> type_name(5), type_name(2**40), type_name("x"), type_name(Int8(5))
    ('signedint', 'long', 'longstr', 'byte')
    """
    kind = type(value)
    if kind is int:
        return "signedint" if value in _INT32 else "long"
    try:
        return _NAMES[kind]
    except KeyError:
        raise TypeError(f"{value!r} is no AMQP table value: {kind.__name__} has no AMQP type") from None


def octets(text: str) -> bytes:
    """Return a text as its octets in UTF-8; what was not UTF-8 when it came is what it was."""
    return text.encode("utf-8", "surrogateescape")


def with_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value with `change` made to all that is in it but lists and tables, however deep.

    >>> with_leaves({"a": [1, {"b": 2}]}, str)
    {'a': ['1', {'b': '2'}]}
    """
    if isinstance(value, dict):
        return {name: with_leaves(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [with_leaves(item, change) for item in value]
    return change(value)


def is_integer(value: Any) -> bool:
    """Say whether a table value has one of AMQP's integer types (a bool and a timestamp have not)."""
    return type(value) in _INTEGERS
