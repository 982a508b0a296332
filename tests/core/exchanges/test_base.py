"""Routes: through one exchange and several, remembered and forgotten."""

from __future__ import annotations

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.core.exchanges import base
from mockbroker.exceptions import ChannelClosedByBroker
from mockbroker.values import Int8, Int32, Int64


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def channel(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    for name in ("a", "b"):
        channel.queue_declare(name)
    return channel


def reached(channel: Channel, exchange: str, key: str = "", headers: dict[str, object] | None = None) -> str:
    """Publish twice, as the second one may go by a remembered route; return the queues that got both."""
    broker = channel.connection.broker
    properties = BasicProperties(headers=headers) if headers else None
    for _ in range(2):
        channel.basic_publish(exchange, key, b"x", properties)
    rows = broker.list_queues("name", "messages_ready")
    for row in rows:
        channel.queue_purge(row["name"])
    assert {row["messages_ready"] for row in rows} <= {0, 2}
    broker.check()
    return "".join(row["name"] for row in rows if row["messages_ready"])


def test_direct_compares_the_whole_key(channel: Channel) -> None:
    channel.queue_bind("a", "amq.direct", "k")
    channel.queue_bind("b", "amq.direct", "k")
    channel.queue_bind("b", "amq.direct", "#")
    assert [reached(channel, "amq.direct", key) for key in ("k", "#", "K", "")] == ["ab", "b", "", ""]


def test_fanout_ignores_keys_and_counts_bindings(channel: Channel) -> None:
    channel.queue_bind("a", "amq.fanout", "1")
    channel.queue_bind("a", "amq.fanout", "2")
    assert reached(channel, "amq.fanout", "3") == "a"
    channel.queue_unbind("a", "amq.fanout", "1")
    assert reached(channel, "amq.fanout") == "a"
    channel.queue_unbind("a", "amq.fanout", "2")
    assert reached(channel, "amq.fanout") == ""


def test_the_default_exchange_reaches_each_queue_by_its_name(channel: Channel) -> None:
    assert (reached(channel, "", "a"), reached(channel, "", "c")) == ("a", "")
    channel.queue_declare("c")
    assert reached(channel, "", "c") == "c"
    channel.queue_delete("c")
    assert reached(channel, "", "c") == ""


def test_a_remembered_route_is_forgotten_when_anything_on_it_changes(channel: Channel) -> None:
    channel.exchange_declare("inner", "fanout")
    channel.exchange_declare("outer", "direct", arguments={"alternate-exchange": "spare"})
    assert reached(channel, "outer", "k") == ""
    channel.exchange_declare("spare", "fanout")
    channel.queue_bind("b", "spare")
    assert reached(channel, "outer", "k") == "b"
    channel.exchange_bind("inner", "outer", "k")
    assert reached(channel, "outer", "k") == ""
    channel.queue_bind("a", "inner")
    assert reached(channel, "outer", "k") == "a"
    channel.queue_delete("a")
    assert reached(channel, "outer", "k") == ""
    channel.exchange_delete("inner")
    assert reached(channel, "outer", "k") == "b"
    channel.exchange_delete("spare")
    assert reached(channel, "outer", "k") == ""


@pytest.mark.parametrize("way", ["binding", "alternate exchange"])
def test_a_route_through_headers_is_never_remembered(channel: Channel, way: str) -> None:
    is_alternate = way == "alternate exchange"
    channel.exchange_declare(
        "x", "direct", arguments={"alternate-exchange": "amq.headers"} if is_alternate else {}
    )
    if not is_alternate:
        channel.exchange_bind("amq.headers", "x", "k")
    channel.queue_bind("a", "amq.headers", arguments={"x": 1})
    channel.queue_bind("b", "amq.headers", arguments={"x": 2})
    assert reached(channel, "x", "k", {"x": 1}) == "a"
    assert reached(channel, "x", "k", {"x": 2}) == "b"
    assert reached(channel, "x", "k") == ""


def test_exchanges_in_a_circle_deliver_once(channel: Channel) -> None:
    for name in ("x", "y"):
        channel.exchange_declare(name, "fanout")
    channel.exchange_bind("y", "x")
    channel.exchange_bind("x", "y")
    channel.queue_bind("a", "x")
    channel.queue_bind("a", "y")
    assert (reached(channel, "x"), reached(channel, "y")) == ("a", "a")


def test_alternate_exchanges_in_a_circle_end(channel: Channel) -> None:
    channel.exchange_declare("x", "direct", arguments={"alternate-exchange": "y"})
    channel.exchange_declare("y", "direct", arguments={"alternate-exchange": "x"})
    assert reached(channel, "x", "k") == ""
    channel.queue_bind("a", "y", "k")
    assert reached(channel, "x", "k") == "a"


def test_an_exchange_that_goes_takes_its_bindings_along(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("x", "fanout")
    channel.exchange_declare("auto", "fanout", auto_delete=True)
    channel.exchange_bind("x", "auto")
    channel.queue_bind("a", "x")
    channel.exchange_delete("x")
    names = [row["name"] for row in broker.list_exchanges("name")]
    assert "x" not in names
    assert "auto" not in names  # its last binding led to x
    broker.check()


def test_an_auto_delete_exchange_goes_with_its_last_binding(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("auto", "direct", auto_delete=True)
    channel.queue_bind("a", "auto", "1")
    channel.queue_bind("b", "auto", "2")
    channel.queue_unbind("a", "auto", "1")
    assert {"name": "auto"} in broker.list_exchanges("name")
    channel.queue_delete("b")
    assert {"name": "auto"} not in broker.list_exchanges("name")


def test_a_binding_is_another_one_when_the_type_of_an_argument_is(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("q")
    channel.exchange_declare("e", "fanout", auto_delete=True)
    for value in (5, Int32(5), Int64(5), 2**40, Int64(2**40), "5"):
        channel.queue_bind("q", "e", "", {"a": value})
    assert len([row for row in broker.list_bindings() if row["source_name"] == "e"]) == 4
    with pytest.raises(ChannelClosedByBroker, match="in use"):
        broker.connect().channel().exchange_delete("e", if_unused=True)
    for value in (Int8(5), Int32(5), "5", 2**40, Int64(5)):
        channel.exchange_declare("e", passive=True)
        channel.queue_unbind("q", "e", "", {"a": value})
    with pytest.raises(ChannelClosedByBroker, match="no exchange 'e'"):
        channel.exchange_declare("e", passive=True)
    broker.check()


def test_an_exchange_in_use_is_not_deleted_if_unused(channel: Channel) -> None:
    channel.exchange_declare("x", "fanout")
    channel.queue_bind("a", "x")
    with pytest.raises(ChannelClosedByBroker, match="exchange 'x' in vhost '/' in use"):
        channel.exchange_delete("x", if_unused=True)
    channel = channel.connection.channel()
    channel.queue_unbind("a", "x")
    channel.exchange_delete("x", if_unused=True)


def test_an_internal_exchange_is_for_exchanges_alone(channel: Channel) -> None:
    channel.exchange_declare("inner", "fanout", internal=True)
    channel.exchange_bind("inner", "amq.direct", "k")
    channel.queue_bind("a", "inner")
    assert reached(channel, "amq.direct", "k") == "a"
    with pytest.raises(ChannelClosedByBroker, match="403"):
        channel.basic_publish("inner", "", b"x")


def test_programs_that_never_repeat_a_key_stay_small(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "ROUTES_KEPT", 10)
    channel.queue_bind("a", "amq.topic", "#")
    for number in range(100):
        channel.basic_publish("amq.topic", f"k.{number}", b"")
    broker = channel.connection.broker
    assert len(broker.node.vhosts["/"].exchanges["amq.topic"].routes) <= 10
    assert broker.list_queues("messages")[0] == {"messages": 100}


def test_copies_are_routed_by_every_key_once(channel: Channel) -> None:
    headers = {"CC": ["b", "b", "a"], "BCC": ["a"]}
    channel.basic_publish("", "a", b"x", BasicProperties(headers=headers))
    for queue in ("a", "b"):
        _, properties, _ = channel.basic_get(queue)
        assert properties is not None
        assert properties.headers == {"CC": ["b", "b", "a"]}
        assert channel.basic_get(queue) == (None, None, None)


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_copies_must_be_a_list(channel: Channel, header: str) -> None:
    with pytest.raises(ChannelClosedByBroker, match="406"):
        channel.basic_publish("", "a", b"x", BasicProperties(headers={header: "b"}))
