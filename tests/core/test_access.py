"""Permissions: patterns over names, and what a client is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.channel import Channel
from mockbroker.core.access import Permissions, User, covers, is_local
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (".*", "anything", True),
        (".*", "", True),
        ("", "q", False),
        ("^$", "q", False),
        ("^q$", "q", True),
        ("^q$", "qq", False),
        ("q", "a queue", True),
        ("^(a|b)-", "b-1", True),
        ("é", "café", True),
        ("", "", True),
        ("", "\n", True),
        ("^.$", "é", False),
        ("^..$", "é", True),
        ("(?i)É", "é", False),
        (r"^\w+$", "é", False),
        ("^..$", "\udcff\udcfe", True),
    ],
)
def test_a_pattern_may_match_anywhere(pattern: str, name: str, expected: bool) -> None:
    assert covers(pattern, name) is expected


def test_the_default_exchange_is_called_amq_default() -> None:
    permissions = Permissions(configure="", write=r"^amq\.default$", read="")
    assert permissions.allows("write", "")
    assert not permissions.allows("write", "other")


@pytest.mark.parametrize("what", ["configure", "write", "read"])
def test_a_pattern_must_be_one(what: str) -> None:
    with pytest.raises(ValueError, match=rf"permission {what} must be a regular expression, not '\['"):
        Permissions(**{what: "["})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_one(host: str, expected: bool) -> None:
    assert is_local(host) is expected


def test_topic_permissions_know_variables() -> None:
    user = User("anna", "x")
    variables = {"username": "anna", "vhost": "/"}
    assert user.may_topic("write", "e", "/", "any.key", variables)
    user.topic_permissions["/", "e"] = (r"^{username}\.", "^news")
    assert user.may_topic("write", "e", "/", "anna.key", variables)
    assert not user.may_topic("write", "e", "/", "bert.key", variables)
    assert user.may_topic("read", "e", "/", "news.today", variables)
    assert not user.may_topic("read", "e", "/", "anna.key", variables)
    assert user.may_topic("write", "other", "/", "bert.key", variables)


def test_a_topic_permission_may_be_no_pattern_any_more_with_a_name_in_it() -> None:
    broker = Broker()
    broker.add_user("a(", "x")
    broker.set_permissions("a(")
    broker.node.set_topic_permissions("a(", "/", "amq.topic", "^{username}$", ".*")
    with pytest.raises(ConnectionClosedByBroker, match="INTERNAL_ERROR"):
        broker.connect("a(", "x").channel().basic_publish("amq.topic", "a(", b"")


CALLS: list[tuple[str, str, Any]] = [
    ("configure", "q", lambda ch: ch.queue_declare("q")),
    ("configure", "q", lambda ch: ch.queue_delete("q")),
    ("configure", "e", lambda ch: ch.exchange_declare("e")),
    ("configure", "e", lambda ch: ch.exchange_delete("e")),
    ("write", "q", lambda ch: ch.queue_bind("q", "amq.direct")),
    ("write", "q", lambda ch: ch.queue_unbind("q", "amq.direct")),
    ("write", "e", lambda ch: ch.basic_publish("e", "k", b"")),
    ("write", "amq.default", lambda ch: ch.basic_publish("", "q", b"")),
    ("read", "q", lambda ch: ch.basic_get("q")),
    ("read", "q", lambda ch: ch.basic_consume("q", lambda *_: None)),
    ("read", "q", lambda ch: ch.queue_purge("q")),
]


@pytest.mark.parametrize("patterns", [("[", ".*"), (".*", "(")])
def test_a_topic_permission_must_be_a_regular_expression(patterns: tuple[str, str]) -> None:
    node = Broker().node
    node.set_topic_permissions("guest", "/", "amq.topic", "^news", "^news")
    with pytest.raises(ValueError, match="must be a regular expression, not"):
        node.set_topic_permissions("guest", "/", "amq.topic", *patterns)
    assert node.user("guest").topic_permissions == {("/", "amq.topic"): ("^news", "^news")}


@pytest.mark.parametrize(("permission", "name", "call"), CALLS)
def test_each_method_needs_its_permission(permission: str, name: str, call: Any) -> None:
    broker = Broker()
    owner = broker.connect().channel()
    owner.queue_declare("q")
    owner.exchange_declare("e")
    broker.add_user("anna", "secret")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}

    def channel_with(pattern: str) -> Channel:
        broker.set_permissions("anna", **{**everything, permission: pattern})
        return broker.connect("anna", "secret").channel()

    call(channel_with(f"^{name}$"))
    before = (broker.list_queues("name", "messages", "consumers"), broker.list_exchanges("name"))
    for pattern in ("", "^other$"):
        channel = channel_with(pattern)
        with pytest.raises(ChannelClosedByBroker, match=f"ACCESS_REFUSED - {permission} access to") as info:
            call(channel)
        assert info.value.reply_code == 403
    assert before == (broker.list_queues("name", "messages", "consumers"), broker.list_exchanges("name"))


def test_a_message_in_somebody_elses_name_is_refused() -> None:
    from mockbroker import BasicProperties

    broker = Broker()
    broker.add_user("robot", "x", tags=("impersonator",))
    broker.set_permissions("robot")
    channel = broker.connect().channel()
    channel.basic_publish("", "q", b"", BasicProperties(user_id="guest"))
    with pytest.raises(ChannelClosedByBroker, match="user_id property set to 'anna'"):
        channel.basic_publish("", "q", b"", BasicProperties(user_id="anna"))
    broker.connect("robot", "x").channel().basic_publish("", "q", b"", BasicProperties(user_id="anna"))


def test_tags_count_as_they_were_at_login() -> None:
    from mockbroker import BasicProperties

    broker = Broker()
    broker.add_user("robot", "x", tags=("impersonator",))
    broker.set_permissions("robot")
    before = broker.connect("robot", "x")
    broker.add_user("robot", "x")
    in_his_name = BasicProperties(user_id="anna")
    with pytest.raises(ChannelClosedByBroker, match="user_id property set to 'anna'"):
        broker.connect("robot", "x").channel().basic_publish("", "q", b"", in_his_name)
    before.channel().basic_publish("", "q", b"", in_his_name)


@pytest.mark.parametrize("method", ["exchange_bind", "exchange_unbind"])
@pytest.mark.parametrize(
    ("write", "text"), [("^d$", "access to exchange"), (".*", "operation not permitted")]
)
def test_binding_to_the_default_exchange_needs_permission_first(method: str, write: str, text: str) -> None:
    broker = Broker()
    broker.set_permissions("guest", write=write)
    with pytest.raises(ChannelClosedByBroker, match=f"ACCESS_REFUSED - .*{text}"):
        getattr(broker.connect().channel(), method)("", "amq.fanout")


def _stranger(broker: Broker) -> Channel:
    broker.add_user("anna", "x")
    broker.set_permissions("anna")
    return broker.connect("anna", "x").channel()


def test_what_may_be_published_to_is_among_the_permissions_remembered() -> None:
    broker = Broker()
    channel = _stranger(broker)
    channel.queue_declare("q")
    for _ in range(2):
        channel.basic_publish("", "q", b"")
    for number in range(11):
        channel.queue_declare(f"q{number}")
    broker.set_permissions("anna", write="^$")
    channel.basic_publish("", "q", b"")
    broker.check()
    channel.queue_declare("q11")
    with pytest.raises(ChannelClosedByBroker, match=r"write access to exchange 'amq\.default'"):
        channel.basic_publish("", "q", b"")


def _topic_channel(broker: Broker) -> Channel:
    channel = _stranger(broker)
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.topic", "#")
    return channel


def test_keys_are_remembered_while_there_is_no_topic_permission() -> None:
    broker = Broker()
    other, channel = broker.connect().channel(), _topic_channel(broker)
    keys = [f"k{number}" for number in range(11)]
    for key in keys:
        other.basic_publish("amq.topic", key, b"")
    for key in keys * 2:  # with '#', which was bound, these are twelve
        channel.basic_publish("amq.topic", key, b"")
    broker.check()
    broker.node.set_topic_permissions("anna", "/", "amq.topic", "^x", "^x")
    channel.queue_bind("q", "amq.topic", "#")
    for key in ("k0", "k10", "x", "k0"):
        channel.basic_publish("amq.topic", key, b"")
    broker.check()
    channel.basic_publish("amq.topic", "x2", b"")
    with pytest.raises(ChannelClosedByBroker, match="write access to topic 'k0'"):
        channel.basic_publish("amq.topic", "k0", b"")
    broker.check()


def test_routes_that_a_channel_remembers_change_with_the_bindings() -> None:
    broker = Broker()
    channel = _topic_channel(broker)
    for _ in range(3):
        channel.basic_publish("amq.topic", "k", b"")
    channel.queue_declare("q2")
    channel.queue_bind("q2", "amq.topic", "k")
    for _ in range(3):
        channel.basic_publish("amq.topic", "k", b"")
    channel.queue_unbind("q", "amq.topic", "#")
    for _ in range(3):
        channel.basic_publish("amq.topic", "k", b"")
    assert broker.list_queues("name", "messages") == [
        {"name": "q", "messages": 6},
        {"name": "q2", "messages": 6},
    ]
    broker.check()
    channel.exchange_declare("t", "topic")
    channel.queue_bind("q", "t", "#")
    for _ in range(3):
        channel.basic_publish("t", "k", b"")
    channel.exchange_delete("t")
    with pytest.raises(ChannelClosedByBroker, match="no exchange 't'"):
        channel.basic_publish("t", "k", b"")
    broker.check()
