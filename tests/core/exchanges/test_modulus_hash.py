"""Modulus-hash exchanges: how bindings are counted. The recordings have the choices."""

from __future__ import annotations

from collections import Counter

from mockbroker import BasicProperties, Broker, Channel

QUEUES = ("a", "b", "c")


def new_channel() -> Channel:
    channel = Broker(plugins=["rabbitmq_sharding"]).connect().channel()
    channel.exchange_declare("x", "x-modulus-hash")
    for queue in QUEUES:
        channel.queue_declare(queue)
    return channel


def chosen(channel: Channel, key: str, properties: BasicProperties | None = None) -> str:
    channel.basic_publish("x", key, b"", properties)
    return "".join(queue for queue in QUEUES if channel.queue_purge(queue).method.message_count)


def where(channel: Channel) -> list[str]:
    return [chosen(channel, str(number)) for number in range(300)]


def test_one_binding_is_chosen_whatever_its_key() -> None:
    channel = new_channel()
    assert chosen(channel, "k") == ""
    channel.queue_bind("b", "x", "ignored")
    assert set(where(channel)) == {"b"}


def test_a_key_may_be_octets_that_are_not_utf8() -> None:
    channel = new_channel()
    channel.queue_bind("b", "x", "ignored")
    assert chosen(channel, "\udcff") == "b"


def test_a_queue_that_is_bound_twice_gets_twice_as_much() -> None:
    channel = new_channel()
    for queue, key in (("a", "1"), ("a", "2"), ("b", "1")):
        channel.queue_bind(queue, "x", key)
    shares = Counter(where(channel))
    assert 170 < shares["a"] < 230
    assert shares["a"] + shares["b"] == 300


def test_the_order_of_binding_does_not_matter_and_that_of_keys_does() -> None:
    def bound(*bindings: tuple[str, str]) -> list[str]:
        channel = new_channel()
        for queue, key in bindings:
            channel.queue_bind(queue, "x", key)
        return where(channel)

    assert bound(("a", ""), ("b", ""), ("c", "")) == bound(("c", ""), ("a", ""), ("b", ""))
    assert bound(("a", "1"), ("b", "2")) != bound(("a", "2"), ("b", "1"))


def test_copies_are_hashed_together_with_the_key() -> None:
    channel = new_channel()
    for queue in QUEUES:
        channel.queue_bind(queue, "x", "")
    copies = [BasicProperties(headers={"CC": [str(number)]}) for number in range(30)]
    assert {chosen(channel, "k", each) for each in copies} == set(QUEUES)
    assert chosen(channel, "k", copies[3]) == chosen(channel, "k", copies[3])
