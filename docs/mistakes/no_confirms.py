"""Mistake: to believe that a published message is safe.

Durable queue, persistent messages, and yet: what the broker has not written to its disk is gone after a
power cut, and the publisher has left long ago.
Fix: publisher confirms. The publisher goes on when the broker has answered for each message, and tries again
when it fails.
"""

import pika

from mockbroker.sim import Simulation, crash_everywhere

INVOICES = [b"invoice-1", b"invoice-2", b"invoice-3"]


def publish(confirms: bool) -> None:
    """Publish and leave."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("invoices", durable=True)
    if confirms:
        channel.confirm_delivery()
    for invoice in INVOICES:
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
        channel.basic_publish("", "invoices", invoice, properties)
    connection.close()


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    sim.spawn(publish, False, name="publisher")


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    sim.spawn(publish, True, name="publisher")


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    channel = sim.broker.connect().channel()
    channel.queue_declare("invoices", durable=True)
    kept = []
    while (found := channel.basic_get("invoices", auto_ack=True))[0] is not None:
        kept.append(found[2])
    lost = [invoice for invoice in INVOICES if invoice not in kept]
    assert not lost, f"lost: {lost}"


def find(program):
    """The broker's power is cut at each point of the publisher, which is started again if it noticed."""
    return crash_everywhere(program, check, tasks=["publisher"], events=["crash"])
