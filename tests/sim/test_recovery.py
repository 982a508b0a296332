"""Programs that come back after the broker was away, or their link."""

# ruff: noqa: T201 - what programs print is what these tests look at

from __future__ import annotations

import asyncio
import time

import pytest

from mockbroker import BasicProperties
from mockbroker.sim import Simulation

URL = "amqp://guest:guest@localhost:5672/%2F"


PRINTED = ("connected", "consuming", "task", "StreamLostError", "ConnectionClosedByBroker")


def printed(sim, name):
    """What a program printed itself, without what its client library logs."""
    return [(time_s, line) for time_s, line in sim.console(name).lines if line.split(" ")[0] in PRINTED]


def patient_worker():
    import pika

    parameters = pika.ConnectionParameters("localhost", connection_attempts=10, retry_delay=2)
    while True:
        try:
            channel = pika.BlockingConnection(parameters).channel()
            channel.queue_declare("tasks", durable=True)
            print("connected")
            channel.basic_consume("tasks", work)
            channel.start_consuming()
        except pika.exceptions.AMQPConnectionError as error:
            print(type(error).__name__)


def work(channel, method, properties, body):
    print(body.decode(), "again" if method.redelivered else "")
    time.sleep(5)
    channel.basic_ack(method.delivery_tag)


@pytest.mark.parametrize(
    ("event", "error"), [("restart", "ConnectionClosedByBroker"), ("crash", "StreamLostError")]
)
def test_a_patient_worker_comes_back_when_the_broker_does(event, error):
    with Simulation() as sim:
        sim.spawn(patient_worker, name="W")
        sim.run()
        sender = sim.broker.connect().channel()
        sender.confirm_delivery()
        sender.basic_publish("", "tasks", b"task", BasicProperties(delivery_mode=2))
        sim.run(until=3)
        getattr(sim.broker, event)(downtime=7)
        sim.run()
        lines = printed(sim, "W")
        assert lines[:2] == [(0.0, "connected"), (0.0, "task ")]
        # It notices after its task, at 5 s, and tries every 2 s; the broker is back at 10 s.
        assert lines[2:] == [(5.0, error), (11.0, "connected"), (11.0, "task again")]
        assert sim.now == 16.0
        assert sim.broker.list_queues("messages") == [{"messages": 0}]


def test_a_downtime_is_checked_and_the_broker_goes_down_once():
    with Simulation() as sim:
        with pytest.raises(ValueError, match="downtime must not be negative"):
            sim.broker.restart(downtime=-1)
        sim.broker.restart(downtime=5)
        with pytest.raises(ValueError, match="down already"):
            sim.broker.crash()
        sim.run()
        assert sim.broker.node.is_running


async def robust_worker():
    import aio_pika

    connection = await aio_pika.connect_robust(URL, reconnect_interval=2)
    channel = await connection.channel()
    queue = await channel.declare_queue("tasks", durable=True)

    async def on_message(message):
        async with message.process():
            print(message.body.decode())

    await queue.consume(on_message)
    print("consuming")
    await asyncio.Future()


def run_async(main):
    asyncio.run(main())


def test_a_robust_connection_comes_back():
    with Simulation() as sim:
        sim.spawn(run_async, robust_worker, name="W")
        sim.run()
        sim.broker.restart(downtime=7)
        sim.run(until=20)
        sim.broker.connect().channel().basic_publish("", "tasks", b"task")
        sim.run(until=21)
        assert printed(sim, "W") == [(0.0, "consuming"), (20.0, "task")]


def test_a_cut_link_is_noticed_by_a_program_that_waits():
    with Simulation() as sim:
        sim.spawn(patient_worker, name="W")
        sim.run(until=3)
        sim.cut("W")
        sim.run()
        assert [line for _, line in printed(sim, "W")] == ["connected", "StreamLostError", "connected"]
