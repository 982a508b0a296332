"""What an export of definitions looks like, by version; what goes with a virtual host."""

from __future__ import annotations

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
