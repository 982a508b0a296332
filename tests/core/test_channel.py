"""The broker's end of a channel: the ledger, confirms as they are sent, transactions."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker.clock import SimClock
from mockbroker.core.channel import BrokerChannel
from mockbroker.core.node import Node
from mockbroker.core.replies import BASIC_GET_EMPTY
from mockbroker.errors import HardError, SoftError
from mockbroker.message import GetOk
from mockbroker.rules import RULES

PERSISTENT = {"delivery_mode": 2}


class Client:
    """Notes all that the broker tells a channel and its connection, in order."""

    def __init__(self, node: Node) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.node = node
        user = node.authenticate("guest", "guest")
        self.connection = node.open_connection(self, user, "/", {})
        self.channel: BrokerChannel = self.connection.open_channel(1, self)

    def deliver(self, delivery: Any) -> None:
        self.told.append(("deliver", delivery.delivery_tag, delivery.message[2]))

    def deliver_run(self, consumer: Any, first_tag: int, messages: Any) -> None:
        for offset, message in enumerate(messages):
            self.told.append(("deliver", first_tag + offset, message[2]))

    def returned(self, reply_code: int, reply_text: str, message: Any) -> None:
        self.told.append(("return", reply_code, message[2]))

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        self.told.append(("ack", delivery_tag, multiple))

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        self.told.append(("nack", delivery_tag, multiple))

    def consumer_cancelled(self, consumer_tag: str) -> None:
        self.told.append(("cancel", consumer_tag))

    def closed(self, error: SoftError) -> None:
        self.told.append(("close", error.reply_code))

    def connection_closed(self, error: HardError) -> None:
        self.told.append(("connection close", error.reply_code))

    def link_lost(self) -> None:
        self.told.append(("lost",))

    def blocked(self, reason: str) -> None:
        self.told.append(("blocked", reason))

    def unblocked(self) -> None:
        self.told.append(("unblocked",))

    def said(self) -> list[tuple[Any, ...]]:
        """What has been told since this was last asked."""
        self.node.drain()
        self.node.check()
        said, self.told = self.told, []
        return said


@pytest.fixture
def client() -> Client:
    client = Client(Node(RULES["rabbitmq-4.0"], SimClock()))
    client.channel.queue_declare("q")
    client.channel.queue_declare("d", durable=True)
    return client


def fetch(channel: BrokerChannel, queue: str = "q") -> int:
    reply = channel.basic_get(queue)
    assert isinstance(reply, GetOk)
    return reply.delivery_tag


# -- confirms


def test_a_message_that_needs_no_disk_is_confirmed_at_once(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "q", b"0", PERSISTENT)
    client.channel.basic_publish("", "d", b"1")
    client.channel.basic_publish("", "nowhere", b"2", PERSISTENT)
    assert client.said() == [("ack", 1, False), ("ack", 2, False), ("ack", 3, False)]


def test_a_message_for_the_disk_is_confirmed_by_the_sync(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "d", b"0", PERSISTENT)
    assert client.said() == []
    client.node.input_drained()
    assert client.said() == [("ack", 1, False)]
    client.node.input_drained()
    assert client.said() == []


def test_no_sync_is_hastened_for_a_channel_that_is_gone(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "d", b"0", PERSISTENT)
    client.channel.close()
    client.node.input_drained()
    assert client.said() == []
    client.node.lose_power()
    client.node.start()
    assert client.node.vhosts["/"].queues["d"].ready_count == 0


def test_without_an_end_of_input_the_sync_comes_by_itself(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "d", b"0", PERSISTENT)
    client.node.clock.advance(0.2)
    assert client.said() == [("ack", 1, False)]


def test_confirms_are_taken_together_where_that_says_the_same(client: Client) -> None:
    client.channel.confirm_select()
    for _ in range(3):
        client.channel.basic_publish("", "d", b"", PERSISTENT)
    client.node.input_drained()
    assert client.said() == [("ack", 3, True)]


def test_a_return_comes_before_its_confirm(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "nowhere", b"x", None, mandatory=True)
    assert client.said() == [("return", 312, b"x"), ("ack", 1, False)]


def test_a_refused_publish_is_nacked(client: Client) -> None:
    client.channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.channel.confirm_select()
    client.channel.basic_publish("", "full", b"")
    client.channel.basic_publish("", "q", b"")
    assert client.said() == [("nack", 1, False), ("ack", 2, False)]


def test_a_channel_that_is_closed_is_confirmed_nothing(client: Client) -> None:
    client.channel.confirm_select()
    client.channel.basic_publish("", "d", b"", PERSISTENT)
    client.channel.close()
    client.node.clock.advance(1)
    assert client.said() == []


# -- the order of what follows


def test_deliveries_follow_the_reply_to_consume(client: Client) -> None:
    client.channel.basic_publish("", "q", b"0")
    client.channel.basic_consume("q", "c")
    assert client.told == []
    assert client.said() == [("deliver", 1, b"0")]


def test_a_cancel_follows_the_reply_to_delete(client: Client) -> None:
    client.channel.basic_consume("q", "c")
    client.channel.queue_delete("q")
    assert client.told == []
    assert client.said() == [("cancel", "c")]


def test_tags_count_up_whatever_they_were_for(client: Client) -> None:
    for body in (b"0", b"1", b"2"):
        client.channel.basic_publish("", "q", body)
    assert fetch(client.channel) == 1
    client.channel.basic_consume("q", "c", no_ack=True)
    assert client.said() == [("deliver", 2, b"1"), ("deliver", 3, b"2")]
    assert client.channel.basic_get("q") is BASIC_GET_EMPTY


# -- the ledger


@pytest.mark.parametrize("multiple", [True, False])
@pytest.mark.parametrize("settle", ["basic_ack", "basic_nack"])
def test_an_unknown_tag_leaves_the_ledger_as_it_was(client: Client, settle: str, multiple: bool) -> None:
    for body in (b"0", b"1"):
        client.channel.basic_publish("", "q", body)
    tags = [fetch(client.channel), fetch(client.channel)]
    client.channel.basic_ack(tags[0])
    for unknown in (99, tags[0]):
        with pytest.raises(SoftError, match=f"unknown delivery tag {unknown}"):
            getattr(client.channel, settle)(unknown, multiple)
    assert list(client.channel.unacked) == [tags[1]]
    client.node.check()


def test_multiple_with_zero_means_all_even_when_there_is_none(client: Client) -> None:
    client.channel.basic_ack(0, multiple=True)
    client.channel.basic_nack(0, multiple=True)
    with pytest.raises(SoftError, match="unknown delivery tag 0"):
        client.channel.basic_ack(0)


def test_recover_delivers_again_in_order(client: Client) -> None:
    client.channel.basic_consume("q", "c")
    for body in (b"0", b"1"):
        client.channel.basic_publish("", "q", body)
    client.said()
    client.channel.basic_recover(requeue=True)
    assert client.told == []
    assert client.said() == [("deliver", 3, b"0"), ("deliver", 4, b"1")]


@pytest.mark.parametrize(
    ("rules", "properties", "text"),
    [
        ("rabbitmq-3.10", {"user_id": "x", "expiration": "x", "headers": {"CC": ""}}, "user_id"),
        ("rabbitmq-3.10", {"expiration": "x", "delivery_mode": 7, "headers": {"CC": ""}}, "expiration"),
        ("rabbitmq-3.10", {"delivery_mode": 7, "headers": {"CC": ""}}, "CC"),
        ("rabbitmq-3.10", {"delivery_mode": 7}, "delivery_mode"),
        ("rabbitmq-4.0", {"user_id": "x", "expiration": "x", "headers": {"CC": ""}}, "expiration"),
        ("rabbitmq-4.0", {"user_id": "x", "headers": {"CC": ""}}, "CC"),
        ("rabbitmq-4.0", {"user_id": "x"}, "user_id"),
    ],
)
def test_properties_are_checked_in_order(rules: str, properties: dict[str, Any], text: str) -> None:
    channel = Client(Node(RULES[rules], SimClock())).channel
    with pytest.raises(SoftError, match=text):
        channel.basic_publish("", "q", b"", properties)


@pytest.mark.parametrize(
    ("rules", "properties", "text"),
    [
        ("rabbitmq-3.10", None, "topic"),
        ("rabbitmq-3.10", {"reply_to": "amq.rabbitmq.reply-to", "user_id": "x"}, "topic"),
        ("rabbitmq-4.0", None, "topic"),
        ("rabbitmq-4.0", {"reply_to": "amq.rabbitmq.reply-to"}, "fast reply"),
        ("rabbitmq-4.0", {"expiration": "x"}, "expiration"),
        ("rabbitmq-4.0", {"headers": {"CC": ""}}, "CC"),
        ("rabbitmq-4.0", {"user_id": "x", "delivery_mode": 7}, "topic"),
    ],
)
def test_a_topic_permission_has_its_place_among_the_checks(
    rules: str, properties: dict[str, Any] | None, text: str
) -> None:
    node = Node(RULES[rules], SimClock())
    node.set_topic_permissions("guest", "/", "amq.topic", "^x", "")
    with pytest.raises(SoftError, match=text):
        Client(node).channel.basic_publish("amq.topic", "k", b"", properties)


@pytest.mark.parametrize("noise", ["\r", "\n", "\r\n"])
def test_line_feeds_are_taken_out_of_names_that_are_bound_and_deleted(client: Client, noise: str) -> None:
    channel = client.channel
    channel.exchange_declare("x", "fanout")
    channel.queue_declare("mine")
    channel.queue_bind(f"{noise}mine", f"x{noise}")
    channel.exchange_bind(f"a{noise}mq.fanout", f"{noise}x")
    assert len(channel.vhost.exchanges["x"].bindings) == 2
    channel.exchange_unbind(f"amq.fanout{noise}", f"x{noise}")
    channel.queue_unbind(f"mine{noise}", f"x{noise}")
    assert not channel.vhost.exchanges["x"].has_bindings
    channel.exchange_delete(f"x{noise}")
    with pytest.raises(SoftError, match="no queue ''"):
        channel.queue_bind(noise, "amq.fanout")
    with pytest.raises(SoftError, match="default exchange"):
        channel.exchange_delete(noise)
    assert channel.queue_delete(noise).fields["message_count"] == 0
    channel.queue_delete(f"mine{noise}")
    assert "mine" not in channel.vhost.queues
    assert "x" not in channel.vhost.exchanges


def test_what_an_exchange_refuses_is_refused_before_an_exclusive_queue_is(client: Client) -> None:
    client.channel.queue_declare("mine", exclusive=True)
    other = Client(client.node).channel
    with pytest.raises(SoftError, match="x-match"):
        other.queue_bind("mine", "amq.headers", "", {"x-match": "some"})
    with pytest.raises(SoftError, match="exclusive access"):
        other.queue_bind("mine", "amq.headers", "", {})


def test_an_error_closes_what_it_asks_for(client: Client) -> None:
    second = client.connection.open_channel(2, client)
    with pytest.raises(SoftError) as soft:
        second.queue_purge("absent")
    client.connection.refuse(second, soft.value)
    assert [second.is_open, client.channel.is_open, list(client.connection.channels)] == [False, True, [1]]
    with pytest.raises(HardError) as hard:
        client.channel.basic_publish("", "q", b"", immediate=True)
    client.connection.refuse(client.channel, hard.value)
    assert [client.connection.is_open, client.node.connections] == [False, []]
    client.node.drain()
    client.node.check()


def test_a_hard_error_ends_its_channel_first_and_what_a_quorum_queue_gets_back_comes_too_late(
    client: Client,
) -> None:
    connection, channel = client.connection, client.channel
    arguments = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}
    elsewhere = connection.open_channel(2, client)
    for name, each in arguments.items():
        channel.queue_declare(name, durable=True, arguments=each)
        channel.basic_publish("", name, name.encode())
        channel.basic_get(name)
        elsewhere.basic_consume(name, name, no_ack=True)
    connection.give_up(channel)
    assert client.said() == [("deliver", 1, b"classic")]
    connection.close()
    client.node.drain()
    client.node.check()
    fetched = Client(client.node).channel.basic_get("quorum")
    assert isinstance(fetched, GetOk)
    assert fetched.message[3] == {"headers": {"x-delivery-count": 2}}


# -- transactions


def counts(client: Client, queue: str = "q") -> tuple[int, int]:
    target = client.node.vhosts["/"].queues[queue]
    return target.ready_count, client.node.unacked_count(target)


def test_a_rolled_back_settlement_can_be_settled_again(client: Client) -> None:
    for body in (b"0", b"1", b"2"):
        client.channel.basic_publish("", "q", body)
    client.channel.tx_select()
    tags = [fetch(client.channel) for _ in range(3)]
    client.channel.basic_ack(tags[1])
    client.channel.basic_nack(tags[2], multiple=True)
    assert list(client.channel.unacked) == []
    with pytest.raises(SoftError, match="unknown delivery tag"):
        client.channel.basic_ack(tags[1])
    client.channel.tx_rollback()
    assert list(client.channel.unacked) == tags
    client.node.check()
    client.channel.basic_ack(tags[1], multiple=True)
    client.channel.tx_commit()
    assert counts(client) == (0, 1)


def test_a_commit_settles_each_delivery_as_was_asked(client: Client) -> None:
    for body in (b"0", b"1", b"2"):
        client.channel.basic_publish("", "q", body)
    client.channel.tx_select()
    tags = [fetch(client.channel) for _ in range(3)]
    client.channel.basic_nack(tags[2], requeue=True)
    client.channel.basic_reject(tags[1], requeue=False)
    client.channel.basic_ack(tags[0])
    assert counts(client) == (0, 3)
    client.channel.tx_commit()
    assert counts(client) == (1, 0)
    reply = client.channel.basic_get("q")
    assert isinstance(reply, GetOk)
    assert (reply.message[2], reply.redelivered) == (b"2", True)


def test_a_channel_that_closes_forgets_its_transaction(client: Client) -> None:
    client.channel.basic_publish("", "q", b"0")
    client.channel.tx_select()
    client.channel.basic_publish("", "q", b"1")
    client.channel.basic_ack(fetch(client.channel))
    client.channel.close()
    assert counts(client) == (1, 0)
    client.node.check()


def test_the_window_opens_at_the_commit(client: Client) -> None:
    client.channel.tx_select()
    client.channel.basic_qos(prefetch_count=1)
    client.channel.basic_consume("q", "c")
    other = client.connection.open_channel(2, client)
    for body in (b"0", b"1"):
        other.basic_publish("", "q", body)
    assert client.said() == [("deliver", 1, b"0")]
    client.channel.basic_ack(1)
    assert client.said() == []
    client.channel.tx_commit()
    assert client.said() == [("deliver", 2, b"1")]


def test_what_is_committed_is_on_disk(client: Client) -> None:
    client.channel.tx_select()
    client.channel.basic_publish("", "d", b"0", PERSISTENT)
    client.channel.tx_commit()
    client.node.lose_power()
    client.node.start()
    assert counts(client, "d") == (1, 0)


def test_confirms_and_transactions_exclude_each_other(client: Client) -> None:
    client.channel.tx_select()
    client.channel.tx_select()
    with pytest.raises(SoftError, match="cannot switch from tx to confirm mode"):
        client.channel.confirm_select()
    other = client.connection.open_channel(2, client)
    other.confirm_select()
    with pytest.raises(SoftError, match="cannot switch from confirm to tx mode"):
        other.tx_select()
    with pytest.raises(SoftError, match="channel is not transactional"):
        other.tx_rollback()


# -- answers to questions


def test_direct_reply_to_goes_to_the_channel_that_asked(client: Client) -> None:
    client.channel.basic_consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    client.channel.basic_publish("", "q", b"question", {"reply_to": "amq.rabbitmq.reply-to"})
    server = client.connection.open_channel(2, client)
    question = server.basic_get("q", no_ack=True)
    assert isinstance(question, GetOk)
    assert question.message[3] is not None
    name = question.message[3]["reply_to"]
    assert name.startswith("amq.rabbitmq.reply-to.")
    assert server.queue_declare(name, passive=True).message_count == 0
    server.basic_publish("", name, b"answer")
    assert client.said() == [("deliver", 1, b"answer")]
    client.channel.basic_cancel("r")
    server.basic_publish("", name, b"late", mandatory=True)
    assert client.said() == [("return", 312, b"late")]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda ch: ch.basic_consume("amq.rabbitmq.reply-to", "r"), "reply consumer cannot acknowledge"),
        (
            lambda ch: ch.basic_publish("", "q", b"", {"reply_to": "amq.rabbitmq.reply-to"}),
            "fast reply consumer does not exist",
        ),
        (lambda ch: ch.queue_declare("amq.rabbitmq.reply-to.gone"), "no queue 'amq.rabbitmq.reply-to.gone'"),
    ],
)
def test_direct_reply_to_has_its_rules(client: Client, call: Any, text: str) -> None:
    with pytest.raises(SoftError, match=text):
        call(client.channel)


# -- a time limit for acknowledgements


def test_a_delivery_that_is_not_settled_in_time_ends_its_channel() -> None:
    client = Client(Node(RULES["rabbitmq-4.0"], SimClock(), consumer_timeout_ms=1000))
    client.channel.queue_declare("q")
    for body in (b"0", b"1"):
        client.channel.basic_publish("", "q", body)
    first = fetch(client.channel)
    client.node.clock.advance(0.6)
    fetch(client.channel)
    client.channel.basic_ack(first)
    client.node.clock.advance(0.999)
    assert client.said() == []
    client.node.clock.advance(0.001)
    assert client.said() == [("close", 406)]
    assert counts(client) == (1, 0)
    assert client.node.clock.next_due_ns() is None


@pytest.mark.parametrize(("rules", "shown"), [("rabbitmq-3.10", "n\udcff"), ("rabbitmq-4.0", "nÿ")])
def test_a_publish_may_name_octets_that_are_not_utf8(rules: str, shown: str) -> None:
    channel = Client(Node(RULES[rules], SimClock())).channel
    channel.basic_publish("amq.fanout", "\udcff" * 100, b"")
    with pytest.raises(SoftError, match=f"no exchange '{shown}'"):
        channel.basic_publish("n\udcff", "k", b"")
