"""Recent-history exchanges: what is kept, and what a queue gets when it is bound."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, Channel, events
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

PLUGINS = ["rabbitmq_recent_history_exchange"]


def new_channel(**arguments: Any) -> Channel:
    channel = Broker(plugins=PLUGINS).connect().channel()
    channel.exchange_declare("x", "x-recent-history", durable=True, arguments=arguments)
    channel.queue_declare("q", durable=True)
    return channel


def publish(channel: Channel, *bodies: bytes, **properties: Any) -> None:
    for body in bodies:
        channel.basic_publish("x", "k", body, BasicProperties(**properties))


def bodies(channel: Channel, queue: str = "q") -> list[bytes]:
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(got[2])
    return found


@pytest.mark.parametrize(("arguments", "length"), [({}, 20), ({"x-recent-history-length": 3}, 3)])
def test_the_last_messages_are_kept(arguments: dict[str, Any], length: int) -> None:
    channel = new_channel(**arguments)
    sent = [b"%d" % number for number in range(25)]
    publish(channel, *sent)
    channel.queue_bind("q", "x", "any key")
    assert bodies(channel) == sent[-length:]
    publish(channel, b"new")
    assert bodies(channel) == [b"new"]


def test_the_same_binding_again_brings_nothing_and_another_one_all() -> None:
    channel = new_channel()
    publish(channel, b"1", b"2")
    channel.queue_bind("q", "x", "a")
    channel.queue_bind("q", "x", "a")
    channel.queue_bind("q", "x", "b")
    assert bodies(channel) == [b"1", b"2", b"1", b"2"]


def test_a_header_keeps_a_message_out() -> None:
    channel = new_channel()
    publish(channel, b"secret", headers={"x-recent-history-no-store": True})
    publish(channel, b"open", headers={"x-recent-history-no-store": 1})
    channel.queue_bind("q", "x")
    assert bodies(channel) == [b"open"]


@pytest.mark.parametrize("length", [0, -1, "3", True, 2.0])
def test_a_length_that_is_none_is_refused(length: Any) -> None:
    with pytest.raises(
        ChannelClosedByBroker, match=r"406.*'x-recent-history-length' must be a positive integer"
    ):
        new_channel(**{"x-recent-history-length": length})


def test_an_exchange_gets_the_history_backwards() -> None:
    channel = new_channel()
    channel.queue_bind("q", "amq.fanout")
    publish(channel, b"1", b"2")
    channel.exchange_bind("amq.fanout", "x")
    assert bodies(channel) == [b"2", b"1"]


def test_an_exchange_that_leads_nowhere_cannot_be_bound_to_a_history() -> None:
    channel = new_channel()
    channel.exchange_bind("amq.fanout", "x")
    channel.exchange_unbind("amq.fanout", "x")
    publish(channel, b"1")
    with pytest.raises(ConnectionClosedByBroker, match=r"541.*could not find queue/exchange"):
        channel.exchange_bind("amq.fanout", "x")


def test_a_restart_forgets_the_history() -> None:
    channel = new_channel()
    publish(channel, b"1", delivery_mode=2)
    broker = channel.connection.broker
    broker.restart()
    channel = broker.connect().channel()
    channel.queue_bind("q", "x")
    assert bodies(channel) == []


def test_a_time_to_live_begins_when_a_message_is_handed_out() -> None:
    channel = new_channel()
    publish(channel, b"1", expiration="1000")
    clock = channel.connection.broker.clock
    clock.advance(5)
    channel.queue_bind("q", "x")
    clock.advance(0.999)
    assert channel.queue_declare("q", durable=True, passive=True).method.message_count == 1
    clock.advance(0.001)
    assert bodies(channel) == []


def test_the_trace_says_what_comes_from_the_history() -> None:
    channel = new_channel()
    publish(channel, b"1")
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    with channel.connection.broker.tracing() as trace:
        channel.queue_bind("q", "x")
        channel.queue_bind("full", "x")
    assert [type(event) for event in trace] == [
        events.Bound,
        events.Released,
        events.Bound,
        events.Released,
        events.PublishRefused,
    ]
    assert trace.of(events.Released)[0].queues == (("q", 0),)
