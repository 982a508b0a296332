"""Mistake: a queue that is not durable, or messages that are not persistent.

An orderly restart of the broker, say for an update at night, forgets both.
Fix: a durable queue *and* persistent messages. Neither is enough.
"""

import pika

from mockbroker.sim import Simulation, crash_everywhere

TASKS = [b"backup", b"report"]


def publish(durable: bool) -> None:
    """Publish and leave."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("nightly", durable=durable)
    channel.confirm_delivery()
    mode = pika.DeliveryMode.Persistent if durable else pika.DeliveryMode.Transient
    for task in TASKS:
        channel.basic_publish("", "nightly", task, pika.BasicProperties(delivery_mode=mode))
    connection.close()


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    sim.spawn(publish, False, name="publisher")


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    sim.spawn(publish, True, name="publisher")


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    counts = {row["name"]: row["messages"] for row in sim.broker.list_queues("name", "messages")}
    assert counts.get("nightly", 0) >= len(TASKS), f"left after the restart: {counts}"


def find(program):
    """The broker is restarted at each point of the publisher, which is started again if it noticed."""
    return crash_everywhere(program, check, tasks=["publisher"], events=["restart"])
