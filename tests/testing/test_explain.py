"""A message's life in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def broker() -> Broker:
    broker = Broker()
    broker.tracing()
    return broker


@pytest.fixture
def channel(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("dead")
    channel.queue_declare("tasks", arguments=DEAD)
    return channel


def fates(text: str) -> list[str]:
    return [line.removeprefix("so: ") for line in text.splitlines() if line.startswith("so: ")]


def test_a_message_that_waits(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    assert broker.explain(b"one").splitlines() == [
        "    0.000 s  127.0.0.1:50002 (1) publishes b'one' to default exchange: queue 'tasks' #0",
        "so: in queue 'tasks' #0 it is ready",
    ]


def test_a_message_that_is_held(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    seen: list[Any] = []
    tag = channel.basic_consume("tasks", lambda ch, method, *_: seen.append(method))
    broker.run()
    held = f"in queue 'tasks' #0 it is held, unacknowledged, by '{tag}' of 127.0.0.1:50002 (1), tag 1"
    assert fates(broker.explain(b"one")) == [held]
    assert fates(broker.explain(seen[0])) == [held]
    assert fates(broker.explain(broker.queue("tasks").unacked[0])) == [held]
    channel.basic_ack(1)
    assert fates(broker.explain(b"one")) == ["it has left queue 'tasks' #0: acknowledged"]


def test_a_message_that_came_back(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    for _ in range(2):
        method, _, _ = channel.basic_get("tasks")
        assert method is not None
        channel.basic_nack(method.delivery_tag)
    assert fates(broker.explain("one")) == [
        "in queue 'tasks' #0 it is ready, handed out and returned 2 times"
    ]


def test_a_dead_letter_is_followed(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one", BasicProperties(expiration="100", message_id="id-1"))
    broker.clock.advance(1)
    assert fates(broker.explain("id-1")) == [
        "it has left queue 'tasks' #0: its time to live was over, and went on as a dead letter to "
        "queue 'dead' #0",
        "in queue 'dead' #0 it is ready",
    ]


def test_a_dead_letter_without_a_queue(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    channel.queue_delete("dead")
    channel.basic_get("tasks")
    channel.basic_reject(1, requeue=False)
    assert fates(broker.explain(b"one")) == [
        "it has left queue 'tasks' #0: rejected without requeue, and its dead letter found no queue"
    ]


def test_every_copy_and_every_publish_is_told(broker: Broker, channel: Channel) -> None:
    for queue in ("tasks", "dead"):
        channel.queue_bind(queue, "amq.fanout")
    for _ in range(2):
        channel.basic_publish("amq.fanout", "", b"same")
    told = broker.explain(b"same")
    assert len(told.split("\n\n")) == 2
    assert len(fates(told)) == 4


def test_what_a_crash_takes(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("durable", durable=True)
    channel.basic_publish("", "durable", b"kept", BasicProperties(delivery_mode=2))
    broker.clock.advance(1)
    channel.basic_publish("", "durable", b"lost", BasicProperties(delivery_mode=2))
    broker.crash()
    assert fates(broker.explain(b"kept")) == ["in queue 'durable' #0 it is ready"]
    assert fates(broker.explain(b"lost")) == [
        "it has left queue 'durable' #1: lost when the broker stopped, it was not on disk"
    ]


def test_what_no_queue_took(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "nowhere", b"one")
    assert broker.explain(b"one").endswith(
        "publishes b'one' to default exchange: no queue: it was lost there"
    )


def test_what_was_there_before_the_trace() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("tasks")
    channel.basic_publish("", "tasks", b"one")
    with pytest.raises(ValueError, match="nothing was recorded"):
        broker.explain(b"one")
    with broker.tracing():
        channel.basic_get("tasks")
        assert broker.explain(b"one").splitlines()[0] == "  the trace began later than this message"


def test_what_is_not_there(broker: Broker, channel: Channel) -> None:
    with pytest.raises(ValueError, match="no message in the trace is b'other'"):
        broker.explain(b"other")
    with pytest.raises(TypeError, match="not by 7"):
        broker.explain(7)
