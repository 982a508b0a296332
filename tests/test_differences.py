"""What differs from RabbitMQ or pika on purpose: each row of docs/differences.md names its test here."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, Channel
from mockbroker.amqp.frames import METHOD, encode_method, frame
from mockbroker.amqp.session import Session
from mockbroker.core.patterns import matches
from mockbroker.errors import PolicyError
from mockbroker.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    LivelockError,
    ReentrancyError,
    WouldBlockForever,
)
from mockbroker.rules import RULES
from mockbroker.values import Decimal
from tests.admin.http_api import Api, managed
from tests.amqp.raw_client import HEADER, Parser, handshake, method

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "differences.md").read_text(encoding="utf-8")
PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def channel(broker: Broker) -> Channel:
    return broker.connect().channel()


def ignore(*_: Any) -> None:
    """A consumer that does nothing."""


def counts(broker: Broker, queue: str) -> tuple[int, int]:
    rows = broker.list_queues("name", "messages_ready", "messages_unacknowledged")
    return next(
        (row["messages_ready"], row["messages_unacknowledged"]) for row in rows if row["name"] == queue
    )


def test_every_row_has_its_test() -> None:
    tests = {name for name in vars(sys.modules[__name__]) if name.startswith("test_")}
    named = re.findall(r"\| `(test_\w+)` \|$", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(tests - {"test_every_row_has_its_test"})


# The native API and pika


def test_a_refusal_without_a_reply_raises_at_once(broker: Broker, channel: Channel) -> None:
    with pytest.raises(ChannelClosedByBroker, match="unknown delivery tag 1"):
        channel.basic_ack(1)
    with pytest.raises(ChannelClosedByBroker, match="no exchange 'nowhere'"):
        broker.connect().channel().basic_publish("nowhere", "", b"")


@pytest.mark.parametrize("wait", ["sleep", "process_data_events"])
def test_waiting_inside_a_callback_is_refused(broker: Broker, channel: Channel, wait: str) -> None:
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"")
    channel.basic_consume("q", lambda ch, *_: getattr(ch.connection, wait)(1), auto_ack=True)
    with pytest.raises(ReentrancyError, match="call_later"):
        broker.run()


def test_a_wait_that_nothing_can_end_is_refused(channel: Channel) -> None:
    channel.queue_declare("q")
    channel.basic_consume("q", ignore)
    with pytest.raises(WouldBlockForever, match="start_consuming of channel 1"):
        channel.start_consuming()


def test_an_instant_without_end_is_stopped(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"again")
    channel.basic_consume("q", lambda ch, method, *_: ch.basic_nack(method.delivery_tag))
    with pytest.raises(LivelockError, match="queue 'q' has delivered b'again'"):
        broker.run(max_deliveries=100)


def test_a_backlog_is_sent_at_once(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    for _ in range(10_000):
        channel.basic_publish("", "q", b"x" * 100)
    seen: list[bytes] = []
    worker = broker.connect()
    worker.channel().basic_consume("q", lambda *args: (seen.append(args[3]), worker.drop()), auto_ack=True)
    broker.run()
    assert len(seen) == 1
    assert counts(broker, "q") == (0, 0)


def test_methods_and_properties_are_not_pikas(channel: Channel) -> None:
    pika = pytest.importorskip("pika")
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"", pika.BasicProperties(priority=3))
    method, properties, _ = channel.basic_get("q")
    assert not isinstance(method, pika.spec.Basic.GetOk)
    assert not isinstance(properties, pika.BasicProperties)
    assert (method.delivery_tag, properties.priority) == (1, 3)


def test_connect_takes_no_network_settings() -> None:
    arguments = list(inspect.signature(Broker.connect).parameters)[1:]
    assert arguments == ["username", "password", "virtual_host", "client_properties", "peer_host"]


# The broker and RabbitMQ


def held_for(broker: Broker, seconds: float) -> Channel:
    """Returns a channel that has held a delivery for some time."""
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"")
    channel.basic_consume("q", ignore)
    broker.clock.advance(seconds)
    return channel


def test_nothing_times_out_unless_asked_for(broker: Broker) -> None:
    assert held_for(broker, 1_000_000).is_open


def test_the_timeout_is_exact() -> None:
    assert held_for(Broker(consumer_timeout=1800), 1799.999).is_open
    assert not held_for(Broker(consumer_timeout=1800), 1800).is_open


def test_a_durable_queue_survives_from_its_declaration_on(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    broker.crash()
    assert counts(broker, "q") == (0, 0)


def test_what_a_power_cut_takes_is_exact(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"synced", PERSISTENT)
    broker.clock.advance(0.2)
    for _ in range(3):
        channel.basic_publish("", "q", b"lost", PERSISTENT)
        broker.clock.advance(0.05)
    broker.crash()
    assert counts(broker, "q") == (1, 0)


def test_a_confirm_takes_no_time(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"", PERSISTENT)
    assert broker.clock.now_ns == 0
    broker.crash()
    assert counts(broker, "q") == (1, 0)


def test_a_restart_takes_no_time(broker: Broker) -> None:
    broker.restart()
    assert broker.clock.now == 0
    broker.restart(downtime=5)
    assert broker.clock.now == 5


def test_memory_never_runs_out(broker: Broker, channel: Channel) -> None:
    reasons: list[str] = []
    channel.connection.add_on_connection_blocked_callback(lambda _, reason: reasons.append(reason))
    channel.queue_declare("q")
    megabyte = b"x" * 1_000_000
    for _ in range(100_000):  # more than any server's limit, all of it the same object
        channel.basic_publish("", "q", megabyte)
    broker.run()
    assert reasons == []
    broker.set_alarm("memory")
    channel.basic_publish("", "q", b"")
    broker.run()
    assert reasons == ["low on memory"]


def test_generated_names_come_from_the_seed() -> None:
    def name(seed: int) -> str:
        return str(Broker(seed=seed).connect().channel().queue_declare("").method.queue)

    assert name(1) == name(1) != name(2)


def test_several_queues_are_served_by_name(broker: Broker, channel: Channel) -> None:
    served: list[str] = []
    for name in ("c", "a", "b"):
        channel.queue_declare(name)
        channel.queue_bind(name, "amq.fanout")
        consumer = broker.connect().channel()
        consumer.basic_consume(
            name, lambda _, method, *rest: served.append(method.consumer_tag), True, False, name
        )
    channel.basic_publish("amq.fanout", "", b"")
    broker.run()
    assert served == ["a", "b", "c"]


@pytest.mark.parametrize(("how", "winner"), [("ack", "high"), ("discard", "low"), ("requeue", "low")])
def test_a_classic_queue_hears_of_acknowledgements_before_publishes(
    broker: Broker, channel: Channel, how: str, winner: str
) -> None:
    served: dict[bytes, str] = {}

    def serve(_channel: Channel, method: Any, _properties: Any, body: bytes) -> None:
        served[body] = method.consumer_tag

    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", serve, consumer_tag="high", arguments={"x-priority": 1})
    other = broker.connect().channel()
    for body in (b"held", b"blocked"):
        other.basic_publish("", "q", body)
    other.basic_consume("q", serve, auto_ack=True, consumer_tag="low")
    channel.tx_select()
    channel.basic_publish("", "q", b"new")
    if how == "ack":
        channel.basic_ack(1)
    else:
        channel.basic_nack(1, requeue=how == "requeue")
    channel.tx_commit()
    broker.run()
    assert served[b"new"] == winner


def test_a_requeue_under_a_shared_window_has_one_outcome(broker: Broker, channel: Channel) -> None:
    def outcome() -> list[tuple[str, bytes]]:
        broker = Broker()
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.basic_qos(prefetch_count=1, global_qos=True)
        got: list[tuple[str, bytes]] = []
        for tag in ("c1", "c2"):
            channel.basic_consume(
                "q", lambda _, m, p, body: got.append((m.consumer_tag, body)), consumer_tag=tag
            )
        for body in (b"one", b"two"):
            channel.basic_publish("", "q", body)
        channel.basic_nack(1)
        broker.run()
        return got

    assert outcome() == outcome() == [("c1", b"one"), ("c2", b"one")]


def test_queues_under_a_shared_window_take_turns(broker: Broker, channel: Channel) -> None:
    got: list[str] = []
    for name in ("a", "b", "c"):
        channel.queue_declare(name)
        for _ in range(3):
            channel.basic_publish("", name, b"m")
    channel.basic_qos(prefetch_count=1, global_qos=True)
    for name in ("a", "b", "c"):
        channel.basic_consume(name, lambda _, m, p, body: got.append(m.routing_key))
    for tag in range(1, 10):
        broker.run()
        channel.basic_ack(tag)
    assert got == ["a", "b", "c"] * 3


def test_a_stream_starts_exactly_where_it_is_asked_to(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream"})
    for number in range(5):
        channel.basic_publish("", "log", str(number))
    got: list[bytes] = []
    channel.basic_qos(prefetch_count=10)
    channel.basic_consume("log", lambda *args: got.append(args[3]), arguments={"x-stream-offset": "last"})
    broker.run()
    assert got == [b"4"]


def test_a_refused_value_is_shown_on_one_line(broker: Broker) -> None:
    for value, shown in (("é", '<<"é">>'), (list(range(1, 40)), str(list(range(1, 40))).replace(" ", ""))):
        with pytest.raises(PolicyError, match=re.escape(f"{shown} is not a valid maximum length")):
            broker.set_policy("p", "", {"max-length": value})


def test_patterns_are_pythons(broker: Broker) -> None:
    with pytest.raises(PolicyError, match="bad escape"):
        broker.set_policy("p", r"\Qa.b\E", {"max-length": 1})
    broker.add_user("u", "p")
    with pytest.raises(ValueError, match="bad escape"):
        broker.set_permissions("u", r"\Qa.b\E")
    assert not matches(r"a\Z", "a\n")
    assert matches("^a{,2}$", "aa")
    assert not matches(r"\w", "é")
    assert matches(r"\ba\b", "aé")


def test_faults_in_patterns_are_pythons(broker: Broker) -> None:
    with pytest.raises(PolicyError, match="bad character range z-a"):
        broker.set_policy("p", "[z-a]", {"max-length": 1})
    broker.set_policy("p", "x{99999}", {"max-length": 1})


@pytest.mark.parametrize("rules", list(RULES))
@pytest.mark.parametrize("definition", [{"ha-mode": "all"}, {"federation-upstream-set": "all"}], ids=str)
def test_policies_for_what_is_left_out_are_refused(rules: str, definition: dict[str, str]) -> None:
    with pytest.raises(PolicyError, match="are not recognised policy settings"):
        Broker(rules=rules).set_policy("p", ".*", definition)


def test_more_than_twelve_keys_are_not_remembered() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", "#")
    keys = [f"k{number}" for number in range(13)]
    for key in keys * 2:
        channel.basic_publish("amq.topic", key, b"")
    broker.check()
    broker.node.set_topic_permissions("guest", "/", "amq.topic", "^x", ".*")
    with pytest.raises(ChannelClosedByBroker, match="access to topic 'k12'"):
        channel.basic_publish("amq.topic", "k12", b"")


def test_random_exchanges_choose_by_the_seed() -> None:
    def choices(seed: int) -> list[int]:
        channel = Broker(seed=seed).connect().channel()
        channel.exchange_declare("x", "x-local-random")
        for name in "abc":
            channel.queue_declare(name)
            channel.queue_bind(name, "x", "")
        counts = []
        for _ in range(30):
            channel.basic_publish("x", "", b"")
            counts.append([channel.queue_purge(name).method.message_count for name in "abc"].index(1))
        return counts

    assert choices(1) == choices(1) != choices(2)
    assert set(choices(1)) == {0, 1, 2}


def test_a_delayed_message_survives_a_power_cut() -> None:
    broker = Broker(plugins=["rabbitmq_delayed_message_exchange"])
    channel = broker.connect().channel()
    channel.exchange_declare("x", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "x")
    channel.basic_publish("x", "", b"later", BasicProperties(headers={"x-delay": 1}))
    broker.crash()
    broker.clock.advance(0.000999999)
    assert counts(broker, "q") == (0, 0)
    broker.clock.advance(0.000000001)
    assert counts(broker, "q") == (1, 0)


def test_a_ring_is_rebuilt_in_order() -> None:
    def ring(*bindings: tuple[str, str], restart: bool) -> list[str]:
        broker = Broker(plugins=["rabbitmq_consistent_hash_exchange"])
        channel = broker.connect().channel()
        channel.exchange_declare("x", "x-consistent-hash", durable=True)
        for queue, weight in bindings:
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, "x", weight)
        if restart:
            broker.restart()
            channel = broker.connect().channel()
        for number in range(20):
            channel.basic_publish("x", str(number), str(number).encode())
        return [f"{queue}{count}" for queue in "abc" for count in counts(broker, queue)]

    made, ordered = (("c", "2"), ("b", "1"), ("a", "2")), (("b", "1"), ("a", "2"), ("c", "2"))
    assert ring(*made, restart=True) == ring(*ordered, restart=False) != ring(*made, restart=False)


def test_sharding_brings_its_exchange_type_only() -> None:
    broker = Broker(plugins=["rabbitmq_sharding"])
    broker.connect().channel().exchange_declare("x", "x-modulus-hash")
    with pytest.raises(PolicyError, match="are not recognised policy settings"):
        broker.set_policy("p", ".*", {"shards-per-node": 2})


def test_there_is_one_node(broker: Broker) -> None:
    assert broker.node.name == "rabbit@localhost"
    assert "Status of node rabbit@localhost" in broker.ctl("status")


def test_a_new_broker_is_empty(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    assert broker.list_queues("name") == [{"name": "q"}]
    assert Broker().list_queues("name") == []


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_of_equal_policies_the_first_applies(broker: Broker, channel: Channel, names: str) -> None:
    channel.queue_declare("q")
    for name in names:
        broker.node.set_policy("/", name, "^q", {"max-length": 5})
    assert broker.list_queues("policy") == [{"policy": names[0]}]


def test_a_consumer_that_makes_way_hands_over_when_it_returns(broker: Broker, channel: Channel) -> None:
    arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    channel.queue_declare("q", durable=True, arguments=arguments)
    seen: list[tuple[str, bytes]] = []

    def see(channel: Channel, method: Any, properties: Any, body: bytes) -> None:
        seen.append((method.consumer_tag, body))

    channel.basic_consume("q", see, consumer_tag="low")
    channel.basic_publish("", "q", b"m1")
    channel.basic_consume("q", see, consumer_tag="high", arguments={"x-priority": 5})
    broker.run()
    channel.basic_nack(1, requeue=True)
    broker.run()
    assert seen == [("low", b"m1"), ("high", b"m1")]


def _stream(channel: Channel, **arguments: Any) -> None:
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream", **arguments})


@pytest.mark.parametrize("deaths", [["text"], [{"queue": "q", "reason": "rejected", "count": "many"}]])
def test_a_history_that_nobody_can_read_costs_its_letter_only(deaths: list[Any]) -> None:
    channel = Broker(rules="rabbitmq-3.10").connect().channel()
    channel.queue_declare("dead")
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    channel.basic_publish("", "q", b"one", BasicProperties(headers={"x-death": deaths}))
    channel.basic_publish("", "q", b"two")
    channel.basic_get("q")
    channel.basic_reject(1, requeue=False)
    assert channel.queue_declare("dead", passive=True).method.message_count == 0
    assert channel.queue_declare("q", passive=True).method.message_count == 1


def test_a_letter_that_a_stream_cannot_store_is_lost_alone(broker: Broker, channel: Channel) -> None:
    _stream(channel)
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s"})
    channel.basic_publish("", "q", b"odd", BasicProperties(headers={"price": Decimal(2, 314)}))
    channel.basic_publish("", "q", b"stays")
    channel.basic_get("q")
    channel.basic_reject(1, requeue=False)
    assert broker.list_queues("name", "messages") == [
        {"name": "q", "messages": 1},
        {"name": "s", "messages": 0},
    ]


@pytest.mark.parametrize("is_single", [False, True])
def test_a_tag_may_be_used_again_on_a_quorum_queue(is_single: bool) -> None:
    channel = Broker(rules="rabbitmq-3.10").connect().channel()
    arguments = {"x-queue-type": "quorum", "x-single-active-consumer": is_single}
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_qos(prefetch_count=1)
    got: list[tuple[str, bytes]] = []

    def consume(tag: str) -> None:
        channel.basic_consume("q", lambda *each: got.append((tag, each[3])), consumer_tag=tag)

    consume("mine")
    for body in (b"one", b"two", b"three"):
        channel.basic_publish("", "q", body)
    if is_single:
        consume("another")
    channel.connection.broker.run()
    channel.basic_cancel("mine")
    consume("mine")
    if is_single:
        channel.connection.broker.run()
        channel.basic_cancel("another")
    channel.basic_ack(1)
    channel.connection.broker.run()
    assert got == [
        ("mine", b"one"),
        *([("another", b"two"), ("mine", b"three")] if is_single else [("mine", b"two")]),
    ]


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_a_name_may_change_its_type(kind: str) -> None:
    channel = Broker(rules="rabbitmq-3.10").connect().channel()
    channel.basic_qos(prefetch_count=1)
    channel.queue_declare("q", durable=True)
    channel.basic_get("q")
    channel.queue_delete("q")
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    channel.basic_consume("q", ignore)
    channel.basic_publish("", "q", b"m")
    assert channel.is_open


def test_the_next_single_active_consumer_gets_what_is_ready() -> None:
    channel = Broker(rules="rabbitmq-3.10").connect().channel()
    channel.queue_declare("q", arguments={"x-single-active-consumer": True})
    channel.basic_qos(prefetch_count=1)
    got: list[bytes] = []
    for tag in ("first", "next"):
        channel.basic_consume("q", lambda *delivery: got.append(delivery[3]), consumer_tag=tag)
    channel.basic_publish("", "q", b"one")
    channel.basic_publish("", "q", b"two")
    channel.connection.broker.run()
    channel.basic_cancel("first")
    channel.connection.broker.run()
    assert got == [b"one", b"two"]


def test_letters_are_tried_again_at_the_same_times_with_a_negative_delivery_limit(
    broker: Broker, channel: Channel
) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late", "x-delivery-limit": -1}
    arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum", **arguments})
    channel.basic_publish("", "q", b"m")
    channel.basic_get("q")
    channel.basic_reject(1, requeue=False)
    channel.queue_declare("late")
    broker.clock.advance(179)
    assert counts(broker, "late") == (0, 0)
    broker.clock.advance(1)
    assert counts(broker, "late") == (1, 0)


def test_what_was_held_at_a_power_cut_comes_back_once(broker: Broker) -> None:
    connection = broker.connect()
    for number in range(3):
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_consume("q", ignore)
        if not number:
            channel.basic_publish("", "q", b"m")
    broker.crash()
    _, properties, _ = broker.connect().channel().basic_get("q")
    assert properties.headers == {"x-delivery-count": 1}


@pytest.mark.parametrize(
    "settle",
    ["basic_ack", "basic_nack", "basic_reject", "basic_recover"],
    ids=lambda name: name[len("basic_") :],
)
def test_a_settlement_ends_with_its_queue(broker: Broker, channel: Channel, settle: str) -> None:
    arguments = {"x-dead-letter-exchange": "amq.fanout"}
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_publish("", "q", b"old")
    channel.basic_get("q")
    channel.queue_delete("q")
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_publish("", "q", b"new")
    channel.basic_get("q")
    if settle == "basic_recover":
        channel.basic_recover(requeue=True)
        assert counts(broker, "q") == (1, 0)
    else:
        getattr(channel, settle)(1)
        assert counts(broker, "q") == (0, 1)


def test_what_came_after_a_purge_is_not_flagged_at_a_restart(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    channel.queue_purge("q")
    channel.basic_publish("", "q", b"m", BasicProperties(delivery_mode=2))
    broker.restart()
    method, _, body = broker.connect().channel().basic_get("q")
    assert method is not None
    assert (method.redelivered, body) == (False, b"m")


def test_a_queue_that_lost_messages_still_flags_redeliveries(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"transient")
    broker.restart()
    channel = broker.connect().channel()
    channel.basic_publish("", "q", b"m", PERSISTENT)
    method, _, _ = channel.basic_get("q")
    assert method is not None
    channel.basic_nack(method.delivery_tag)
    method, _, body = channel.basic_get("q")
    assert method is not None
    assert (body, method.redelivered) == (b"m", True)


@pytest.mark.parametrize("locator", [2.5, Decimal(1, 55)])
def test_a_master_locator_that_is_a_number_is_answered(locator: Any) -> None:
    channel = Broker(rules="rabbitmq-3.10").connect().channel()
    with pytest.raises(ConnectionClosedByBroker, match="INTERNAL_ERROR"):
        channel.queue_declare("q", durable=True, arguments={"x-queue-master-locator": locator})


def test_a_stream_keeps_everything(broker: Broker, channel: Channel) -> None:
    _stream(channel, **{"x-max-length-bytes": 1, "x-max-age": "1s"})
    for body in (b"one", b"two"):
        channel.basic_publish("", "s", body)
    broker.clock.advance(3600)
    assert broker.list_queues("messages") == [{"messages": 2}]


def test_a_streams_count_is_exact(broker: Broker, channel: Channel) -> None:
    _stream(channel)
    channel.basic_publish("", "s", b"one")
    assert channel.queue_declare("s", passive=True).method.message_count == 1


def raw_session(broker: Broker, data: bytes) -> tuple[list[str], bool]:
    """What the endpoint answers to these bytes, by the names of the methods, and whether it then hangs up."""
    parser = Parser()
    hung_up: list[bool] = []
    session = Session(broker.node, parser.feed, hang_up=lambda: hung_up.append(True))
    session.receive(data)
    return [event["ev"] for _, event in parser.events], bool(hung_up)


@pytest.mark.parametrize(("depth", "is_refused"), [(128, False), (129, True)])
def test_a_table_may_be_nested_to_a_depth(broker: Broker, depth: int, is_refused: bool) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = {"deeper": nested}
    declare = method(1, "queue.declare", queue="q", arguments={"x-nested": nested})
    answers, is_hung_up = raw_session(broker, handshake() + method(1, "channel.open") + declare)
    assert (answers[-1] != "queue.declare-ok", is_hung_up) == (is_refused, is_refused)


def test_a_key_that_comes_twice_counts_once(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.direct", "k", {"h": 1})
    twice = b"\0\0\0\x0e\x01hI\0\0\0\x01\x01hI\0\0\0\x02"
    unbind = method(1, "queue.unbind", queue="q", exchange="amq.direct", routing_key="k", arguments={"h": 1})
    once = b"\0\0\0\x07\x01hI\0\0\0\x01"
    unbind = unbind.replace(once, twice)
    unbind = unbind[:3] + (len(unbind) - 8).to_bytes(4, "big") + unbind[7:]
    answers, _ = raw_session(broker, handshake() + method(1, "channel.open") + unbind)
    assert answers[-1] == "queue.unbind-ok"
    assert [row["source_name"] for row in broker.list_bindings()] == [""]


def test_few_words_are_invalid_exchange_types(broker: Broker) -> None:
    for kind, what in (("queue", "invalid"), ("", "invalid"), ("nonsense", "unknown"), ("erlang", "unknown")):
        with pytest.raises(ChannelClosedByBroker, match=f"{what} exchange type '{kind}'"):
            broker.connect().channel().exchange_declare("x", kind)


def test_there_is_no_credit_flow() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"one")
    got: list[bytes] = []
    none = {"x-credit": {"credit": 0, "drain": False}}
    channel.basic_consume("q", lambda *delivery: got.append(delivery[3]), arguments=none)
    broker.run()
    assert got == [b"one"]
    credit = frame(METHOD, 1, encode_method("basic.credit", {"consumer_tag": "c", "credit": 1}))
    answers, _ = raw_session(broker, handshake() + method(1, "channel.open") + credit)
    assert answers[-1] == "connection.close"


def test_a_breach_of_the_handshake_ends_the_link_at_once(broker: Broker) -> None:
    early = method(0, "connection.open", virtual_host="/")
    assert raw_session(broker, HEADER + early) == (["connection.start"], True)


def test_the_management_api_counts_from_its_start() -> None:
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"one")
        channel.basic_get("q")
        channel.basic_get("q")
        with broker.listen(management=True) as later:
            other = Api(later.management_url)
            assert "message_stats" not in other("GET", "queues/%2F/q")[1]
            other.connection.close()
        queue = api("GET", "queues/%2F/q?msg_rates_age=60&msg_rates_incr=5")[1]
        assert (queue["message_stats"]["publish"], queue["messages"]) == (1, 1)
        assert "samples" not in queue["message_stats"]["publish_details"]
        assert "get_empty" not in queue["message_stats"]
        assert (queue["incoming"], queue["deliveries"]) == ([], [])
        assert "queue_declared" not in api("GET", "overview")[1]["churn_rates"]


def test_settings_of_the_whole_server_can_be_read() -> None:
    with managed() as (broker, api):
        assert api("PUT", "global-parameters/x", {"value": 1})[0] == 405
        assert api("PUT", "feature-flags/khepri_db/enable", {})[0] == 404
        before = api("GET", "auth/attempts/rabbit@localhost")[1]
        broker.connect()
        after = api("GET", "auth/attempts/rabbit@localhost")[1]
        assert [row["protocol"] for row in after] == ["http"]
        assert after[0]["auth_attempts"] == before[0]["auth_attempts"] + 1


def test_the_short_list_of_queues_is_a_long_one() -> None:
    with managed() as (_, api):
        api("PUT", "queues/%2F/q", {})
        (short,), (long,) = api("GET", "queues")[1], api("GET", "queues/detailed")[1]
        assert short == {key: value for key, value in long.items() if value is not None}
