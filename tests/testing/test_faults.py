"""Faults strike where they are told to, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pytest

from mockbroker import BasicProperties, Broker, exceptions, faults
from mockbroker.channel import Channel
from mockbroker.connection import Connection
from mockbroker.testing.assertions import assert_no_loss

PERSISTENT = BasicProperties(delivery_mode=2)
QUEUE_TYPES = ["classic", "quorum"]


class Scene:
    """A queue, a publisher with confirms, and a worker that acknowledges what it sees."""

    def __init__(self, queue_type: str = "classic") -> None:
        self.broker = Broker()
        self.trace = self.broker.tracing()
        self.publisher = self.open()
        self.publisher.queue_declare("tasks", durable=True, arguments={"x-queue-type": queue_type})
        self.publisher.confirm_delivery()
        self.seen: list[tuple[bytes, bool]] = []
        self.worker = self.start_worker()

    def open(self) -> Channel:
        return self.broker.connect().channel()

    def start_worker(self, prefetch: int = 0) -> Connection:
        channel = self.open()
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume("tasks", self.work)
        return channel.connection

    def work(self, channel: Channel, method: Any, properties: object, body: bytes) -> None:
        self.seen.append((body, method.redelivered))
        channel.basic_ack(method.delivery_tag)

    def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            self.publisher.basic_publish("", "tasks", body, PERSISTENT)

    @property
    def bodies_left(self) -> list[bytes]:
        return [each.body for each in self.broker.queue("tasks").ready]


@pytest.fixture(params=QUEUE_TYPES)
def scene(request: pytest.FixtureRequest) -> Any:
    scene = Scene(request.param)
    yield scene
    scene.broker.check()
    assert_no_loss(scene.trace, "tasks")


def test_a_link_dies_before_a_delivery_is_seen(scene: Scene) -> None:
    fault = faults.drop(scene.worker, faults.BEFORE_DELIVERY, 2)
    scene.publish(b"1", b"2", b"3")
    scene.broker.run()
    assert scene.seen == [(b"1", False)]
    assert scene.bodies_left == [b"2", b"3"]
    assert (fault.strikes, scene.worker.is_open) == (1, False)


def test_a_link_dies_between_delivery_and_acknowledgement(scene: Scene) -> None:
    faults.drop(scene.worker, faults.BEFORE_ACK, 2)
    scene.publish(b"1", b"2")
    with pytest.raises(exceptions.ChannelWrongStateError):
        scene.broker.run()
    assert scene.bodies_left == [b"2"]
    scene.start_worker()
    scene.broker.run()
    assert scene.seen == [(b"1", False), (b"2", False), (b"2", True)]


def test_a_link_dies_between_publish_and_confirm(scene: Scene) -> None:
    faults.drop(scene.publisher.connection, faults.BEFORE_CONFIRM, 2)
    scene.publish(b"1")
    with pytest.raises(exceptions.StreamLostError):
        scene.publish(b"2")
    scene.broker.run()
    assert [body for body, _ in scene.seen] == [b"1", b"2"]


def test_a_link_dies_after_an_acknowledgement(scene: Scene) -> None:
    faults.drop(scene.worker, "ack", 2)
    scene.publish(b"1", b"2", b"3")
    scene.broker.run()
    assert [body for body, _ in scene.seen] == [b"1", b"2"]
    assert scene.bodies_left == [b"3"]


def test_with_a_broker_the_link_of_whoever_comes_to_the_point_dies(scene: Scene) -> None:
    faults.drop(scene.broker, "consume")
    late = scene.start_worker()
    assert (late.is_open, scene.worker.is_open) == (False, True)


def test_a_link_dies_now() -> None:
    scene = Scene()
    assert faults.drop(scene.worker).has_struck
    assert not scene.worker.is_open
    with pytest.raises(ValueError, match="whose link is to die"):
        faults.drop(scene.broker)


def test_a_fault_that_is_taken_back_does_not_strike(scene: Scene) -> None:
    with faults.drop(scene.worker, "ack", 1) as fault:
        pass
    scene.publish(b"1")
    scene.broker.run()
    assert not fault.has_struck
    assert scene.worker.is_open
    assert repr(fault) == "<fault: drop the link ack 1; has not struck>"


def test_a_lost_acknowledgement_makes_a_duplicate(scene: Scene) -> None:
    faults.redeliver(scene.worker, 2)
    scene.publish(b"1", b"2", b"3")
    scene.broker.run()
    assert sorted(scene.seen) == [(b"1", False), (b"2", False), (b"2", True), (b"3", False)]
    assert (scene.worker.is_open, scene.bodies_left) == (True, [])
    scene.broker.restart()
    assert scene.bodies_left == []


@pytest.mark.parametrize("go_down", [faults.crash, faults.restart])
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_the_broker_goes_down_at_a_point(queue_type: str, go_down: Callable[..., faults.Fault]) -> None:
    scene = Scene(queue_type)
    scene.worker.close()
    fault = go_down(scene.broker, "publish", 2)
    scene.publish(b"1")
    with pytest.raises(exceptions.AMQPConnectionError):
        scene.publish(b"2")
    assert fault.has_struck
    assert scene.bodies_left[:1] == [b"1"]
    assert scene.broker.connect().is_open


def test_a_downtime_passes_while_the_program_goes_on() -> None:
    scene = Scene()
    faults.crash(scene.broker, "publish", downtime=5)
    with pytest.raises(exceptions.StreamLostError):
        scene.publish(b"1")
    with pytest.raises(ConnectionRefusedError, match="the broker is down"):
        scene.broker.connect()
    scene.broker.clock.advance(5)
    assert scene.broker.connect().is_open


def test_connections_are_refused_so_many_times() -> None:
    broker = Broker()
    fault = faults.refuse_connections(broker, 2)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError, match="nobody listens"):
            broker.connect()
    assert broker.connect().is_open
    assert fault.strikes == 2


def test_connections_are_refused_until_the_fault_is_over() -> None:
    broker = Broker()
    with faults.refuse_connections(broker), pytest.raises(ConnectionRefusedError):
        broker.connect()
    assert broker.connect().is_open


def test_file_descriptors_run_out() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    first = broker.connect()
    with faults.limit_connections(broker, 1):
        assert "Sockets: 1, limit: 1" in broker.ctl("status")
        with pytest.raises(ConnectionRefusedError):
            broker.connect()
        first.close()
        assert broker.connect().is_open
    assert "limit: 943626" in broker.ctl("status")
    assert broker.connect().is_open


def test_channels_run_out() -> None:
    broker = Broker()
    connection = broker.connect()
    with faults.limit_channels(broker, 1):
        connection.channel()
        with pytest.raises(exceptions.ConnectionClosedByBroker, match="maximum allowed user limit"):
            connection.channel()
    assert broker.connect().channel().is_open


def test_a_limit_of_channels_gives_the_old_one_back() -> None:
    broker = Broker()
    broker.node.set_user_limit("guest", "max-channels", 7)
    with faults.limit_channels(broker, 1):
        pass
    assert broker.node.user("guest").limits == {"max-channels": 7}


def test_confirms_are_refused_so_many_times() -> None:
    scene = Scene()
    fault = faults.nack_confirms(scene.broker, 1)
    with pytest.raises(exceptions.NackError):
        scene.publish(b"1")
    scene.publish(b"2")
    scene.broker.run()
    assert [body for body, _ in scene.seen] == [b"2"]
    assert fault.strikes == 1
    assert_no_loss(scene.trace)


def test_refusals_that_are_left_are_taken_back() -> None:
    scene = Scene()
    with faults.nack_confirms(scene.broker, 3), pytest.raises(exceptions.NackError):
        scene.publish(b"1")
    scene.publish(b"2")


def test_a_publisher_without_confirms_is_not_refused() -> None:
    scene = Scene()
    faults.nack_confirms(scene.broker)
    scene.open().basic_publish("", "tasks", b"1")
    scene.broker.run()
    assert [body for body, _ in scene.seen] == [b"1"]


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_a_blocked_publisher_is_told_and_loses_nothing(resource: Any) -> None:
    scene = Scene()
    channel, told = scene.open(), []
    channel.connection.add_on_connection_blocked_callback(lambda connection, reason: told.append(reason))
    channel.connection.add_on_connection_unblocked_callback(lambda connection: told.append("unblocked"))
    with faults.block(scene.broker, resource):
        channel.basic_publish("", "tasks", b"held")
        scene.broker.run()
        assert (told, scene.seen) == ([f"low on {resource}"], [])
        assert f"{'Memory' if resource == 'memory' else 'Free disk space'} alarm on node" in scene.broker.ctl(
            "status"
        )
    scene.broker.run()
    assert told[1:] == ["unblocked"]
    assert [body for body, _ in scene.seen] == [b"held"]


def test_a_full_disk_blocks_below_its_limit() -> None:
    scene = Scene()
    with faults.fill_disk(scene.broker, 50_000_000) as fault:
        assert not fault.has_struck
    with faults.fill_disk(scene.broker, 900_000_000, disk_free_limit=1_000_000_000) as fault:
        assert fault.has_struck
        status = scene.broker.ctl("status")
        assert "Low free disk space watermark: 1.0 gb\nFree disk space: 0.9 gb" in status
    assert "Low free disk space watermark: 0.05 gb\nFree disk space: 50.0 gb" in scene.broker.ctl("status")


def test_a_slow_consumer_takes_one_message_at_a_time() -> None:
    scene = Scene()
    times: list[float] = []
    fault = faults.slow(scene.broker, 2)
    for _ in range(2):  # the fault finds consumers that are there, and those that come
        scene.open().basic_consume("tasks", lambda *_: times.append(scene.broker.clock.now), auto_ack=True)
    scene.worker.close()
    scene.publish(b"1", b"2", b"3", b"4")
    scene.broker.run_until_idle()
    assert times == [2, 2, 4, 4]
    fault.cancel()
    scene.publish(b"5")
    scene.broker.run()
    assert times[4:] == [4]


def test_a_slow_consumer_whose_link_dies_does_nothing_more() -> None:
    scene = Scene()
    faults.slow(scene.worker, 2)
    scene.publish(b"1", b"2")
    scene.broker.clock.advance(3)
    scene.worker.drop()
    scene.broker.run_until_idle()
    assert [body for body, _ in scene.seen] == [b"1"]
    assert scene.bodies_left == [b"2"]


def test_deliveries_travel() -> None:
    scene = Scene()
    times: list[float] = []
    scene.worker.close()
    other = scene.open()
    faults.delay(other.connection, 0.25)
    other.basic_consume("tasks", lambda *_: times.append(scene.broker.clock.now), auto_ack=True)
    scene.publish(b"1", b"2")
    scene.broker.run_until_idle()
    assert times == [0.25, 0.25]


def test_a_client_on_the_endpoint_loses_its_link_before_the_confirm() -> None:
    broker = Broker()
    with broker.listen() as endpoint:
        connection = pika.BlockingConnection(pika.URLParameters(endpoint.url))
        channel = connection.channel()
        channel.queue_declare("tasks", durable=True)
        channel.confirm_delivery()
        fault = faults.drop(broker, faults.BEFORE_CONFIRM)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            channel.basic_publish("", "tasks", b"one", pika.BasicProperties(delivery_mode=2))
        assert fault.has_struck
        with endpoint.lock:
            assert [message.body for message in broker.queue("tasks").ready] == [b"one"]


def test_a_client_on_the_endpoint_finds_nobody_who_listens() -> None:
    broker = Broker()
    with broker.listen() as endpoint:
        faults.refuse_connections(broker, 1)
        parameters = pika.URLParameters(endpoint.url)
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(parameters)
        with pika.BlockingConnection(parameters) as connection:
            assert connection.is_open


def test_a_measure_does_not_take_a_fault_for_a_trace() -> None:
    broker = Broker()
    with faults.drop(broker, "publish"), pytest.raises(ValueError, match="only faults listen"):
        assert_no_loss(broker)


def come_to_every_point(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare("tasks")
    channel.queue_bind("tasks", "amq.fanout")
    for _ in range(4):
        channel.basic_publish("", "tasks", b"1")
    for settle in (channel.basic_ack, channel.basic_nack, lambda tag: channel.basic_reject(tag, False)):
        method, _, _ = channel.basic_get("tasks")
        assert method is not None
        settle(method.delivery_tag)
    channel.basic_consume("tasks", lambda *_: None)
    broker.run()
    channel.queue_delete("tasks")


@pytest.mark.parametrize("point", faults.LINK_POINTS)
def test_a_link_dies_at_every_point(point: str) -> None:
    broker = Broker()
    fault = faults.drop(broker, point)
    with pytest.raises(exceptions.AMQPError):
        come_to_every_point(broker)
    assert fault.has_struck
    broker.check()


@pytest.mark.parametrize("point", faults.POINTS)
def test_the_broker_crashes_at_every_point(point: str) -> None:
    broker = Broker()
    fault = faults.crash(broker, point)
    with pytest.raises(exceptions.AMQPError):
        come_to_every_point(broker)
    assert fault.has_struck
    broker.check()


@pytest.mark.parametrize(
    ("plant", "text"),
    [
        (lambda broker: faults.drop(broker, "declare"), "a link cannot die at 'declare': choose from before"),
        (lambda broker: faults.crash(broker, "never"), "no point 'never': choose from connect, channel"),
        (lambda broker: faults.drop(broker, "publish", 0), "nth must be an integer from 1, not 0"),
        (lambda broker: faults.refuse_connections(broker, 0), "count must be an integer from 1"),
        (lambda broker: faults.limit_connections(broker, -1), "most must be an integer from 0, not -1"),
        (lambda broker: faults.nack_confirms(broker, True), "count must be an integer from 1, not True"),
        (lambda broker: faults.slow(broker, -1), "seconds must not be negative, not -1"),
        (lambda broker: faults.crash(broker, downtime=-1), "downtime must not be negative, not -1"),
        (lambda broker: faults.block(broker, "cpu"), "an alarm is about one of disk, memory, not 'cpu'"),
        (lambda broker: faults.Plan("burn").plant(broker), "no kind of fault 'burn'"),
    ],
)
def test_mistakes_are_named(plant: Callable[[Broker], object], text: str) -> None:
    broker = Broker()
    with pytest.raises(ValueError, match=text):
        plant(broker)
    assert broker.node.trace is None
