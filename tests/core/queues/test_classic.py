"""Classic queues: order, returns, limits and what a restart leaves."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, events
from mockbroker.channel import Channel

PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def channel(broker: Broker) -> Channel:
    return broker.connect().channel()


def publish(channel: Channel, *bodies: str, queue: str = "q", **properties: Any) -> None:
    for body in bodies:
        channel.basic_publish("", queue, body, BasicProperties(**properties) if properties else None)


def drained(channel: Channel, queue: str = "q") -> list[str]:
    """Fetch everything; a star marks what is flagged redelivered."""
    bodies = []
    while (fetched := channel.basic_get(queue, auto_ack=True))[0] is not None:
        method, _, body = fetched
        assert body is not None
        bodies.append(body.decode() + ("*" if method.redelivered else ""))
    channel.connection.broker.check()
    return bodies


def held(channel: Channel, count: int, queue: str = "q") -> list[int]:
    """Fetch and hold `count` messages; return their tags."""
    tags = []
    for _ in range(count):
        method, _, _ = channel.basic_get(queue)
        assert method is not None
        tags.append(method.delivery_tag)
    return tags


# -- order


def test_first_in_first_out(channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "0", "1", "2")
    assert drained(channel) == ["0", "1", "2"]


def test_a_returned_message_goes_back_to_its_place(channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, *"01234")
    tags = held(channel, 4)
    for index in (2, 0, 3):
        channel.basic_nack(tags[index], requeue=True)
    publish(channel, "5")
    assert drained(channel) == ["0*", "2*", "3*", "4", "5"]
    channel.basic_nack(tags[1], requeue=True)
    assert drained(channel) == ["1*"]


def test_many_returns_at_once_are_put_in_order(channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, *map(str, range(30)))
    tags = held(channel, 30)
    for tag in tags[1::2]:
        channel.basic_nack(tag, requeue=True)
    channel.basic_nack(0, multiple=True, requeue=True)
    assert drained(channel) == [f"{number}*" for number in range(30)]


def test_a_message_returned_twice_keeps_its_place(channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "0", "1")
    for _ in range(3):
        (tag,) = held(channel, 1)
        channel.basic_reject(tag, requeue=True)
    assert drained(channel) == ["0*", "1"]


def test_multiple_settles_up_to_the_tag(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, *"01234")
    tags = held(channel, 5)
    channel.basic_ack(tags[1])
    channel.basic_nack(tags[2], multiple=True, requeue=True)
    assert broker.list_queues("messages_ready", "messages_unacknowledged") == [
        {"messages_ready": 2, "messages_unacknowledged": 2}
    ]
    channel.basic_nack(tags[4], multiple=True, requeue=False)
    assert drained(channel) == ["0*", "2*"]


def test_positions_are_given_once_even_after_a_purge(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "0", "1", "2")
    (tag,) = held(channel, 1)
    with broker.tracing() as trace:
        assert channel.queue_purge("q").method.message_count == 2
        publish(channel, "3")
        channel.basic_nack(tag, requeue=True)
    assert [event.position for event in trace.of(events.Dropped)] == [1, 2]
    assert trace.of(events.Published)[0].queues == (("q", 3),)
    assert drained(channel) == ["0*", "3"]


def test_a_delivery_to_a_queue_that_is_gone_may_be_settled_still(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    publish(channel, "0", "1", "2", delivery_mode=2)
    tags = held(channel, 3)
    channel.queue_delete("q")
    channel.queue_declare("q", durable=True)
    publish(channel, "new", delivery_mode=2)
    channel.basic_ack(tags[0])
    channel.basic_nack(tags[1], requeue=True)
    channel.basic_nack(tags[2], requeue=False)
    broker.check()
    assert drained(channel) == ["new"]


# -- limits


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_full_queue_drops_its_oldest(broker: Broker, channel: Channel, limit: int) -> None:
    channel.queue_declare("q", arguments={"x-max-length": limit})
    for number in range(4):
        publish(channel, str(number))
        assert broker.list_queues("messages_ready")[0]["messages_ready"] == min(limit, number + 1)
    assert drained(channel) == [str(number) for number in range(4 - limit, 4)]


def test_a_limit_by_bytes_counts_bodies(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-max-length-bytes": 6})
    publish(channel, "aaa", "bbb")
    assert broker.list_queues("messages_ready")[0]["messages_ready"] == 2
    publish(channel, "c")
    assert drained(channel) == ["bbb", "c"]
    publish(channel, "ddddddd")
    assert drained(channel) == []
    publish(channel, "eeeee", delivery_mode=1)
    method, _, _ = channel.basic_get("q")
    assert method is not None
    channel.basic_nack(method.delivery_tag)
    publish(channel, "ff")
    assert drained(channel) == ["ff"]


def test_what_is_outstanding_does_not_count_until_it_returns(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 2})
    publish(channel, "0", "1")
    tags = held(channel, 2)
    publish(channel, "2", "3")
    channel.basic_nack(tags[1], multiple=True, requeue=True)
    assert drained(channel) == ["2", "3"]


def test_a_message_for_a_consumer_that_is_ready_passes_through_a_full_queue(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 0})
    seen: list[bytes] = []
    channel.basic_consume("q", lambda *a: seen.append(a[3]), auto_ack=True)
    publish(channel, "0", "1")
    channel.connection.broker.run()
    assert seen == [b"0", b"1"]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_limit_that_comes_to_a_queue_that_rejects_drops_nothing(
    broker: Broker, channel: Channel, overflow: str
) -> None:
    channel.queue_declare("q", arguments={"x-overflow": overflow})
    publish(channel, "1", "2")
    broker.set_policy("p", "q", {"max-length": 1})
    publish(channel, "3")
    assert drained(channel) == ["1", "2"]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_queue_refuses_new_messages(broker: Broker, channel: Channel, overflow: str) -> None:
    channel.queue_declare("dead")
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("q", arguments={"x-max-length": 1, "x-overflow": overflow, **letters})
    publish(channel, "0", "1")
    (tag,) = held(channel, 1)
    publish(channel, "2", "3")
    channel.basic_nack(tag, requeue=True)
    assert drained(channel) == ["0*", "2"]
    assert drained(channel, "dead") == (["1", "3"] if overflow.endswith("dlx") else [])


def test_a_limit_that_comes_later_drops_at_once_and_counts_from_what_is_there(channel: Channel) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q")
    publish(channel, "aa", "bb", "cc")
    broker.set_policy("p", "q", {"max-length-bytes": 4})
    broker.check()
    publish(channel, "dd")
    assert drained(channel) == ["cc", "dd"]
    broker.clear_policy("p")
    publish(channel, "aa", "bb", "cc")
    assert drained(channel) == ["aa", "bb", "cc"]


# -- time to live


def test_a_message_lives_as_long_as_the_lesser_time_says(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 1000})
    for body, expiration in (("own", "500"), ("queue", "2000"), ("none", None)):
        channel.basic_publish("", "q", body, BasicProperties(expiration=expiration))
    broker.clock.advance(0.499)
    assert broker.list_queues("messages")[0]["messages"] == 3
    broker.clock.advance(0.001)
    assert broker.list_queues("messages")[0]["messages"] == 2
    broker.clock.advance(0.499)
    assert broker.list_queues("messages")[0]["messages"] == 2
    broker.clock.advance(0.001)
    assert broker.list_queues("messages")[0]["messages"] == 0
    assert broker.clock.next_due_ns() is None


def test_a_message_expires_at_the_head_alone(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "long")
    publish(channel, "short", expiration="100")
    broker.clock.advance(1)
    assert broker.list_queues("messages")[0]["messages"] == 2
    assert drained(channel) == ["long"]


def test_one_timer_serves_a_queue_of_any_length(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 1000})
    publish(channel, *map(str, range(100)))
    fired = 0
    while (due_ns := broker.clock.next_due_ns()) is not None:
        broker.clock.advance_to_ns(due_ns)
        fired += 1
    assert fired == 1
    assert broker.list_queues("messages")[0]["messages"] == 0


def test_what_is_outstanding_does_not_expire_until_it_returns(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 100})
    publish(channel, "0", "1")
    (tag,) = held(channel, 1)
    broker.clock.advance(1)
    assert broker.list_queues("messages_ready", "messages_unacknowledged") == [
        {"messages_ready": 0, "messages_unacknowledged": 1}
    ]
    channel.basic_nack(tag, requeue=True)
    assert drained(channel) == []


def test_a_message_that_returns_expires_at_its_own_time(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "short", expiration="100")
    publish(channel, "long", expiration="1000")
    (tag,) = held(channel, 1)
    broker.clock.advance(0.05)
    channel.basic_nack(tag, requeue=True)
    broker.clock.advance(0.049)
    assert broker.list_queues("messages")[0]["messages"] == 2
    broker.clock.advance(0.001)
    assert broker.list_queues("messages")[0]["messages"] == 1
    broker.clock.advance(0.899)
    assert drained(channel) == ["long"]


def test_a_message_that_comes_to_the_head_expires_at_its_own_time(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "long", expiration="1000")
    publish(channel, "short", expiration="100")
    held(channel, 1)
    broker.clock.advance(0.1)
    assert broker.list_queues("messages_ready")[0]["messages_ready"] == 0


def test_no_time_at_all_is_enough_for_a_consumer_that_is_ready(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "lost", expiration="0")
    seen: list[bytes] = []
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", lambda *a: seen.append(a[3]))
    publish(channel, "kept", "late", expiration="0")
    broker.run()
    assert seen == [b"kept"]
    assert broker.list_queues("messages_ready")[0]["messages_ready"] == 0


def test_a_time_to_live_that_changes_counts_for_messages_to_come(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    publish(channel, "before")
    broker.set_policy("p", "q", {"message-ttl": 100})
    publish(channel, "after")
    broker.clock.advance(1)
    assert drained(channel) == ["before"]


def test_a_position_is_given_once_also_when_the_message_leaves_at_once(
    broker: Broker, channel: Channel
) -> None:
    channel.queue_declare("q")
    publish(channel, "older", "old")
    broker.set_policy("p", "q", {"message-ttl": 0})
    with broker.tracing() as trace:
        publish(channel, "one", "two")
        broker.clear_policy("p")
        publish(channel, "new")
    assert [event.queues for event in trace.of(events.Published)] == [(("q", 2),), (("q", 3),), (("q", 4),)]
    assert [event.position for event in trace.of(events.Dropped)] == [2, 3]
    assert drained(channel) == ["older", "old", "new"]


# -- a lease


def test_a_queue_that_nobody_uses_ends_with_its_lease(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-expires": 1000})
    broker.clock.advance(0.9)
    publish(channel, "publishing is no use of it")
    broker.clock.advance(0.1)
    assert broker.list_queues() == []


@pytest.mark.parametrize("use", ["get", "declare", "passive"])
def test_using_a_queue_renews_its_lease(broker: Broker, channel: Channel, use: str) -> None:
    arguments = {"x-expires": 1000}
    channel.queue_declare("q", arguments=arguments)
    broker.clock.advance(0.9)
    if use == "get":
        channel.basic_get("q")
    elif use == "declare":
        channel.queue_declare("q", arguments=arguments)
    else:
        channel.queue_declare("q", passive=True)
    broker.clock.advance(0.9)
    assert len(broker.list_queues()) == 1
    broker.clock.advance(0.1)
    assert broker.list_queues() == []


def test_a_lease_begins_when_the_last_consumer_leaves(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-expires": 1000})
    tag = channel.basic_consume("q", lambda *_: None)
    broker.clock.advance(10)
    channel.basic_cancel(tag)
    broker.clock.advance(0.999)
    assert len(broker.list_queues()) == 1
    broker.clock.advance(0.001)
    assert broker.list_queues() == []


# -- restarts


def test_what_a_restart_leaves_of_a_durable_queue(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    publish(channel, "0", "1", "2", "3", delivery_mode=2)
    publish(channel, "transient")
    tags = held(channel, 3)
    channel.basic_ack(tags[1])
    channel.basic_nack(tags[2], requeue=True)
    broker.restart()
    assert drained(broker.connect().channel()) == ["0*", "2*", "3"]


def test_what_a_crash_leaves_of_a_durable_queue(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    publish(channel, "0", "1", "2", delivery_mode=2)
    tags = held(channel, 2)
    channel.basic_ack(tags[0])
    broker.clock.advance(0.2)
    channel.basic_ack(tags[1])
    publish(channel, "3", delivery_mode=2)
    channel.basic_get("q", auto_ack=True)
    broker.crash()
    broker.check()
    assert drained(broker.connect().channel()) == ["1*", "2*"]


def test_a_crash_undoes_a_purge_that_was_not_synced(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    publish(channel, "0", delivery_mode=2)
    broker.clock.advance(0.2)
    channel.queue_purge("q")
    broker.crash()
    assert drained(broker.connect().channel()) == ["0*"]


def test_limits_and_times_hold_after_a_restart(broker: Broker, channel: Channel) -> None:
    arguments = {"x-max-length-bytes": 4, "x-message-ttl": 1000}
    channel.queue_declare("q", durable=True, arguments=arguments)
    publish(channel, "aa", "bb", delivery_mode=2)
    broker.clock.advance(0.5)
    broker.restart()
    broker.check()
    channel = broker.connect().channel()
    publish(channel, "cc", delivery_mode=2)
    assert broker.list_queues("messages") == [{"messages": 2}]
    broker.clock.advance(0.5)
    assert drained(channel) == ["cc"]


def test_a_lease_starts_anew_after_a_restart(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-expires": 1000})
    broker.clock.advance(0.9)
    broker.crash(downtime=5)
    broker.clock.advance(0.9)
    assert len(broker.list_queues()) == 1
    broker.clock.advance(0.1)
    assert broker.list_queues() == []
