"""Runs cases against peers and compares: every (case, peer, repetition) is a process of its own.

Inside a repetition the limit and the peers run one after the other, and the ratio is taken there, between
neighbours, so that a machine that slows down in between does little harm. What is shown is the median.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import Case
from benchmarks.single import LIMIT

ROOT = Path(__file__).resolve().parent.parent

Run = dict[str, Any]


@dataclass
class Row:
    """What a peer did in a case. `times_limit` is the CPU time of an operation against the limit's."""

    case: str
    peer: str
    size: int = 0
    per_second: float = 0.0
    times_limit: float = 0.0
    reach: float = 0.0
    failed_checks: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""  # why there is no result
    is_error: bool = False

    def __str__(self) -> str:
        if self.reason:
            return f"{self.case:12} {self.peer:13} {'ERROR ' if self.is_error else 'not run: '}{self.reason}"
        goal = "" if self.peer != "mockbroker" else f"{self.reach:.2f}"
        failed = f"  FAILS {', '.join(self.failed_checks)}" if self.failed_checks else ""
        figures = "".join(f"  {name} {value:,.2f}" for name, value in self.figures.items())
        return (
            f"{self.case:12} {self.peer:13} {self.size:>9,} {self.per_second:>13,.0f} "
            f"{self.times_limit:>9.2f} {goal:>6}{failed}{figures}"
        )


HEADING = f"{'case':12} {'peer':13} {'size':>9} {'per second':>13} {'x limit':>9} {'reach':>6}"


def run_alone(case: Case, peer: str, factor: float, timeout_s: float) -> Run:
    command = [sys.executable, "-m", "benchmarks.single", case.name, peer, str(factor)]
    try:
        process = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"more than {timeout_s:.0f} s"}
    if process.returncode:
        sys.stderr.write(process.stderr)
        last_words = process.stderr.strip().rpartition("\n")[2]
        return {"error": f"exit status {process.returncode}: {last_words}"}
    outcome: Run = json.loads(process.stdout.splitlines()[-1])
    return outcome


def seconds_each(run: Run) -> float:
    return float(run["seconds"] / run["operations"])


def row_of(case: Case, peer: str, runs: Sequence[Run], limit_runs: Sequence[Run]) -> Row:
    for run in runs:
        reason = run.get("error") or run.get("unsupported")
        if reason:
            return Row(case.name, peer, reason=reason, is_error="error" in run)
    ratios = [
        seconds_each(run) / seconds_each(limit)
        for run, limit in zip(runs, limit_runs, strict=True)
        if "seconds" in limit
    ]
    return Row(
        case.name,
        peer,
        size=runs[0]["size"],
        per_second=median(1 / seconds_each(run) for run in runs),
        times_limit=median(ratios) if ratios else float("nan"),
        reach=case.reach,
        failed_checks=[name for name in runs[0]["checks"] if not all(run["checks"][name] for run in runs)],
        figures={name: median(run["figures"][name] for run in runs) for name in runs[0]["figures"]},
    )


def compare(
    cases: Sequence[Case], peers: Sequence[str], *, repetitions: int, factor: float, timeout_s: float
) -> Iterator[Row]:
    """The rows of the table, a case after the other, the limit's first."""
    for case in cases:
        runs: dict[str, list[Run]] = {LIMIT: [], **{peer: [] for peer in peers}}
        for _ in range(repetitions):
            for peer, done in runs.items():
                if all("seconds" in run for run in done):  # who could not do it once is not asked again
                    done.append(run_alone(case, peer, factor, timeout_s))
        for peer, done in runs.items():
            yield row_of(case, peer, done, runs[LIMIT])


def is_right(row: Row) -> bool:
    """Whether the row shows no fault of ours. A peer's wrong results are its own, and are shown."""
    return row.peer not in {LIMIT, "mockbroker"} or not (row.failed_checks or row.reason)
