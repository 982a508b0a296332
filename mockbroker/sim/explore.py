"""Many orders of the same program: at random, by priorities, or by Hypothesis.

Owns: which schedules are tried, and the shrinking of one that fails.
Refuses to know: how a schedule decides (``schedules.py``) and what a run does (``runs.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from mockbroker.sim.runs import Check, Failure, Options, Outcome, Program, Report, judge, run_all, run_program
from mockbroker.sim.schedules import Choices, PrioritySchedule, RandomSchedule, Schedule

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_SHRINK_RUNS: Final = (
    300  # an upper bound: most failing schedules are down to a few choices after some tens of runs
)


@dataclass(frozen=True, slots=True)
class _ScheduleRun:
    """Runs the program under the schedule with a given number."""

    program: Program
    check: Check
    options: Options

    def __call__(self, number: int) -> Outcome:
        return self.under(self.schedule(number))

    def schedule(self, number: int) -> Schedule:
        """Number 0 is first-come order; odd ones are random, even ones by priority."""
        if number == 0:
            return Schedule()
        return (RandomSchedule if number % 2 else PrioritySchedule)(self.options.seed + number)

    def under(self, schedule: Schedule) -> Outcome:
        """Run once."""
        with self.options.simulation(schedule) as sim:
            return judge(sim, lambda: run_program(sim, self.program, self.options.until), self.check)


def explore(
    program: Program,
    check: Check,
    schedules: int = 1000,
    seed: int = 0,
    *,
    until: float | None = None,
    preempt: Literal["lines"] | None = None,
    jobs: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Run `program(sim)`, then `check(sim)`, under `schedules` schedules, or until one fails.

    The first is first-come order, then random and priority-based ones take turns. A failing one is shrunk to
    the choices that matter, and the report has one line of Python that repeats it. `options` are further
    arguments of `Simulation`. `jobs` processes share the work (0: one for each processor); the report does
    not depend on it.

    Raises ValueError for fewer than one schedule, TypeError when functions cannot be sent to other processes.
    """
    if schedules < 1:
        raise ValueError(f"schedules must be at least 1, not {schedules!r}")
    run = _ScheduleRun(program, check, Options(seed, until, preempt, tuple((options or {}).items())))
    tried = 0
    for number, outcome in run_all(range(schedules), run, jobs, "schedules"):
        tried += 1
        if outcome.error:
            smallest = _shrink(run, outcome)
            where = f"schedule {number} of {schedules} failed ({run.schedule(number).name})"
            return Report(
                tried, "schedules", (Failure(where, smallest.error, smallest.replay, smallest.trace),)
            )
    return Report(tried, "schedules")


def _shrink(run: _ScheduleRun, outcome: Outcome) -> Outcome:
    """Drop choices, in ever smaller groups, as long as the run still fails."""
    best = outcome
    runs = 0
    size = max(len(best.choices) // 2, 1)
    while best.choices and runs < _SHRINK_RUNS:
        for smaller in _without_groups(best.choices, size):
            runs += 1
            found = run.under(Choices(*smaller))
            if found.error and len(found.choices) < len(best.choices):
                best = found
                break
            if runs >= _SHRINK_RUNS:
                break
        else:
            if size == 1:
                break
            size //= 2
            continue
        size = max(min(size, len(best.choices) // 2), 1)
    return best


def _without_groups(choices: tuple[tuple[int, int], ...], size: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the choices without each group of `size`, the last group first: late choices matter least."""
    for start in range(len(choices) - 1, -1, -size):
        yield choices[: max(start - size + 1, 0)] + choices[start + 1 :]


def schedules(*, decisions: int = 400, changes: int = 12) -> SearchStrategy[Choices]:
    """Return a Hypothesis strategy of schedules.

    Each departs from first-come order at most `changes` times, within the first `decisions`.

    Give what it draws to `Simulation(schedule=...)`. Hypothesis shrinks a failing one to few and early
    departures and prints it as `Choices(...)`, which repeats the run.

    Raises ModuleNotFoundError where Hypothesis is not installed.
    """
    import hypothesis.strategies as st  # noqa: PLC0415 - an optional dependency, needed here only

    choices = st.dictionaries(st.integers(1, decisions), st.integers(1, 3), max_size=changes)
    return choices.map(lambda drawn: Choices(*drawn.items()))
