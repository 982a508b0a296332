"""Mistake: automatic acknowledgement of work that matters.

With `auto_ack=True` the broker forgets a task when it has sent it; what a worker holds when it dies is gone,
all of it. Fix: acknowledge by hand, when the work is done.
"""

import time

import pika

from mockbroker.sim import Simulation, crash_everywhere

TASKS = [b"resize", b"rotate", b"crop"]


def produce() -> None:
    """Queue the work and leave."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("tasks")
    for task in TASKS:
        channel.basic_publish("", "tasks", task)
    connection.close()


def worker(done: list[bytes], auto_ack: bool) -> None:
    """Work on what comes."""

    def callback(ch, method, properties, body):
        time.sleep(1)
        done.append(body)
        if not auto_ack:
            ch.basic_ack(method.delivery_tag)

    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("tasks")
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("tasks", callback, auto_ack=auto_ack)
    channel.start_consuming()


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    sim.spawn(worker, sim.shared.setdefault("done", []), True, name="worker")
    sim.spawn(produce)


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    sim.spawn(worker, sim.shared.setdefault("done", []), False, name="worker")
    sim.spawn(produce)


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    lost = [task for task in TASKS if task not in sim.shared["done"]]
    assert not lost, f"lost: {lost}"


def find(program):
    """The worker is killed at each of its points, and started again."""
    return crash_everywhere(program, check, tasks=["worker"])
