"""pika's name for the native connection, and what code that imports pika gets."""

from __future__ import annotations

from typing import Any

import pika
import pytest
from pika import BlockingConnection
from pika.adapters import blocking_connection

from mockbroker import Broker
from mockbroker.pika import patch

ORIGINAL = BlockingConnection


def send(body: bytes) -> None:
    """Code under test: it knows only pika."""
    connection = pika.BlockingConnection(pika.ConnectionParameters(host="rabbit.example", heartbeat=30))
    channel = connection.channel()
    channel.queue_declare(queue="hello")
    channel.basic_publish(
        exchange="", routing_key="hello", body=body, properties=pika.BasicProperties(priority=1)
    )
    connection.close()


def test_code_that_imports_pika_meets_the_broker() -> None:
    with patch() as broker:
        send(b"one")
    (message,) = broker.queue("hello").ready
    assert (message.body, message.properties.priority) == (b"one", 1)


def test_a_name_that_was_imported_before_is_exchanged_too() -> None:
    with patch() as broker:
        connection = BlockingConnection()
        assert isinstance(connection, BlockingConnection)
        assert blocking_connection.BlockingConnection is BlockingConnection is pika.BlockingConnection
        assert len(broker.list_connections()) == 1
    assert BlockingConnection is pika.BlockingConnection is ORIGINAL


def test_everything_is_put_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), patch():
        raise RuntimeError
    assert BlockingConnection is blocking_connection.BlockingConnection is ORIGINAL


def test_as_a_decorator() -> None:
    broker = Broker()

    @patch(broker)
    def program(body: bytes) -> str:
        send(body)
        return "done"

    assert [program(b"one"), program(b"two")] == ["done", "done"]
    assert [message.body for message in broker.queue("hello").ready] == [b"one", b"two"]


def test_patches_nest() -> None:
    with patch() as outer:
        with patch() as inner:
            send(b"inner")
        send(b"outer")
    assert [inner.queue("hello").ready[0].body, outer.queue("hello").ready[0].body] == [b"inner", b"outer"]


def test_user_and_virtual_host_count() -> None:
    broker = Broker()
    broker.add_vhost("shop")
    broker.add_user("anna", "secret")
    broker.set_permissions("anna", vhost="shop")
    with patch(broker):
        BlockingConnection(pika.URLParameters("amqp://anna:secret@anywhere/shop"))
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            BlockingConnection(pika.URLParameters("amqp://anna:wrong@anywhere/shop"))
        with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
            BlockingConnection(pika.URLParameters("amqp://anna:secret@anywhere/other"))
    assert broker.list_connections("user", "vhost") == [{"user": "anna", "vhost": "shop"}]


def test_several_parameters_are_alternatives() -> None:
    with patch() as broker:
        connection = BlockingConnection([pika.ConnectionParameters("one"), pika.ConnectionParameters("two")])
        assert connection.is_open
    assert len(broker.list_connections()) == 1


def test_a_broker_that_is_down_is_pikas_error() -> None:
    with patch() as broker:
        broker.node.stop()
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            BlockingConnection()


@pytest.mark.parametrize("parameters", ["amqp://localhost", 7, [], {}])
def test_mistakes_are_named(parameters: Any) -> None:
    with patch(), pytest.raises(TypeError, match="parameters must be pika's"):
        BlockingConnection(parameters)


def test_consuming_goes_on_in_virtual_time() -> None:
    seen: list[bytes] = []

    def stop_after_one(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        seen.append(body)
        channel.basic_ack(method.delivery_tag)
        channel.stop_consuming()

    with patch() as broker:
        send(b"one")
        channel = BlockingConnection().channel()
        channel.basic_consume("hello", stop_after_one)
        channel.start_consuming()
        channel.connection.sleep(3600)
        assert broker.clock.now == 3600
    assert seen == [b"one"]
