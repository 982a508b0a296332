"""Streams: offsets, windows, filters, what is stored of a message, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

VERSIONS = ("rabbitmq-3.10", "rabbitmq-4.0")


class Bench:
    """A broker with a stream `s`, and what its consumers got: (tag, offset, body)."""

    def __init__(self, rules: str) -> None:
        self.broker = Broker(rules=rules)
        self.channel = self.open()
        self.channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
        self.got: list[tuple[str, int, str]] = []

    def open(self) -> Channel:
        """Return a channel on a connection of its own."""
        return self.broker.connect().channel()

    def publish(self, *bodies: str, **properties: Any) -> None:
        """Publish to `s`."""
        for body in bodies:
            self.channel.basic_publish("", "s", body.encode(), BasicProperties(**properties))

    def consume(self, tag: str, offset: Any = None, *, prefetch: int = 100, **arguments: Any) -> Channel:
        """Consume from `s` on a channel of its own and note what comes."""

        def note(_: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
            assert properties.headers is not None
            self.got.append((method.consumer_tag, properties.headers["x-stream-offset"], body.decode()))

        channel = self.open()
        if prefetch:
            channel.basic_qos(prefetch_count=prefetch)
        table = {key.replace("_", "-"): value for key, value in arguments.items()}
        if offset is not None:
            table["x-stream-offset"] = offset
        channel.basic_consume("s", note, consumer_tag=tag, arguments=table)
        return channel

    def read(self) -> list[str]:
        """Return the bodies that came since the last time; check the broker."""
        self.broker.run()
        self.broker.check()
        got, self.got = self.got, []
        return [body for _, _, body in got]


@pytest.fixture(params=VERSIONS)
def rules(request: pytest.FixtureRequest) -> str:
    """Both rule sets."""
    version: str = request.param
    return version


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("first", ["m0", "m1", "m2", "m3"]),
        ("last", ["m2", "m3"]),
        ("next", ["m3"]),
        (None, ["m3"]),
        (1, ["m1", "m2", "m3"]),
        (-5, ["m0", "m1", "m2", "m3"]),
        (3, ["m3"]),
        (4, []),
        ("10s", ["m3"]),
        ("11s", ["m2", "m3"]),
        ("1h", ["m0", "m1", "m2", "m3"]),
    ],
)
def test_consumer_begins_at_its_offset(rules: str, offset: Any, expected: list[str]) -> None:
    bench = Bench(rules)
    for body in ("m0", "m1", "m2"):
        bench.publish(body)
        bench.broker.clock.advance(10.5)
    bench.consume("c", offset)
    bench.publish("m3")
    assert bench.read() == expected


def test_everybody_reads_everything_and_nothing_is_taken(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m0", "m1")
    for tag in ("a", "b"):
        channel = bench.consume(tag, "first")
        assert bench.read() == ["m0", "m1"]
        channel.basic_ack(0, multiple=True)
    assert bench.channel.queue_declare("s", passive=True).method.message_count == 2


def test_window_holds_and_each_settlement_lets_one_more_in(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m0", "m1", "m2", "m3")
    channel = bench.consume("c", "first", prefetch=1)
    assert bench.read() == ["m0"]
    channel.basic_ack(1)
    assert bench.read() == ["m1"]
    if rules == "rabbitmq-3.10":
        with pytest.raises(ConnectionClosedByBroker, match="540"):
            channel.basic_nack(2)
        bench.broker.check()
        return
    channel.basic_nack(2)
    assert bench.read() == ["m2"]
    channel.basic_reject(3, requeue=False)
    assert bench.read() == ["m3"]


def test_unacknowledged_messages_of_a_closed_channel_stay_where_they_are(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m0")
    channel = bench.consume("c", "first")
    assert bench.read() == ["m0"]
    channel.close()
    bench.consume("c", "first")
    assert bench.read() == ["m0"]


def test_filters_of_4_0_let_matching_messages_through(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("red", headers={"x-stream-filter-value": "red"})
    bench.publish("blue", headers={"x-stream-filter-value": "blue"})
    bench.publish("plain")
    everything = ["red", "blue", "plain"]
    for arguments, expected in (
        ({"x_stream_filter": "red"}, ["red"]),
        ({"x_stream_filter": ["red", "blue"]}, ["red", "blue"]),
        ({"x_stream_filter": "red", "x_stream_match_unfiltered": True}, ["red", "plain"]),
        ({"x_stream_filter": ""}, ["plain"]),
        ({"x_stream_filter": 5}, everything),
        ({"x_stream_match_unfiltered": True}, everything),
    ):
        bench.consume("c", "first", **arguments)
        assert bench.read() == (everything if rules == "rabbitmq-3.10" else expected)


def test_passed_over_messages_cost_no_credit() -> None:
    bench = Bench("rabbitmq-4.0")
    bench.consume("c", "first", prefetch=1, x_stream_filter="red")
    bench.publish("blue", headers={"x-stream-filter-value": "blue"})
    bench.publish("red", headers={"x-stream-filter-value": "red"})
    assert bench.read() == ["red"]


def test_lists_survive_only_as_annotations_of_4_0(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m", headers={"plain": [1], "x-own": [1], "n": 5}, cluster_id="lost")
    seen: list[BasicProperties] = []
    channel = bench.open()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(
        "s", lambda _c, _m, properties, _b: seen.append(properties), arguments={"x-stream-offset": "first"}
    )
    bench.broker.run()
    kept = {"x-own": [1]} if rules == "rabbitmq-4.0" else {}
    assert seen[0].headers == {**kept, "n": 5, "x-stream-offset": 0}
    assert seen[0].cluster_id is None
    assert seen[0].delivery_mode == (1 if rules == "rabbitmq-4.0" else None)


@pytest.mark.parametrize(
    ("offset", "closing"),
    [
        ("5x", (ChannelClosedByBroker, 406)),
        ("0s", (ChannelClosedByBroker, 406)),
        ("middle", (ConnectionClosedByBroker, 541)),
        (True, (ConnectionClosedByBroker, 541)),
        (1.5, (ConnectionClosedByBroker, 541)),
    ],
)
def test_wrong_offset_is_refused(rules: str, offset: Any, closing: tuple[type[Exception], int]) -> None:
    bench = Bench(rules)
    kind, reply_code = closing
    with pytest.raises(kind) as refused:
        bench.consume("c", offset)
    assert refused.value.reply_code == reply_code  # type: ignore[attr-defined]  # both kinds have it
    bench.broker.check()


def test_what_a_stream_cannot_do_is_refused(rules: str) -> None:
    for attempt, reply_code in (
        (lambda bench: bench.channel.basic_get("s"), 540),
        (lambda bench: bench.channel.queue_purge("s"), 540),
        (lambda bench: bench.consume("c", prefetch=0), 406),
        (lambda bench: bench.consume("c", x_priority=1), 406),
        (lambda bench: bench.publish("m", headers={"x-stream-filter-value": 5}), 541),
    ):
        if reply_code == 541 and rules == "rabbitmq-3.10":
            continue  # filters are unknown there
        bench = Bench(rules)
        with pytest.raises((ChannelClosedByBroker, ConnectionClosedByBroker)) as refused:
            attempt(bench)
        assert refused.value.reply_code == reply_code
        bench.broker.check()


def test_conditions_of_delete_are_passed_over(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m")
    bench.consume("c", "first")
    bench.channel.queue_delete("s", if_unused=True, if_empty=True)
    bench.broker.run()
    bench.broker.check()
    assert bench.broker.list_queues("name") == []


def test_restart_and_power_cut_keep_everything(rules: str) -> None:
    bench = Bench(rules)
    bench.publish("m0", "m1")
    for down in (bench.broker.restart, bench.broker.crash):
        bench.consume("c", "first")
        assert bench.read() == ["m0", "m1"]
        down()
        bench.broker.check()
    bench.consume("c", "first")
    assert bench.read() == ["m0", "m1"]


def test_a_message_that_nobody_can_read_ends_its_readers(rules: str) -> None:
    bench = Bench(rules)
    reader = bench.consume("c")
    bench.publish("m0")
    bench.publish("m1", headers={"x-basic-type": 5})
    bench.publish("m2")
    assert bench.read() == []
    assert not reader.is_open
    assert not reader.connection.is_open
    assert bench.channel.queue_declare("s", passive=True).method.message_count == 3
    bench.consume("d", 2)
    assert bench.read() == ["m2"]


def test_a_deleted_stream_takes_returns(rules: str) -> None:
    bench = Bench(rules)
    channel = bench.consume("c")
    bench.publish("m0", "m1", "m2")
    bench.read()
    bench.channel.queue_delete("s")
    channel.basic_nack(1)
    channel.basic_reject(2, requeue=False)
    channel.basic_recover(requeue=True)
    bench.broker.check()


@pytest.mark.parametrize("wanted", [[], [1], [None, True]])
def test_a_filter_without_a_text_ends_the_connection(wanted: list[object]) -> None:
    bench = Bench("rabbitmq-4.0")
    with pytest.raises(ConnectionClosedByBroker, match="541"):
        bench.consume("c", x_stream_filter=wanted)
