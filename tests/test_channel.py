"""Channels as a program sees them: pika's names, arguments, answers and errors, in virtual time."""

from __future__ import annotations

import inspect
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.exceptions import (
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionClosedByBroker,
    DuplicateConsumerTag,
    NackError,
    UnroutableError,
    WouldBlockForever,
)

COUNTS = ("name", "messages_ready", "messages_unacknowledged", "consumers")


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def channel(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    return channel


def counts(broker: Broker, queue: str = "q") -> tuple[int, int, int]:
    """Ready, unacknowledged, consumers."""
    (row,) = [row for row in broker.list_queues(*COUNTS) if row["name"] == queue]
    return row["messages_ready"], row["messages_unacknowledged"], row["consumers"]


def publish(channel: Channel, *bodies: bytes, queue: str = "q") -> None:
    for body in bodies:
        channel.basic_publish("", queue, body)


def nothing(*_: Any) -> None:
    """A callback that does nothing."""


# -- pika's shape


@pytest.mark.parametrize(
    "name",
    [
        "basic_ack", "basic_cancel", "basic_consume", "basic_get", "basic_nack", "basic_publish", "basic_qos",
        "basic_recover", "basic_reject", "cancel", "close", "confirm_delivery", "consume", "exchange_bind",
        "exchange_declare", "exchange_delete", "exchange_unbind", "flow", "get_waiting_message_count",
        "queue_bind", "queue_declare", "queue_delete", "queue_purge", "queue_unbind", "start_consuming",
        "stop_consuming", "tx_commit", "tx_rollback", "tx_select", "add_on_cancel_callback",
        "add_on_return_callback",
    ],
)  # fmt: skip
def test_methods_have_pikas_parameters(name: str) -> None:
    ours = inspect.signature(getattr(Channel, name)).parameters
    theirs = inspect.signature(getattr(BlockingChannel, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for each, parameter in theirs.items():
        if parameter.default is None or isinstance(parameter.default, bool | int | str):
            assert ours[each].default == parameter.default, each


def test_answers_have_pikas_fields(channel: Channel) -> None:
    declared = channel.queue_declare("q")
    assert (declared.method.queue, declared.method.message_count, declared.method.consumer_count) == (
        "q",
        0,
        0,
    )
    assert declared.channel_number == 1
    publish(channel, b"x", b"y")
    assert channel.queue_purge("q").method.message_count == 2
    publish(channel, b"x")
    assert channel.queue_delete("q").method.message_count == 1
    assert "queue=q" in repr(channel.queue_declare("q"))
    assert channel.queue_declare("").method.queue.startswith("amq.gen-")


# -- declaring


def test_declaring_again_tells_the_counts(channel: Channel) -> None:
    publish(channel, b"x", b"y")
    channel.basic_consume("q", nothing)
    publish(channel, b"z")
    method = channel.queue_declare("q", passive=True).method
    assert (method.message_count, method.consumer_count) == (0, 1)


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (lambda ch: ch.queue_declare("absent", passive=True), 404, "no queue 'absent' in vhost '/'"),
        (lambda ch: ch.queue_declare("q", durable=True), 406, "inequivalent arg 'durable' for queue 'q'"),
        (lambda ch: ch.queue_declare("amq.mine"), 403, "queue name 'amq.mine' contains reserved prefix"),
        (
            lambda ch: ch.queue_declare("n", arguments={"x-message-ttl": -1}),
            406,
            "invalid arg 'x-message-ttl'",
        ),
        (lambda ch: ch.queue_bind("q", "absent"), 404, "no exchange 'absent'"),
        (lambda ch: ch.queue_bind("absent", "amq.direct"), 404, "no queue 'absent'"),
        (lambda ch: ch.queue_bind("q", ""), 403, "operation not permitted on the default exchange"),
        (lambda ch: ch.queue_purge("absent"), 404, "no queue 'absent'"),
        (lambda ch: ch.queue_delete("q", if_empty=True), 406, "queue 'q' in vhost '/' not empty"),
        (lambda ch: ch.exchange_declare("e", passive=True), 404, "no exchange 'e'"),
        (lambda ch: ch.exchange_declare("amq.fanout", "direct"), 406, "inequivalent arg 'type'"),
        (lambda ch: ch.exchange_delete("amq.direct"), 403, "deletion of system exchange"),
        (lambda ch: ch.basic_publish("absent", "", b""), 404, "no exchange 'absent'"),
        (lambda ch: ch.basic_consume("absent", nothing), 404, "no queue 'absent'"),
        (lambda ch: ch.basic_get("absent"), 404, "no queue 'absent'"),
        (lambda ch: ch.basic_ack(99), 406, "unknown delivery tag 99"),
        (lambda ch: ch.basic_nack(99), 406, "unknown delivery tag 99"),
        (lambda ch: ch.basic_reject(99), 406, "unknown delivery tag 99"),
        (lambda ch: ch.basic_ack(99, multiple=True), 406, "unknown delivery tag 99"),
        (lambda ch: ch.tx_commit(), 406, "channel is not transactional"),
    ],
)
def test_a_refusal_closes_the_channel_alone_and_changes_nothing_else(
    broker: Broker, channel: Channel, call: Any, code: int, text: str
) -> None:
    publish(channel, b"x")
    before = (broker.list_queues(*COUNTS), broker.list_exchanges("name", "type"), broker.list_bindings())
    with pytest.raises(ChannelClosedByBroker, match=text) as info:
        call(channel)
    assert info.value.reply_code == code
    assert not channel.is_open
    assert channel.is_closed
    assert channel.connection.is_open
    assert before == (
        broker.list_queues(*COUNTS),
        broker.list_exchanges("name", "type"),
        broker.list_bindings(),
    )
    for later in (
        lambda: channel.basic_publish("", "q", b""),
        lambda: channel.basic_ack(1),
        channel.start_consuming,
    ):
        with pytest.raises(ChannelWrongStateError, match="Channel is closed"):
            later()
    assert channel.connection.channel().channel_number == 1
    broker.check()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda ch: ch.basic_recover(requeue=False), 540),
        (lambda ch: ch.flow(False), 540),
        (lambda ch: ch.basic_qos(prefetch_size=1), 540),
    ],
)
def test_some_refusals_close_the_connection(broker: Broker, channel: Channel, call: Any, code: int) -> None:
    other = channel.connection.channel()
    with pytest.raises(ConnectionClosedByBroker) as info:
        call(channel)
    assert info.value.reply_code == code
    assert [channel.is_open, other.is_open, channel.connection.is_open] == [False, False, False]
    broker.check()


def test_the_channel_at_fault_ends_before_its_connection(broker: Broker) -> None:
    connection = broker.connect()
    at_fault, other = connection.channel(), connection.channel()
    at_fault.queue_declare("q")
    at_fault.basic_publish("", "q", b"m")
    at_fault.basic_get("q")
    other.basic_consume("q", print, consumer_tag="waiting")
    with broker.tracing() as trace, pytest.raises(ConnectionClosedByBroker, match="540"):
        at_fault.basic_recover(requeue=False)
    (delivered,) = [event for event in trace if type(event).__name__ == "Delivered"]
    assert (delivered.consumer_tag, delivered.redelivered) == ("waiting", True)
    assert broker.list_queues("name", "messages_ready") == [{"name": "q", "messages_ready": 1}]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda ch: ch.queue_declare(5), TypeError, "queue must be a string, not 5"),
        (lambda ch: ch.queue_declare("x" * 256), ValueError, "queue must have at most 255 bytes, not 256"),
        (lambda ch: ch.queue_declare("n", arguments=[1]), TypeError, "arguments must be a dict"),
        (lambda ch: ch.queue_declare("n", arguments={"a": object()}), TypeError, "no AMQP type"),
        (lambda ch: ch.queue_bind("q", 5), TypeError, "must be a string, not 5"),
        (lambda ch: ch.exchange_declare("e", 5), TypeError, "exchange_type must be a string"),
        (lambda ch: ch.basic_publish(5, "", b""), TypeError, "exchange must be a string, not 5"),
        (lambda ch: ch.basic_publish("", 5, b""), TypeError, "routing_key must be a string, not 5"),
        (lambda ch: ch.basic_publish("", "q", 5), TypeError, "body must be bytes or a string, not 5"),
        (lambda ch: ch.basic_publish("", "q", b"", 5), TypeError, "properties must be BasicProperties"),
        (lambda ch: ch.basic_consume("q", 5), TypeError, "on_message_callback must be callable, not 5"),
        (
            lambda ch: ch.basic_consume("q", nothing, consumer_tag=5),
            TypeError,
            "consumer_tag must be a string",
        ),
        (lambda ch: ch.basic_qos(prefetch_count=-1), ValueError, "from 0 to 65535, not -1"),
        (lambda ch: ch.basic_qos(prefetch_count=65536), ValueError, "from 0 to 65535, not 65536"),
        (lambda ch: ch.add_on_return_callback(5), TypeError, "callback must be callable"),
        (lambda ch: ch.add_on_cancel_callback(5), TypeError, "callback must be callable"),
    ],
)
def test_a_mistake_in_python_is_named_and_the_channel_stays_open(
    broker: Broker, channel: Channel, call: Any, kind: type[Exception], text: str
) -> None:
    before = broker.list_queues(*COUNTS)
    with pytest.raises(kind, match=text):
        call(channel)
    assert channel.is_open
    assert broker.list_queues(*COUNTS) == before


def test_pikas_exchange_types_are_accepted(channel: Channel) -> None:
    channel.exchange_declare("e", pika.exchange_type.ExchangeType.fanout)
    channel.queue_bind("q", "e")
    channel.basic_publish("e", "", b"x")
    assert channel.queue_declare("q").method.message_count == 1


# -- publishing


@pytest.mark.parametrize("body", ["é", "é".encode(), bytearray("é".encode()), memoryview("é".encode())])
def test_a_body_is_bytes_whatever_it_was(channel: Channel, body: Any) -> None:
    channel.basic_publish("", "q", body)
    assert channel.basic_get("q")[2] == b"\xc3\xa9"


def test_a_mandatory_message_without_a_queue_comes_back_to_the_callback(
    broker: Broker, channel: Channel
) -> None:
    returned: list[Any] = []
    channel.add_on_return_callback(
        lambda ch, method, properties, body: returned.append((method, properties, body))
    )
    channel.basic_publish("", "nowhere", b"x", BasicProperties(app_id="me"), mandatory=True)
    channel.basic_publish("", "nowhere", b"y")
    assert returned == []
    broker.run()
    ((method, properties, body),) = returned
    assert (method.reply_code, method.reply_text) == (312, "NO_ROUTE")
    assert (method.exchange, method.routing_key, properties.app_id, body) == ("", "nowhere", "me", b"x")
    assert "reply_code=312" in repr(method)


def test_a_confirmed_publish_raises_what_happened_to_it(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    with pytest.raises(UnroutableError, match="1 messages returned") as unroutable:
        channel.basic_publish("", "nowhere", b"x", mandatory=True)
    (message,) = unroutable.value.messages
    assert (message.method.routing_key, message.body) == ("nowhere", b"x")
    assert "ReturnedMessage" in repr(message)
    channel.basic_publish("", "nowhere", b"not mandatory")
    with pytest.raises(NackError):
        channel.basic_publish("", "full", b"x")
    publish(channel, b"x")
    assert channel.is_open
    assert counts(broker) == (1, 0, 0)


def test_a_return_before_confirms_were_asked_for_is_not_blamed_on_a_later_publish(
    broker: Broker, channel: Channel
) -> None:
    channel.basic_publish("", "nowhere", b"early", mandatory=True)
    broker.run()
    channel.confirm_delivery()
    publish(channel, b"x")
    assert counts(broker) == (1, 0, 0)


# -- consuming


def test_a_callback_gets_channel_method_properties_and_body(broker: Broker, channel: Channel) -> None:
    seen: list[Any] = []
    tag = channel.basic_consume("q", lambda *arguments: seen.append(arguments))
    channel.basic_publish("", "q", b"x", BasicProperties(message_id="1"))
    broker.run()
    ((got, method, properties, body),) = seen
    assert got is channel
    assert (method.consumer_tag, method.delivery_tag, method.redelivered) == (tag, 1, False)
    assert (method.exchange, method.routing_key, properties.message_id, body) == ("", "q", "1", b"x")
    assert tag.startswith("amq.ctag-")
    assert channel.consumer_tags == [tag]


def test_a_consumer_tag_is_used_once_on_a_channel(broker: Broker, channel: Channel) -> None:
    channel.basic_consume("q", nothing, consumer_tag="c")
    with pytest.raises(DuplicateConsumerTag, match="c"):
        channel.basic_consume("q", nothing, consumer_tag="c")
    assert channel.is_open
    assert counts(broker) == (0, 0, 1)
    channel.connection.channel().basic_consume("q", nothing, consumer_tag="c")


def test_prefetch_bounds_what_consumers_to_come_may_hold(broker: Broker, channel: Channel) -> None:
    publish(channel, *[b"%d" % number for number in range(5)])
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume("q", nothing)
    channel.basic_qos(prefetch_count=0)
    assert counts(broker) == (3, 2, 1)
    channel.basic_ack(1)
    assert counts(broker) == (2, 2, 1)
    channel.basic_ack(0, multiple=True)
    assert counts(broker) == (0, 2, 1)


def test_a_global_window_is_shared_by_the_consumers_of_a_channel(broker: Broker, channel: Channel) -> None:
    publish(channel, *[b"%d" % number for number in range(5)])
    channel.basic_qos(prefetch_count=3, global_qos=True)
    channel.basic_consume("q", nothing)
    channel.basic_consume("q", nothing)
    assert counts(broker) == (2, 3, 2)
    channel.basic_ack(1)
    assert counts(broker) == (1, 3, 2)
    channel.basic_qos(prefetch_count=0, global_qos=True)
    assert counts(broker) == (0, 4, 2)


@pytest.mark.parametrize("auto_ack", [True, False])
def test_cancelling_gives_back_what_was_not_seen(broker: Broker, channel: Channel, auto_ack: bool) -> None:
    seen: list[bytes] = []
    tag = channel.basic_consume("q", lambda *a: seen.append(a[3]), auto_ack=auto_ack)
    publish(channel, b"0", b"1")
    lost = channel.basic_cancel(tag)
    assert broker.run() == 0
    assert seen == []
    if auto_ack:
        assert [(method.delivery_tag, body) for method, _, body in lost] == [(1, b"0"), (2, b"1")]
        assert counts(broker) == (0, 0, 0)
    else:
        assert lost == []
        assert counts(broker) == (2, 0, 0)
        method, _, body = channel.basic_get("q")
        assert (method.redelivered, body) == (True, b"0")  # type: ignore[union-attr]


@pytest.mark.parametrize("before", [True, False], ids=["published first", "consumed first"])
def test_cancelling_inside_a_callback_gives_back_what_was_not_seen(
    broker: Broker, channel: Channel, before: bool
) -> None:
    if before:
        publish(channel, b"0", b"1", b"2")
    lost: list[bytes] = []
    seen: list[bytes] = []

    def stop(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        seen.append(body)
        lost.extend(each[2] for each in ch.basic_cancel(method.consumer_tag))

    channel.basic_consume("q", stop, auto_ack=True)
    if not before:
        publish(channel, b"0", b"1", b"2")
    assert broker.run() == 1
    assert (seen, lost) == ([b"0"], [b"1", b"2"])


def test_cancelling_leaves_what_was_seen_with_the_channel(broker: Broker, channel: Channel) -> None:
    tag = channel.basic_consume("q", nothing)
    publish(channel, b"0")
    broker.run()
    assert channel.basic_cancel(tag) == []
    assert channel.basic_cancel("unknown") == []
    assert counts(broker) == (0, 1, 0)
    channel.basic_ack(1)
    assert counts(broker) == (0, 0, 0)


def test_a_queue_that_is_deleted_cancels_its_consumers(broker: Broker, channel: Channel) -> None:
    cancelled: list[str] = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    channel.basic_consume("q", nothing, consumer_tag="c")
    broker.connect().channel().queue_delete("q")
    assert channel.consumer_tags == []
    assert cancelled == []
    broker.run()
    assert cancelled == ["c"]


# -- waiting, as pika does


def test_start_consuming_serves_until_stop_consuming(broker: Broker, channel: Channel) -> None:
    seen: list[tuple[float, bytes]] = []

    def receive(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        seen.append((broker.clock.now, body))
        if body == b"last":
            ch.stop_consuming()

    channel.basic_consume("q", receive, auto_ack=True)
    other = broker.connect()
    for delay, body in ((1, b"first"), (2, b"last"), (3, b"late")):
        other.call_later(delay, other.channel().basic_publish, "", "q", body)
    channel.start_consuming()
    assert seen == [(1.0, b"first"), (2.0, b"last")]
    assert broker.clock.now == 2
    channel.start_consuming()  # nothing to wait for


def test_start_consuming_that_nothing_can_end_says_what_it_waits_for(channel: Channel) -> None:
    channel.basic_consume("q", nothing)
    with pytest.raises(WouldBlockForever, match="start_consuming of channel 1 waits for messages"):
        channel.start_consuming()


def test_housekeeping_alone_cannot_end_a_wait(channel: Channel) -> None:
    channel.queue_declare("d", durable=True)
    channel.basic_publish("", "d", b"x", BasicProperties(delivery_mode=2))
    channel.basic_consume("q", nothing)
    with pytest.raises(WouldBlockForever):
        channel.start_consuming()


def test_start_consuming_ends_quietly_when_the_program_closes_the_channel(channel: Channel) -> None:
    channel.basic_consume("q", lambda ch, *_: ch.close())
    publish(channel, b"x")
    channel.start_consuming()
    assert not channel.is_open


def test_start_consuming_ends_quietly_when_the_program_closes_the_connection(channel: Channel) -> None:
    channel.basic_consume("q", lambda ch, *_: ch.connection.close())
    publish(channel, b"x")
    channel.start_consuming()
    assert not channel.connection.is_open


def test_start_consuming_raises_what_the_broker_closed_it_with(broker: Broker, channel: Channel) -> None:
    def fail(ch: Channel, *_: Any) -> None:
        with pytest.raises(ChannelClosedByBroker):
            ch.basic_ack(99)

    channel.basic_consume("q", fail)
    publish(channel, b"x")
    with pytest.raises(ChannelClosedByBroker, match="unknown delivery tag 99"):
        channel.start_consuming()


def test_start_consuming_sees_the_broker_restart(broker: Broker, channel: Channel) -> None:
    channel.basic_consume("q", nothing)
    broker.clock.call_later(1, broker.restart)
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        channel.start_consuming()


def test_consume_yields_messages_and_gaps(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0")
    other = broker.connect()
    other.call_later(5, other.channel().basic_publish, "", "q", b"1")
    seen: list[tuple[float, bytes | None]] = []
    for method, _, body in channel.consume("q", inactivity_timeout=2):
        seen.append((broker.clock.now, body))
        if method is not None:
            channel.basic_ack(method.delivery_tag)
        if body == b"1":
            break
    assert seen == [(0.0, b"0"), (2.0, None), (4.0, None), (5.0, b"1")]
    assert channel.cancel() == 0
    assert counts(broker) == (0, 0, 0)


def test_cancel_returns_what_the_iteration_has_not_yielded(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0", b"1", b"2")
    for method, _, _ in channel.consume("q"):
        channel.basic_ack(method.delivery_tag)  # type: ignore[union-attr]
        break
    assert channel.get_waiting_message_count() == 2
    assert channel.cancel() == 2
    assert channel.cancel() == 0
    assert counts(broker) == (2, 0, 0)
    assert channel.get_waiting_message_count() == 0
    broker.check()


def test_consume_goes_on_where_it_was_and_refuses_other_arguments(channel: Channel) -> None:
    publish(channel, b"0", b"1")
    assert next(channel.consume("q", auto_ack=True, consumer_tag="c"))[2] == b"0"
    assert channel.consumer_tags == ["c"]
    with pytest.raises(ValueError, match="cancel first"):
        channel.consume("q")
    assert next(channel.consume("q", auto_ack=True))[2] == b"1"
    with pytest.raises(WouldBlockForever, match="consume\\('q'\\) waits for a message"):
        next(channel.consume("q", auto_ack=True))


def test_consume_ends_when_the_queue_is_deleted(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0")
    broker.clock.call_later(1, broker.connect().channel().queue_delete, "q")
    assert [body for _, _, body in channel.consume("q", auto_ack=True)] == [b"0"]


def test_consume_ends_when_the_program_closes_the_channel(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0", b"1")
    seen = []
    for _, _, body in channel.consume("q"):
        seen.append(body)
        channel.close()
    assert seen == [b"0"]
    assert counts(broker) == (2, 0, 0)


def test_basic_get_tells_how_many_are_left(channel: Channel) -> None:
    assert channel.basic_get("q") == (None, None, None)
    publish(channel, b"0", b"1")
    method, _, _ = channel.basic_get("q")
    assert method.message_count == 1  # type: ignore[union-attr]


# -- the end


def test_closing_a_channel_returns_what_it_held_in_order(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0", b"1", b"2")
    channel.basic_consume("q", nothing)
    broker.run()
    channel.basic_ack(2)
    channel.close()
    assert counts(broker) == (2, 0, 0)
    with pytest.raises(ChannelWrongStateError):
        channel.close()
    other = broker.connect().channel()
    fetched = [other.basic_get("q", auto_ack=True) for _ in range(2)]
    assert [(method.redelivered, body) for method, _, body in fetched] == [(True, b"0"), (True, b"2")]  # type: ignore[union-attr]


def test_a_channel_is_a_context_manager(broker: Broker) -> None:
    with broker.connect().channel() as channel:
        channel.queue_declare("q")
    assert channel.is_closed
    with broker.connect().channel() as channel:
        channel.close()


def test_a_channel_shows_itself(channel: Channel) -> None:
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume("q", nothing, consumer_tag="c")
    assert repr(channel) == "<Channel 1 open: 0 unacked, consumers: c, prefetch 3>"
    channel.close()
    assert repr(channel).startswith("<Channel 1 closed")


def test_a_transaction_waits_for_its_commit(broker: Broker, channel: Channel) -> None:
    publish(channel, b"0")
    channel.tx_select()
    publish(channel, b"1")
    channel.basic_get("q")
    channel.basic_ack(1)
    assert counts(broker) == (0, 1, 0)
    channel.tx_rollback()
    channel.basic_ack(1)
    publish(channel, b"2")
    channel.tx_commit()
    assert counts(broker) == (1, 0, 0)
    assert channel.basic_get("q")[2] == b"2"
    with pytest.raises(ChannelClosedByBroker, match="cannot switch from tx to confirm mode"):
        channel.confirm_delivery()
