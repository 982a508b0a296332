"""Who gets the next message: turns, windows, priorities, one active consumer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker import Broker
from mockbroker.channel import Channel


class Worker:
    """A consumer on a connection of its own that notes what it gets and acknowledges when told."""

    def __init__(
        self,
        broker: Broker,
        *,
        prefetch: int = 0,
        priority: int = 0,
        queue: str = "q",
        auto_ack: bool = False,
    ) -> None:
        self.channel: Channel = broker.connect().channel()
        self.got: list[str] = []
        self.tags: list[int] = []
        self.channel.basic_qos(prefetch_count=prefetch)
        arguments = {"x-priority": priority} if priority else None
        self.tag = self.channel.basic_consume(queue, self._receive, auto_ack=auto_ack, arguments=arguments)

    def _receive(self, channel: Channel, method: Any, properties: Any, body: bytes) -> None:
        self.got.append(body.decode())
        self.tags.append(method.delivery_tag)

    def ack(self) -> None:
        self.channel.basic_ack(self.tags.pop(0))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def publisher(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("q")
    return channel


def publish(publisher: Channel, *bodies: str) -> None:
    for body in bodies:
        publisher.basic_publish("", "q", body)
    publisher.connection.broker.run()
    publisher.connection.broker.check()


def test_consumers_take_turns(broker: Broker, publisher: Channel) -> None:
    workers = [Worker(broker) for _ in range(3)]
    publish(publisher, *"0123456")
    assert [worker.got for worker in workers] == [["0", "3", "6"], ["1", "4"], ["2", "5"]]


def test_what_is_ready_goes_to_the_first_consumer_at_once(broker: Broker, publisher: Channel) -> None:
    publish(publisher, *"012")
    workers = [Worker(broker) for _ in range(2)]
    broker.run()
    assert [worker.got for worker in workers] == [["0", "1", "2"], []]


def test_one_without_credit_is_passed_over_and_rejoins_at_the_tail(
    broker: Broker, publisher: Channel
) -> None:
    busy, free, other = Worker(broker, prefetch=1), Worker(broker), Worker(broker)
    publish(publisher, *"0123")
    assert [busy.got, free.got, other.got] == [["0"], ["1", "3"], ["2"]]
    busy.ack()
    publish(publisher, *"456")
    assert [busy.got, free.got, other.got] == [["0", "6"], ["1", "3", "5"], ["2", "4"]]


def test_one_that_gets_its_credit_back_before_its_turn_has_kept_it(
    broker: Broker, publisher: Channel
) -> None:
    busy, free = Worker(broker, prefetch=1), Worker(broker)
    publish(publisher, "0")
    busy.ack()
    publish(publisher, "1", "2")
    assert [busy.got, free.got] == [["0", "2"], ["1"]]


def test_a_window_is_never_exceeded(broker: Broker, publisher: Channel) -> None:
    worker = Worker(broker, prefetch=2)
    publish(publisher, *"01234")
    assert worker.got == ["0", "1"]
    worker.ack()
    broker.run()
    assert worker.got == ["0", "1", "2"]
    worker.channel.basic_nack(worker.tags.pop(0), requeue=True)
    broker.run()
    assert worker.got == ["0", "1", "2", "1"]


def test_auto_ack_knows_no_window(broker: Broker, publisher: Channel) -> None:
    worker = Worker(broker, prefetch=1, auto_ack=True)
    publish(publisher, *"012")
    assert worker.got == ["0", "1", "2"]


def test_a_higher_priority_is_served_first_until_it_has_no_credit(broker: Broker, publisher: Channel) -> None:
    low = [Worker(broker) for _ in range(2)]
    high = [Worker(broker, prefetch=1, priority=5) for _ in range(2)]
    publish(publisher, *"01234")
    assert [worker.got for worker in (*high, *low)] == [["0"], ["1"], ["2", "4"], ["3"]]
    high[1].ack()
    publish(publisher, "5", "6")
    assert [worker.got for worker in (*high, *low)] == [["0"], ["1", "5"], ["2", "4"], ["3", "6"]]


def test_a_cancelled_consumer_leaves_the_turns_as_they_are(broker: Broker, publisher: Channel) -> None:
    workers = [Worker(broker) for _ in range(3)]
    publish(publisher, "0")
    workers[1].channel.basic_cancel(workers[1].tag)
    publish(publisher, "1", "2")
    assert [worker.got for worker in workers] == [["0", "2"], [], ["1"]]


def test_a_returned_message_goes_to_whose_turn_it_is(broker: Broker, publisher: Channel) -> None:
    workers = [Worker(broker) for _ in range(2)]
    publish(publisher, "0")
    workers[0].channel.basic_nack(workers[0].tags.pop(), requeue=True)
    broker.run()
    assert [worker.got for worker in workers] == [["0"], ["0"]]


@given(
    prefetches=st.lists(st.integers(0, 3), min_size=2, max_size=4),
    acks=st.lists(st.integers(0, 3), max_size=30),
)
def test_the_unblocked_share_evenly_and_no_message_waits_for_the_blocked(
    prefetches: list[int], acks: list[int]
) -> None:
    broker = Broker()
    publisher = broker.connect().channel()
    publisher.queue_declare("q")
    workers = [Worker(broker, prefetch=prefetch) for prefetch in prefetches]
    for number, which in enumerate(acks):
        publish(publisher, str(number))
        worker = workers[which % len(workers)]
        if worker.tags:
            worker.ack()
        broker.run()
        unlimited = [len(each.got) for each in workers if not each.channel._core.prefetch_count]
        assert max(unlimited, default=0) - min(unlimited, default=0) <= 1
        assert all(len(each.tags) <= limit for each, limit in zip(workers, prefetches, strict=True) if limit)
    total = Counter(body for worker in workers for body in worker.got)
    assert set(total.values()) <= {1}


# -- one active consumer


def single(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("q", arguments={"x-single-active-consumer": True})
    return channel


def test_one_is_active_and_the_next_in_line_succeeds(broker: Broker) -> None:
    publisher = single(broker)
    workers = [Worker(broker) for _ in range(3)]
    publish(publisher, "0", "1")
    assert [worker.got for worker in workers] == [["0", "1"], [], []]
    workers[1].channel.basic_cancel(workers[1].tag)
    workers[0].channel.connection.drop()
    broker.run()
    assert workers[2].got == ["0", "1"]
    publish(publisher, "2")
    assert workers[2].got == ["0", "1", "2"]


def test_the_active_one_alone_is_served_even_without_credit(broker: Broker) -> None:
    publisher = single(broker)
    workers = [Worker(broker, prefetch=1) for _ in range(2)]
    publish(publisher, "0", "1")
    assert [worker.got for worker in workers] == [["0"], []]
    workers[0].ack()
    broker.run()
    assert [worker.got for worker in workers] == [["0", "1"], []]


def test_the_next_active_one_is_the_first_in_line(broker: Broker) -> None:
    publisher = single(broker)
    workers = [Worker(broker) for _ in range(3)]
    workers[0].channel.close()
    publish(publisher, "0")
    assert [worker.got for worker in workers] == [[], ["0"], []]


# -- the shared window


def test_consumers_that_a_shared_window_held_back_keep_their_order(
    broker: Broker, publisher: Channel
) -> None:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=1, global_qos=True)
    got: list[tuple[str, bytes]] = []
    for name in ("a", "b", "c"):
        channel.basic_consume("q", lambda *a, name=name: got.append((name, a[3])))
    publish(publisher, "0", "1", "2")
    for tag in (1, 2):
        channel.basic_ack(tag)
        broker.run()
    assert got == [("a", b"0"), ("b", b"1"), ("c", b"2")]


def test_a_shared_window_opens_for_every_consumer_of_the_channel(broker: Broker, publisher: Channel) -> None:
    publisher.queue_declare("r")
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=1, global_qos=True)
    got: list[tuple[bytes, int]] = []
    for queue in ("q", "r"):
        channel.basic_consume(queue, lambda *a: got.append((a[3], a[1].delivery_tag)))
    for queue in ("q", "r", "q"):
        publisher.basic_publish("", queue, queue)
    broker.run()
    for tag in (1, 2):
        assert len(got) == tag
        channel.basic_ack(tag)
        broker.run()
        broker.check()
    assert sorted(body for body, _ in got) == [b"q", b"q", b"r"]


@pytest.mark.parametrize("prefetch", [1, 2])
def test_queues_that_share_a_window_take_turns(broker: Broker, publisher: Channel, prefetch: int) -> None:
    names = ("q", "r", "s")
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=prefetch, global_qos=True)
    got: list[str] = []
    for name in names:
        publisher.queue_declare(name)
        for _ in range(20):
            publisher.basic_publish("", name, b"x")
    for name in names:
        channel.basic_consume(name, lambda *a: got.append(a[1].routing_key))
    for tag in range(1, 32):
        broker.run()
        channel.basic_ack(tag)
        broker.check()
    start = got.index("r")
    assert got[start : start + 6] == ["r", "s", "q"] * 2
    assert set(Counter(got[start:])) == set(names)
    assert max(Counter(got[start:]).values()) - min(Counter(got[start:]).values()) <= 1


def test_a_smaller_shared_window_waits_until_it_is_kept(broker: Broker, publisher: Channel) -> None:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    channel.basic_consume("q", lambda *_: None)
    publish(publisher, *"01234")
    channel.basic_qos(prefetch_count=1, global_qos=True)
    for tag, outstanding in ((1, 2), (2, 1), (3, 1)):
        channel.basic_ack(tag)
        assert broker.list_queues("messages_unacknowledged") == [{"messages_unacknowledged": outstanding}]
        broker.check()
