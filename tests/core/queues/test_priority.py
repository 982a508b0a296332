"""Priority queues: the highest first, then the oldest; limits and times look at that head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel


@pytest.fixture
def channel() -> Channel:
    channel = Broker().connect().channel()
    channel.queue_declare("q", durable=True, arguments={"x-max-priority": 3})
    return channel


def publish(channel: Channel, body: str, priority: int | None = None, expiration: str | None = None) -> None:
    properties = BasicProperties(priority=priority, expiration=expiration, delivery_mode=2)
    channel.basic_publish("", "q", body, properties)


def drained(channel: Channel) -> list[str]:
    bodies = []
    while (fetched := channel.basic_get("q", auto_ack=True))[0] is not None:
        method, _, body = fetched
        assert body is not None
        bodies.append(body.decode() + ("*" if method.redelivered else ""))
    channel.connection.broker.check()
    return bodies


def test_the_highest_comes_first_and_a_priority_above_the_maximum_is_the_maximum(channel: Channel) -> None:
    for body, priority in (
        ("none", None),
        ("two", 2),
        ("three", 3),
        ("zero", 0),
        ("nine", 9),
        ("two too", 2),
    ):
        publish(channel, body, priority)
    assert drained(channel) == ["three", "nine", "two", "two too", "none", "zero"]


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=30))
def test_any_priorities_come_out_in_order(priorities: list[int | None]) -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("q", durable=True, arguments={"x-max-priority": 3})
    for number, priority in enumerate(priorities):
        publish(channel, str(number), priority)
    expected = sorted(range(len(priorities)), key=lambda number: (-min(priorities[number] or 0, 3), number))
    assert drained(channel) == list(map(str, expected))


def test_a_returned_message_goes_back_to_its_place_in_its_line(channel: Channel) -> None:
    for body, priority in (("a", 1), ("b", 1), ("c", 2), ("d", 1)):
        publish(channel, body, priority)
    tags = {}
    for _ in range(3):
        method, _, body = channel.basic_get("q")
        assert method is not None
        tags[body] = method.delivery_tag
    publish(channel, "e", 2)
    channel.basic_nack(tags[b"b"], requeue=True)
    channel.basic_nack(tags[b"a"], requeue=True)
    assert drained(channel) == ["e", "a*", "b*", "d"]


def test_a_higher_priority_does_not_pass_what_is_delivered_already(channel: Channel) -> None:
    seen: list[bytes] = []
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", lambda *a: seen.append(a[3]))
    publish(channel, "low", 0)
    publish(channel, "high", 3)
    channel.connection.broker.run()
    assert seen == [b"low"]
    channel.basic_ack(1)
    channel.connection.broker.run()
    assert seen == [b"low", b"high"]


def test_a_limit_drops_the_head_which_is_of_the_highest_priority() -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("q", durable=True, arguments={"x-max-priority": 3, "x-max-length": 2})
    for body, priority in (("low", 0), ("high", 3), ("low too", 0)):
        publish(channel, body, priority)
    assert drained(channel) == ["low", "low too"]


def test_a_time_to_live_is_looked_at_where_it_is_the_head(channel: Channel) -> None:
    broker = channel.connection.broker
    publish(channel, "low", 0, "100")
    publish(channel, "high", 3)
    broker.clock.advance(1)
    assert broker.list_queues("messages") == [{"messages": 2}]
    assert drained(channel) == ["high"]


def test_counts_and_purges_cover_all_lines(channel: Channel) -> None:
    for priority in (0, 1, 2, 3, 3):
        publish(channel, "x", priority)
    assert channel.queue_purge("q").method.message_count == 5
    publish(channel, "y", 1)
    assert drained(channel) == ["y"]


@pytest.mark.parametrize("way", ["restart", "crash"])
def test_the_order_survives(channel: Channel, way: str) -> None:
    broker = channel.connection.broker
    for body, priority in (("a", 0), ("b", 3), ("c", 1)):
        publish(channel, body, priority)
    broker.clock.advance(1)
    getattr(broker, way)()
    mark = "*" if way == "crash" else ""
    assert drained(broker.connect().channel()) == [f"b{mark}", f"c{mark}", f"a{mark}"]


def test_what_was_returned_is_among_the_messages_and_survives_a_restart(channel: Channel) -> None:
    for body, priority in (("a", 0), ("b", 1)):
        publish(channel, body, priority)
    method, _, _ = channel.basic_get("q")
    assert method is not None
    channel.basic_nack(method.delivery_tag)
    broker = channel.connection.broker
    assert [each.body for each in broker.queue("q").ready] == [b"b", b"a"]
    broker.restart()
    assert drained(broker.connect().channel()) == ["b*", "a"]
