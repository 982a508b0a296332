"""The values of field tables: RabbitMQ's names for them, and that they behave as plain Python values."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import values


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "bool"),
        ("text", "longstr"),
        (0.5, "double"),
        (None, "void"),
        ([1], "array"),
        ({"a": 1}, "table"),
        (b"raw", "binary"),
        (2**31 - 1, "signedint"),
        (-(2**31), "signedint"),
        (2**31, "long"),
        (-(2**31) - 1, "long"),
        (values.Int8(1), "byte"),
        (values.UInt8(1), "unsignedbyte"),
        (values.Int16(1), "short"),
        (values.UInt16(1), "unsignedshort"),
        (values.Int32(1), "signedint"),
        (values.UInt32(1), "unsignedint"),
        (values.Int64(1), "long"),
        (values.Float32(1), "float"),
        (values.Decimal(2, 314), "decimal"),
        (values.Timestamp(0), "timestamp"),
        (values.ByteArray(b"x"), "binary"),
        (values.LongString(b"\xff"), "longstr"),
    ],
)
def test_each_value_has_the_name_of_its_type(value: Any, name: str) -> None:
    assert values.type_name(value) == name


def test_what_has_no_amqp_type_is_named_in_the_error() -> None:
    with pytest.raises(TypeError, match=r"1j is no AMQP table value: complex has no AMQP type"):
        values.type_name(1j)


def test_single_precision_is_rounded_to_and_has_its_limit() -> None:
    assert values.Float32(0.1) == values.Float32(values.Float32(0.1)) != 0.1
    assert values.Float32() == 0
    with pytest.raises(ValueError, match=r"cannot hold 1e\+39"):
        values.Float32(1e39)


@pytest.mark.parametrize("value", [1, values.Int8(1), values.UInt32(1), values.Int64(1)])
def test_all_widths_are_integers(value: Any) -> None:
    assert values.is_integer(value)
    assert value == 1


@pytest.mark.parametrize("value", [True, values.Timestamp(1), 1.0, "1", None])
def test_a_bool_and_a_timestamp_are_none(value: Any) -> None:
    assert not values.is_integer(value)


def test_the_types_are_plain_values_for_who_does_not_care() -> None:
    assert values.Timestamp(5) + 1 == 6
    assert values.ByteArray(b"ab")[:1] == b"a"
    assert values.Decimal(scale=1, unscaled=5) == (1, 5)
