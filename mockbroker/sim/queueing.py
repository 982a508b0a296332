"""The broker against queueing theory: Poisson arrivals, exponential service, `c` workers.

``python -m mockbroker.sim.queueing --csv waits.csv`` writes what to plot: the mean waiting time by load,
measured and in theory.

With a prefetch of 1 a task goes to whoever is free, which is the M/M/c queue: the mean waiting time is Erlang
C's. Without a limit the broker deals tasks out in turns as they come, so each worker has a queue of its own
that gets every c-th arrival: the E_c/M/1 queue, and tasks wait behind busy workers while others are idle.

Source: Kleinrock, "Queueing Systems", volume 1: M/M/m in 3.5, G/M/1 in 6.4.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mockbroker.sim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCHES: Final = 10
"""Waiting times in a row depend on each other, the means of few long batches hardly."""
_STANDARD_ERRORS: Final = 3.25
"""Half the width of the confidence interval: 99 % by Student's t with 9 degrees of freedom."""


class Measurement(NamedTuple):
    """The mean waiting time of a run, in mean service times, and what theory says."""

    workers: int
    load: float
    prefetch_count: int
    mean_wait: float
    half_width: float
    theory: float

    @property
    def agrees(self) -> bool:
        """Whether theory lies inside the confidence interval."""
        return abs(self.mean_wait - self.theory) <= self.half_width


def erlang_c_wait(workers: int, load: float) -> float:
    """Return the mean waiting time in M/M/c, in mean service times. `load` is per worker, below 1."""
    offered = workers * load
    busy = offered**workers / math.factorial(workers) / (1 - load)
    waits = busy / (sum(offered**n / math.factorial(n) for n in range(workers)) + busy)
    return waits / (workers * (1 - load))


def round_robin_wait(workers: int, load: float) -> float:
    """Return the mean waiting time in E_c/M/1, a queue of every c-th arrival, in mean service times."""
    arrival_rate = workers * load
    sigma = load
    for _ in range(
        10_000
    ):  # the fixed point of the transform of the interarrival time; it converges geometrically
        following = (arrival_rate / (arrival_rate + 1 - sigma)) ** workers
        if abs(following - sigma) < 1e-13:
            break
        sigma = following
    return sigma / (1 - sigma)


def _producer(arrival_rate: float, tasks: int) -> None:
    import pika  # noqa: PLC0415 - needed by this example only

    with pika.BlockingConnection(pika.ConnectionParameters("localhost")) as connection:
        channel = connection.channel()
        for _ in range(tasks):
            time.sleep(random.expovariate(arrival_rate))
            channel.basic_publish("", "tasks", repr(time.monotonic()))


def _worker(prefetch_count: int, waits: list[float]) -> None:
    import pika  # noqa: PLC0415 - needed by this example only

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        waits.append(time.monotonic() - float(body))
        time.sleep(random.expovariate(1.0))
        channel.basic_ack(method.delivery_tag)

    connection = pika.BlockingConnection(pika.ConnectionParameters("localhost", heartbeat=0))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=prefetch_count)
    channel.basic_consume("tasks", on_message)
    channel.start_consuming()


def measure(workers: int, load: float, prefetch_count: int, tasks: int = 4000, seed: int = 0) -> Measurement:
    """Run `tasks` tasks of one second in the mean through pika, in virtual time.

    The first tenth is left out: it begins with an empty queue. `prefetch_count` is 1, or 0 for no limit.

    Raises ValueError for a load that no number of workers can bear.
    """
    if not 0 < load < 1:
        raise ValueError(f"load must be between 0 and 1, not {load!r}")
    waits: list[float] = []
    with Simulation(seed) as sim:
        sim.broker.connect().channel().queue_declare("tasks")
        for _ in range(workers):
            sim.spawn(_worker, prefetch_count, waits)
        sim.spawn(_producer, workers * load, tasks)
        sim.run()
    steady = waits[tasks // 10 :]
    size = len(steady) // _BATCHES
    means = [statistics.fmean(steady[start : start + size]) for start in range(0, size * _BATCHES, size)]
    half_width = _STANDARD_ERRORS * statistics.stdev(means) / math.sqrt(_BATCHES)
    theory = erlang_c_wait(workers, load) if prefetch_count else round_robin_wait(workers, load)
    return Measurement(workers, load, prefetch_count, statistics.fmean(means), half_width, theory)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure several loads with and without prefetch; print a table, and write it as CSV on request."""
    parser = argparse.ArgumentParser(prog="python -m mockbroker.sim.queueing", description=__doc__)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.7, 0.8, 0.9])
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", metavar="FILE", help="write the measurements to this file")
    args = parser.parse_args(argv)
    rows = [
        measure(args.workers, load, prefetch_count, args.tasks, args.seed)
        for prefetch_count in (1, 0)
        for load in args.loads
    ]
    sys.stdout.write("workers  load  prefetch  mean wait (measured)  (theory)\n")
    for row in rows:
        sys.stdout.write(
            f"{row.workers:7}  {row.load:4.2f}  {row.prefetch_count or 'none':>8}  "
            f"{row.mean_wait:10.3f} +- {row.half_width:6.3f}  {row.theory:8.3f}\n"
        )
    if args.csv:
        with open(args.csv, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Measurement._fields)
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
