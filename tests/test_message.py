"""Messages: what a program may put into properties and tables, and what comes out again."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pika
import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.message import (
    PROPERTY_NAMES,
    check_short_string,
    copy_table,
    is_persistent,
    properties_of,
    snapshot,
)
from mockbroker.values import ByteArray, Decimal, Float32, Int8, LongString, Timestamp

EVERY_PROPERTY: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"a": 1},
    "delivery_mode": 2,
    "priority": 3,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "1000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "user_id": "guest",
    "app_id": "a",
    "cluster_id": "k",
}


def message_with(properties: Any) -> Any:
    return ("", "q", b"", snapshot(properties), None)


def test_all_fourteen_properties_survive() -> None:
    assert tuple(EVERY_PROPERTY) == PROPERTY_NAMES
    given = BasicProperties(**EVERY_PROPERTY)
    assert snapshot(given) == EVERY_PROPERTY
    assert properties_of(message_with(given)) == given


def test_pikas_own_properties_are_accepted() -> None:
    theirs = pika.BasicProperties(**EVERY_PROPERTY)
    assert snapshot(theirs) == EVERY_PROPERTY
    assert snapshot(pika.BasicProperties()) is None
    assert snapshot(pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)) == {"delivery_mode": 2}


def test_nothing_set_is_no_properties_at_all() -> None:
    assert snapshot(BasicProperties()) is None
    assert properties_of(("", "q", b"", None, None)) == BasicProperties()
    assert BasicProperties().content_type is None


def test_properties_compare_by_value_and_show_what_is_set() -> None:
    assert BasicProperties(priority=1) == BasicProperties(priority=1)
    assert BasicProperties(priority=1) != BasicProperties(priority=2)
    assert BasicProperties() != 5
    assert (
        repr(BasicProperties(priority=1, app_id="x")) == '<BasicProperties(["priority=1", "app_id=\'x\'"])>'
    )


def test_a_property_set_later_counts_too() -> None:
    properties = BasicProperties()
    properties.priority = 9
    assert snapshot(properties) == {"priority": 9}


@pytest.mark.parametrize(
    ("name", "value", "kind", "rule"),
    [
        ("priority", 256, ValueError, "from 0 to 255, not 256"),
        ("priority", -1, ValueError, "from 0 to 255, not -1"),
        ("priority", True, TypeError, "must be an integer, not True"),
        ("delivery_mode", "2", TypeError, "must be an integer, not '2'"),
        ("timestamp", 2**64, ValueError, "from 0 to"),
        ("headers", [], TypeError, r"must be a dict, not \[\]"),
        ("content_type", 5, TypeError, "must be a string, not 5"),
        ("expiration", 1000, TypeError, "must be a string, not 1000"),
        ("message_id", "x" * 256, ValueError, "at most 255 bytes, not 256"),
        ("app_id", "é" * 128, ValueError, "at most 255 bytes, not 256"),
        ("expiration", "9" * 256, ValueError, "at most 255 bytes"),
    ],
)
def test_a_wrong_property_is_named_with_its_value_and_the_rule(
    name: str, value: Any, kind: type[Exception], rule: str
) -> None:
    with pytest.raises(kind, match=f"property {name} .*{rule}"):
        snapshot(BasicProperties(**{name: value}))


def test_what_is_no_property_is_refused() -> None:
    properties = BasicProperties()
    properties.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="there is no basic property 'colour'"):
        snapshot(properties)
    with pytest.raises(TypeError, match="must be BasicProperties or None, not 5"):
        snapshot(5)


def test_limits_are_inclusive() -> None:
    assert snapshot(BasicProperties(priority=255, delivery_mode=0, timestamp=2**64 - 1)) is not None
    assert check_short_string("name", "é" * 127 + "x") == "é" * 127 + "x"


def test_a_table_keeps_each_value_in_amqps_form() -> None:
    noon = datetime.datetime(2025, 1, 1, 12, tzinfo=datetime.UTC)
    table = {
        "date": noon,
        "naive": noon.replace(tzinfo=None),
        "number": decimal.Decimal("-3.14"),
        "big": decimal.Decimal("2E3"),
        "raw": b"\xff",
        "tuple": (1, "a"),
        "table": {"deep": [None, True, 1.5]},
        "typed": Int8(5),
    }
    copy = copy_table(table)
    seconds = 1_735_732_800
    assert copy == {
        "date": seconds,
        "naive": seconds,
        "number": Decimal(2, -314),
        "big": Decimal(0, 2000),
        "raw": b"\xff",
        "tuple": [1, "a"],
        "table": {"deep": [None, True, 1.5]},
        "typed": 5,
    }
    assert [type(copy[name]) for name in ("date", "raw", "typed")] == [Timestamp, ByteArray, Int8]


def test_a_consumer_sees_dates_and_decimals_as_pika_shows_them() -> None:
    given = {
        "date": Timestamp(1_735_689_600),
        "number": Decimal(2, 314),
        "list": [Timestamp(0)],
        "n": {"x": 1},
    }
    headers = properties_of(message_with(BasicProperties(headers=given))).headers
    assert headers == {
        "date": datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
        "number": decimal.Decimal("3.14"),
        "list": [datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)],
        "n": {"x": 1},
    }


def test_a_table_is_copied_deeply_both_ways() -> None:
    inner = {"list": [1]}
    message = message_with(BasicProperties(headers=inner))
    inner["list"].append(2)
    seen = properties_of(message).headers
    assert seen == {"list": [1]}
    seen["list"].append(3)
    assert properties_of(message).headers == {"list": [1]}


@pytest.mark.parametrize(
    ("table", "kind", "rule"),
    [
        ({5: 1}, TypeError, "a table's key must be a string, not 5"),
        ({"x" * 256: 1}, ValueError, "a table's key must have at most 255 bytes"),
        ({"a": 2**63}, ValueError, "must fit 64 bits"),
        ({"a": -(2**63) - 1}, ValueError, "must fit 64 bits"),
        ({"a": {"b": [object()]}}, TypeError, "object has no AMQP type"),
        ({"a": decimal.Decimal("NaN")}, ValueError, "finite number"),
        ({"a": float("inf")}, ValueError, "must be finite, not inf"),
        ({"a": [Float32("nan")]}, ValueError, "must be finite, not nan"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[Any, Any], kind: type[Exception], rule: str) -> None:
    with pytest.raises(kind, match=rule):
        copy_table(table)


def test_integers_may_fill_64_bits_and_strings_need_not_be_text() -> None:
    table = {"most": 2**63 - 1, "least": -(2**63), "text": LongString(b"\xff")}
    assert copy_table(table) == table


@pytest.mark.parametrize(("mode", "persistent"), [(None, False), (1, False), (2, True), (3, False)])
def test_delivery_mode_two_alone_is_persistent(mode: int | None, persistent: bool) -> None:
    assert is_persistent(message_with(BasicProperties(delivery_mode=mode))) is persistent


def test_what_a_consumer_changes_harms_nobody() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.exchange_declare("both", "fanout")
    for queue in ("a", "b"):
        channel.queue_declare(queue)
        channel.queue_bind(queue, "both")
    properties = BasicProperties(headers={"list": [1]})
    channel.basic_publish("both", "", b"x", properties)
    properties.headers["list"].append(9)  # type: ignore[index]
    _, first, _ = channel.basic_get("a")
    assert first is not None
    first.headers["list"].append(2)  # type: ignore[index]
    first.app_id = "mine"
    _, second, _ = channel.basic_get("b")
    assert second == BasicProperties(headers={"list": [1]})


def test_deliveries_show_themselves_as_pikas_methods() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"x")
    method, _, _ = channel.basic_get("q")
    assert repr(method) == (
        "<Basic.GetOk(['delivery_tag=1', 'exchange=', 'message_count=0', "
        "'redelivered=False', 'routing_key=q'])>"
    )
    shown: list[str] = []
    channel.basic_consume("q", lambda _c, method, _p, _b: shown.append(repr(method)), consumer_tag="c")
    channel.basic_publish("", "q", b"x")
    broker.run()
    assert shown == [
        "<Basic.Deliver(['consumer_tag=c', 'delivery_tag=2', 'exchange=', "
        "'redelivered=False', 'routing_key=q'])>"
    ]
