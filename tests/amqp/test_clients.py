"""Real clients, unmodified: they get a URL and nothing else."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import aio_pika
import kombu
import pika
import pika.exceptions
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from faststream.rabbit import RabbitBroker

from mockbroker import Broker

PATIENCE_S = 10


@pytest.fixture
def connection(endpoint):
    connection = pika.BlockingConnection(pika.URLParameters(endpoint.url))
    yield connection
    if connection.is_open:
        connection.close()


class TestPika:
    def test_hello(self, connection):
        channel = connection.channel()
        channel.queue_declare("hello")
        channel.basic_publish("", "hello", b"Hello World!")
        for method, properties, body in channel.consume("hello", inactivity_timeout=PATIENCE_S):
            assert (method.routing_key, properties.headers, body) == ("hello", None, b"Hello World!")
            channel.basic_ack(method.delivery_tag)
            break
        channel.cancel()
        assert channel.queue_declare("hello", passive=True).method.message_count == 0

    def test_confirms_returns_and_nacks(self, connection):
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(
            "full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        channel.basic_publish("", "full", b"1", pika.BasicProperties(delivery_mode=2), mandatory=True)
        with pytest.raises(pika.exceptions.NackError):
            channel.basic_publish("", "full", b"2")
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere", b"3", mandatory=True)

    def test_an_error_closes_the_channel_and_its_number_comes_back(self, connection):
        channel = connection.channel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
            channel.queue_declare("missing", passive=True)
        assert (caught.value.reply_code, caught.value.reply_text) == (
            404,
            "NOT_FOUND - no queue 'missing' in vhost '/'",
        )
        again = connection.channel()
        assert again.channel_number == channel.channel_number
        again.queue_declare("q")

    def test_properties_and_table_values_survive(self, connection):
        channel = connection.channel()
        channel.queue_declare("q")
        headers = {"int": 1, "big": 2**40, "text": "é", "list": [1, "a", None], "table": {"b": True}}
        sent = pika.BasicProperties(
            content_type="text/plain", headers=headers, priority=4, timestamp=5, type="t"
        )
        channel.basic_publish("", "q", b"x" * 300_000, sent)
        _, received, body = channel.basic_get("q", auto_ack=True)
        assert received == sent
        assert len(body) == 300_000

    # pika forgets the wake-up sockets of a connection that fails: they are collected here, not elsewhere.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_wrong_password_and_unknown_vhost(self, endpoint):
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(pika.URLParameters(endpoint.url.replace(":guest@", ":wrong@")))
        with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match="vhost nope not found"):
            pika.BlockingConnection(pika.URLParameters(endpoint.url.replace("%2F", "nope")))
        gc.collect()

    def test_cancelled_consumer_is_told(self, connection):
        channel = connection.channel()
        channel.queue_declare("q")
        cancelled = []
        channel.add_on_cancel_callback(cancelled.append)
        channel.basic_consume("q", print)
        connection.channel().queue_delete("q")
        connection.process_data_events(0.1)
        assert len(cancelled) == 1

    def test_heartbeats_keep_an_idle_connection_and_a_silent_client_is_dropped(self, endpoint, broker):
        parameters = pika.URLParameters(endpoint.url)
        parameters.heartbeat = 1
        connection = pika.BlockingConnection(parameters)
        connection.sleep(2.2)
        assert connection.is_open
        deadline = time.monotonic() + PATIENCE_S
        while broker.list_connections() and time.monotonic() < deadline:
            time.sleep(0.05)  # the client sends nothing: nobody serves it
        assert broker.list_connections() == []
        with pytest.raises(pika.exceptions.AMQPError):
            connection.process_data_events(1)

    def test_select_connection(self, endpoint):
        got = []

        def on_open(connection):
            connection.channel(on_open_callback=on_channel)

        def on_channel(channel):
            channel.queue_declare("q", callback=lambda _: consume(channel))

        def consume(channel):
            channel.basic_consume("q", on_message)
            channel.basic_publish("", "q", b"hi")

        def on_message(channel, method, properties, body):
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            channel.connection.close()

        connection = pika.SelectConnection(
            pika.URLParameters(endpoint.url),
            on_open_callback=on_open,
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )
        connection.ioloop.start()
        connection.ioloop.close()
        assert got == [b"hi"]


def test_aio_pika(endpoint):
    async def program():
        connection = await aio_pika.connect_robust(endpoint.url)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=2)
            exchange = await channel.declare_exchange("logs", aio_pika.ExchangeType.TOPIC)
            queue = await channel.declare_queue("q", durable=True)
            await queue.bind(exchange, "kern.*")
            await exchange.publish(aio_pika.Message(b"one", headers={"n": 1}), "kern.info")
            async with queue.iterator(timeout=PATIENCE_S) as messages:
                async for message in messages:
                    async with message.process():
                        return message.body, message.headers, message.routing_key
        return None

    assert asyncio.run(program()) == (b"one", {"n": 1}, "kern.info")


def test_kombu(endpoint):
    with kombu.Connection(endpoint.url) as connection:
        queue = connection.SimpleQueue("simple")
        queue.put({"hello": "world"})
        message = queue.get(timeout=PATIENCE_S)
        assert message.payload == {"hello": "world"}
        message.ack()
        queue.close()


def test_celery_with_retries_and_late_acks(endpoint, broker):
    app = Celery("tasks", broker=endpoint.url, backend="cache+memory://")
    # Heartbeats wake the worker's loop, which would sleep for ten seconds before it sees that it is to stop.
    app.conf.update(task_acks_late=True, worker_enable_remote_control=False, broker_heartbeat=1)
    attempts = []

    @app.task(name="add_with_retries", bind=True, default_retry_delay=0)
    def add(self, a, b):
        attempts.append(self.request.retries)
        if self.request.retries < 1:
            raise self.retry(countdown=0)
        return a + b

    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        assert add.delay(2, 3).get(timeout=PATIENCE_S) == 5
    assert attempts == [0, 1]
    assert broker.list_queues("name", "messages") == [{"name": "celery", "messages": 0}]


def test_faststream(endpoint):
    async def program():
        broker = RabbitBroker(endpoint.url)
        got = asyncio.get_running_loop().create_future()

        @broker.subscriber("orders")
        async def handle(body: str) -> None:
            got.set_result(body)

        async with broker:
            await broker.start()
            await broker.publish("one", "orders")
            return await asyncio.wait_for(got, PATIENCE_S)

    assert asyncio.run(program()) == "one"


class TestTheNativeApiBesideAnEndpoint:
    def test_both_meet_in_one_broker(self, connection, broker):
        native = broker.connect().channel()
        native.queue_declare("q")
        got = []
        native.basic_consume("q", lambda ch, method, properties, body: got.append(body), auto_ack=True)
        channel = connection.channel()
        channel.basic_publish("", "q", b"from pika")
        channel.queue_declare("q")
        assert broker.run() == 1
        assert got == [b"from pika"]

    def test_virtual_time_moves_only_when_it_is_told_to(self):
        broker = Broker()
        with broker.listen() as endpoint:
            connection = pika.BlockingConnection(pika.URLParameters(endpoint.url))
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 60_000})
            channel.basic_publish("", "q", b"m", pika.BasicProperties(delivery_mode=2))
            assert broker.clock.now == 0
            broker.clock.advance(59)
            assert channel.queue_declare("q", passive=True).method.message_count == 1
            broker.clock.advance(1)
            assert channel.queue_declare("q", passive=True).method.message_count == 0
            connection.close()

    def test_a_restart_tells_the_clients(self, connection, broker):
        connection.channel().queue_declare("q", durable=True)
        broker.restart()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            connection.process_data_events(PATIENCE_S)
        assert caught.value.reply_code == 320
        assert broker.list_queues("name") == [{"name": "q"}]

    def test_a_crash_cuts_the_link(self, connection, broker):
        broker.crash()
        with pytest.raises(pika.exceptions.StreamLostError):
            connection.process_data_events(PATIENCE_S)

    def test_threads_of_clients_and_the_test_share_one_broker(self, endpoint, broker):
        def work(number):
            connection = pika.BlockingConnection(pika.URLParameters(endpoint.url))
            channel = connection.channel()
            for i in range(50):
                channel.basic_publish("", "q", b"%d-%d" % (number, i))
            connection.close()

        native = broker.connect().channel()
        native.queue_declare("q")
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for i in range(50):
            native.basic_publish("", "q", b"native-%d" % i)
        for thread in threads:
            thread.join()
        bodies = [native.basic_get("q", auto_ack=True)[2] for _ in range(250)]
        for number in range(4):
            mine = [body for body in bodies if body.startswith(b"%d-" % number)]
            assert mine == [b"%d-%d" % (number, i) for i in range(50)]
