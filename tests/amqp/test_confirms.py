"""Publisher confirms on the wire: how many basic.ack say them, and what they never overtake. No sockets."""

from __future__ import annotations

import pytest

from tests.amqp.raw_client import message, method
from tests.amqp.test_session import opened

PERSISTENT = {"delivery_mode": 2}


def publish(properties=None, number=1, **fields):
    return message(number, {"routing_key": "q"} | fields, properties or {}, b"x")


def answers(client, data):
    client.say(data)
    return told(client)


def told(client):
    """What the client has heard by now: the names, and of confirms what they say."""
    heard = [
        (event["ev"], event["delivery_tag"], event["multiple"])
        if event["ev"] == "basic.ack"
        else (event["ev"],)
        for _, event in client.parser.events
    ]
    client.parser.events.clear()
    return heard


@pytest.fixture
def client():
    client = opened()
    client.say(method(1, "queue.declare", queue="q", durable=True) + method(1, "confirm.select"))
    client.heard()
    yield client
    client.node.check()


def test_one_ack_speaks_for_all_of_one_input(client):
    assert answers(client, publish() * 5) == [("basic.ack", 5, True)]
    assert answers(client, publish(PERSISTENT) * 3) == [("basic.ack", 8, True)]


def test_a_message_on_its_own_is_confirmed_on_its_own(client):
    assert answers(client, publish()) == [("basic.ack", 1, False)]
    assert answers(client, publish(PERSISTENT)) == [("basic.ack", 2, False)]


def test_the_disk_and_the_memory_are_told_in_one(client):
    assert answers(client, publish(PERSISTENT) * 2 + publish() * 2) == [("basic.ack", 4, True)]
    assert answers(client, publish() + publish(PERSISTENT)) == [("basic.ack", 6, True)]


def test_what_waits_for_the_disk_is_not_spoken_for(client):
    question = method(1, "basic.qos")
    assert answers(client, publish(PERSISTENT) + publish() * 2 + question) == [
        ("basic.ack", 2, False),
        ("basic.ack", 3, False),
        ("basic.qos-ok",),
        ("basic.ack", 1, False),
    ]


def test_a_return_keeps_its_place(client):
    nowhere = publish(routing_key="nowhere", mandatory=True)
    assert answers(client, publish() * 2 + nowhere + publish()) == [
        ("basic.ack", 2, True),
        ("basic.return",),
        ("basic.ack", 4, True),
    ]


def test_a_nack_keeps_its_place(client):
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    client.say(method(1, "queue.declare", queue="full", arguments=full))
    client.heard()
    assert answers(client, publish(routing_key="full") * 3 + publish() * 2) == [
        ("basic.ack", 1, False),
        ("basic.nack",),
        ("basic.nack",),
        ("basic.ack", 5, True),
    ]


@pytest.mark.parametrize("no_ack", [False, True])
def test_a_delivery_keeps_its_place(client, no_ack):
    client.say(method(1, "basic.consume", queue="q", no_ack=no_ack))
    client.heard()
    assert answers(client, publish() + publish(routing_key="nowhere") + publish()) == [
        ("basic.deliver",),
        ("basic.ack", 2, True),
        ("basic.deliver",),
        ("basic.ack", 3, False),
    ]


def test_each_channel_has_its_own(client):
    client.say(method(2, "channel.open") + method(2, "confirm.select"))
    client.heard()
    client.say(publish() * 2 + publish(number=2) * 2 + publish())
    acks = [(number, event["delivery_tag"], event["multiple"]) for number, event in client.parser.events]
    assert acks == [(1, 2, True), (2, 2, True), (1, 3, False)]


def test_they_come_before_the_end_of_their_channel(client):
    assert answers(client, publish() * 2 + publish(exchange="missing")) == [
        ("basic.ack", 2, True),
        ("channel.close",),
    ]


def test_they_come_before_a_hang_up(client):
    assert answers(client, publish() * 2 + method(0, "connection.close")) == [
        ("basic.ack", 2, True),
        ("connection.close-ok",),
    ]
    assert client.is_hung_up


def test_those_that_no_input_brings_are_told_at_once(client):
    client.node.set_alarm("memory")
    assert answers(client, publish() * 2 + publish(PERSISTENT) * 2) == [("connection.blocked",)]
    client.node.clear_alarm("memory")
    assert told(client) == [
        ("connection.unblocked",),
        ("basic.ack", 1, False),
        ("basic.ack", 2, False),
    ]
    client.clock.advance(1)
    assert told(client) == [("basic.ack", 4, True)]
