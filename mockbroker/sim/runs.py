"""One run of a program under test, and many of them on several processors.

Owns: what a run is told and what it answers, both as plain values that can be sent between processes. Refuses
to know: which runs are worth making (``explore.py``, ``crashes.py``).
"""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mockbroker.sim.errors import SimulationError
from mockbroker.sim.patches import PATCHES
from mockbroker.sim.simulation import Simulation

if TYPE_CHECKING:
    from mockbroker.sim.schedules import Schedule

Program = Callable[[Simulation], object]
"""Spawns the tasks, and may run the simulation; if it does not, it is run to its end."""
Check = Callable[[Simulation], object]
"""Looks at the end: raises AssertionError or answers False when something is wrong."""

_CHUNK: Final = 16  # runs sent to a process at a time: enough to hide the sending, few enough to stop soon
_PROGRESS_AFTER_S: Final = 2.0
_monotonic = time.monotonic  # the real one, bound before anything is patched

_NOT_IMPORTABLE: Final = (
    "with jobs, program and check must be functions that another process can import by name: {}"
)

_Case = TypeVar("_Case")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended wrong: `where` says which, `error` what was found, `replay` repeats it."""

    where: str
    error: str
    replay: str
    trace: str

    def __str__(self) -> str:
        return f"{self.where}\n{self.error.rstrip()}\nto repeat it: {self.replay}\n{self.trace}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """What an exploration found. True when no run failed; `str()` tells all of it."""

    tried: int
    """How many runs were made: schedules, or points at which something was ended."""
    what: str
    failures: tuple[Failure, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether no run failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        head = f"{self.tried} {self.what} tried, {len(self.failures) or 'none'} failed"
        return "\n\n".join([head, *map(str, self.failures)])


@dataclass(frozen=True, slots=True)
class Options:
    """How to make the simulation of each run."""

    seed: int = 0
    until: float | None = None
    preempt: Any = None
    arguments: tuple[tuple[str, Any], ...] = ()

    def simulation(self, schedule: str | Schedule) -> Simulation:
        """Return a new simulation that follows `schedule`."""
        return Simulation(self.seed, schedule, preempt=self.preempt, **dict(self.arguments))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run; `error` is empty when all is well."""

    error: str
    replay: str = ""
    trace: str = ""
    choices: tuple[tuple[int, int], ...] = ()


def run_program(sim: Simulation, program: Program, until: float | None) -> None:
    """Let `program` set up and run; run on to the end if it has not."""
    program(sim)
    if not sim.has_run:
        sim.run(until)


def judge(sim: Simulation, act: Callable[[], object], check: Check) -> Outcome:
    """Do what the run is about, then check; whatever is raised is the run's failure."""
    try:
        act()
        verdict = check(sim)
        error = "the check answered False" if verdict is False else ""
    except Exception as problem:
        error = _shown(problem)
    return Outcome(
        error, sim.replay if error else "", sim.story() if error else "", sim.choices if error else ()
    )


def _shown(problem: Exception) -> str:
    """Return the traceback without the frames of this room."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(problem), problem, trace))


def run_all(
    cases: Sequence[_Case], run: Callable[[_Case], _Result], jobs: int, what: str
) -> Iterator[tuple[_Case, _Result]]:
    """Yield each case with its result, in order, made by `jobs` processes (0: one for each processor).

    Raises ValueError for a negative number of jobs, TypeError when several processes are wanted and the
    functions cannot be sent to them.
    """
    if jobs < 0:
        raise ValueError(f"jobs must be 0 (all processors) or more, not {jobs!r}")
    jobs = min(jobs or os.cpu_count() or 1, len(cases)) or 1
    progress = _Progress(len(cases), what)
    if jobs == 1:
        PATCHES.put_in()  # once for all runs
        try:
            for case in cases:
                yield case, run(case)
                progress.one_more()
        finally:
            PATCHES.take_out()
        return
    _check_importable(run)
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        for case, result in zip(cases, pool.map(run, cases, chunksize=_CHUNK), strict=True):
            yield case, result
            progress.one_more()
    except BrokenProcessPool as error:
        raise TypeError(
            _NOT_IMPORTABLE.format("a process of the pool ended when it looked for them")
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_importable(run: Callable[..., object]) -> None:
    try:
        pickle.dumps(run)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(_NOT_IMPORTABLE.format(error)) from None


class _Progress:
    """Tells a person at a terminal how far a long exploration is."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._done = 0
        self._told_s = _monotonic()
        self._is_on = sys.stderr is not None and sys.stderr.isatty()

    def one_more(self) -> None:
        """Count a run that is done."""
        self._done += 1
        if self._is_on and _monotonic() - self._told_s > _PROGRESS_AFTER_S:
            self._told_s = _monotonic()
            sys.stderr.write(f"{self._done} of {self._total} {self._what}\n")


def expect_reached(is_reached: bool, where: str) -> None:
    """Raise SimulationError when a run did not come by a point that an earlier, equal run came by."""
    if not is_reached:
        raise SimulationError(
            f"the program did not come to {where} again: it depends on something outside of the simulation"
        )
