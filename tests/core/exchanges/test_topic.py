"""Topic routing, beside a plain matcher that tries every way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker import Broker
from mockbroker.channel import Channel

words = st.sampled_from(["a", "b", "", "é"])
keys = st.lists(words, max_size=5).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "", "*", "#", "#"]), max_size=5).map(".".join)


def split(key: str) -> list[str]:
    return key.split(".") if key else []


def matches(pattern: list[str], key: list[str]) -> bool:
    """The rule as the specification says it: one word for a star, any number of words for a hash."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and matches(pattern[1:], key[1:])


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("*.orange.*", "quick.orange.rabbit", True),
        ("*.orange.*", "quick.orange", False),
        ("lazy.#", "lazy", True),
        ("lazy.#", "lazy.brown.fox", True),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("*", "", False),
        ("", "", True),
        ("*", "a", True),
        ("a..b", "a..b", True),
        ("a.*.b", "a..b", True),
        ("#.b.#", "a.b.c", True),
        ("#.#", "", True),
        ("#.*", "", False),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.c.d.b", True),
        ("a.#.b", "a.c.d", False),
        ("*", "*", True),
        ("a", "*", False),
        ("#", "#", True),
        ("a.#", "b.#", False),
    ],
)
def test_the_plain_matcher_and_the_exchange_agree_on_examples(pattern: str, key: str, expected: bool) -> None:
    assert matches(split(pattern), split(key)) is expected
    assert routed([pattern], key) == ([pattern] if expected else [])


def routed(bound: list[str], key: str) -> list[str]:
    channel = Broker().connect().channel()
    channel.exchange_declare("e", "topic")
    for pattern in bound:
        channel.queue_declare(f"q{pattern}")
        channel.queue_bind(f"q{pattern}", "e", pattern)
    return publish(channel, key)


def publish(channel: Channel, key: str) -> list[str]:
    """Publish, and return the patterns of the queues that got it."""
    broker = channel.connection.broker
    channel.basic_publish("e", key, b"x")
    rows = broker.list_queues("name", "messages_ready")
    for row in rows:
        channel.queue_purge(row["name"])
    return [row["name"][1:] for row in rows if row["messages_ready"]]


@given(bound=st.lists(patterns, unique=True, max_size=8), key=keys)
def test_any_patterns_route_as_the_plain_matcher_says(bound: list[str], key: str) -> None:
    assert routed(bound, key) == sorted(each for each in bound if matches(split(each), split(key)))


@given(
    bound=st.lists(patterns, unique=True, min_size=1, max_size=8),
    gone=st.lists(st.integers(0, 7), max_size=8),
    key=keys,
)
def test_unbinding_takes_away_that_pattern_alone(bound: list[str], gone: list[int], key: str) -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.exchange_declare("e", "topic")
    for pattern in bound:
        channel.queue_declare(f"q{pattern}")
        channel.queue_bind(f"q{pattern}", "e", pattern)
    publish(channel, key)  # the route is remembered, and must be forgotten
    left = list(bound)
    for index in gone:
        pattern = bound[index % len(bound)]
        channel.queue_unbind(f"q{pattern}", "e", pattern)
        left = [each for each in left if each != pattern]
        broker.check()
    assert publish(channel, key) == sorted(each for each in left if matches(split(each), split(key)))


def test_a_queue_bound_by_several_matching_patterns_gets_one_copy() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    for pattern in ("#", "a.*", "*.b", "a.b"):
        channel.queue_bind("q", "amq.topic", pattern)
    channel.basic_publish("amq.topic", "a.b", b"x")
    assert broker.list_queues("messages") == [{"messages": 1}]
    for pattern in ("#", "a.*", "*.b"):
        channel.queue_unbind("q", "amq.topic", pattern)
    channel.basic_publish("amq.topic", "a.b", b"x")
    assert broker.list_queues("messages") == [{"messages": 2}]
    channel.basic_publish("amq.topic", "a.c", b"x")
    assert broker.list_queues("messages") == [{"messages": 2}]


def test_keys_of_many_words_and_hashes_stay_cheap() -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", ".".join(["#", "a"] * 12))
    channel.basic_publish("amq.topic", ".".join(["a"] * 60 + ["b"]), b"x")
    channel.basic_publish("amq.topic", ".".join(["a"] * 60), b"x")
    assert channel.queue_declare("q", passive=True).method.message_count == 1
