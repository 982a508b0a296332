"""Each rule of the lint: what it finds, and what it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mockbroker
from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.testing.lint import REQUEUES_TOLERATED, RULES

PERSISTENT = BasicProperties(delivery_mode=2)


def found(program: Callable[[Broker, Channel], Any], **options: Any) -> list[str]:
    """The rules that a program breaks; its queue ``tasks`` is durable."""
    broker = Broker(**options)
    with broker.tracing() as trace:
        channel = broker.connect().channel()
        channel.queue_declare("tasks", durable=True)
        program(broker, channel)
    return [finding.rule for finding in mockbroker.lint(trace)]


def consume(broker: Broker, prefetch: int, auto_ack: bool = False, tag: str | None = None) -> Channel:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=prefetch)
    channel.basic_consume("tasks", lambda *_: None, auto_ack=auto_ack, consumer_tag=tag)
    return channel


def publish(channel: Channel, queue: str = "tasks", properties: Any = None) -> None:
    channel.basic_publish("", queue, b"one", properties)


def auto_ack_with_prefetch(broker: Broker, channel: Channel) -> None:
    consume(broker, prefetch=1, auto_ack=True)


def unlimited_prefetch(broker: Broker, channel: Channel) -> None:
    consume(broker, prefetch=1)
    consume(broker, prefetch=0)


def unacked_at_end(broker: Broker, channel: Channel) -> None:
    publish(channel)
    channel.basic_get("tasks")


def unconfirmed_before_crash(broker: Broker, channel: Channel) -> None:
    publish(channel, properties=PERSISTENT)
    broker.crash()


def transient_queue_across_restart(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("mine")
    broker.restart()


def deprecated_queue(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("mine")


def deprecated_window(broker: Broker, channel: Channel) -> None:
    channel.basic_qos(prefetch_count=1)
    channel.basic_qos(prefetch_count=5, global_qos=True)


def deprecated_argument(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("lazy", durable=True, arguments={"x-queue-mode": "lazy"})


def order_across_channels(broker: Broker, channel: Channel) -> None:
    publish(channel)
    publish(broker.connect().channel())


def unroutable(broker: Broker, channel: Channel) -> None:
    publish(channel, "nowhere")
    publish(channel, "nowhere")


def consumer_tag_reuse(broker: Broker, channel: Channel) -> None:
    consume(broker, prefetch=1, tag="worker")
    consume(broker, prefetch=1, tag="worker")


def requeue_loop(broker: Broker, channel: Channel) -> None:
    publish(channel)
    for _ in range(REQUEUES_TOLERATED + 2):
        method, _, _ = channel.basic_get("tasks")
        assert method is not None
        channel.basic_nack(method.delivery_tag)


BREAKERS = {
    auto_ack_with_prefetch: ["auto-ack-with-prefetch"],
    unlimited_prefetch: ["unlimited-prefetch"],
    unacked_at_end: ["unacked-at-end"],
    unconfirmed_before_crash: ["unconfirmed-before-crash"],
    transient_queue_across_restart: ["transient-queue-across-restart", "deprecated"],
    deprecated_queue: ["deprecated"],
    deprecated_argument: ["deprecated"],
    deprecated_window: ["deprecated"],
    order_across_channels: ["order-across-channels"],
    unroutable: ["unroutable-without-mandatory"],
    consumer_tag_reuse: ["consumer-tag-reuse"],
    requeue_loop: ["requeue-loop"],
}


@pytest.mark.parametrize("program", BREAKERS, ids=lambda program: program.__name__)
def test_a_risky_habit_is_found(program: Callable[[Broker, Channel], None]) -> None:
    assert found(program) == BREAKERS[program]


def test_every_rule_has_a_program_that_breaks_it() -> None:
    assert {rule for rules in BREAKERS.values() for rule in rules} == set(RULES)


def careful_worker(broker: Broker, channel: Channel) -> None:
    worker = broker.connect().channel()
    worker.basic_qos(prefetch_count=1)
    worker.basic_consume("tasks", lambda ch, method, *_: ch.basic_ack(method.delivery_tag))
    channel.confirm_delivery()
    publish(channel, properties=PERSISTENT)
    broker.run()
    broker.restart()


def exclusive_queue(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("", exclusive=True)
    broker.restart()


def one_fast_consumer(broker: Broker, channel: Channel) -> None:
    consume(broker, prefetch=0).connection.close()
    consume(broker, prefetch=0)


def auto_ack_without_prefetch(broker: Broker, channel: Channel) -> None:
    consume(broker, prefetch=0, auto_ack=True)


def returned_message(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "nowhere", b"one", mandatory=True)


def two_channels_one_after_the_other(broker: Broker, channel: Channel) -> None:
    other = broker.connect().channel()
    channel.confirm_delivery()
    publish(channel)  # confirmed when it returns
    publish(other)
    broker.clock.advance(1)
    publish(channel)


def direct_reply(broker: Broker, channel: Channel) -> None:
    server = consume(broker, prefetch=1)
    channel.basic_consume("amq.rabbitmq.reply-to", lambda *_: None, auto_ack=True)
    publish(channel, properties=BasicProperties(reply_to="amq.rabbitmq.reply-to"))
    (held,) = broker.queue("tasks").unacked
    assert held.properties.reply_to is not None
    publish(server, held.properties.reply_to)
    server.basic_ack(held.delivery_tag)


def links_that_die_again_and_again(broker: Broker, channel: Channel) -> None:
    publish(channel)
    for _ in range(REQUEUES_TOLERATED + 2):
        consume(broker, prefetch=1).connection.drop()


@pytest.mark.parametrize(
    "program",
    [
        careful_worker,
        exclusive_queue,
        one_fast_consumer,
        auto_ack_without_prefetch,
        returned_message,
        two_channels_one_after_the_other,
        direct_reply,
        links_that_die_again_and_again,
    ],
    ids=lambda program: program.__name__,
)
def test_a_sound_habit_passes(program: Callable[[Broker, Channel], None]) -> None:
    assert found(program) == []


def test_a_finding_names_rule_place_and_remedy() -> None:
    broker = Broker()
    broker.tracing()
    broker.connect().channel().basic_publish("", "nowhere", b"one")
    (finding,) = mockbroker.lint(broker)
    assert str(finding).splitlines() == [
        "unroutable-without-mandatory: b'one' found no queue (exchange '', key 'nowhere'), and its publisher "
        "was not told",
        "  0.000 s  127.0.0.1:50002 (1) publishes b'one' to default exchange: no queue",
        "  remedy: publish with mandatory=True and handle the return, or give the exchange an alternate "
        "exchange",
    ]
    assert finding.index == 2


def test_a_place_is_told_once() -> None:
    assert found(lambda broker, channel: [publish(channel, "nowhere") for _ in range(5)]) == [
        "unroutable-without-mandatory"
    ]
