"""Headers exchanges: what each kind of x-match compares, and which values are the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker import BasicProperties, Broker
from mockbroker.exceptions import ChannelClosedByBroker
from mockbroker.values import Decimal, Float32, Int8, Int64, LongString, Timestamp

names = st.sampled_from(["a", "b", "x-c"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["0", "1", "", 1.0, 0.5]))
tables = st.dictionaries(names, scalars, max_size=3)


def is_routed(arguments: dict[str, Any], headers: dict[str, Any] | None, rules: str = "rabbitmq-4.0") -> bool:
    channel = Broker(rules=rules).connect().channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.headers", arguments=arguments)
    properties = None if headers is None else BasicProperties(headers=headers)
    channel.basic_publish("amq.headers", "ignored", b"x", properties)
    return bool(channel.queue_declare("q", passive=True).method.message_count)


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({}, None, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"a": 1}, None, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"a": None}, {"a": 5}, True),
        ({"a": None}, {}, False),
        ({"a": 1, "x-c": 2}, {"a": 1}, True),
        ({"x-match": "all-with-x", "a": 1, "x-c": 2}, {"a": 1}, False),
        ({"x-match": "all-with-x", "a": 1, "x-c": 2}, {"a": 1, "x-c": 2}, True),
        ({"x-match": "any", "x-c": 2}, {"x-c": 2}, False),
        ({"x-match": "any-with-x", "x-c": 2}, {"x-c": 2}, True),
        ({"a": Int8(1)}, {"a": Int64(1)}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": Float32(0.5)}, {"a": 0.5}, True),
        ({"a": "raw"}, {"a": LongString(b"raw")}, True),
        ({"a": {"b": [1, "x"]}}, {"a": {"b": [1, "x"]}}, True),
        ({"a": {"b": [1, "x"]}}, {"a": {"b": ["x", 1]}}, False),
        ({"a": [1]}, {"a": [Int64(1)]}, False),
        ({"a": {"b": 1}}, {"a": {"b": Int8(1)}}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, False),
        ({"a": []}, {"a": {}}, True),
        ({"a": [[]]}, {"a": [{}]}, False),
        ({"a": [0, 5]}, {"a": Decimal(0, 5)}, False),
        ({"a": 0.0}, {"a": -0.0}, False),
        ({"a": 5000}, {"a": Timestamp(5)}, True),
        ({"a": Timestamp(5)}, {"a": Timestamp(5)}, False),
        ({"a": [Timestamp(5)]}, {"a": [Timestamp(5)]}, True),
    ],
)
def test_examples(arguments: dict[str, Any], headers: dict[str, Any] | None, expected: bool) -> None:
    assert is_routed(arguments, headers) is expected


@pytest.mark.parametrize(
    ("wanted", "given"), [(5, 5.0), (0.0, -0.0), ([0.0], [-0.0]), (5, Timestamp(5)), (Timestamp(5), 5)]
)
def test_numbers_match_otherwise_on_3_10(wanted: Any, given: Any) -> None:
    assert is_routed({"a": wanted}, {"a": given}, "rabbitmq-3.10")


@given(kind=st.sampled_from(["all", "any", "all-with-x", "any-with-x"]), wanted=tables, headers=tables)
def test_any_arguments_match_as_a_plain_comparison_says(
    kind: str, wanted: dict[str, Any], headers: dict[str, Any]
) -> None:
    def is_same(name: str) -> bool:
        if name not in headers:
            return False
        mine, theirs = wanted[name], headers[name]
        return mine is None or (type(mine) is type(theirs) and mine == theirs)

    compared = [name for name in wanted if kind.endswith("with-x") or not name.startswith("x-")]
    combine = any if kind.startswith("any") else all
    assert is_routed({"x-match": kind, **wanted}, headers) is combine(map(is_same, compared))


@pytest.mark.parametrize("kind", ["some", "", 5, None])
def test_an_unknown_match_is_refused_and_binds_nothing(kind: Any) -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    before = broker.list_bindings()
    with pytest.raises(ChannelClosedByBroker, match="x-match"):
        channel.queue_bind("q", "amq.headers", arguments={"x-match": kind})
    assert broker.list_bindings() == before


def test_bindings_are_the_same_when_their_arguments_are() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    before = len(broker.list_bindings())
    for arguments in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}):
        channel.queue_bind("q", "amq.headers", "k", arguments)
    assert len(broker.list_bindings()) == before + 2
    channel.queue_unbind("q", "amq.headers", "k", {"a": 9})
    assert len(broker.list_bindings()) == before + 2
    channel.queue_unbind("q", "amq.headers", "k", {"a": 1})
    channel.queue_unbind("q", "amq.headers", "k", {"b": 2, "a": 1})
    assert len(broker.list_bindings()) == before
    broker.check()
