"""The table of cases. A figure to reach is a multiple of the limit's CPU time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import limits, workloads
from benchmarks.measure import Result

HOT_KEYS = 500


@dataclass(frozen=True)
class Case:
    """A workload at a size, its limit, and how many times the limit's CPU time it may take."""

    name: str
    about: str
    size: int
    workload: Callable[..., Result]
    limit: Callable[..., Result]
    reach: float
    options: Mapping[str, Any] = field(default_factory=dict)
    step: int = 1  # sizes are multiples of it
    smallest: int = 1

    def scaled(self, factor: float) -> int:
        """The size that is this share of the full one."""
        return max(self.smallest, self.step, int(self.size * factor) // self.step * self.step)


def topic(name: str, about: str, reach: float, binding_count: int, distinct_keys: int | None) -> Case:
    options = {"binding_count": binding_count, "distinct_keys": distinct_keys}
    return Case(name, about, 20_000, workloads.topic, limits.topic, reach, options)


CASES = [
    Case("W1", "hello: publish, consume, auto-ack", 100_000, workloads.hello, limits.hello, 2.5),
    Case("W2", "10 workers, prefetch 1, ack each", 50_000, workloads.work_queue, limits.work_queue, 2.5),
    Case("W3", "prefetch 100, ack 50 at once", 100_000, workloads.window, limits.window, 2.0),
    Case(
        "W4",
        "redelivery of 100 unacked",
        10_000,
        workloads.redelivery,
        limits.redelivery,
        2.5,
        step=workloads.PREFETCH,
    ),
    topic("W5-1k-hot", "topic, 1k bindings, known keys", 1.5, 1_000, HOT_KEYS),
    topic("W5-10k-hot", "topic, 10k bindings, known keys", 1.5, 10_000, HOT_KEYS),
    topic("W5-1k-cold", "topic, 1k bindings, new keys", 1.1, 1_000, None),
    topic("W5-10k-cold", "topic, 10k bindings, new keys", 1.1, 10_000, None),
    Case("W6", "fanout to 1,000 queues", 200, workloads.fanout, limits.fanout, 2.2),
    Case(
        "W7",
        "fill and drain 1M",
        1_000_000,
        workloads.depth,
        limits.depth,
        2.5,
        smallest=2 * workloads.SHALLOW,
    ),
    Case("W8", "declare and bind a queue", 50_000, workloads.queues, limits.queues, 2.0, smallest=2),
    Case("W9", "TTL per message (limit: a heap)", 200_000, workloads.expiry, limits.expiry, 0.35),
    Case(
        "W10",
        "requeue storm, order restored",
        100_000,
        workloads.requeue_storm,
        limits.requeue_storm,
        1.75,
    ),
]


def chosen(names: str | None) -> list[Case]:
    """The cases of a comma-separated list; ``W5`` means all four of its kind, None means all cases.

    Raises ValueError, which names what is unknown.
    """
    if names is None:
        return CASES
    wanted = names.split(",")
    for name in wanted:
        if not any(name in {case.name, case.name.partition("-")[0]} for case in CASES):
            raise ValueError(f"no such case: {name}; there are {', '.join(case.name for case in CASES)}")
    return [case for case in CASES if case.name in wanted or case.name.partition("-")[0] in wanted]
