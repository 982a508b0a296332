"""What `Broker.queue` shows, and its back door."""

from __future__ import annotations

import dataclasses

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel


@pytest.fixture
def broker() -> Broker:
    broker = Broker()
    broker.connect().channel().queue_declare("tasks", durable=True)
    return broker


def consumer(broker: Broker, tag: str, prefetch: int = 1, **arguments: object) -> Channel:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=prefetch)
    channel.basic_consume("tasks", lambda *_: None, consumer_tag=tag, **arguments)
    return channel


def test_ready_messages_come_in_order_with_what_they_carry(broker: Broker) -> None:
    tasks = broker.queue("tasks")
    tasks.put(b"one", BasicProperties(expiration="1500"))
    tasks.put("two", exchange="orders", routing_key="eu")
    one, two = tasks.ready
    assert (one.body, one.position, one.routing_key, one.expires_in) == (b"one", 0, "tasks", 1.5)
    assert (two.body, two.exchange, two.routing_key, two.redelivered) == (b"two", "orders", "eu", False)
    assert one.properties == BasicProperties(expiration="1500")
    assert tasks.peek() == (one,)
    assert tasks.ready_count == 2


def test_a_message_that_was_put_expires_in_its_time(broker: Broker) -> None:
    tasks = broker.queue("tasks")
    tasks.put(b"one", BasicProperties(expiration="1500"))
    broker.clock.advance(1.4)
    assert tasks.ready[0].expires_in == pytest.approx(0.1)
    broker.clock.advance(0.1)
    assert tasks.ready == ()
    broker.check()


def test_held_messages_have_a_holder(broker: Broker) -> None:
    consumer(broker, "worker")
    tasks = broker.queue("tasks")
    tasks.put(b"one")
    (held,) = tasks.unacked
    assert (held.body, held.consumer_tag, held.delivery_tag, held.is_seen) == (b"one", "worker", 1, False)
    assert tasks.waits_because == "nothing is ready; 1 delivered messages wait for broker.run()"
    broker.run()
    assert tasks.unacked == (dataclasses.replace(held, is_seen=True),)
    assert tasks.waits_because == "nothing is ready"


def test_a_fetched_message_is_held_by_its_channel(broker: Broker) -> None:
    broker.queue("tasks").put(b"one")
    channel = broker.connect().channel()
    channel.basic_get("tasks")
    (held,) = broker.queue("tasks").unacked
    assert (held.consumer_tag, held.is_seen) == ("", True)
    assert held.channel.endswith("(1)")


def test_the_head_waits_for_a_consumer(broker: Broker) -> None:
    tasks = broker.queue("tasks")
    tasks.put(b"one")
    assert tasks.waits_because == "nobody consumes from it"


def test_the_head_waits_for_an_acknowledgement(broker: Broker) -> None:
    consumer(broker, "a")
    consumer(broker, "b", prefetch=2)
    tasks = broker.queue("tasks")
    for body in (b"1", b"2", b"3", b"4"):
        tasks.put(body)
    assert tasks.waits_because == (
        "'a' holds 1 unacknowledged of the 1 it may; 'b' holds 2 unacknowledged of the 2 it may"
    )
    assert [(each.consumer_tag, each.unacked, each.credit) for each in tasks.consumers] == [
        ("a", 1, 0),
        ("b", 2, 0),
    ]
    assert "1 ready, 3 unacked" in repr(tasks)


def test_the_head_waits_for_a_window_that_consumers_share(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=1, global_qos=True)
    channel.basic_consume("tasks", lambda *_: None, consumer_tag="a")
    tasks = broker.queue("tasks")
    tasks.put(b"1")
    tasks.put(b"2")
    assert tasks.waits_because == (
        "'a' is on a channel that holds 1 unacknowledged of the 1 that its consumers may together"
    )
    assert tasks.consumers[0].credit == 0


def test_the_head_waits_for_the_single_active_consumer() -> None:
    broker = Broker()
    broker.connect().channel().queue_declare("tasks", arguments={"x-single-active-consumer": True})
    consumer(broker, "first")
    consumer(broker, "second")
    tasks = broker.queue("tasks")
    tasks.put(b"1")
    tasks.put(b"2")
    assert [each.is_active for each in tasks.consumers] == [True, False]
    assert tasks.waits_because == (
        "the single active consumer 'first' holds 1 unacknowledged of the 1 it may ('second' only stand by)"
    )


def test_credit_without_a_window_is_none(broker: Broker) -> None:
    consumer(broker, "a", prefetch=0)
    consumer(broker, "b", auto_ack=True)
    a, b = broker.queue("tasks").consumers
    assert (a.credit, a.auto_ack) == (None, False)
    assert (b.credit, b.auto_ack) == (None, True)


@pytest.mark.parametrize("queue_type", ["classic", "quorum", "stream"])
def test_the_back_door_leaves_the_broker_sound(queue_type: str) -> None:
    broker = Broker()
    broker.connect().channel().queue_declare("tasks", durable=True, arguments={"x-queue-type": queue_type})
    tasks = broker.queue("tasks")
    tasks.put(b"one", BasicProperties(delivery_mode=2))
    tasks.put(b"two", BasicProperties(delivery_mode=2))
    if queue_type != "stream":  # a stream cannot be fetched from
        taken = tasks.take()
        assert taken is not None
        assert taken.body == b"one"
        assert [each.body for each in tasks.ready] == [b"two"]
    broker.check()
    broker.crash()
    broker.check()


def test_what_is_put_is_delivered_like_any_other(broker: Broker) -> None:
    seen: list[bytes] = []
    broker.connect().channel().basic_consume("tasks", lambda ch, method, properties, body: seen.append(body))
    broker.queue("tasks").put(b"one")
    broker.run()
    assert seen == [b"one"]


def test_nothing_is_taken_from_an_empty_queue(broker: Broker) -> None:
    assert broker.queue("tasks").take() is None


def test_a_full_queue_refuses() -> None:
    broker = Broker()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    broker.connect().channel().queue_declare("tasks", arguments=arguments)
    broker.queue("tasks").put(b"one")
    with pytest.raises(ValueError, match="queue 'tasks' is full and refuses b'two'"):
        broker.queue("tasks").put(b"two")
    assert [each.body for each in broker.queue("tasks").ready] == [b"one"]


def test_mistakes_are_named(broker: Broker) -> None:
    with pytest.raises(ValueError, match="no queue 'task' in virtual host '/'; there are: 'tasks'"):
        broker.queue("task")
    with pytest.raises(ValueError, match="no virtual host 'elsewhere'"):
        broker.queue("tasks", vhost="elsewhere")
    with pytest.raises(TypeError, match="body must be bytes or a string, not 7"):
        broker.queue("tasks").put(7)  # type: ignore[arg-type]  # the mistake


def test_a_trace_tells_of_the_back_door(broker: Broker) -> None:
    with broker.tracing() as trace:
        broker.queue("tasks").put(b"one")
        broker.queue("tasks").take()
    assert [event.text for event in trace] == [
        "back door (0) publishes b'one' to default exchange: queue 'tasks' #0",
        "back door (0) gets b'one' from queue 'tasks' #0, tag 0, auto-ack",
    ]
