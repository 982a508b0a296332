"""Replies go straight to the channel that waits for them: tags, names, and what becomes of the message."""

from __future__ import annotations

import pytest

from mockbroker import BasicProperties, Broker, exceptions
from mockbroker.channel import Channel
from mockbroker.core.fast_replies import PSEUDO_QUEUE
from mockbroker.message import Delivery


class Requester:
    """A channel that waits for replies, the name that stands for it, and what it has got."""

    def __init__(self, broker: Broker) -> None:
        self.channel = broker.connect().channel()
        self.got: list[tuple[int, bytes]] = []
        self.channel.queue_declare("q")
        self.channel.basic_consume(PSEUDO_QUEUE, self.take, auto_ack=True, consumer_tag="replies")
        self.channel.basic_publish("", "q", b"", BasicProperties(reply_to=PSEUDO_QUEUE))
        properties = self.channel.basic_get("q", auto_ack=True)[1]
        assert properties is not None
        assert properties.reply_to is not None
        self.name = properties.reply_to

    def take(self, channel: Channel, method: Delivery, properties: object, body: bytes) -> None:
        self.got.append((method.delivery_tag, body))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def requester(broker: Broker) -> Requester:
    return Requester(broker)


def test_replies_use_no_delivery_tag_up(broker: Broker, requester: Requester) -> None:
    server = broker.connect().channel()
    for body in (b"1", b"2"):
        server.basic_publish("", requester.name, body)
    broker.run()
    assert requester.got == [(2, b"1"), (2, b"2")]
    server.basic_publish("", "q", b"m")
    method = requester.channel.basic_get("q")[0]
    assert method is not None
    assert method.delivery_tag == 2


def test_a_mandatory_reply_comes_back_before_it_is_delivered(broker: Broker, requester: Requester) -> None:
    requester.channel.add_on_return_callback(lambda *args: requester.got.append((0, args[3])))
    requester.channel.basic_publish("", requester.name, b"r", mandatory=True)
    broker.run()
    assert requester.got == [(0, b"r"), (2, b"r")]


def test_copies_reach_each_requester_once(broker: Broker, requester: Requester) -> None:
    other = Requester(broker)
    keys = {"CC": [requester.name, "q"], "BCC": [other.name, requester.name]}
    broker.connect().channel().basic_publish("", "absent", b"r", BasicProperties(headers=keys))
    broker.run()
    assert (requester.got, other.got) == ([(2, b"r")], [(2, b"r")])
    assert requester.channel.queue_declare("q", passive=True).method.message_count == 1


def test_a_reply_does_not_wait_for_the_commit(broker: Broker, requester: Requester) -> None:
    server = broker.connect().channel()
    server.tx_select()
    server.basic_publish("", requester.name, b"r")
    server.tx_rollback()
    broker.run()
    assert requester.got == [(2, b"r")]


def test_a_name_is_its_channels_until_that_is_closed(broker: Broker, requester: Requester) -> None:
    channel, other = requester.channel, broker.connect().channel()
    assert other.queue_declare(requester.name).method.consumer_count == 1
    channel.basic_cancel("replies")
    with pytest.raises(exceptions.ChannelClosedByBroker, match="no queue"):
        other.queue_declare(requester.name)
    with pytest.raises(exceptions.ConnectionClosedByBroker, match="INTERNAL_ERROR"):
        channel.queue_declare(requester.name)
    with pytest.raises(exceptions.ChannelClosedByBroker, match="no queue"):
        broker.connect().channel().queue_declare(requester.name)


def test_the_reply_consumer_is_one_of_the_channels(broker: Broker, requester: Requester) -> None:
    channel = requester.channel
    assert channel.consumer_tags == ["replies"]
    with pytest.raises(exceptions.DuplicateConsumerTag):
        channel.basic_consume("q", requester.take, consumer_tag="replies")
    channel.basic_publish("", requester.name, b"r")
    unseen = channel.basic_cancel("replies")
    assert [body for _, _, body in unseen] == [b"r"]
    assert channel.consumer_tags == []
    assert broker.run() == 0


def test_waiting_for_replies_is_consuming(broker: Broker, requester: Requester) -> None:
    requester.channel.connection.call_later(
        1, lambda: requester.channel.basic_publish("", requester.name, b"r")
    )
    requester.channel.connection.call_later(2, requester.channel.stop_consuming)
    requester.channel.start_consuming()
    assert requester.got == [(2, b"r")]


def test_an_empty_queue_name_may_mean_the_pseudo_queue(broker: Broker) -> None:
    channel = broker.connect().channel()
    channel.queue_declare(PSEUDO_QUEUE)
    assert channel.basic_consume("", lambda *args: None, auto_ack=True, consumer_tag="c") == "c"
    with pytest.raises(exceptions.ChannelClosedByBroker, match=f"no queue '{PSEUDO_QUEUE}'"):
        channel.basic_get("")


@pytest.mark.parametrize(("rules", "bodies"), [("rabbitmq-3.10", [b"r", b"r"]), ("rabbitmq-4.0", [b"r"])])
def test_dead_letters_reach_requesters_of_3_10(rules: str, bodies: list[bytes]) -> None:
    broker = Broker(rules=rules)
    requester, server = Requester(broker), broker.connect().channel()
    server.queue_declare("d", arguments={"x-message-ttl": 0, "x-dead-letter-exchange": ""})
    server.basic_publish("", "d", b"r", BasicProperties(headers={"CC": [requester.name]}))
    broker.run()
    assert requester.got == [(2, body) for body in bodies]
