"""Delayed-message exchanges: when a message is routed, what becomes of it meanwhile, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, Channel, events
from mockbroker.core.exchanges.delayed_message import LONGEST_DELAY_MS, DelayedMessageExchange
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, UnroutableError
from mockbroker.rules import RULES
from mockbroker.testing.assertions import assert_no_loss
from mockbroker.values import Decimal, Int8, LongString, Timestamp

PLUGINS = ["rabbitmq_delayed_message_exchange", "rabbitmq_consistent_hash_exchange"]


@pytest.fixture(params=RULES)
def broker(request: pytest.FixtureRequest) -> Broker:
    return Broker(rules=request.param, plugins=PLUGINS)


@pytest.fixture
def channel(broker: Broker) -> Channel:
    """A channel, the durable exchange x of the inner type fanout, and the durable queue q bound to it."""
    channel = broker.connect().channel()
    channel.exchange_declare("x", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "x")
    return channel


def publish(
    channel: Channel, body: bytes, delay: Any, exchange: str = "x", key: str = "", **more: Any
) -> None:
    properties = BasicProperties(headers={"x-delay": delay}, **more)
    channel.basic_publish(exchange, key, body, properties)


def bodies(channel: Channel, queue: str = "q") -> list[bytes]:
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(got[2])
    return found


def waiting(broker: Broker, name: str = "x") -> int:
    exchange = broker.node.vhosts["/"].exchanges[name]
    assert isinstance(exchange, DelayedMessageExchange)
    return exchange.messages_delayed


def test_messages_come_when_their_delays_are_over(broker: Broker, channel: Channel) -> None:
    publish(channel, b"slow", 5000)
    publish(channel, b"fast", 1000)
    channel.basic_publish("x", "", b"now")
    assert bodies(channel) == [b"now"]
    assert waiting(broker) == 2
    broker.clock.advance(0.999_999_999)
    assert bodies(channel) == []
    broker.clock.advance(0.000_000_001)
    assert bodies(channel) == [b"fast"]
    assert waiting(broker) == 1
    broker.check()
    assert broker.run_until_idle() == 0
    assert broker.clock.now == 5.0
    assert bodies(channel) == [b"slow"]
    broker.check()


def test_messages_of_one_instant_keep_their_order(broker: Broker, channel: Channel) -> None:
    for number in range(20):
        publish(channel, b"%d" % number, 1000)
    publish(channel, b"before", 999)
    broker.clock.advance(1)
    assert bodies(channel) == [b"before", *(b"%d" % number for number in range(20))]


def test_the_header_shows_the_delay_as_a_negative_number(broker: Broker, channel: Channel) -> None:
    properties = BasicProperties(headers={"x-delay": "1000", "other": 1}, message_id="m", delivery_mode=2)
    channel.basic_publish("x", "k", b"body", properties)
    broker.clock.advance(1)
    method, got, body = channel.basic_get("q")
    assert (method.exchange, method.routing_key, body) == ("x", "k", b"body")
    assert got.headers == {"x-delay": -1000, "other": 1}
    assert (got.message_id, got.delivery_mode) == ("m", 2)


@pytest.mark.parametrize(
    ("delay", "delay_ms"),
    [
        (1, 1),
        (Int8(100), 100),
        ("2000", 2000),
        ("+7", 7),
        (1500.9, 1500),
        (LONGEST_DELAY_MS, LONGEST_DELAY_MS),
        (LONGEST_DELAY_MS + 1, 0),
        (0, 0),
        (0.9, 0),
        (-5, 0),
        ("-5", 0),
        (True, 0),
        (None, 0),
        ([1000], 0),
        (Timestamp(1000), 0),
    ],
)
def test_what_a_delay_may_be(broker: Broker, channel: Channel, delay: Any, delay_ms: int) -> None:
    publish(channel, b"m", delay)
    due_ns = broker.clock.next_due_ns(housekeeping=False)
    assert due_ns == (delay_ms * 1_000_000 if delay_ms else None)
    assert len(bodies(channel)) == (0 if delay_ms else 1)


@pytest.mark.parametrize("delay", ["soon", "", "1.5", " 1", Decimal(1, 5), LongString(b"\xff")])
def test_what_is_no_number_ends_the_connection(broker: Broker, channel: Channel, delay: Any) -> None:
    with pytest.raises(ConnectionClosedByBroker, match="541"):
        publish(channel, b"m", delay)
    assert waiting(broker) == 0
    broker.check()


def test_a_message_without_the_header_is_not_delayed(channel: Channel) -> None:
    channel.basic_publish("x", "", b"1", BasicProperties(headers={"delay": 5}))
    channel.basic_publish("x", "", b"2", BasicProperties(message_id="x"))
    assert bodies(channel) == [b"1", b"2"]


def test_the_inner_type_routes_with_the_bindings_of_then(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("t", "x-delayed-message", arguments={"x-delayed-type": "topic"})
    channel.queue_bind("q", "t", "a.*")
    channel.queue_declare("late")
    for key in ("a.1", "b.1", "late"):
        publish(channel, key.encode(), 1000, "t", key)
    channel.queue_bind("late", "t", "late")
    channel.queue_bind("late", "t", "*.1")
    channel.queue_unbind("late", "t", "*.1")
    broker.clock.advance(1)
    assert bodies(channel) == [b"a.1"]
    assert bodies(channel, "late") == [b"late"]


def test_copies_are_routed_too(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("d", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    for name in "abc":
        channel.queue_declare(name)
        channel.queue_bind(name, "d", name)
    headers = {"x-delay": 1000, "CC": ["b"], "BCC": ["c"]}
    channel.basic_publish("d", "a", b"m", BasicProperties(headers=headers))
    broker.clock.advance(1)
    assert [bodies(channel, name) for name in "abc"] == [[b"m"]] * 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        ({"x-delayed-type": 5}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            {"x-delayed-type": "x-delayed-message"},
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        ({"x-delayed-type": "x-consistent-hash", "hash-property": "type"}, "Unsupported property: type"),
    ],
)
def test_declarations_that_are_refused(channel: Channel, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ChannelClosedByBroker, match=f"406.*{text}"):
        channel.exchange_declare("y", "x-delayed-message", arguments=arguments)


def test_an_inner_type_that_is_unknown_is_refused_as_an_exchange_of_that_type(
    broker: Broker, channel: Channel
) -> None:
    refused = ChannelClosedByBroker if broker.node.rules.name == "rabbitmq-4.0" else ConnectionClosedByBroker
    with pytest.raises(refused, match="unknown exchange type 'x-random'"):
        channel.exchange_declare("y", "x-delayed-message", arguments={"x-delayed-type": "x-random"})


def test_bindings_are_those_of_the_inner_type(broker: Broker, channel: Channel) -> None:
    arguments = {"x-delayed-type": "x-consistent-hash"}
    channel.exchange_declare("h", "x-delayed-message", durable=True, arguments=arguments)
    channel.queue_bind("q", "h", "5")
    publish(channel, b"later", 1000, "h", "k")
    broker.restart()
    broker.clock.advance(1)
    channel = broker.connect().channel()
    assert bodies(channel) == [b"later"]
    with pytest.raises(ChannelClosedByBroker, match="must be an integer"):
        channel.queue_bind("q", "h", "five")
    broker.check()


def test_a_delayed_message_is_confirmed_at_once_and_comes_back_when_it_is_mandatory(
    broker: Broker, channel: Channel
) -> None:
    channel.confirm_delivery()
    publish(channel, b"1", 1000, delivery_mode=2)
    with pytest.raises(UnroutableError):
        channel.basic_publish("x", "", b"2", BasicProperties(headers={"x-delay": 1000}), mandatory=True)
    assert broker.clock.now == 0
    broker.clock.advance(1)
    assert bodies(channel) == [b"1", b"2"]


def test_an_alternate_exchange_gets_a_delayed_message_at_once(broker: Broker, channel: Channel) -> None:
    arguments = {"x-delayed-type": "fanout", "alternate-exchange": "amq.fanout"}
    channel.exchange_declare("y", "x-delayed-message", arguments=arguments)
    channel.queue_bind("q", "amq.fanout")
    publish(channel, b"m", 1000, "y")
    assert bodies(channel) == [b"m"]
    broker.clock.advance(1)
    assert bodies(channel) == [b"m"]


@pytest.mark.parametrize("stop", ["restart", "crash"])
def test_what_waits_survives_and_is_overdue_in_order(broker: Broker, channel: Channel, stop: str) -> None:
    publish(channel, b"much later", 60_000)
    publish(channel, b"later", 9000)
    publish(channel, b"sooner", 5000)
    getattr(broker, stop)(downtime=10)
    broker.check()
    channel = broker.connect().channel()
    broker.clock.advance(0)
    assert bodies(channel) == [b"sooner", b"later"]
    broker.clock.advance(50)
    assert bodies(channel) == [b"much later"]


def test_what_waits_outlives_its_exchange(broker: Broker, channel: Channel) -> None:
    publish(channel, b"lost", 1000)
    publish(channel, b"found", 2000)
    channel.exchange_delete("x")
    broker.clock.advance(1)
    assert bodies(channel) == []
    channel.exchange_declare("x", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    channel.queue_bind("q", "x", "")
    broker.clock.advance(1)
    assert bodies(channel) == [b"found"]
    broker.check()


def test_another_exchange_does_not_delay_again(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("y", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.exchange_bind("x", "y")
    publish(channel, b"m", 1000, "y")
    broker.clock.advance(1)
    assert bodies(channel) == [b"m"]


def test_a_dead_letter_is_delayed_too(broker: Broker, channel: Channel) -> None:
    arguments = {"x-dead-letter-exchange": "x", "x-message-ttl": 500}
    channel.queue_declare("first", arguments=arguments)
    publish(channel, b"m", 1000, "", "first")
    publish(channel, b"bad", "soon", "", "first")
    broker.clock.advance(1.499)
    assert bodies(channel) == []
    broker.clock.advance(0.001)
    assert bodies(channel) == [b"m"]


def test_a_time_to_live_begins_when_the_delay_is_over(broker: Broker, channel: Channel) -> None:
    publish(channel, b"m", 5000, expiration="1000")
    broker.clock.advance(5.999)
    assert channel.queue_declare("q", passive=True, durable=True).method.message_count == 1
    broker.clock.advance(0.001)
    assert channel.queue_declare("q", passive=True, durable=True).method.message_count == 0


def test_in_a_transaction_the_delay_begins_at_the_publish(broker: Broker, channel: Channel) -> None:
    channel.tx_select()
    publish(channel, b"m", 1000)
    channel.tx_rollback()
    broker.clock.advance(1)
    assert bodies(channel) == [b"m"]


def test_consumers_get_it_when_it_comes(broker: Broker, channel: Channel) -> None:
    got = []
    channel.basic_consume(
        "q", lambda ch, method, properties, body: got.append((broker.clock.now, body)), auto_ack=True
    )
    publish(channel, b"m", 2500)
    broker.clock.advance(10)
    assert got == [(2.5, b"m")]


def test_a_full_queue_refuses_it_and_the_trace_says_so(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    channel.queue_bind("full", "x")
    with broker.tracing() as trace:
        publish(channel, b"m", 1000)
        broker.clock.advance(1)
    kinds = [type(event) for event in trace]
    assert kinds == [events.Delayed, events.Published, events.Released, events.PublishRefused]
    delayed, published, released, refused = trace
    assert isinstance(delayed, events.Delayed)
    assert (delayed.exchange, delayed.body, delayed.due_ns) == ("x", b"m", 1_000_000_000)
    assert isinstance(published, events.Published)
    assert published.queues == ()
    assert isinstance(released, events.Released)
    assert (released.time_ns, released.queues) == (1_000_000_000, (("full", 0), ("q", 0)))
    assert isinstance(refused, events.PublishRefused)
    assert refused.queue == "full"


def test_the_tools_know_where_it_is(broker: Broker, channel: Channel) -> None:
    broker.tracing()
    publish(channel, b"m", 1000)
    assert "exchange 'x' keeps b'm' until 1.000 s: it waits there" in broker.explain(b"m")
    assert_no_loss(broker)
    broker.clock.advance(1)
    assert "it waits there" not in broker.explain(b"m")
    assert_no_loss(broker)
    publish(channel, b"lost", 1000)
    channel.queue_unbind("q", "x")
    broker.clock.advance(1)
    assert "exchange 'x' releases b'lost': no queue: it was lost there" in broker.explain(b"lost")
    with pytest.raises(AssertionError, match="lost"):
        assert_no_loss(broker)
