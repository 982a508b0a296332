"""Random exchanges: the choice is chance, so what is asserted are shares, and that the seed decides."""

from __future__ import annotations

from collections import Counter

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.exceptions import ChannelClosedByBroker

QUEUES = ("a", "b", "c", "d")


def choices(seed: int, *bindings: tuple[str, str], count: int = 400) -> list[str]:
    channel = Broker(seed=seed, plugins=["rabbitmq_random_exchange"]).connect().channel()
    channel.exchange_declare("x", "x-random")
    for queue in QUEUES:
        channel.queue_declare(queue)
    for queue, key in bindings:
        channel.queue_bind(queue, "x", key)
    found = []
    for _ in range(count):
        channel.basic_publish("x", "k", b"", BasicProperties(headers={"CC": ["l"]}))
        found.append("".join(each for each in QUEUES if channel.queue_purge(each).method.message_count))
    return found


def test_every_queue_gets_its_share_and_each_message_goes_to_one() -> None:
    shares = Counter(choices(3, *((queue, queue) for queue in QUEUES)))
    assert set(shares) == set(QUEUES)
    assert all(70 < share < 130 for share in shares.values())


def test_a_queue_that_is_bound_twice_is_twice_as_likely() -> None:
    shares = Counter(choices(3, ("a", "1"), ("a", "2"), ("b", "1")))
    assert 230 < shares["a"] < 300


def test_the_seed_decides() -> None:
    bindings = (("a", ""), ("b", ""))
    assert choices(1, *bindings) == choices(1, *bindings) != choices(2, *bindings)


def test_without_a_choice_nothing_is_drawn() -> None:
    broker = Broker(plugins=["rabbitmq_random_exchange"])
    channel = broker.connect().channel()
    channel.exchange_declare("x", "x-random")
    channel.queue_declare("q")
    channel.basic_publish("x", "", b"nobody")
    channel.queue_bind("q", "x")
    channel.basic_publish("x", "", b"somebody")
    assert channel.queue_declare("q", passive=True).method.message_count == 1
    assert (
        channel.queue_declare("").method.queue == Broker().connect().channel().queue_declare("").method.queue
    )


def test_a_binding_that_is_gone_is_chosen_no_more() -> None:
    channel = Broker(plugins=["rabbitmq_random_exchange"]).connect().channel()
    channel.exchange_declare("x", "x-random")
    for queue in "ab":
        channel.queue_declare(queue)
        channel.queue_bind(queue, "x")
    for _ in range(10):
        channel.basic_publish("x", "", b"")
    channel.queue_unbind("a", "x")
    before = channel.queue_purge("a").method.message_count
    for _ in range(10):
        channel.basic_publish("x", "", b"")
    assert channel.queue_purge("a").method.message_count == 0
    assert channel.queue_purge("b").method.message_count == 20 - before


@pytest.mark.parametrize(
    ("queue_type", "key", "text"),
    [
        ("classic", "k", "Non empty binding 'k' key not permitted"),
        ("quorum", "", "Queue type rabbit_quorum_queue not valid for this exchange type"),
        ("stream", "", "Queue type rabbit_stream_queue not valid for this exchange type"),
    ],
)
def test_what_a_local_random_exchange_does_not_take(queue_type: str, key: str, text: str) -> None:
    channel = Broker().connect().channel()
    channel.exchange_declare("x", "x-local-random")
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": queue_type})
    with pytest.raises(ChannelClosedByBroker, match=f"406.*{text}"):
        channel.queue_bind("q", "x", key)
