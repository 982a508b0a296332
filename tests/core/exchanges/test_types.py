"""Which exchange types there are: by rules and by plugin."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.core.exchanges.base import Exchange
from mockbroker.core.exchanges.types import PLUGINS, exchange_class, exchange_types
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from mockbroker.rules import RULES

PLAIN = ("direct", "fanout", "headers", "topic")


def test_a_server_as_installed_has_the_four_types_and_40_one_more() -> None:
    assert exchange_types(RULES["rabbitmq-3.10"], ()) == PLAIN
    assert exchange_types(RULES["rabbitmq-4.0"], ()) == (*PLAIN, "x-local-random")


@pytest.mark.parametrize(("plugin", "kind"), PLUGINS.items())
def test_a_plugin_brings_its_type_and_no_other(plugin: str, kind: str) -> None:
    assert set(exchange_types(RULES["rabbitmq-3.10"], [plugin])) == {*PLAIN, kind}
    made = exchange_class(kind)
    assert issubclass(made, Exchange)
    assert made.type == kind
    channel = Broker(rules="rabbitmq-4.0").connect().channel()
    with pytest.raises(ChannelClosedByBroker, match=f"406.*unknown exchange type '{kind}'"):
        channel.exchange_declare("x", kind)
    with pytest.raises(ConnectionClosedByBroker, match=f"503.*unknown exchange type '{kind}'"):
        Broker(rules="rabbitmq-3.10").connect().channel().exchange_declare("x", kind)


def test_an_unknown_plugin_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no plugin 'rabbitmq_nothing': choose from rabbitmq_consistent"):
        Broker(plugins=["rabbitmq_random_exchange", "rabbitmq_nothing"])
    with pytest.raises(TypeError, match="several names, not the string 'rabbitmq_sharding'"):
        Broker(plugins="rabbitmq_sharding")


def test_plugins_may_be_given_in_any_order_and_twice() -> None:
    names = [*PLUGINS, *reversed(PLUGINS)]
    assert exchange_types(RULES["rabbitmq-4.0"], iter(names)) == tuple(
        sorted({*PLAIN, "x-local-random", *PLUGINS.values()})
    )


def test_definitions_with_a_plugins_type_need_the_plugin() -> None:
    exchange = {"name": "x", "vhost": "/", "type": "x-random", "durable": True, "auto_delete": False}
    definitions = {"exchanges": [{**exchange, "internal": False, "arguments": {}}]}
    with pytest.raises(ValueError, match="unknown exchange type 'x-random'"):
        Broker().load_definitions(definitions)
    broker = Broker(plugins=["rabbitmq_random_exchange"])
    broker.load_definitions(definitions)
    assert {"name": "x", "type": "x-random"} in broker.list_exchanges("name", "type")


def test_atoms_in_a_text_are_quoted_when_they_need_it() -> None:
    channel = Broker(plugins=PLUGINS).connect().channel()
    channel.exchange_declare("x", "x-random")
    with pytest.raises(ChannelClosedByBroker, match="received 'direct' but current is ''x-random''"):
        channel.exchange_declare("x", "direct")


@pytest.mark.parametrize(("rules", "code"), [("rabbitmq-3.10", 503), ("rabbitmq-4.0", 541)])
def test_a_text_that_cannot_be_shortened_ends_the_connection(rules: str, code: int) -> None:
    connection = Broker(rules=rules).connect()
    with pytest.raises(ConnectionClosedByBroker, match=str(code)):
        connection.channel().exchange_declare("x", "é" * 120)
    assert not connection.is_open
