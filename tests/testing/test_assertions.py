"""Claims about a trace, and how a broken one is shown."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.testing.assertions import assert_no_loss, assert_ordered, assert_within_prefetch

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def broker() -> Broker:
    broker = Broker()
    broker.tracing()
    return broker


@pytest.fixture
def channel(broker: Broker) -> Channel:
    channel = broker.connect().channel()
    channel.queue_declare("tasks", durable=True)
    return channel


def marked(caught: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    """The events that a message points at, without their times."""
    return [line.split(" s  ")[1] for line in str(caught.value).splitlines() if line.startswith(">")]


# -- loss


def test_what_is_there_or_done_is_not_lost(broker: Broker, channel: Channel) -> None:
    for body in (b"ready", b"held", b"done"):
        channel.basic_publish("", "tasks", body)
    for _ in range(3):
        channel.basic_get("tasks")
    channel.basic_ack(3)
    channel.basic_nack(1)
    assert_no_loss(broker)
    assert_no_loss(broker, "tasks", processed=[b"done"])


def test_a_rejected_message_is_lost(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    channel.basic_get("tasks")
    channel.basic_reject(1, requeue=False)
    with pytest.raises(
        AssertionError, match="1 messages were lost\nlost: b'one' of queue 'tasks': rejected"
    ) as caught:
        assert_no_loss(broker, "tasks")
    assert [line.partition(") ")[2].split()[0] for line in marked(caught)] == ["publishes", "gets", "rejects"]
    assert_no_loss(broker, "tasks", allow=["rejected"])


def test_a_dead_letter_is_not_lost_until_it_is(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("dead")
    channel.queue_declare("short", arguments={"x-max-length": 1, **DEAD})
    channel.basic_publish("", "short", b"one")
    channel.basic_publish("", "short", b"two")
    assert_no_loss(broker)
    channel.queue_delete("dead")
    with pytest.raises(AssertionError, match="b'one' of queue 'dead': deleted"):
        assert_no_loss(broker)


def test_an_unroutable_message_is_lost_unless_its_publisher_knows(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "nowhere", b"told", mandatory=True)
    assert_no_loss(broker)
    channel.basic_publish("", "nowhere", b"silent")
    with pytest.raises(AssertionError, match="b'silent': no queue"):
        assert_no_loss(broker)
    assert_no_loss(broker, "tasks")
    assert_no_loss(broker, allow=["unroutable"])


def test_a_crash_loses_what_was_not_on_disk(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"transient")
    broker.crash()
    with pytest.raises(AssertionError, match="b'transient' of queue 'tasks': lost"):
        assert_no_loss(broker)


def test_an_acknowledgement_before_the_work_is_a_loss_to_who_knows(broker: Broker, channel: Channel) -> None:
    done: list[bytes] = []

    def lossy(ch: Channel, method: Any, properties: object, body: bytes) -> None:
        ch.basic_ack(method.delivery_tag)
        if body != b"two":
            done.append(body)

    channel.basic_consume("tasks", lossy)
    for body in (b"one", b"two"):
        channel.basic_publish("", "tasks", body)
    broker.run()
    assert_no_loss(broker)
    with pytest.raises(AssertionError, match="b'two' of queue 'tasks': acknowledged and not processed"):
        assert_no_loss(broker, "tasks", processed=done)


def test_processed_counts_each_message(broker: Broker, channel: Channel) -> None:
    for _ in range(2):
        channel.basic_publish("", "tasks", b"same")
        channel.basic_get("tasks", auto_ack=True)
    assert_no_loss(broker, processed=[b"same", b"same"])
    with pytest.raises(AssertionError, match="1 messages were lost"):
        assert_no_loss(broker, processed=[b"same"])


def test_many_losses_are_counted_and_the_first_shown(broker: Broker, channel: Channel) -> None:
    for number in range(10):
        channel.basic_publish("", "tasks", b"%d" % number)
    channel.queue_delete("tasks")
    with pytest.raises(AssertionError) as caught:
        assert_no_loss(broker)
    lines = str(caught.value).splitlines()
    assert lines[0] == "10 messages were lost"
    assert lines[-1] == "... and 7 more"


def test_a_purge_is_no_loss(broker: Broker, channel: Channel) -> None:
    channel.basic_publish("", "tasks", b"one")
    channel.queue_purge("tasks")
    assert_no_loss(broker)
    with pytest.raises(AssertionError, match="purged"):
        assert_no_loss(broker, allow=[])


def test_a_refused_publish_is_no_loss(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for body in (b"one", b"two", b"three"):
        channel.basic_publish("", "full", body)
    channel.queue_purge("full")
    channel.basic_publish("", "full", b"four")
    assert_no_loss(broker)
    assert "b'four'" in broker.explain(b"four")


# -- order


def test_one_consumer_keeps_the_order(broker: Broker, channel: Channel) -> None:
    channel.basic_consume("tasks", lambda ch, method, *_: ch.basic_ack(method.delivery_tag))
    for number in range(5):
        channel.basic_publish("", "tasks", b"%d" % number)
    broker.run()
    assert_ordered(broker, "tasks")
    assert_ordered(broker, "tasks", of="acknowledgements")


def test_a_message_that_comes_back_late_breaks_the_order(broker: Broker, channel: Channel) -> None:
    for number in range(3):
        channel.basic_publish("", "tasks", b"%d" % number)
        channel.basic_get("tasks")
    channel.basic_nack(1)
    channel.basic_get("tasks")
    with pytest.raises(AssertionError, match="queue 'tasks' is out of order: #0 came after #2") as caught:
        assert_ordered(broker, "tasks")
    assert ["#2" in line or "#0" in line for line in marked(caught)] == [True, True]
    assert_ordered(broker, "tasks", redelivered=False)


def test_acknowledgements_have_an_order_of_their_own(broker: Broker, channel: Channel) -> None:
    for number in range(2):
        channel.basic_publish("", "tasks", b"%d" % number)
        channel.basic_get("tasks")
    channel.basic_ack(2)
    channel.basic_ack(1)
    assert_ordered(broker, "tasks")
    with pytest.raises(AssertionError, match="out of order"):
        assert_ordered(broker, "tasks", of="acknowledgements")


def test_a_queue_that_is_declared_anew_begins_anew(broker: Broker, channel: Channel) -> None:
    for _ in range(2):
        channel.queue_declare("tasks", durable=True)
        for number in range(2):
            channel.basic_publish("", "tasks", b"%d" % number)
            channel.basic_get("tasks", auto_ack=True)
        channel.queue_delete("tasks")
    assert_ordered(broker, "tasks")


def test_another_order_is_refused(broker: Broker) -> None:
    with pytest.raises(ValueError, match="of must be 'deliveries' or 'acknowledgements', not 'publishes'"):
        assert_ordered(broker, "tasks", of="publishes")  # type: ignore[arg-type]  # the mistake


# -- prefetch


def test_the_broker_keeps_windows(broker: Broker, channel: Channel) -> None:
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume("tasks", lambda *_: None)
    for number in range(5):
        channel.basic_publish("", "tasks", b"%d" % number)
    channel.basic_ack(1)
    assert_within_prefetch(broker)
    assert_within_prefetch(broker, limit=2)
    with pytest.raises(AssertionError, match="holds 2 unacknowledged messages, and may hold 1") as caught:
        assert_within_prefetch(broker, "tasks", limit=1)
    assert len(marked(caught)) == 2
    assert_within_prefetch(broker, "other", limit=1)


def test_an_unlimited_consumer_takes_too_much_for_any_limit(broker: Broker, channel: Channel) -> None:
    channel.basic_consume("tasks", lambda *_: None)
    for number in range(5):
        channel.basic_publish("", "tasks", b"%d" % number)
    assert_within_prefetch(broker)
    with pytest.raises(AssertionError, match="may hold 4"):
        assert_within_prefetch(broker, limit=4)


def test_a_restart_frees_what_was_held(broker: Broker, channel: Channel) -> None:
    for _ in range(2):
        again = broker.connect().channel()
        again.basic_qos(prefetch_count=1)
        again.basic_consume("tasks", lambda *_: None)
        again.basic_publish("", "tasks", b"one", BasicProperties(delivery_mode=2))
        broker.crash()
    assert_within_prefetch(broker, limit=1)


def test_only_what_was_traced_can_be_claimed() -> None:
    for claim in (assert_no_loss, assert_within_prefetch):
        with pytest.raises(ValueError, match="nothing was recorded"):
            claim(Broker())
