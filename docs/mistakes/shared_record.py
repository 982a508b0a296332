"""Mistake: two workers read and write the same record, each as if it were alone.

Both read 100, both add 10, both write 110. Whether it happens depends on who runs when, so no test that runs
once can tell. Fix: let one consumer at a time have the queue (`x-single-active-consumer`), or let the
database add.
"""

import pika

from mockbroker.sim import Simulation, explore

DEPOSITS = 4


def clerk(account: dict[str, int], arguments: dict[str, object]) -> None:
    """Book deposits as they come."""

    def callback(ch, method, properties, body):
        balance = account["balance"]
        balance += 10
        account["balance"] = balance
        ch.basic_ack(method.delivery_tag)

    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    channel = connection.channel()
    channel.queue_declare("deposits", arguments=arguments)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("deposits", callback)
    channel.start_consuming()


def start(sim: Simulation, arguments: dict[str, object]) -> None:
    """Queue the deposits and start two clerks."""
    account = sim.shared.setdefault("account", {"balance": 0})
    channel = sim.broker.connect().channel()
    channel.queue_declare("deposits", arguments=arguments)
    for _ in range(DEPOSITS):
        channel.basic_publish("", "deposits", b"10")
    for name in ("clerk-1", "clerk-2"):
        sim.spawn(clerk, account, arguments, name=name)


def mistake(sim: Simulation) -> None:
    """Start the programs as they should not be."""
    start(sim, {})


def fix(sim: Simulation) -> None:
    """Start the programs as they should be."""
    start(sim, {"x-single-active-consumer": True})


def check(sim: Simulation) -> None:
    """Look at what is left in the end."""
    assert sim.shared["account"]["balance"] == 10 * DEPOSITS


def find(program, schedules: int = 200):
    """The clerks run in many orders, interrupted at any line of their code."""
    return explore(program, check, schedules=schedules, preempt="lines")
