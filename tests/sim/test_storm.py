"""Programs of every kind, and all that can happen to them, at random: runs repeat, the broker stays whole."""

from __future__ import annotations

import random

import pytest

from mockbroker.sim import Simulation
from tests.sim.test_clients import (
    aio_pika_producer,
    aio_pika_worker,
    kombu_producer,
    kombu_worker,
    run_async,
    select_connection_program,
)
from tests.sim.test_recovery import patient_worker, robust_worker

PROGRAMS = [
    (kombu_worker,),
    (kombu_producer,),
    (run_async, aio_pika_worker),
    (run_async, aio_pika_producer),
    (run_async, robust_worker),
    (select_connection_program,),
    (patient_worker,),
]
EVENTS = ["kill", "terminate", "interrupt", "freeze", "thaw", "cut", "crash", "restart", "respawn"]


def happen(sim, event, name, choose):
    if event in ("crash", "restart"):
        if sim.broker.node.is_running:
            getattr(sim.broker, event)(choose([0, 2.5]))
    elif event == "cut":
        sim.cut(name, choose([None, "in", "out", "both"]))
    elif event == "respawn":
        if next(task for task in sim.latest_tasks if task.name == name).dead:
            sim.respawn(name)
    else:
        getattr(sim, event)(name)


def storm(seed):
    dice = random.Random(seed)
    with Simulation(seed, dice.choice(["fifo", "random", "priority"])) as sim:
        for number in range(dice.randint(2, 5)):
            sim.spawn(*dice.choice(PROGRAMS), name=f"T{number}")
        for _ in range(dice.randint(1, 6)):
            sim.run(until=sim.now + dice.random() * 5)
            happen(
                sim, dice.choice(EVENTS), dice.choice([task.name for task in sim.latest_tasks]), dice.choice
            )
            sim.broker.check()
        sim.run(until=sim.now + 60)
        sim.broker.check()
        return "\n".join(sim.trace.json_lines())


@pytest.mark.parametrize("seed", range(10))
def test_a_storm_repeats_byte_for_byte(seed):
    assert storm(seed) == storm(seed)
