"""What an export of definitions looks like, by version; what goes with a virtual host."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.admin import definitions
from mockbroker.values import type_name

HEAD = ["rabbit_version", "rabbitmq_version", "product_name", "product_version"]
PARTS = ["parameters", "policies", "queues", "exchanges", "bindings"]
USERS = ["users", "vhosts", "permissions", "topic_permissions", "global_parameters"]


def shop(rules: str) -> Broker:
    broker = Broker(rules=rules)
    broker.add_vhost("shop")
    broker.node.set_policy("shop", "p", "^q", {"max-length": 5})
    broker.node.set_vhost_limit("shop", "max-queues", 5)
    return broker


def test_an_export_of_3_10() -> None:
    node = shop("rabbitmq-3.10").node
    everything = definitions.export(node)
    assert list(everything) == [*HEAD, *USERS, *PARTS]
    assert everything["vhosts"] == [{"name": "/"}, {"name": "shop"}]
    one = definitions.export(node, "shop")
    assert list(one) == ["rabbit_version", *PARTS]
    assert [row["vhost"] for row in one["parameters"] + one["policies"]] == ["shop", "shop"]


def test_an_export_of_4_0() -> None:
    node = shop("rabbitmq-4.0").node
    everything = definitions.export(node)
    origin = ["rabbitmq_definition_format", "original_cluster_name", "explanation"]
    assert list(everything) == [*HEAD, *origin, *USERS, *PARTS]
    assert [everything[key] for key in origin] == [
        "cluster",
        "rabbit@localhost",
        "Definitions of cluster 'rabbit@localhost'",
    ]
    assert everything["vhosts"][1]["metadata"]["default_queue_type"] == "classic"
    one = definitions.export(node, "shop")
    origin = ["rabbitmq_definition_format", "original_vhost_name", "explanation"]
    itself = ["metadata", "description", "default_queue_type", "limits"]
    assert list(one) == [*HEAD, *origin, *itself, *PARTS]
    assert [one[key] for key in (*origin, "limits")] == [
        "single_virtual_host",
        "shop",
        "Definitions of virtual host 'shop'",
        {"max-queues": 5},
    ]
    assert not any("vhost" in row for row in one["parameters"] + one["policies"])
    node.clear_vhost_limit("shop", "max-queues")
    assert definitions.export(node, "shop")["limits"] == []


@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
def test_nobody_keeps_a_right_in_a_deleted_virtual_host(rules: str) -> None:
    node = shop(rules).node
    node.set_permissions("guest", "shop", "", "", "")
    node.set_topic_permissions("guest", "shop", "amq.topic", "^a", "^b")
    node.set_topic_permissions("guest", "/", "amq.topic", "^a", "^b")
    node.delete_vhost("shop")
    node.add_vhost("shop")
    exported = definitions.export(node)
    assert {row["vhost"] for row in exported["permissions"] + exported["topic_permissions"]} == {"/"}


def test_whole_numbers_come_in_as_long() -> None:
    node = Broker().node
    binding = {"source": "amq.direct", "destination": "q", "destination_type": "queue", "routing_key": "k"}
    rows = {"queues": [{"name": "q"}], "bindings": [{**binding, "arguments": {"a": 5}}]}
    definitions.load(node, rows, "/")
    (there,) = node.vhost("/").exchanges["amq.direct"].bindings
    assert type_name(there.arguments["a"]) == "long"


BINDING = {"vhost": "/", "destination_type": "queue", "routing_key": "", "arguments": {}}


def test_what_is_passed_over_is_named() -> None:
    broker = Broker()
    rows = {
        "bindings": [
            {**BINDING, "source": "amq.fanout", "destination": "exclusive"},
            {**BINDING, "source": "internal", "destination": "q"},
            {**BINDING, "source": "amq.fanout", "destination": "internal", "destination_type": "exchange"},
            {**BINDING, "source": "amq.fanout", "destination": "q"},
        ],
        "parameters": [{"component": "shovel", "name": "s", "vhost": "/", "value": {}}],
        "global_parameters": [{"name": "g", "value": 1}],
        "queues": [{"name": "q", "vhost": "/"}],
    }
    assert broker.load_definitions(rows) == [
        "binding from amq.fanout to queue exclusive",
        "binding from internal to queue q",
        "binding from amq.fanout to exchange internal",
        "parameter shovel/s",
        "global parameter g",
    ]
    (there,) = broker.node.vhost("/").exchanges["amq.fanout"].bindings
    assert there.destination.name == "q"


def test_an_operator_policy_may_be_a_list_of_pairs() -> None:
    broker = Broker()
    value = {"pattern": "^q", "definition": [["max-length", 1]], "priority": 0, "apply-to": "queues"}
    rows = {
        "parameters": [{"component": "operator_policy", "name": "o", "vhost": "/", "value": value}],
        "queues": [{"name": "q", "vhost": "/"}],
    }
    assert broker.load_definitions(rows) == []
    assert broker.node.vhost("/").operator_policies["o"].definition == {"max-length": 1}


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ({"name": "u", "password": "x"}, "tags_not_present"),
        ({"name": "u", "tags": "", "limits": {"foo": 1}}, "Unrecognised terms"),
        ({"name": "u", "tags": "", "limits": {"max-channels": "x"}}, "should be a number"),
    ],
)
def test_a_user_must_have_tags_and_only_limits_that_there_are(user: dict[str, Any], complaint: str) -> None:
    broker = Broker()
    with pytest.raises(ValueError, match=rf'users: {{"name": "u".*{complaint}'):
        broker.load_definitions({"users": [user]})
    assert "u" not in broker.node.users


@pytest.mark.parametrize(
    ("section", "row", "complaint"),
    [
        (
            "queues",
            {"name": "q", "arguments": {"x-dead-letter-exchange": 5}},
            "invalid arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': {unacceptable_type,long}",
        ),
        (
            "exchanges",
            {"name": "x", "type": "direct", "arguments": {"alternate-exchange": 5}},
            "invalid type 'long' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
        ),
    ],
)
def test_an_exchange_is_named_by_a_text(section: str, row: dict[str, Any], complaint: str) -> None:
    broker = Broker()
    with pytest.raises(ValueError, match=f"{section}: .*{re.escape(complaint)}"):
        broker.load_definitions({section: [row]})
    assert row["name"] not in getattr(broker.node.vhost("/"), section)


def test_what_is_void_is_exported_as_a_text() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    channel = broker.connect().channel()
    channel.queue_declare("q", arguments={"x": [1, None, {"y": None}]})
    channel.queue_bind("q", "amq.headers", arguments={"z": None})
    exported = broker.export_definitions()
    assert exported["queues"][0]["arguments"] == {"x": [1, "undefined", {"y": "undefined"}]}
    assert exported["bindings"][0]["arguments"] == {"z": "undefined"}
