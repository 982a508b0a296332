"""Policies: which one applies, and that changes are in force at once."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.channel import Channel
from mockbroker.exceptions import PolicyError


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def channel(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("q1")
    return channel


def length(channel: Channel, queue: str = "q1") -> int:
    """Publish four messages; return how many the queue keeps."""
    channel.queue_purge(queue)
    for _ in range(4):
        channel.basic_publish("", queue, b"x")
    channel.connection.broker.check()
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def test_of_those_that_match_the_highest_priority_applies_alone(broker: Broker, channel: Channel) -> None:
    broker.set_policy("low", "^q", {"max-length": 1}, priority=1)
    broker.set_policy("other", "^x", {"max-length": 3}, priority=9)
    assert length(channel) == 1
    broker.set_policy("high", "1$", {"max-length-bytes": 2}, priority=2)
    assert length(channel) == 2
    broker.clear_policy("high")
    assert length(channel) == 1
    broker.clear_policy("low")
    assert length(channel) == 4


def test_setting_a_policy_again_replaces_it(broker: Broker, channel: Channel) -> None:
    broker.set_policy("p", "q", {"max-length": 1})
    broker.set_policy("p", "q", {"max-length": 3})
    assert length(channel) == 3


def test_a_queue_that_comes_later_is_covered(broker: Broker, channel: Channel) -> None:
    broker.set_policy("p", "^q2$", {"max-length": 2})
    channel.queue_declare("q2")
    assert (length(channel), length(channel, "q2")) == (4, 2)


def test_an_operators_limit_binds_arguments_and_policies(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q2", arguments={"x-max-length": 3})
    broker.set_policy("p", "q", {"max-length": 2})
    broker.set_policy("o", "q", {"max-length": 1}, operator=True)
    assert (length(channel), length(channel, "q2")) == (1, 1)
    broker.clear_policy("o", operator=True)
    assert (length(channel), length(channel, "q2")) == (2, 2)


@pytest.mark.parametrize(
    ("apply_to", "covered"), [("all", True), ("queues", True), ("exchanges", False), ("quorum_queues", False)]
)
def test_a_policy_applies_to_its_kind(broker: Broker, channel: Channel, apply_to: str, covered: bool) -> None:
    broker.set_policy("p", "q", {"max-length": 1}, apply_to=apply_to)
    assert length(channel) == (1 if covered else 4)


def test_a_policy_gives_an_exchange_its_alternate(broker: Broker, channel: Channel) -> None:
    channel.queue_bind("q1", "amq.fanout")
    channel.basic_publish("amq.direct", "k", b"lost")
    broker.set_policy("p", "^amq.direct$", {"alternate-exchange": "amq.fanout"}, apply_to="exchanges")
    channel.basic_publish("amq.direct", "k", b"kept")
    broker.clear_policy("p")
    channel.basic_publish("amq.direct", "k", b"lost")
    assert channel.basic_get("q1")[2] == b"kept"
    assert channel.basic_get("q1")[2] is None


def test_a_lease_may_come_and_go(broker: Broker, channel: Channel) -> None:
    broker.set_policy("p", "q", {"expires": 1000})
    broker.clock.advance(0.9)
    broker.clear_policy("p")
    broker.clock.advance(10)
    assert len(broker.list_queues()) == 1
    broker.set_policy("p", "q", {"expires": 1000})
    broker.clock.advance(1)
    assert broker.list_queues() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"definition": {"max-length": "x"}}, "max-length|maximum length"),
        ({"definition": {"expires": 0}}, "queue expiry"),
        ({"definition": {"overflow": "explode"}}, "overflow"),
        ({"definition": {"imaginary": 1}}, "imaginary"),
        ({"definition": {"queue-version": True}}, "queue-version value"),
        ({"definition": {"max-age": "5ss"}}, "max age"),
        ({"definition": {"max-age": "soon"}}, "must begin with a digit"),
        ({"definition": {"zzz": 1, "max-length": -1, "message-ttl": -1}}, "-1 is not a valid maximum length"),
        ({"definition": {}}, "no policy provided"),
        ({"definition": []}, "must be an object"),
        ({"apply_to": 5}, "must be a text"),
        ({"pattern": 5}, "should be a binary but was 5"),
        ({"pattern": "["}, "regular expression"),
        ({"priority": "high"}, "priority"),
        ({"apply_to": "nothing"}, "apply-to"),
    ],
)
def test_what_is_not_valid_is_named_and_changes_nothing(
    broker: Broker, channel: Channel, changes: dict[str, Any], text: str
) -> None:
    valid: dict[str, Any] = {"name": "p", "pattern": "q", "definition": {"max-length": 1}}
    broker.set_policy(**valid)
    with pytest.raises(PolicyError, match=text):
        broker.set_policy(**{**valid, "definition": {"max-length": 3}, **changes})
    assert length(channel) == 1


def test_the_faults_of_all_fields_are_listed(broker: Broker) -> None:
    with pytest.raises(PolicyError) as refused:
        broker.set_policy("p", "(", {"a": 1}, priority="x", apply_to="y")  # type: ignore[arg-type]
    heads = [line.split(" ")[0] for line in str(refused.value.reason).split("\n")[2:-1]]
    assert heads == ['[{<<"a">>,1}]', "apply-to", "pattern", "priority"]


def test_an_operators_overflow_wins_over_the_policys_and_not_over_the_argument(
    broker: Broker, channel: Channel
) -> None:
    channel.queue_declare("q2", arguments={"x-overflow": "drop-head"})
    broker.set_policy("p", "q", {"max-length": 1, "overflow": "drop-head"})
    broker.set_policy("o", "q", {"overflow": "reject-publish"}, operator=True)
    for queue in ("q1", "q2"):
        channel.basic_publish("", queue, b"1")
        channel.basic_publish("", queue, b"2")
    assert [channel.basic_get(queue)[2] for queue in ("q1", "q2")] == [b"1", b"2"]
    old = Broker(rules="rabbitmq-3.10")
    with pytest.raises(PolicyError, match="not recognised"):
        old.set_policy("o", "q", {"overflow": "reject-publish"}, operator=True)


def test_only_where_a_negative_delivery_limit_is_none_may_a_policy_say_it(broker: Broker) -> None:
    broker.set_policy("p", "q", {"delivery-limit": -1})
    with pytest.raises(PolicyError, match="delivery limit"):
        Broker(rules="rabbitmq-3.10").set_policy("p", "q", {"delivery-limit": -1})


def test_a_priority_may_have_a_fraction(broker: Broker, channel: Channel) -> None:
    broker.set_policy("low", "q", {"max-length": 1}, priority=1)
    broker.set_policy("high", "q", {"max-length": 2}, priority=1.5)
    assert length(channel) == 2


@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
@pytest.mark.parametrize("operator", [False, True])
def test_a_policy_with_a_key_of_another_type_is_not_for_a_queue(rules: str, operator: bool) -> None:
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    channel.queue_declare("q1")
    channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream"})
    broker.set_policy("low", "", {"max-length-bytes": 3}, priority=1, operator=operator)
    broker.set_policy("high", "", {"max-length": 1, "delivery-limit": 5}, priority=2, operator=operator)
    assert (length(channel), length(channel, "quorum")) == (3, 1)
    if not operator:
        policies = {row["name"]: row["policy"] for row in broker.list_queues("name", "policy")}
        assert policies == {"q1": "low", "quorum": "high", "log": "low"}


@pytest.mark.parametrize(
    ("key", "value", "older", "newer"),
    [
        ("queue-leader-locator", "balanced", 4, 1),
        ("max-in-memory-length", 5, 1, 4),
        ("max-age", "1h", 4, 4),
        ("queue-mode", "lazy", 1, 1),
    ],
)
def test_which_keys_are_for_classic_queues(key: str, value: Any, older: int, newer: int) -> None:
    for rules, kept in (("rabbitmq-3.10", older), ("rabbitmq-4.0", newer)):
        broker = Broker(rules=rules)
        channel = broker.connect().channel()
        channel.queue_declare("q1")
        broker.set_policy("p", "", {"max-length": 1, key: value})
        assert length(channel) == kept


@pytest.mark.parametrize(
    ("argument", "policy", "kept"), [("drop-head", "reject-publish", 3), ("reject-publish", "drop-head", 2)]
)
def test_a_policy_says_the_overflow_of_a_quorum_queue(argument: str, policy: str, kept: int) -> None:
    for rules in ("rabbitmq-3.10", "rabbitmq-4.0"):
        broker = Broker(rules=rules)
        channel = broker.connect().channel()
        arguments = {"x-queue-type": "quorum", "x-max-length": 2, "x-overflow": argument}
        channel.queue_declare("q", durable=True, arguments=arguments)
        broker.set_policy("p", "", {"overflow": policy})
        assert length(channel, "q") == kept
