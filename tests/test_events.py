"""Events: that there is one for everything, what it says, and that it is a value."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mockbroker import BasicProperties, Broker, events
from mockbroker.exceptions import ChannelClosedByBroker, UnroutableError
from mockbroker.trace import Trace
from mockbroker.values import Decimal, LongString, Timestamp


def everything() -> Trace:
    """A program that makes at least one event of each class."""
    broker = Broker(plugins=["rabbitmq_delayed_message_exchange"])
    trace = broker.tracing()
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("dead")
    channel.exchange_declare(
        "letters", "direct", durable=True, arguments={"alternate-exchange": "amq.fanout"}
    )
    limits = {"x-max-length": 1, "x-dead-letter-exchange": "letters", "x-dead-letter-routing-key": "k"}
    channel.queue_declare("q", durable=True, arguments=limits)
    channel.queue_bind("dead", "letters", "k", {"a": Decimal(1, 5)})
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    persistent = BasicProperties(delivery_mode=2, headers={"at": Timestamp(5), "raw": LongString(b"\xff")})
    channel.basic_publish("", "q", b"first", persistent)
    channel.basic_publish("", "q", b"second" * 20, persistent)
    with pytest.raises(UnroutableError):
        channel.basic_publish("amq.direct", "nobody", b"lost", mandatory=True)
    with pytest.raises(Exception, match="NackError"):
        channel.basic_publish("", "full", b"refused")
    channel.basic_qos(prefetch_count=1)
    tag = channel.basic_consume("q", lambda *_: None, consumer_tag="c", arguments={"x-priority": 2})
    broker.run()
    channel.basic_nack(1, requeue=True)
    channel.basic_ack(2)
    channel.basic_publish("", "q", b"third", persistent)
    channel.basic_reject(3, requeue=False)
    broker.run()
    channel.basic_cancel(tag)
    channel.basic_get("dead", auto_ack=True)
    channel.basic_consume("full", lambda *_: None, auto_ack=True)
    channel.queue_unbind("dead", "letters", "k", {"a": Decimal(1, 5)})
    channel.queue_delete("full")
    channel.exchange_delete("letters")
    channel.exchange_declare("slow", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("dead", "slow")
    channel.basic_publish("slow", "", b"later", BasicProperties(headers={"x-delay": 5}))
    broker.clock.advance(0.005)
    keeping = {"x-queue-type": "quorum", "x-message-ttl": 0}
    keeping |= {"x-dead-letter-exchange": "letters", "x-dead-letter-strategy": "at-least-once"}
    broker.set_policy("careful", "careful", {"overflow": "reject-publish"})
    channel.queue_declare("careful", durable=True, arguments=keeping)
    channel.basic_publish("", "careful", b"kept")
    broker.clear_policy("careful")
    with pytest.raises(ChannelClosedByBroker):
        channel.queue_declare("q")
    broker.clock.advance(0.0000005)
    connection.close()
    broker.crash()
    broker.connect()
    broker.restart()
    trace.stop()
    return trace


def test_every_class_of_event_is_made() -> None:
    kinds = {
        kind
        for name, kind in vars(events).items()
        if isinstance(kind, type) and issubclass(kind, events.Event) and not name.startswith("Of")
    }
    assert {type(event) for event in everything()} == kinds - {events.Event}


def test_an_event_can_be_written_down_and_read_back() -> None:
    for event in everything():
        assert eval(repr(event), vars(events)) == event
        assert " at 0x" not in repr(event)


def test_events_are_values() -> None:
    trace = everything()
    event = trace.of(events.Published)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.time_ns = 5  # type: ignore[misc]
    assert not hasattr(event, "__dict__")
    assert dataclasses.fields(event)[0].name == "time_ns"


def test_a_line_says_when_and_what() -> None:
    assert str(events.Started(time_ns=1_500_000_000)) == "    1.500 s  the broker is back"
    lines = [line.partition(" s  ")[2] for line in str(everything()).splitlines()]
    for line in (
        "127.0.0.1:50002 connects as 'guest' to '/'",
        "127.0.0.1:50002 (1) opens",
        "exchange 'letters' is declared: direct durable {'alternate-exchange': 'amq.fanout'}",
        "bound: queue 'dead' to exchange 'letters', key 'k' {'a': Decimal(scale=1, unscaled=5)}",
        "127.0.0.1:50002 (1) publishes b'first' to default exchange: queue 'q' #0",
        "queue 'q' #0 drops b'first': maxlen",
        "queue 'q' #0 is dead-lettered (maxlen) to exchange 'letters': queue 'dead' #0",
        "127.0.0.1:50002 (1) publishes b'lost' to exchange 'amq.direct' key 'nobody': no queue",
        "127.0.0.1:50002 (1) gets b'lost' back: 312 NO_ROUTE",
        "queue 'full' refuses b'refused'",
        "127.0.0.1:50002 (1) is refused publish 4",
        "127.0.0.1:50002 (1) consumes from queue 'q' as 'c', prefetch 1",
        "127.0.0.1:50002 (1) returns queue 'q' #1, tag 1",
        "127.0.0.1:50002 (1) acknowledges queue 'q' #1, tag 2",
        "127.0.0.1:50002 (1) 'c' <- b'third' from queue 'q' #2, tag 3",
        "127.0.0.1:50002 (1) rejects queue 'q' #2, tag 3",
        "127.0.0.1:50002 (1) gets b'first' from queue 'dead' #0, tag 4, auto-ack",
        "exchange 'slow' keeps b'later' until 0.005 s",
        "exchange 'slow' releases b'later': queue 'dead' #2",
        "queue 'careful' #0 keeps its dead letter (expired)",
        "queue 'careful' #0 gives its dead letter up (expired)",
        "the power fails",
        "queue 'q' comes back with 1 message",
    ):
        assert line in lines
    assert any("b'secondsecondsecondsecondsecondsecondseco'... (120 bytes)" in line for line in lines)


def test_json_has_one_object_a_line() -> None:
    trace = everything()
    objects = [json.loads(line) for line in trace.json_lines()]
    assert len(objects) == len(trace)
    published = next(each for each in objects if each["event"] == "Published")
    assert list(published)[:2] == ["event", "time_ns"]
    assert published["body"] == "first"
    assert published["queues"] == [["q", 0]]
    assert published["properties"] == {"delivery_mode": 2, "headers": {"at": 5, "raw": "\\xff"}}
    bound = next(each for each in objects if each["event"] == "Bound")
    assert bound["arguments"] == {"a": {"scale": 1, "unscaled": 5}}


def test_an_event_shares_nothing_with_the_broker() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    with broker.tracing() as trace:
        channel.basic_publish("", "q", b"x", BasicProperties(headers={"list": [1]}))
    published = trace.of(events.Published)[0]
    assert published.properties is not None
    published.properties["headers"]["list"].append(2)
    _, properties, _ = channel.basic_get("q")
    assert properties is not None
    assert properties.headers == {"list": [1]}


def test_a_dead_letter_that_a_full_queue_refuses_is_told() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "full"})
    channel.basic_publish("", "q", b"x")
    with broker.tracing() as trace:
        method, _, _ = channel.basic_get("q")
        assert method is not None
        channel.basic_reject(method.delivery_tag, requeue=False)
    assert [type(event).__name__ for event in trace] == ["Got", "Rejected", "DeadLettered", "PublishRefused"]
