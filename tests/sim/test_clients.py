"""Client libraries, unmodified."""

# ruff: noqa: T201 - what programs print is what these tests look at

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from mockbroker.sim import Simulation

URL = "amqp://guest:guest@localhost:5672/%2F"


def kombu_worker():
    from kombu import Connection, Exchange, Queue
    from kombu.mixins import ConsumerMixin

    tasks = Queue("tasks", Exchange("tasks"), routing_key="task")

    class Worker(ConsumerMixin):
        def __init__(self, connection):
            self.connection = connection

        def get_consumers(self, Consumer, channel):
            return [Consumer([tasks], callbacks=[self.work], prefetch_count=1)]

        def work(self, body, message):
            print("got", body)
            time.sleep(3)
            message.ack()

    with Connection(URL) as connection:
        try:
            Worker(connection).run()
        except KeyboardInterrupt:
            print("bye")


def kombu_producer():
    from kombu import Connection, Exchange, Queue

    tasks = Queue("tasks", Exchange("tasks"), routing_key="task")
    with Connection(URL) as connection:
        for number in range(3):
            connection.Producer().publish(number, exchange="tasks", routing_key="task", declare=[tasks])
            time.sleep(1)


def test_kombu():
    with Simulation() as sim:
        sim.spawn(kombu_worker, name="K")
        sim.spawn(kombu_producer, name="P")
        sim.run()
        sim.interrupt("K")
        sim.run()
        assert sim.console("K").lines[:3] == [(0.0, "got 0"), (3.0, "got 1"), (6.0, "got 2")]
        assert str(sim.console("K")).endswith("bye\n")


async def aio_pika_worker():
    import aio_pika

    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("tasks")
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    print("got", message.body.decode())
                    await asyncio.sleep(2)


async def aio_pika_producer():
    import aio_pika

    connection = await aio_pika.connect(URL)
    async with connection:
        channel = await connection.channel()
        for number in range(3):
            message = aio_pika.Message(str(number).encode())
            await channel.default_exchange.publish(message, routing_key="tasks")
            await asyncio.sleep(10)


def run_async(main):
    asyncio.run(main())


def test_aio_pika_on_the_stock_event_loop():
    with Simulation() as sim:
        sim.spawn(run_async, aio_pika_worker, name="A")
        sim.spawn(run_async, aio_pika_producer, name="P")
        sim.run()
        assert sim.console("A").lines == [(0.0, "got 0"), (10.0, "got 1"), (20.0, "got 2")]


@pytest.mark.parametrize("end", ["kill", "interrupt", "terminate", None])
def test_an_asyncio_program_can_be_ended_at_its_wait(end):
    with Simulation() as sim:
        worker = sim.spawn(run_async, aio_pika_worker, name="A")
        sim.spawn(run_async, aio_pika_producer, name="P")
        sim.run(until=1)
        if end:
            getattr(sim, end)(worker)
            sim.run()
            assert worker.exit_code == {"kill": -9, "interrupt": 130, "terminate": -15}[end]
    gc.collect()  # whatever the ended program left behind must not complain


def test_asyncio_signal_handlers_are_the_programs_own():
    async def main():
        import signal

        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        print("stopped in good order")

    with Simulation() as sim:
        task = sim.spawn(run_async, main, name="A")
        sim.run(until=2)
        sim.terminate(task)
        sim.run()
        assert (sim.console("A").lines, task.exit_code) == ([(2.0, "stopped in good order")], 0)


def test_asyncio_sleeps_exactly():
    async def main():
        for _ in range(10):
            await asyncio.sleep(0.1)
        print("a second")

    with Simulation() as sim:
        sim.spawn(run_async, main, name="A")
        sim.run()
        assert sim.console("A").lines == [(1.0, "a second")]


def test_a_busy_loop_of_process_data_events_does_not_stop_time():
    def program():
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(URL))
        channel = connection.channel()
        channel.queue_declare("q")
        received = []
        channel.basic_consume("q", lambda *arguments: received.append(arguments[-1]), auto_ack=True)
        while not received:
            connection.process_data_events(time_limit=0)
        print(received)

    with Simulation() as sim:
        sim.spawn(program, name="B")
        sim.run(until=0.02)
        sim.broker.connect().channel().basic_publish("", "q", b"x")
        sim.run(until=0.03)
        assert str(sim.console("B")) == "[b'x']\n"


def select_connection_program():
    import pika

    def on_open(connection):
        connection.channel(on_open_callback=on_channel_open)

    def on_channel_open(channel):
        channel.queue_declare("own", callback=lambda _: on_declared(channel))

    def on_declared(channel):
        channel.basic_consume("own", on_message)
        channel.connection.ioloop.call_later(200, lambda: channel.basic_publish("", "own", b"later"))

    def on_message(channel, method, properties, body):
        print("got", body.decode())
        channel.basic_ack(method.delivery_tag)

    connection = pika.SelectConnection(
        pika.URLParameters(URL),
        on_open_callback=on_open,
        on_close_callback=lambda connection, reason: connection.ioloop.stop(),
    )
    try:
        connection.ioloop.start()
    except KeyboardInterrupt:
        connection.close()
        connection.ioloop.start()
        print("closed")


def test_select_connection_with_a_timer_longer_than_any_poll():
    with Simulation() as sim:
        sim.spawn(select_connection_program, name="S")
        sim.run()
        sim.interrupt("S")
        sim.run()
        assert sim.console("S").lines == [(200.0, "got later"), (200.0, "closed")]


def test_a_polling_consumer_comes_to_rest():
    def program():
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(URL))
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_consume("q", lambda ch, method, properties, body: print(body.decode()), auto_ack=True)
        while True:
            connection.process_data_events(time_limit=1)

    with Simulation() as sim:
        sim.spawn(program, name="C")
        sim.run()
        ended_at_s = sim.now
        sim.broker.connect().channel().basic_publish("", "q", b"still there")
        sim.run()
        assert sim.console("C").lines == [(ended_at_s, "still there")]


def test_a_worker_that_blocks_too_long_loses_its_connection():
    """The broker misses its heartbeats: the classic trap of a blocking client."""

    def program():
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(URL + "?heartbeat=10"))
        time.sleep(60)
        try:
            connection.channel()
        except pika.exceptions.AMQPConnectionError as error:
            print(type(error).__name__)

    with Simulation() as sim:
        sim.spawn(program, name="C")
        sim.run(until=59)
        assert sim.broker.list_connections("pid") == []
        sim.run()
        assert sim.console("C").lines == [(60.0, "StreamLostError")]


def test_thread_safe_callbacks_of_pika():
    def program():
        import threading

        import pika

        connection = pika.BlockingConnection(pika.URLParameters(URL))
        channel = connection.channel()
        channel.queue_declare("q")

        def work(tag):
            time.sleep(5)
            connection.add_callback_threadsafe(lambda: channel.basic_ack(tag))

        def on_message(ch, method, properties, body):
            threading.Thread(target=work, args=(method.delivery_tag,)).start()

        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("q", on_message)
        channel.start_consuming()

    with Simulation() as sim:
        sim.spawn(program, name="C")
        sim.run()
        sender = sim.broker.connect().channel()
        for _ in range(3):
            sender.basic_publish("", "q", b"x")
        sim.run()
        assert sim.now == 15
        assert sim.broker.list_queues("messages") == [{"messages": 0}]
