"""Ten runs, one trace: byte for byte, whatever the hashes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mockbroker.sim import Choices, Simulation

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[2]

PRINT_TRACE = """
import sys
from tests.sim.test_determinism import trace_of_work_queue
sys.stdout.write(trace_of_work_queue(sys.argv[1], int(sys.argv[2])))
"""


def trace_of_work_queue(schedule, seed):
    """Run three workers, killing one; return the log and the broker's events."""
    with Simulation(seed, schedule) as sim:
        for number in range(3):
            sim.spawn_script(PROGRAMS / "worker.py", name=f"C{number}")
        for number in range(4):
            sim.spawn_script(PROGRAMS / "new_task.py", [f"Task {number}" + "." * number], name=f"P{number}")
        sim.run(until=2)
        sim.kill("C0")
        sim.broker.restart()
        sim.run()
        # Without what is printed: that has tracebacks, whose form depends on Python's version.
        log = [str(entry) for entry in sim.log if not entry.printed]
        return "\n".join([*log, *sim.trace.json_lines(), ""])


@pytest.mark.parametrize("schedule", ["fifo", "random", "priority"])
def test_ten_runs_one_trace(schedule):
    assert len({trace_of_work_queue(schedule, 7) for _ in range(10)}) == 1


def test_the_seed_changes_what_is_drawn():
    assert trace_of_work_queue("fifo", 1) != trace_of_work_queue("fifo", 2)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_hashes_do_not_matter(hash_seed):
    output = subprocess.run(
        [sys.executable, "-c", PRINT_TRACE, "random", "3"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output == trace_of_work_queue("random", 3)


def test_the_choices_of_a_run_repeat_it():
    order = []

    def worker(name):
        for _ in range(5):
            time.sleep(1)
            order.append(name)

    def run(**arguments):
        order.clear()
        with Simulation(**arguments) as sim:
            for name in "abc":
                sim.spawn(worker, name, name=name)
            sim.run()
            return tuple(order), sim.replay

    first, replay = run(seed=5, schedule="random")
    assert first != run()[0]
    arguments = eval(replay, {"Simulation": dict, "Choices": Choices})
    assert run(**arguments) == (first, replay)
