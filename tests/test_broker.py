"""The broker as a program sees it: who is served when, how time passes, threads, and the ways down and up."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.clock import SimClock
from mockbroker.exceptions import (
    ChannelWrongStateError,
    ConnectionClosedByBroker,
    ConnectionWrongStateError,
    LivelockError,
    PolicyError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    ReentrancyError,
    StreamLostError,
    ThreadError,
)

PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def consumer_of(channel: Channel, queue: str, seen: list[Any], **options: Any) -> str:
    return channel.basic_consume(queue, lambda _ch, _method, _properties, body: seen.append(body), **options)


def ready(broker: Broker, queue: str) -> int:
    (row,) = [row for row in broker.list_queues("name", "messages_ready") if row["name"] == queue]
    return int(row["messages_ready"])


# -- who may come in


def test_guest_comes_in_from_this_host_alone(broker: Broker) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert broker.connect(peer_host=host).is_open
    with pytest.raises(ProbableAuthenticationError, match="ACCESS_REFUSED"):
        broker.connect(peer_host="10.0.0.7")
    assert Broker(loopback_users=()).connect(peer_host="10.0.0.7").is_open


@pytest.mark.parametrize(("username", "password"), [("guest", "wrong"), ("nobody", "guest"), ("guest", "")])
def test_a_wrong_login_is_refused_and_leaves_nothing(broker: Broker, username: str, password: str) -> None:
    with pytest.raises(ProbableAuthenticationError):
        broker.connect(username, password)
    assert broker.list_connections() == []


def test_a_virtual_host_must_be_there_and_be_granted(broker: Broker) -> None:
    with pytest.raises(ProbableAccessDeniedError, match="NOT_ALLOWED - vhost shop not found"):
        broker.connect(virtual_host="shop")
    broker.add_vhost("shop")
    broker.add_user("anna", "secret")
    with pytest.raises(ProbableAccessDeniedError, match="NOT_ALLOWED - access to vhost 'shop' refused"):
        broker.connect("anna", "secret", "shop")
    broker.set_permissions("anna", vhost="shop")
    assert broker.connect("anna", "secret", "shop", peer_host="10.0.0.7").is_open


def test_virtual_hosts_share_nothing(broker: Broker) -> None:
    broker.add_vhost("shop")
    broker.set_permissions("guest", vhost="shop")
    here, there = broker.connect().channel(), broker.connect(virtual_host="shop").channel()
    here.queue_declare("q", durable=True)
    there.queue_declare("q")
    here.basic_publish("", "q", b"x")
    assert broker.list_queues("messages", vhost="/") == [{"messages": 1}]
    assert broker.list_queues("messages", vhost="shop") == [{"messages": 0}]


def test_deleting_a_virtual_host_closes_its_connections(broker: Broker) -> None:
    broker.add_vhost("shop")
    broker.set_permissions("guest", vhost="shop")
    connection = broker.connect(virtual_host="shop")
    channel = connection.channel()
    channel.queue_declare("q", exclusive=True)
    other = broker.connect()
    broker.delete_vhost("shop")
    assert not connection.is_open
    assert other.is_open
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        connection.process_data_events()
    with pytest.raises(ValueError, match="there is no virtual host 'shop'"):
        broker.list_queues(vhost="shop")
    broker.check()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda broker: broker.delete_vhost("x"), "no virtual host 'x'"),
        (lambda broker: broker.set_permissions("x"), "no user 'x'"),
        (lambda broker: broker.set_permissions("guest", vhost="x"), "no virtual host 'x'"),
        (
            lambda broker: broker.set_permissions("guest", read="("),
            r"read must be a regular expression, not '\('",
        ),
        (lambda broker: broker.clear_policy("x"), "no policy 'x'"),
        (lambda broker: Broker(rules="rabbitmq-2"), "choose from rabbitmq-3.10, rabbitmq-4.0"),
    ],
)
def test_administration_names_what_is_wrong(broker: Broker, call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(broker)
    assert broker.connect().is_open


def test_a_policy_that_is_not_valid_changes_nothing(broker: Broker) -> None:
    broker.set_policy("p", "^q", {"max-length": 1})
    for bad in ({"max-length": -1}, {"nonsense": 1}, {}):
        with pytest.raises(PolicyError):
            broker.set_policy("p", "^q", bad)
    channel = broker.connect().channel()
    channel.queue_declare("q")
    for number in range(3):
        channel.basic_publish("", "q", b"%d" % number)
    assert ready(broker, "q") == 1
    broker.clear_policy("p")
    channel.basic_publish("", "q", b"x")
    assert ready(broker, "q") == 2


# -- serving


def test_callbacks_wait_until_they_are_served(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    seen: list[bytes] = []
    consumer_of(channel, "q", seen)
    channel.basic_publish("", "q", b"x")
    assert seen == []
    assert broker.list_queues("messages_ready", "messages_unacknowledged") == [
        {"messages_ready": 0, "messages_unacknowledged": 1}
    ]
    assert broker.run() == 1
    assert seen == [b"x"]
    assert broker.run() == 0


def test_all_connections_are_served_in_the_order_in_which_the_broker_sent(broker: Broker) -> None:
    seen: list[tuple[str, bytes]] = []
    for name in ("first", "second"):
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.basic_consume("q", lambda *a, name=name: seen.append((name, a[3])), auto_ack=True)
    publisher = broker.connect().channel()
    for number in range(4):
        publisher.basic_publish("", "q", b"%d" % number)
    assert broker.run() == 4
    assert seen == [("first", b"0"), ("second", b"1"), ("first", b"2"), ("second", b"3")]


def test_a_connection_that_serves_itself_early_does_not_change_the_order_of_the_others(
    broker: Broker,
) -> None:
    seen: list[str] = []
    channels = []
    for name in ("a", "b"):
        channel = broker.connect().channel()
        channel.queue_declare(name)
        channel.basic_consume(name, lambda *a: seen.append(a[3].decode()), auto_ack=True)
        channels.append(channel)
    for name in ("a", "b", "a", "b"):
        channels[0].basic_publish("", name, name.encode() + b"%d" % len(seen))
    channels[1].connection.process_data_events()
    assert seen == ["b0", "b0"]
    channels[0].basic_publish("", "b", b"later")
    channels[0].basic_publish("", "a", b"last")
    broker.run()
    assert seen == ["b0", "b0", "a0", "a0", "later", "last"]


@pytest.mark.parametrize("auto_ack", [True, False])
def test_a_callback_that_raises_leaves_the_rest_for_the_next_run(broker: Broker, auto_ack: bool) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    for number in range(3):
        channel.basic_publish("", "q", b"%d" % number)
    seen: list[bytes] = []

    def fail_once(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        seen.append(body)
        if body == b"0":
            raise RuntimeError("boom")

    channel.basic_consume("q", fail_once, auto_ack=auto_ack)
    with pytest.raises(RuntimeError, match="boom"):
        broker.run()
    broker.check()
    unacked = 0 if auto_ack else 3
    assert broker.list_queues("messages_unacknowledged") == [{"messages_unacknowledged": unacked}]
    assert broker.run() == 2
    assert seen == [b"0", b"1", b"2"]


def test_a_callback_may_publish_and_acknowledge_without_recursion(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    depths: list[int] = []
    depth = 0

    def pass_on(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        if len(depths) < 5000:
            ch.basic_publish("", "q", body)
        ch.basic_ack(method.delivery_tag)
        depth -= 1

    channel.basic_consume("q", pass_on)
    channel.basic_publish("", "q", b"x")
    assert broker.run() == 5000
    assert set(depths) == {1}
    broker.check()


@pytest.mark.parametrize("auto_ack", [True, False])
def test_an_instant_without_end_is_stopped_and_names_queue_message_and_consumer(
    broker: Broker, auto_ack: bool
) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")

    def again(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        if auto_ack:
            ch.basic_publish("", "q", body)
        else:
            ch.basic_nack(method.delivery_tag, requeue=True)

    channel.basic_consume("q", again, auto_ack=auto_ack, consumer_tag="loop")
    channel.basic_publish("", "q", b"poison")
    with pytest.raises(LivelockError, match=r"queue 'q' has delivered b'poison' to consumer 'loop'"):
        broker.run(max_deliveries=50)
    broker.check()
    assert channel.is_open


def test_exactly_as_many_deliveries_as_allowed_are_no_livelock(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    seen: list[bytes] = []
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    consumer_of(channel, "q", seen, auto_ack=True)
    assert broker.run(max_deliveries=5) == 5
    consumer_of(channel, "q", seen)
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    assert broker.run(max_deliveries=5) == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda channel: channel.connection.broker.run(),
        lambda channel: channel.connection.broker.run_until_idle(),
        lambda channel: channel.connection.broker.run_until(lambda: True),
        lambda channel: channel.connection.broker.clock.advance(1),
        lambda channel: channel.connection.broker.restart(downtime=1),
        lambda channel: channel.connection.sleep(1),
        lambda channel: channel.connection.process_data_events(),
        lambda channel: channel.start_consuming(),
        lambda channel: next(channel.consume("q", inactivity_timeout=1)),
    ],
)
@pytest.mark.parametrize("where", ["delivery", "timer"])
def test_nothing_is_served_and_no_time_passes_inside_a_callback(
    broker: Broker, call: Any, where: str
) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.queue_declare("mine")
    caught: list[ReentrancyError] = []

    def act(*_: Any) -> None:
        with pytest.raises(ReentrancyError, match="call_later") as info:
            call(channel)
        caught.append(info.value)

    if where == "delivery":
        channel.basic_consume("mine", act, auto_ack=True)
        channel.basic_publish("", "mine", b"x")
        broker.run()
    else:
        broker.clock.call_later(1, act)
        broker.clock.advance(1)
    assert len(caught) == 1
    broker.check()


# -- time


def test_run_until_serves_and_jumps_to_what_is_scheduled(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    seen: list[bytes] = []
    consumer_of(channel, "q", seen)
    channel.connection.call_later(3, channel.basic_publish, "", "q", b"x")
    assert broker.run_until(lambda: seen == [b"x"])
    assert broker.clock.now == 3


def test_run_until_says_when_time_is_up_or_nothing_can_change(broker: Broker) -> None:
    with pytest.raises(TimeoutError, match="nothing is scheduled any more at 0 s"):
        broker.run_until(lambda: False)
    broker.clock.call_later(10, lambda: None)
    with pytest.raises(TimeoutError, match="not true after 2 s, at 2 s"):
        broker.run_until(lambda: False, timeout=2)
    assert broker.clock.now == 2
    assert broker.run_until(lambda: True, timeout=0)


def test_run_until_idle_ends_at_the_last_thing_that_was_served(broker: Broker) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 1500})
    seen: list[bytes] = []
    channel.basic_publish("", "q", b"x", PERSISTENT)  # makes the disk sync at 0.2 s and expires at 1.5 s
    assert broker.run_until_idle() == 0
    assert broker.clock.now == 1.5
    consumer_of(channel, "q", seen)
    connection.call_later(1, channel.basic_publish, "", "q", b"y", PERSISTENT)
    assert broker.run_until_idle() == 1
    assert broker.clock.now == 2.5


def test_advancing_serves_instant_by_instant(broker: Broker) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("q")
    finished: list[tuple[bytes, float]] = []

    def work(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        def finish() -> None:
            finished.append((body, broker.clock.now))
            ch.basic_ack(method.delivery_tag)

        connection.call_later(body.count(b"."), finish)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", work)
    for body in (b"a.", b"b..", b"c."):
        channel.basic_publish("", "q", body)
    broker.clock.advance(10)
    assert finished == [(b"a.", 1.0), (b"b..", 3.0), (b"c.", 4.0)]


def test_two_brokers_may_share_a_clock() -> None:
    clock = SimClock()
    seen: list[bytes] = []
    channels = []
    for _ in range(2):
        channel = Broker(clock=clock).connect().channel()
        channel.queue_declare("q")
        consumer_of(channel, "q", seen)
        channels.append(channel)
    channels[0].connection.call_later(1, channels[1].basic_publish, "", "q", b"over")
    clock.advance(1)
    assert seen == [b"over"]


# -- threads


def in_another_thread(call: Any) -> Any:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda channel: channel.basic_publish("", "q", b"x"),
        lambda channel: channel.basic_ack(1),
        lambda channel: channel.basic_nack(1),
        lambda channel: channel.queue_declare("q"),
        lambda channel: channel.basic_cancel("c"),
        lambda channel: channel.connection.channel(),
        lambda channel: channel.connection.close(),
        lambda channel: channel.connection.drop(),
        lambda channel: channel.connection.process_data_events(),
        lambda channel: channel.connection.sleep(1),
        lambda channel: channel.connection.call_later(1, print),
        lambda channel: channel.connection.broker.run(),
        lambda channel: channel.connection.broker.connect(),
        lambda channel: channel.connection.broker.restart(),
    ],
)
def test_another_thread_is_told_the_ways_in(broker: Broker, call: Any) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    before = broker.list_queues("messages", "consumers")
    error = in_another_thread(lambda: call(channel))
    assert isinstance(error, ThreadError)
    assert "add_callback_threadsafe" in str(error)
    assert channel.is_open
    assert broker.list_queues("messages", "consumers") == before


def test_a_callback_may_be_added_from_any_thread(broker: Broker) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("q")
    in_another_thread(
        lambda: connection.add_callback_threadsafe(lambda: channel.basic_publish("", "q", b"x"))
    )
    assert ready(broker, "q") == 0
    broker.run()
    assert ready(broker, "q") == 1


# -- down and up again


def test_a_restart_keeps_what_is_durable_and_tells_the_clients(broker: Broker) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    channel.queue_declare("transient")
    channel.exchange_declare("kept", "direct", durable=True)
    channel.exchange_declare("lost", "direct")
    for exchange in ("kept", "lost"):
        channel.queue_bind("durable", exchange, "k")
    channel.queue_bind("transient", "kept", "k")
    channel.basic_publish("", "durable", b"persistent", PERSISTENT)
    channel.basic_publish("", "durable", b"transient")
    channel.basic_publish("", "transient", b"x", PERSISTENT)
    broker.restart()
    broker.check()
    assert not connection.is_open
    assert not channel.is_open
    with pytest.raises(ConnectionClosedByBroker, match="320"):
        connection.process_data_events()
    with pytest.raises(ChannelWrongStateError):
        channel.basic_publish("", "durable", b"x")
    assert broker.list_queues("name", "messages") == [{"name": "durable", "messages": 1}]
    assert [row["name"] for row in broker.list_exchanges("name") if row["name"] in ("kept", "lost")] == [
        "kept"
    ]
    bindings = broker.list_bindings("source_name", "destination_name")
    assert {"source_name": "kept", "destination_name": "durable"} in bindings
    assert {"source_name": "kept", "destination_name": "transient"} not in bindings


def test_after_a_restart_what_was_unacknowledged_is_redelivered_in_its_place(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True)
    for number in range(3):
        channel.basic_publish("", "q", b"%d" % number, PERSISTENT)
    channel.basic_get("q")
    broker.restart()
    channel = broker.connect().channel()
    fetched = [channel.basic_get("q") for _ in range(3)]
    assert [(body, method.redelivered) for method, _, body in fetched if method is not None] == [
        (b"0", True),
        (b"1", False),
        (b"2", False),
    ]


def test_a_crash_loses_what_was_not_synced_and_nobody_is_told(broker: Broker) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"synced", PERSISTENT)
    broker.clock.advance(0.2)
    channel.basic_publish("", "q", b"not synced", PERSISTENT)
    broker.crash()
    broker.check()
    with pytest.raises(StreamLostError):
        connection.process_data_events()
    assert ready(broker, "q") == 1


def test_a_confirmed_message_survives_a_crash_at_once(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"x", PERSISTENT)
    assert broker.clock.now == 0
    broker.crash()
    assert ready(broker, "q") == 1


def test_an_acknowledgement_that_was_not_synced_is_undone_by_a_crash(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"x", PERSISTENT)
    broker.clock.advance(0.2)
    channel.basic_get("q", auto_ack=True)
    broker.crash()
    assert ready(broker, "q") == 1
    channel = broker.connect().channel()
    method, _, _ = channel.basic_get("q", auto_ack=True)
    assert method is not None
    assert method.redelivered
    broker.clock.advance(0.2)
    broker.crash()
    assert ready(broker, "q") == 0


def test_the_sync_interval_can_be_chosen() -> None:
    broker = Broker(sync_interval=5)
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"x", PERSISTENT)
    broker.clock.advance(4.999)
    broker.crash()
    assert ready(broker, "q") == 0


@pytest.mark.parametrize("way", ["restart", "crash"])
def test_nothing_that_was_on_its_way_is_delivered_afterwards(broker: Broker, way: str) -> None:
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    seen: list[bytes] = []
    consumer_of(channel, "q", seen)
    channel.basic_publish("", "q", b"x", PERSISTENT)
    connection.call_later(1, seen.append, b"timer")
    broker.clock.advance(0.2)
    seen.clear()
    channel.basic_publish("", "q", b"y", PERSISTENT)
    getattr(broker, way)()
    assert broker.run() == 0
    broker.clock.advance(5)
    assert seen == []
    with pytest.raises(ConnectionWrongStateError):
        connection.channel()


@pytest.mark.parametrize("way", ["restart", "crash"])
def test_while_the_broker_is_down_nobody_comes_in_and_time_goes_on(broker: Broker, way: str) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 1000})
    channel.basic_publish("", "q", b"x", PERSISTENT)
    broker.clock.advance(0.5)
    attempts: list[BaseException] = []

    def attempt() -> None:
        with pytest.raises(ConnectionRefusedError, match="the broker is down") as info:
            broker.connect()
        attempts.append(info.value)

    broker.clock.call_later(1, attempt)
    getattr(broker, way)(downtime=2)
    assert broker.clock.now == 2.5
    assert len(attempts) == 1
    assert ready(broker, "q") == 0  # it expired meanwhile
    assert broker.connect().is_open


def test_a_negative_downtime_is_refused_before_anything_happens(broker: Broker) -> None:
    connection = broker.connect()
    for way in (broker.restart, broker.crash):
        with pytest.raises(ValueError, match="downtime must not be negative"):
            way(downtime=-1)
    assert connection.is_open


@pytest.mark.parametrize("way", ["restart", "crash"])
def test_the_broker_may_go_down_inside_a_callback(broker: Broker, way: str) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True)
    seen: list[bytes] = []

    def kill(ch: Channel, method: Any, properties: Any, body: bytes) -> None:
        seen.append(body)
        getattr(broker, way)()

    channel.basic_consume("q", kill)
    channel.confirm_delivery()
    for body in (b"0", b"1"):
        channel.basic_publish("", "q", body, PERSISTENT)
    assert broker.run() == 1
    assert seen == [b"0"]
    assert ready(broker, "q") == 2
    broker.check()


def test_queues_exclusive_to_a_connection_do_not_survive_it(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("mine", exclusive=True)
    broker.crash()
    assert broker.list_queues() == []


def test_closing_a_broker_closes_its_connections_and_frees_the_clock() -> None:
    clock = SimClock()
    with Broker(clock=clock) as broker:
        connection = broker.connect()
    assert not connection.is_open
    clock.advance(1)
    broker.close()


def test_a_broker_shows_itself(broker: Broker) -> None:
    assert "Broker" in repr(broker)
