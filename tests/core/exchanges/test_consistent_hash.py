"""Consistent-hash exchanges: the ring under changes, and what is hashed. The recordings have the choices."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker import BasicProperties, Broker, Channel
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

PLUGINS = ["rabbitmq_consistent_hash_exchange"]
KEYS = [f"key-{number}" for number in range(200)]
QUEUES = ("a", "b", "c", "d")


def new_channel(rules: str = "rabbitmq-4.0", **arguments: Any) -> Channel:
    channel = Broker(rules=rules, plugins=PLUGINS).connect().channel()
    channel.exchange_declare("x", "x-consistent-hash", arguments=arguments)
    for queue in QUEUES:
        channel.queue_declare(queue)
    return channel


def chosen(channel: Channel, key: str, properties: BasicProperties | None = None) -> str:
    """The queue that gets a message, or nothing."""
    channel.basic_publish("x", key, b"", properties)
    return "".join(queue for queue in QUEUES if channel.queue_purge(queue).method.message_count)


def where(channel: Channel) -> dict[str, str]:
    return {key: chosen(channel, key) for key in KEYS}


def test_weights_are_shares() -> None:
    channel = new_channel()
    for queue, weight in zip(QUEUES, ("1", "2", "3", "4"), strict=True):
        channel.queue_bind(queue, "x", weight)
    shares = Counter(where(channel).values())
    for queue, weight in zip(QUEUES, (1, 2, 3, 4), strict=True):
        assert abs(shares[queue] - 20 * weight) < 20


def test_a_new_queue_takes_keys_and_moves_no_other() -> None:
    channel = new_channel()
    for queue in "abc":
        channel.queue_bind(queue, "x", "3")
    before = where(channel)
    channel.queue_bind("d", "x", "3")
    after = where(channel)
    assert {after[key] for key in KEYS if after[key] != before[key]} == {"d"}
    assert 25 < sum(after[key] == "d" for key in KEYS) < 75
    channel.queue_unbind("d", "x", "3")
    assert where(channel) == before


def test_a_queue_that_is_deleted_leaves_the_ring() -> None:
    channel = new_channel()
    for queue in "ab":
        channel.queue_bind(queue, "x", "1")
    channel.queue_delete("a")
    channel.queue_declare("a")
    assert set(where(channel).values()) == {"b"}


def test_a_huge_weight_costs_nothing() -> None:
    channel = new_channel()
    channel.queue_bind("a", "x", "1")
    channel.queue_bind("b", "x", str(10**12))
    assert set(where(channel).values()) == {"b"}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "must be an integer: <<>>"),
        ("1.0", 'must be an integer: <<"1.0">>'),
        ("\u0661", "must be an integer"),
        ("0", "must be greater than 0"),
        ("-1", "must be greater than 0"),
    ],
)
def test_a_weight_that_is_none_is_refused_and_changes_nothing(key: str, text: str) -> None:
    channel = new_channel()
    channel.queue_bind("a", "x", "1")
    with pytest.raises(ChannelClosedByBroker, match=f"406.*The binding key {text}"):
        channel.exchange_bind("amq.fanout", "x", key)
    channel = channel.connection.channel()
    assert chosen(channel, "k") == "a"


@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
def test_the_route_of_a_key_is_remembered_and_that_of_a_header_is_not(rules: str) -> None:
    channel = new_channel(rules, **{"hash-header": "h"})
    for queue in QUEUES:
        channel.queue_bind(queue, "x", "1")
    seen = {chosen(channel, "k", BasicProperties(headers={"h": f"v{number}"})) for number in range(30)}
    assert seen == set(QUEUES)
    assert (
        chosen(channel, "k")
        == chosen(channel, "l")
        == chosen(channel, "k", BasicProperties(headers={"o": 1}))
    )


def test_only_what_is_named_is_hashed() -> None:
    channel = new_channel(**{"hash-property": "message_id"})
    for queue in QUEUES:
        channel.queue_bind(queue, "x", "1")
    same = {chosen(channel, key, BasicProperties(message_id="1", timestamp=5)) for key in KEYS}
    assert len(same) == 1
    assert {chosen(channel, "k", BasicProperties(message_id=key)) for key in KEYS} == set(QUEUES)


def test_40_takes_an_integer_as_the_hash_and_310_does_not() -> None:
    for rules, is_same in (("rabbitmq-4.0", True), ("rabbitmq-3.10", False)):
        channel = new_channel(rules, **{"hash-header": "h"})
        for queue in QUEUES:
            channel.queue_bind(queue, "x", "5")
        pairs = [
            (
                chosen(channel, "k", BasicProperties(headers={"h": number})),
                chosen(channel, "k", BasicProperties(headers={"h": number + 2**21})),
            )
            for number in range(50)
        ]
        assert all(low == high for low, high in pairs) is is_same


@pytest.mark.parametrize("value", [[], {}])
def test_what_begins_with_nothing_ends_the_connection_and_is_dropped_as_a_dead_letter(
    value: Any,
) -> None:
    channel = new_channel(**{"hash-header": "h"})
    channel.queue_bind("a", "x", "1")
    channel.queue_bind("b", "x", "1")
    channel.queue_declare("dead", arguments={"x-dead-letter-exchange": "x", "x-message-ttl": 0})
    channel.basic_publish("", "dead", b"", BasicProperties(headers={"h": value}))
    assert chosen(channel, "k", BasicProperties(headers={"h": "v"})) in ("a", "b")
    with pytest.raises(ConnectionClosedByBroker, match="541"):
        channel.basic_publish("x", "k", b"", BasicProperties(headers={"h": value}))


@given(changes=st.lists(st.tuples(st.booleans(), st.sampled_from(QUEUES), st.integers(1, 5)), max_size=25))
def test_the_ring_is_in_order_after_any_changes(changes: list[tuple[bool, str, int]]) -> None:
    channel = new_channel()
    buckets: list[str] = []
    bound: set[tuple[str, int]] = set()
    for is_new, queue, weight in changes:
        if is_new:
            channel.queue_bind(queue, "x", str(weight))
            if (queue, weight) not in bound and queue not in buckets:
                buckets += [queue] * weight
            bound.add((queue, weight))
        else:
            channel.queue_unbind(queue, "x", str(weight))
            if (queue, weight) in bound:
                buckets = [each for each in buckets if each != queue]
            bound.discard((queue, weight))
    reference = new_channel()
    for queue in dict.fromkeys(buckets):
        reference.queue_bind(queue, "x", str(buckets.count(queue)))
    for key in KEYS[:15]:
        assert chosen(channel, key) == chosen(reference, key)
