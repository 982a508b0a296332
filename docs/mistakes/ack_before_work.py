"""Mistake: acknowledge first, work afterwards.

A worker that dies in the middle of the work takes the task along: the broker has been told that all is well.
Fix: acknowledge when the work is done.
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


def consume(callback) -> None:
    """Wait for work, one message at a time."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("tasks")
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("tasks", callback)
    channel.start_consuming()


def careless_worker(done: list[bytes]) -> None:
    """Tell the broker first, then work."""

    def callback(ch, method, properties, body):
        ch.basic_ack(method.delivery_tag)
        time.sleep(1)
        done.append(body)

    consume(callback)


def careful_worker(done: list[bytes]) -> None:
    """Work first, then tell the broker."""

    def callback(ch, method, properties, body):
        time.sleep(1)
        done.append(body)
        ch.basic_ack(method.delivery_tag)

    consume(callback)


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    sim.spawn(careless_worker, sim.shared.setdefault("done", []), name="worker")
    sim.spawn(produce)


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    sim.spawn(careful_worker, sim.shared.setdefault("done", []), name="worker")
    sim.spawn(produce)


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    lost = [task for task in TASKS if task not in sim.shared["done"]]
    assert not lost, f"lost: {lost}"


def find(program):
    """The worker is killed at each of its points, and started again."""
    return crash_everywhere(program, check, tasks=["worker"])
