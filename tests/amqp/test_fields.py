"""Field tables: what goes in comes out with its type, and what is wrong is named."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker.amqp.fields import MAX_DEPTH, FieldError, decode_table, encode_short_string, encode_table
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
    type_name,
)


def round_trip(table):
    raw = encode_table(table)
    assert struct.unpack(">I", raw[:4])[0] == len(raw) - 4
    return decode_table(raw, 4, len(raw))


def typed(value):
    """The value with the type of everything in it, so that equality means equal types too."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type_name(value), value


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (True, b"t\x01"),
        (False, b"t\x00"),
        (None, b"V"),
        ("é", b"S\0\0\0\x02\xc3\xa9"),
        (LongString(b"\xff"), b"S\0\0\0\x01\xff"),
        (7, b"I\0\0\0\x07"),
        (-(2**31), b"I\x80\0\0\0"),
        (2**31, b"l\0\0\0\0\x80\0\0\0"),
        (Int8(-1), b"b\xff"),
        (UInt8(255), b"B\xff"),
        (Int16(-2), b"s\xff\xfe"),
        (UInt16(65535), b"u\xff\xff"),
        (UInt32(2**32 - 1), b"i\xff\xff\xff\xff"),
        (Int64(5), b"l\0\0\0\0\0\0\0\x05"),
        (Float32(0.5), b"f\x3f\0\0\0"),
        (0.5, b"d\x3f\xe0\0\0\0\0\0\0"),
        (Decimal(2, -314), b"D\x02\xff\xff\xfe\xc6"),
        (Timestamp(2**64 - 1), b"T" + b"\xff" * 8),
        (ByteArray(b"\0\x01"), b"x\0\0\0\x02\0\x01"),
        ([1, "a"], b"A\0\0\0\x0bI\0\0\0\x01S\0\0\0\x01a"),
        ({"k": None}, b"F\0\0\0\x03\x01kV"),
    ],
)
def test_each_type_has_its_letter(value, octets):
    raw = encode_table({"k": value})
    assert raw[4:] == b"\x01k" + octets
    assert typed(decode_table(raw, 4, len(raw))) == typed({"k": value})


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"L" + b"\0" * 7 + b"\x05", Int64(5)),
        (b"t\x02", True),
        (b"I\0\0\0\x05", 5),
    ],
)
def test_what_is_read_in_another_form_than_it_is_written(octets, value):
    raw = b"\x01k" + octets
    assert typed(decode_table(raw, 0, len(raw))) == typed({"k": value})


def test_a_plain_int32_is_written_as_any_int_that_fits():
    assert encode_table({"k": Int32(5)}) == encode_table({"k": 5})


def test_stray_octets_in_a_key_survive():
    raw = b"\x02\xff\xfeV"
    table = decode_table(raw, 0, len(raw))
    assert encode_table(table)[4:] == raw


def test_of_a_key_that_comes_twice_the_first_counts():
    raw = b"\x01kt\x01\x01kt\x00"
    assert decode_table(raw, 0, len(raw)) == {"k": True}


scalars = st.one_of(
    st.booleans(),
    st.none(),
    st.text(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(2**31, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-128, 127).map(Int8),
    st.integers(0, 255).map(UInt8),
    st.integers(-(2**15), 2**15 - 1).map(Int16),
    st.integers(0, 2**16 - 1).map(UInt16),
    st.integers(0, 2**32 - 1).map(UInt32),
    st.integers(-(2**31), 2**31 - 1).map(Int64),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(Float32),
    st.builds(Decimal, st.integers(0, 255), st.integers(-(2**31), 2**31 - 1)),
    st.integers(0, 2**64 - 1).map(Timestamp),
    st.binary().map(ByteArray),
)
keys = st.text(max_size=60)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4), max_leaves=20
)


@given(st.dictionaries(keys, values, max_size=5))
def test_every_table_round_trips(table):
    assert typed(round_trip(table)) == typed(table)


@given(st.binary(max_size=80))
def test_any_octets_are_a_table_or_refused(raw):
    try:
        table = decode_table(raw, 0, len(raw))
    except FieldError:
        return
    assert typed(round_trip(table)) == typed(table)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x01kZ", "unknown field type 'Z'"),
        (b"\x01kI\0\0", "cut off"),
        (b"\x01kd\x7f\xf0\0\0\0\0\0\0", "inf is no number"),
        (b"\x01kf\x7f\xc0\0\0", "nan is no number"),
        (b"\x01kS\0\0\0\x05abc", "reaches beyond its end"),
        (b"\x05k", "cut off"),
        (b"\x01k", "cut off"),
        (b"\x01kA\0\0\0\x02I\0\0\0\x01", "reaches beyond its end"),
    ],
)
def test_a_wrong_table_is_refused(raw, text):
    with pytest.raises(FieldError, match=text):
        decode_table(raw, 0, len(raw))


def test_a_value_must_not_reach_into_what_follows_the_table():
    with pytest.raises(FieldError, match="beyond its end"):
        decode_table(b"\x01kI\0\0\0\0\0\0", 0, 5)


def test_nesting_has_a_limit_both_ways():
    table: dict[str, object] = {}
    for _ in range(MAX_DEPTH):
        table = {"k": table}
    assert round_trip(table) == table
    with pytest.raises(FieldError, match="inside one another"):
        encode_table({"k": table})
    inner = encode_table(table)
    raw = b"\x01kF" + inner
    with pytest.raises(FieldError, match="inside one another"):
        decode_table(raw, 0, len(raw))


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"k": 2**63}, "64 bits"),
        ({"k": Int8(200)}, "200 does not fit Int8"),
        ({"k": Timestamp(-1)}, "-1 does not fit Timestamp"),
        ({"k": object}, "has no AMQP type"),
        ({"k": {1: 2}}, "must be a string, not 1"),
        ({"k" * 256: 1}, "at most 255 octets, not 256"),
    ],
)
def test_what_has_no_place_in_a_table_is_named(table, text):
    with pytest.raises(FieldError, match=text):
        encode_table(table)


def test_a_short_string_counts_octets():
    assert encode_short_string("é" * 127)[0] == 254
    with pytest.raises(FieldError, match="256"):
        encode_short_string("é" * 128)
