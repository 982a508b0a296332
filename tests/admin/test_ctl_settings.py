"""What a server is set to in rabbitmqctl's words, as RabbitMQ 3.10.8 and 4.0.5 printed them."""

from __future__ import annotations

import pytest

from mockbroker import Broker

BOTH = ["rabbitmq-3.10", "rabbitmq-4.0"]


@pytest.mark.parametrize("rules", BOTH)
def test_parameters(rules: str) -> None:
    broker = Broker(rules=rules)
    banner = 'Listing runtime parameters for vhost "/" ...\n'
    assert broker.ctl("list_parameters") == f"{banner}\n"
    broker.node.set_vhost_limit("/", "max-queues", 50)
    broker.node.set_policy("/", "o1", "^d", {"max-length": 5}, 1, "queues", operator=True)
    assert broker.ctl("list_parameters") == (
        f"{banner}component\tname\tvalue\n"
        'vhost-limits\tlimits\t{"max-queues":50}\n'
        'operator_policy\to1\t{"pattern":"^d","definition":{"max-length":5},"priority":1,"apply-to":"queues"}\n'
    )
    with pytest.raises(ValueError, match="Virtual host 'nosuch' does not exist"):
        broker.ctl("list_parameters -p nosuch")
    with pytest.raises(ValueError, match="too many arguments"):
        broker.ctl("list_parameters x")


def test_global_parameters() -> None:
    command = "-q list_global_parameters"
    assert Broker(rules="rabbitmq-3.10", seed=7).ctl(command) == (
        'name\tvalue\ninternal_cluster_id\t"rabbitmq-cluster-id-7"\n'
    )
    assert Broker(rules="rabbitmq-4.0").ctl(f"{command} --formatter json") == (
        '[\n{"name":"cluster_tags","value":"[]"}\n'
        ',{"name":"internal_cluster_id","value":"\\"rabbitmq-cluster-id-0\\""}\n]\n'
    )


@pytest.mark.parametrize(("rules", "count", "last"), [(BOTH[0], 9, "enabled"), (BOTH[1], 26, "enabled")])
def test_feature_flags(rules: str, count: int, last: str) -> None:
    broker = Broker(rules=rules)
    lines = broker.ctl("list_feature_flags").splitlines()
    assert lines[:3] == [
        "Listing feature flags ...",
        "name\tstate",
        "classic_mirrored_queue_version\tenabled",
    ]
    assert lines[-1] == f"virtual_host_metadata\t{last}"
    assert len(lines) == count + 2
    assert "khepri_db\tdisabled" in lines or rules == "rabbitmq-3.10"
    assert broker.ctl("-s list_feature_flags state provided_by").startswith("enabled\trabbit\n")
    with pytest.raises(ValueError, match=r"Info key\(s\) foo are not supported"):
        broker.ctl("list_feature_flags foo")


def test_deprecated_features() -> None:
    lines = Broker().ctl("list_deprecated_features").splitlines()
    assert lines[:4] == [
        "Listing deprecated features ...",
        "name\tdeprecation_phase",
        "amqp_address_v1\tpermitted_by_default",
        "classic_queue_mirroring\tremoved",
    ]
    with pytest.raises(ValueError, match="Did you mean 'list_feature_flags'"):
        Broker(rules="rabbitmq-3.10").ctl("list_deprecated_features")


@pytest.mark.parametrize("rules", BOTH)
def test_every_queue_answers(rules: str) -> None:
    broker = Broker(rules=rules)
    broker.connect().channel().queue_declare("q")
    banner = "Listing unresponsive queues for vhost nosuch ...\n"
    assert broker.ctl("list_unresponsive_queues -p nosuch --local --queue-timeout 5 name pid") == banner
    with pytest.raises(ValueError, match=r"Info key\(s\) foo are not supported"):
        broker.ctl("list_unresponsive_queues name foo")


@pytest.mark.parametrize("rules", BOTH)
def test_a_message_fetched_from_a_quorum_queue_is_a_consumer(rules: str) -> None:
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    for name, kind in (("c", "classic"), ("q", "quorum")):
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
        for _ in range(4):
            channel.basic_publish("", name, b"")
    fetched = [channel.basic_get(name)[0].delivery_tag for name in ("c", "q", "q")]
    channel.basic_get("q", auto_ack=True)
    columns = "queue_name consumer_tag ack_required prefetch_count active activity_status arguments"
    assert broker.ctl(f"-s list_consumers {columns}") == (
        "q\t2\tundefined\tundefined\ttrue\tup\t[]\nq\t3\tundefined\tundefined\ttrue\tup\t[]\n"
    )
    channel.basic_ack(fetched[1])
    channel.basic_nack(fetched[2])
    assert broker.ctl("-s list_consumers") == ""
