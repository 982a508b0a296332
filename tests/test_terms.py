"""Erlang's terms: what a table value is as a term, and which terms and tables are the same."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import terms
from mockbroker.terms import Atom
from mockbroker.values import ByteArray, Decimal, Float32, Int8, Int16, Int64, LongString, Timestamp, UInt16


@pytest.mark.parametrize(
    ("value", "term"),
    [
        ("é", "é".encode()),
        ("\udcff", b"\xff"),
        (LongString(b"\xff"), b"\xff"),
        (ByteArray(b"a"), b"a"),
        (None, Atom("undefined")),
        (True, Atom("true")),
        (Int8(5), 5),
        (Timestamp(5), 5),
        (Float32(0.5), 0.5),
        (Decimal(2, 314), (2, 314)),
        ([], []),
        ({}, []),
        ([True], [(Atom("bool"), Atom("true"))]),
        ({"b": 1, "a": [2]}, [(b"b", "signedint", 1), (b"a", "array", [("signedint", 2)])]),
    ],
)
def test_a_value_is_a_term(value: Any, term: Any) -> None:
    assert terms.term_of(value) == term
    assert type(terms.term_of(value)) is type(term)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (5, Int64(5)),
        (5, Int8(5)),
        (5, Timestamp(5)),
        (Int16(5), UInt16(5)),
        ("a", ByteArray(b"a")),
        (5.0, Float32(5.0)),
        (5, 5.0),
        (True, 1),
        (None, ""),
        ([], {}),
        ([5], [Int64(5)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Decimal(0, 5), [0, 5]),
        (Decimal(1, 50), Decimal(2, 500)),
    ],
)
@pytest.mark.parametrize("exactly", [True, False])
def test_the_type_of_a_value_tells_tables_apart(one: Any, other: Any, exactly: bool) -> None:
    first, second = (terms.table_identity({"h": value}, exactly=exactly) for value in (one, other))
    assert first != second
    assert sorted([first, second])


def test_the_order_of_names_does_not() -> None:
    assert terms.table_identity({"b": 1, "a": 2.5}) == terms.table_identity({"a": 2.5, "b": 1})


def test_negative_zero_is_another_number_exactly() -> None:
    positive, negative = {"h": [0.0]}, {"h": [-0.0]}
    assert terms.table_identity(positive) != terms.table_identity(negative)
    assert terms.table_identity(positive, exactly=False) == terms.table_identity(negative, exactly=False)


@pytest.mark.parametrize("exactly", [True, False])
def test_an_integer_is_another_number_than_a_float_exactly(exactly: bool) -> None:
    same = terms.comparable(5, exactly=exactly) == terms.comparable(5.0, exactly=exactly)
    assert same is not exactly
    assert terms.comparable(Atom("true"), exactly=exactly) != terms.comparable(1, exactly=exactly)
