"""What is measured and how: CPU time and resident memory of this process, and the shape of a result."""

from __future__ import annotations

import gc
import os
import resource
from dataclasses import dataclass, field
from time import process_time as cpu_seconds

__all__ = ["Result", "Unsupported", "cpu_seconds", "settled_memory_bytes"]


class Unsupported(Exception):
    """The peer cannot do this workload; the text says why."""


@dataclass
class Result:
    """One run: CPU `seconds` for `operations`, whether what came out is right, what else is worth knowing."""

    seconds: float
    operations: int
    checks: dict[str, bool]
    figures: dict[str, float] = field(default_factory=dict)


def settled_memory_bytes() -> int:
    """Resident memory after a collection; where the system does not tell, the most there has been so far."""
    gc.collect()
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
