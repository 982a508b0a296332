"""Mistake: work that must not be done twice, without a look at whether it was done already.

A worker that dies after the work but before its acknowledgement arrives leaves the task in the queue:
somebody does it again. Fix: note what is done together with doing it, and look there when a message is
redelivered.
"""

import time

import pika

from mockbroker.sim import Simulation, crash_everywhere

ORDERS = {"order-1": 10, "order-2": 20}


def produce() -> None:
    """Queue the work and leave."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("orders")
    for order, amount in ORDERS.items():
        channel.basic_publish("", "orders", str(amount), pika.BasicProperties(message_id=order))
    connection.close()


def consume(callback) -> None:
    """Wait for work, one message at a time."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("orders")
    channel.basic_consume("orders", callback)
    channel.start_consuming()


def hasty_cashier(charges: list[tuple[str, int]]) -> None:
    """Charge whatever comes."""

    def callback(ch, method, properties, body):
        time.sleep(1)
        charges.append((properties.message_id, int(body)))
        time.sleep(1)  # prints the receipt
        ch.basic_ack(method.delivery_tag)

    consume(callback)


def careful_cashier(charges: list[tuple[str, int]]) -> None:
    """Charge what has not been charged."""

    def callback(ch, method, properties, body):
        time.sleep(1)
        is_done = method.redelivered and any(order == properties.message_id for order, _ in charges)
        if not is_done:
            charges.append((properties.message_id, int(body)))
        time.sleep(1)  # prints the receipt
        ch.basic_ack(method.delivery_tag)

    consume(callback)


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    sim.spawn(hasty_cashier, sim.shared.setdefault("charges", []), name="cashier")
    sim.spawn(produce)


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    sim.spawn(careful_cashier, sim.shared.setdefault("charges", []), name="cashier")
    sim.spawn(produce)


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    charges = sorted(sim.shared["charges"])
    assert charges == sorted(ORDERS.items()), f"charged: {charges}"


def find(program):
    """The cashier is killed at each of its points, and started again."""
    return crash_everywhere(program, check, tasks=["cashier"])
