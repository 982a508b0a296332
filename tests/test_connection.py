"""Connections as a program sees them: channels, waiting, timers that die with them, and the end."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, events
from mockbroker.connection import Connection
from mockbroker.exceptions import (
    ChannelWrongStateError,
    ConnectionClosedByBroker,
    ConnectionWrongStateError,
    LivelockError,
    StreamLostError,
    WouldBlockForever,
)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def connection(broker: Broker) -> Connection:
    return broker.connect()


# -- channels


def test_channels_take_the_lowest_free_number(connection: Connection) -> None:
    channels = [connection.channel() for _ in range(3)]
    assert [each.channel_number for each in channels] == [1, 2, 3]
    channels[1].close()
    assert connection.channel().channel_number == 2
    assert connection.channel(7).channel_number == 7


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_a_number_out_of_range_is_refused(connection: Connection, number: int) -> None:
    with pytest.raises(ValueError, match=f"channel_number must be from 1 to .*, not {number}"):
        connection.channel(number)
    assert connection.is_open


def test_a_number_in_use_is_refused(connection: Connection) -> None:
    channel = connection.channel(3)
    with pytest.raises(ValueError, match="channel 3 of this connection is in use"):
        connection.channel(3)
    assert channel.is_open


# -- waiting


def test_process_data_events_serves_this_connection_alone(broker: Broker, connection: Connection) -> None:
    seen: list[str] = []
    other = broker.connect()
    for who, name in ((connection, "mine"), (other, "theirs")):
        channel = who.channel()
        channel.queue_declare(name)
        channel.basic_consume(name, lambda *a: seen.append(a[3].decode()))
        channel.basic_publish("", name, name)
    connection.process_data_events()
    assert seen == ["mine"]
    connection.process_data_events()
    assert seen == ["mine"]
    other.process_data_events()
    assert seen == ["mine", "theirs"]


def test_process_data_events_waits_for_something_or_for_its_time(
    broker: Broker, connection: Connection
) -> None:
    seen: list[bytes] = []
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_consume("q", lambda *a: seen.append(a[3]), auto_ack=True)
    connection.process_data_events(time_limit=2)
    assert (broker.clock.now, seen) == (2.0, [])
    other = broker.connect()
    other.call_later(1, other.channel().basic_publish, "", "q", b"x")
    connection.process_data_events(time_limit=5)
    assert (broker.clock.now, seen) == (3.0, [b"x"])
    with pytest.raises(WouldBlockForever, match="waits for something to arrive"):
        connection.process_data_events(time_limit=None)
    other.call_later(1, other.channel().basic_publish, "", "q", b"y")
    connection.process_data_events(time_limit=None)
    assert (broker.clock.now, seen) == (4.0, [b"x", b"y"])


def test_sleeping_serves_everybody_meanwhile(broker: Broker, connection: Connection) -> None:
    times: list[float] = []
    broker.connect().call_later(1, lambda: times.append(broker.clock.now))
    connection.sleep(3)
    assert (times, broker.clock.now) == ([1.0], 3.0)
    connection.sleep(0)
    assert broker.clock.now == 3


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda connection: connection.sleep(-1), "duration must not be negative"),
        (lambda connection: connection.process_data_events(-1), "time_limit must not be negative"),
        (lambda connection: connection.call_later(-1, print), "delay must not be negative"),
    ],
)
def test_times_are_not_negative(broker: Broker, connection: Connection, call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(connection)
    assert (broker.clock.now, broker.clock.next_due_ns()) == (0.0, None)


# -- timers


def test_a_timer_dies_with_its_connection(broker: Broker, connection: Connection) -> None:
    fired: list[str] = []
    connection.call_later(1, fired.append, "worker")
    broker.clock.call_later(1, fired.append, "clock")
    connection.drop()
    broker.clock.advance(2)
    assert fired == ["clock"]


def test_a_dead_worker_acknowledges_nothing(broker: Broker, connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")

    def work(ch: Any, method: Any, properties: Any, body: bytes) -> None:
        connection.call_later(5, ch.basic_ack, method.delivery_tag)

    channel.basic_consume("q", work)
    channel.basic_publish("", "q", b"task")
    broker.clock.advance(1)
    connection.drop()
    broker.clock.advance(10)
    method, _, body = broker.connect().channel().basic_get("q")
    assert method is not None
    assert (method.redelivered, body) == (True, b"task")


def test_a_timer_can_be_taken_back(broker: Broker, connection: Connection) -> None:
    fired: list[str] = []
    timers = [connection.call_later(1, fired.append, name) for name in ("a", "b", "c")]
    connection.remove_timeout(timers[0])
    timers[1].cancel()
    broker.clock.advance(1)
    assert fired == ["c"]
    connection.remove_timeout(timers[2])
    connection.close()


def test_a_timer_may_close_its_own_connection(broker: Broker, connection: Connection) -> None:
    connection.call_later(1, connection.close)
    connection.call_later(2, connection.close)
    broker.clock.advance(3)
    assert connection.is_closed


def test_callbacks_that_add_themselves_again_are_stopped(
    broker: Broker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockbroker.inbox.MAX_DELIVERIES", 100)

    def again() -> None:
        connection.add_callback_threadsafe(again)

    again()
    with pytest.raises(LivelockError, match="more than 100 callbacks have been served"):
        broker.run()
    with pytest.raises(LivelockError):
        connection.process_data_events()


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: connection.call_later(1, 5),
        lambda connection: connection.add_callback_threadsafe(5),
        lambda connection: connection.add_on_connection_blocked_callback(5),
        lambda connection: connection.add_on_connection_unblocked_callback(5),
        lambda connection: connection.update_secret(5, "why"),
        lambda connection: Broker().connect(client_properties={"a": object()}),
    ],
)
def test_what_has_the_wrong_type_is_refused(connection: Connection, call: Any) -> None:
    with pytest.raises(TypeError):
        call(connection)
    assert connection.is_open


def test_a_new_secret_changes_nothing(connection: Connection) -> None:
    connection.update_secret("new", "it is time")
    assert connection.channel().is_open


# -- the end


@pytest.mark.parametrize("way", ["close", "drop"])
def test_the_end_of_a_connection_returns_what_it_held_and_takes_what_was_its_own(
    broker: Broker, connection: Connection, way: str
) -> None:
    channels = [connection.channel() for _ in range(2)]
    channels[0].queue_declare("shared")
    channels[0].queue_declare("own", exclusive=True)
    channels[0].queue_declare("auto", auto_delete=True)
    for channel, queue in zip(channels, ("shared", "auto"), strict=True):
        channel.basic_publish("", queue, b"x")
        channel.basic_consume(queue, lambda *_: None)
    getattr(connection, way)()
    assert [connection.is_open, channels[0].is_open, channels[1].is_open] == [False, False, False]
    assert broker.list_queues("name", "messages_ready", "consumers") == [
        {"name": "shared", "messages_ready": 1, "consumers": 0}
    ]
    assert broker.list_connections() == []
    broker.check()


def test_nothing_goes_to_a_consumer_of_a_connection_that_is_ending(
    broker: Broker, connection: Connection
) -> None:
    seen: list[bytes] = []
    first, second = connection.channel(), connection.channel()
    first.queue_declare("q")
    for channel in (first, second):
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("q", lambda *a: seen.append(a[3]))
    for body in (b"0", b"1", b"2"):
        first.basic_publish("", "q", body)
    with broker.tracing() as trace:
        connection.drop()
    assert "Delivered" not in {type(event).__name__ for event in trace}
    assert broker.run() == 0
    assert broker.list_queues("messages_ready") == [{"messages_ready": 3}]


def test_a_connection_closed_by_the_program_may_not_be_used(connection: Connection) -> None:
    channel = connection.channel()
    connection.close()
    for call in (
        connection.channel,
        connection.close,
        connection.process_data_events,
        lambda: connection.sleep(1),
        lambda: connection.call_later(1, print),
        lambda: connection.add_callback_threadsafe(print),
        lambda: connection.update_secret("a", "b"),
    ):
        with pytest.raises(ConnectionWrongStateError):
            call()
    with pytest.raises(ChannelWrongStateError):
        channel.basic_publish("", "q", b"")
    connection.drop()


def test_a_dropped_link_is_noticed_by_who_waits_on_it(connection: Connection) -> None:
    connection.drop()
    connection.drop()
    with pytest.raises(StreamLostError, match="the link was dropped"):
        connection.process_data_events()
    with pytest.raises(StreamLostError):
        connection.sleep(1)


def test_a_wait_ends_when_the_broker_goes(broker: Broker, connection: Connection) -> None:
    broker.clock.call_later(1, broker.crash)
    with pytest.raises(StreamLostError, match="the link to the broker was lost"):
        connection.sleep(5)
    assert broker.clock.now == 1
    connection = broker.connect()
    broker.clock.call_later(1, broker.restart)
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        connection.process_data_events(time_limit=5)


def test_a_connection_may_be_dropped_inside_its_own_callback(broker: Broker, connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    seen: list[bytes] = []

    def die(ch: Any, method: Any, properties: Any, body: bytes) -> None:
        seen.append(body)
        ch.connection.drop()

    channel.basic_consume("q", die)
    for body in (b"0", b"1"):
        channel.basic_publish("", "q", body)
    assert broker.run() == 1
    assert seen == [b"0"]
    assert broker.list_queues("messages_ready") == [{"messages_ready": 2}]


def test_a_worker_that_is_dropped_by_another_sees_nothing_more(
    broker: Broker, connection: Connection
) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    seen: list[str] = []
    worker = broker.connect()
    worker_channel = worker.channel()

    def kill(*_: Any) -> None:
        seen.append("killer")
        worker.drop()

    channel.basic_consume("q", kill)
    worker_channel.basic_consume("q", lambda *_: seen.append("worker"))
    channel.basic_publish("", "q", b"0")
    channel.basic_publish("", "q", b"1")
    broker.run()
    assert seen == ["killer", "killer"]  # the second one came back from the worker
    broker.check()


def test_a_connection_is_a_context_manager_and_shows_itself(broker: Broker) -> None:
    with broker.connect() as connection:
        connection.channel()
        assert repr(connection) == "<Connection 127.0.0.1:50002 -> 127.0.0.1:5672 open: 1 channels>"
    assert repr(connection) == "<Connection 127.0.0.1:50002 -> 127.0.0.1:5672 closed: 0 channels>"
    with broker.connect() as connection:
        connection.drop()


# -- an alarm


def test_a_publisher_is_blocked_while_an_alarm_lasts(broker: Broker, connection: Connection) -> None:
    told: list[str] = []
    connection.add_on_connection_blocked_callback(
        lambda _connection, reason: told.append(f"blocked: {reason}")
    )
    connection.add_on_connection_unblocked_callback(lambda _connection: told.append("unblocked"))
    channel = connection.channel()
    channel.queue_declare("q")
    broker.set_alarm("memory")
    channel.basic_publish("", "q", b"x")
    broker.run()
    assert told == ["blocked: low on memory"]
    assert broker.list_queues("messages") == [{"messages": 0}]
    with pytest.raises(WouldBlockForever, match="is blocked: the broker reads nothing from it"):
        channel.queue_declare("q", passive=True)
    broker.clock.call_later(2, broker.clear_alarm, "memory")
    assert channel.queue_declare("q", passive=True).method.message_count == 1
    assert broker.clock.now == 2
    broker.run()
    assert told == ["blocked: low on memory", "unblocked"]


def test_an_unknown_alarm_is_refused(broker: Broker) -> None:
    with pytest.raises(ValueError, match="one of disk, memory, not 'patience'"):
        broker.set_alarm("patience")


def test_what_an_alarm_held_back_is_confirmed_when_it_is_over(broker: Broker, connection: Connection) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    broker.set_alarm("memory")
    with pytest.raises(WouldBlockForever):
        channel.basic_publish("", "q", b"m", BasicProperties(delivery_mode=2))
    with broker.tracing() as trace:
        broker.clear_alarm("memory")
        broker.run()
    (confirmed,) = [event for event in trace if type(event).__name__ == "Confirmed"]
    assert (confirmed.delivery_tags, confirmed.time_ns) == ((1,), 0)


def test_one_sync_confirms_what_an_alarm_held_back_of_several_connections(broker: Broker) -> None:
    for count in (1, 3):
        channel = broker.connect().channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        broker.set_alarm("memory")
        for _ in range(count):
            with pytest.raises(WouldBlockForever):
                channel.basic_publish("", "q", b"m", BasicProperties(delivery_mode=2))
    with broker.tracing() as trace:
        broker.clear_alarm("memory")
        broker.run()
    confirmed = [event.delivery_tags for event in trace if isinstance(event, events.Confirmed)]
    assert confirmed == [(1,), (1, 2, 3)]
