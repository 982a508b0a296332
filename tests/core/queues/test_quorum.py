"""Quorum queues: order, counted deliveries, limits, the single active consumer, and what a restart leaves."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.core.queues.quorum_order import QuorumOrder
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, NackError

VERSIONS = ("rabbitmq-3.10", "rabbitmq-4.0")


class Bench:
    """A broker with one quorum queue `q`, and what its consumers got: (tag, body, delivery count)."""

    def __init__(self, rules: str, **arguments: Any) -> None:
        self.broker = Broker(rules=rules)
        self.channel = self.open()
        self.declare("q", **arguments)
        self.got: list[tuple[str, str, int]] = []

    def open(self) -> Channel:
        """Return a channel on a connection of its own."""
        return self.broker.connect().channel()

    def declare(self, name: str, **arguments: Any) -> None:
        """Declare a quorum queue; `x_delivery_limit=1` stands for ``x-delivery-limit``."""
        table = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **table})

    def publish(self, *bodies: str, **properties: Any) -> None:
        """Publish to `q`."""
        for body in bodies:
            self.channel.basic_publish("", "q", body.encode(), BasicProperties(**properties))

    def consume(self, tag: str, channel: Channel | None = None, **fields: Any) -> None:
        """Consume from `q` and note what comes."""

        def note(_: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
            count = (properties.headers or {}).get("x-delivery-count", 0)
            self.got.append((method.consumer_tag, body.decode(), count))

        (channel or self.channel).basic_consume("q", note, consumer_tag=tag, **fields)
        self.broker.run()

    def served(self) -> list[tuple[str, str, int]]:
        """Return what came since the last time; check the broker."""
        self.broker.run()
        self.broker.check()
        got, self.got = self.got, []
        return got

    def bodies(self) -> list[str]:
        """Drain `q` by basic.get and return the bodies."""
        bodies = []
        while (body := self.channel.basic_get("q", auto_ack=True)[2]) is not None:
            bodies.append(body.decode())
        return bodies

    def ready(self, queue: str = "q") -> int:
        """How many messages queue.declare says there are."""
        return self.channel.queue_declare(queue, passive=True).method.message_count


@pytest.fixture(params=VERSIONS)
def rules(request: pytest.FixtureRequest) -> str:
    """Both rule sets."""
    version: str = request.param
    return version


def test_order_serves_two_urgent_messages_for_each_normal_one() -> None:
    order = QuorumOrder()
    for position in range(6):
        order.put((position, ("", "", b"xx", None, None), 0), urgent=position >= 3)
    order.put_back((9, ("", "", b"x", None, None), 1))
    expected = [9, 3, 4, 0, 5, 1, 2]
    assert [entry[0] for entry in order] == expected
    order.check()
    assert [order.take()[0] for _ in range(7)] == expected
    assert len(order) == order.body_bytes == 0


def test_order_counts_turns_of_normal_messages_too() -> None:
    order = QuorumOrder()
    for position, urgent in ((0, False), (1, False), (2, True), (3, True)):
        order.put((position, ("", "", b"", None, None), 0), urgent=urgent)
    order.put_back((8, ("", "", b"", None, None), 1))
    assert [order.take()[0] for _ in range(3)] == [8, 2, 3]
    order.put((4, ("", "", b"", None, None), 0), urgent=True)
    assert order.take()[0] == 0, "the third turn belongs to the normal lane"


def test_a_purge_begins_the_next_round() -> None:
    order = QuorumOrder()
    for _ in range(2):
        for position in range(3):
            order.put((position, ("", "", b"", None, None), 0), urgent=position > 0)
        assert [order.take()[0] for _ in range(2)] == [1, 2]
        order.clear()
    order.check()


def test_returned_message_goes_to_the_head_only_with_a_delivery_limit(rules: str) -> None:
    for limit, expected in ((5, ["m1", "m2", "m3"]), (-1, ["m2", "m3", "m1"])):
        if limit < 0 and rules == "rabbitmq-3.10":
            continue  # a negative limit is one there: the first return is the last
        bench = Bench(rules, x_delivery_limit=limit)
        bench.publish("m1", "m2", "m3")
        tag = bench.channel.basic_get("q")[0].delivery_tag
        bench.channel.basic_nack(tag)
        assert bench.bodies() == expected


def test_default_delivery_limit_is_that_of_the_version(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m")
    for _ in range(21):
        bench.channel.basic_nack(bench.channel.basic_get("q")[0].delivery_tag)
    assert bench.ready() == (1 if rules == "rabbitmq-3.10" else 0)
    bench.broker.check()


@pytest.mark.parametrize(("returns", "is_left"), [(1, True), (2, True), (3, False)])
def test_delivery_limit_counts_returns_and_dead_letters_above(
    rules: str, returns: int, is_left: bool
) -> None:
    bench = Bench(
        rules, x_delivery_limit=2, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    )
    bench.channel.queue_declare("dead")
    bench.publish("m")
    for _ in range(returns):
        bench.channel.basic_nack(bench.channel.basic_get("q")[0].delivery_tag)
    bench.broker.check()
    assert (bench.ready(), bench.ready("dead")) == ((1, 0) if is_left else (0, 1))
    if not is_left:
        properties = bench.channel.basic_get("dead")[1]
        assert properties.headers["x-death"][0]["reason"] == "delivery_limit"


def test_channel_close_and_power_cut_count_as_attempts(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m")
    other = bench.open()
    other.basic_get("q")
    other.close()
    assert bench.channel.basic_get("q")[1].headers == {"x-delivery-count": 1}
    bench.broker.crash()
    bench.broker.check()
    channel = bench.open()
    method, properties, body = channel.basic_get("q")
    assert (method.redelivered, properties.headers, body) == (True, {"x-delivery-count": 2}, b"m")


def test_restart_keeps_transient_messages_in_order(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m1", "m2", delivery_mode=1)
    for down in (bench.broker.restart, bench.broker.crash):
        down()
        bench.broker.check()
        bench.channel = bench.open()
        assert bench.ready() == 2
    assert bench.bodies() == ["m1", "m2"]


def test_consumer_that_is_full_loses_its_turn(rules: str) -> None:
    bench = Bench(rules)
    bench.channel.basic_qos(prefetch_count=1)
    bench.consume("a")
    bench.consume("b", bench.open())
    bench.publish("m1", "m2")
    bench.channel.basic_ack(1)
    bench.publish("m3")
    assert [tag for tag, _, _ in bench.served()] == ["a", "b", "b"]


def test_consumer_without_prefetch_holds_at_most_2000(rules: str) -> None:
    bench = Bench(rules)
    bench.consume("a")
    bench.publish(*["m"] * 2001)
    assert len(bench.served()) == 2000
    bench.channel.basic_ack(7)
    assert len(bench.served()) == 1


def test_drop_head_dead_letters_what_is_above(rules: str) -> None:
    bench = Bench(
        rules, x_max_length=1, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    )
    bench.channel.queue_declare("dead")
    bench.publish("m1", "m2", "m3")
    bench.broker.check()
    assert (bench.bodies(), bench.ready("dead")) == (["m3"], 2)


def test_reject_publish_is_a_soft_limit(rules: str) -> None:
    bench = Bench(rules, x_max_length=5, x_overflow="reject-publish")
    bench.channel.confirm_delivery()
    bench.publish(*"123456")
    with pytest.raises(NackError):
        bench.publish("7")
    for body in ("1", "2"):  # at the limit, and one below it: still refused
        assert bench.channel.basic_get("q", auto_ack=True)[2] == body.encode()
        if body == "1":
            with pytest.raises(NackError):
                bench.publish("8")
    bench.publish("9")
    bench.broker.check()
    assert bench.bodies() == ["3", "4", "5", "6", "9"]


def test_what_is_dropped_at_once_is_dead_lettered_newest_first(rules: str) -> None:
    bench = Bench(rules, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    bench.channel.queue_declare("dead")
    bench.publish("1", "2", "3", "4")
    bench.broker.set_policy("p", "q", {"max-length": 1})
    bench.broker.check()
    assert [bench.channel.basic_get("dead")[2] for _ in range(3)] == [b"3", b"2", b"1"]


def test_a_refused_publisher_does_not_hear_that_nothing_is_refused_any_more(rules: str) -> None:
    bench = Bench(rules, x_max_length=2)
    bench.channel.confirm_delivery()
    bench.broker.set_policy("p", "q", {"overflow": "reject-publish"})
    bench.publish("1", "2", "3")
    bench.broker.clear_policy("p")
    bench.channel.queue_purge("q")
    with pytest.raises(NackError):
        bench.publish("4")
    bench.open().basic_publish("", "q", b"5")
    bench.broker.check()
    assert bench.bodies() == ["5"]


@pytest.mark.parametrize(("rules", "is_refused"), [("rabbitmq-3.10", True), ("rabbitmq-4.0", False)])
def test_whether_a_refused_publisher_hears_that_the_limit_is_gone(rules: str, is_refused: bool) -> None:
    bench = Bench(rules, x_overflow="reject-publish")
    bench.channel.confirm_delivery()
    bench.broker.set_policy("p", "q", {"max-length": 1})
    bench.publish("1", "2")
    bench.broker.clear_policy("p")
    if is_refused:
        with pytest.raises(NackError):
            bench.publish("3")
        bench.broker.set_policy("p", "q", {"max-length": 10})
    bench.publish("4")
    bench.broker.check()
    assert bench.bodies() == ["1", "2", "4"]


def test_expired_message_goes_when_it_is_at_the_head(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("lasting")
    bench.publish("brief", expiration="100")
    bench.broker.clock.advance(1)
    assert bench.ready() == 2
    assert bench.bodies() == ["lasting"]
    bench.publish("brief", expiration="100")
    bench.broker.clock.advance(1)
    bench.broker.check()
    assert bench.ready() == 0


def test_a_single_active_consumer_stays_beside_one_of_its_priority(rules: str) -> None:
    bench = Bench(rules, **{"x-single-active-consumer": True})
    for tag in ("first", "second"):
        bench.consume(tag)
    for tag, body in enumerate("abc", 1):
        bench.publish(body)
        assert bench.served() == [("first", body, 0)]
        bench.channel.basic_ack(tag)


def test_single_active_consumer_of_higher_priority_takes_over_on_4_0(rules: str) -> None:
    bench = Bench(rules, **{"x-single-active-consumer": True})
    bench.consume("low")
    bench.publish("m1")
    bench.consume("high", arguments={"x-priority": 5})
    bench.publish("m2")
    if rules == "rabbitmq-3.10":
        assert [tag for tag, _, _ in bench.served()] == ["low", "low"]
        return
    assert [tag for tag, _, _ in bench.served()] == ["low"], "it gets nothing more, and must settle first"
    bench.channel.basic_ack(1)
    assert bench.served() == [("high", "m2", 0)]


@pytest.mark.parametrize(
    ("how", "reply_code"),
    [
        ({"durable": False}, 406),
        ({"exclusive": True}, 406),
        ({"auto_delete": True}, 406),
        ({"queue": ""}, 406),
    ],
)
def test_temporary_quorum_queue_is_refused(rules: str, how: dict[str, Any], reply_code: int) -> None:
    bench = Bench(rules)
    fields = {"queue": "other", "durable": True, "arguments": {"x-queue-type": "quorum"}, **how}
    with pytest.raises(ChannelClosedByBroker) as refused:
        bench.channel.queue_declare(**fields)
    assert refused.value.reply_code == reply_code
    bench.broker.check()


def test_conditional_delete_closes_the_connection(rules: str) -> None:
    for condition in ({"if_unused": True}, {"if_empty": True}):
        bench = Bench(rules)
        with pytest.raises(ConnectionClosedByBroker) as refused:
            bench.channel.queue_delete("q", **condition)
        assert refused.value.reply_code == 540
        bench.broker.check()


def test_consumer_count_includes_who_still_holds_messages(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m1", "m2")
    bench.channel.basic_qos(prefetch_count=1)
    bench.consume("a")
    bench.channel.basic_get("q")
    bench.channel.basic_cancel("a")
    count = bench.channel.queue_declare("q", passive=True).method.consumer_count
    assert count == 2
    bench.channel.basic_ack(0, multiple=True)
    assert bench.channel.queue_declare("q", passive=True).method.consumer_count == 0


def test_lease_ends_at_a_tick_and_only_without_use(rules: str) -> None:
    bench = Bench(rules, x_expires=500)
    bench.broker.clock.advance(4.9)
    assert bench.ready() == 0
    bench.broker.clock.advance(0.2)
    with pytest.raises(ChannelClosedByBroker):
        bench.ready()


def test_lease_does_not_end_while_the_server_is_down(rules: str) -> None:
    bench = Bench(rules, x_expires=500)
    bench.broker.restart(downtime=20)
    assert [row["name"] for row in bench.broker.list_queues("name")] == ["q"]
    bench.broker.clock.advance(5)
    assert bench.broker.list_queues("name") == []


def test_lease_begins_anew_when_the_last_consumer_leaves(rules: str) -> None:
    bench = Bench(rules, x_expires=7000)
    bench.consume("a")
    bench.broker.clock.advance(21)
    bench.channel.basic_cancel("a")
    bench.broker.clock.advance(8.9)
    assert bench.ready() == 0
    bench.broker.clock.advance(0.2)
    with pytest.raises(ChannelClosedByBroker):
        bench.ready()


@pytest.mark.parametrize(
    ("kind", "auto_ack", "told"),
    [("classic", False, 0), ("classic", True, 0), ("quorum", False, 1), ("quorum", True, 0)],
)
def test_what_has_expired_behind_a_fetched_message_counts_on_a_quorum_queue(
    kind: str, auto_ack: bool, told: int
) -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    channel.basic_publish("", "q", b"first")
    channel.basic_publish("", "q", b"second", BasicProperties(expiration="100"))
    broker.clock.advance(1)
    method, _, _ = channel.basic_get("q", auto_ack)
    assert method is not None
    assert method.message_count == told
    assert channel.basic_get("q")[0] is None
