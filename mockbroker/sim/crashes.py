"""What if it dies exactly here? Every point of a program, one run each.

Owns: the list of points that the first run passes, and what happens at one of them in each further run.
Refuses to know: what a point is to the program; the scheduler tells when one is passed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from mockbroker.sim.places import user_place
from mockbroker.sim.runs import (
    Check,
    Failure,
    Options,
    Outcome,
    Program,
    Report,
    expect_reached,
    judge,
    run_all,
    run_program,
)
from mockbroker.sim.simulation import Simulation

if TYPE_CHECKING:
    from mockbroker.sim.baton import Strand
    from mockbroker.sim.network import Lose
    from mockbroker.sim.schedules import Point

Event = Literal["kill", "cut", "crash", "restart"]
_EVENTS: tuple[str, ...] = get_args(Event)
_WORDS = {"kill": "killed", "cut": "cut off", "crash": "broker crashed", "restart": "broker restarted"}
_RECOVERIES = (
    3  # a program that fails again when it is started anew gets as many chances as a patient supervisor gives
)


@dataclass(frozen=True, slots=True)
class _Passed:
    """A point that a task passed in the first run."""

    number: int
    task: str
    time_s: float
    place: str

    def __str__(self) -> str:
        if not self.task:
            return f"point {self.number}, when all has come to rest at {self.time_s:g} s"
        place = self.place or "outside of its own code"
        return f"point {self.number}, {self.task} at {self.time_s:g} s, {place}"


@dataclass(frozen=True, slots=True)
class _CrashRun:
    """Runs the program and lets something happen at one point."""

    program: Program
    check: Check
    tasks: tuple[str, ...]
    recover: Callable[[Simulation], object] | None
    lose: Lose
    options: Options
    schedule: str

    def learn(self) -> tuple[Outcome, list[_Passed]]:
        """Run without any harm; return what came of it, and the points that the tasks passed."""
        passed: list[_Passed] = []
        with self.options.simulation(self.schedule) as sim:

            def note(strand: Strand, point: Point) -> None:
                if not self.tasks or strand.task.name in self.tasks:
                    place = user_place(sys._getframe(1))
                    passed.append(_Passed(len(passed) + 1, strand.task.name, sim.now, place))

            sim.on_point(note)

            def act() -> None:
                run_program(sim, self.program, self.options.until)
                sim.on_point(None)

            outcome = judge(sim, act, self.check)
            passed.append(_Passed(len(passed) + 1, "", sim.now, ""))
            return outcome, passed

    def __call__(self, case: tuple[str, _Passed]) -> Outcome:
        event, where = case
        count = 0
        with self.options.simulation(self.schedule) as sim:

            def strike(strand: Strand, point: Point) -> None:
                nonlocal count
                if not self.tasks or strand.task.name in self.tasks:
                    count += 1
                    if count == where.number:
                        self._strike(sim, event, strand)

            def act() -> None:
                sim.on_point(strike)
                run_program(sim, self.program, self.options.until)
                sim.on_point(None)
                if where.task:
                    expect_reached(count >= where.number, str(where))
                else:
                    self._strike_broker(sim, event)
                    self._run_on(sim)
                self._recover(sim)

            return judge(sim, act, self.check)

    def _strike(self, sim: Simulation, event: str, strand: Strand) -> None:
        if event == "kill":
            sim.kill(strand.task)
        elif event == "cut":
            sim.cut(strand.task, self.lose)
        else:
            self._strike_broker(sim, event)

    def _strike_broker(self, sim: Simulation, event: str) -> None:
        if event == "crash":
            sim.broker.crash()
        else:
            sim.broker.restart()

    def _recover(self, sim: Simulation) -> None:
        """Start what has failed anew, as a supervisor would, and let it all come to rest."""
        if self.recover is not None:
            self.recover(sim)
            return
        for _ in range(_RECOVERIES):
            failed = [task for task in sim.latest_tasks if task.exit_code]
            if not failed:
                return
            for task in failed:
                sim.respawn(task)
            self._run_on(sim)

    def _run_on(self, sim: Simulation) -> None:
        sim.run(None if self.options.until is None else sim.now + self.options.until)


def crash_everywhere(
    program: Program,
    check: Check,
    tasks: str | Iterable[str] = (),
    *,
    events: Iterable[Event] = ("kill",),
    lose: Lose = None,
    recover: Callable[[Simulation], object] | None = None,
    until: float | None = None,
    seed: int = 0,
    schedule: Literal["fifo", "random", "priority"] = "fifo",
    preempt: Literal["lines"] | None = None,
    jobs: int = 1,
    only: tuple[str, int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Run `program(sim)` once to learn every point of the tasks, then once per point with harm done there.

    `tasks` are names; without any, all tasks count.

    A point is every wait and every sending of bytes; with `preempt="lines"` every line of the user's code
    too; what happens to the broker happens once more at the end, when all has come to rest. `events` are what
    happens there: "kill" (the process dies), "cut" (its links die; `lose` says which bytes in flight are
    lost), "crash" (the broker loses what is not on its disk), "restart" (it stops orderly and starts).

    Afterwards whatever has failed is started again, as a supervisor would, unless `recover(sim)` does
    something else; then `check(sim)` looks. `only` repeats one run: its event and the number of its point.
    `until` bounds the run of a program that never comes to rest. `options` are further arguments of
    `Simulation`, `jobs` the processes that share the work (0: one for each processor).

    The report counts the points tried and has, for each that failed, where in the user's code it was. A
    program that fails without any harm is reported as such.

    Raises ValueError for an unknown event, a task or a point that is not there, TypeError when functions
    cannot be sent to other processes.
    """
    wanted = (only[0],) if only is not None else tuple(events)
    for event in wanted:
        if event not in _EVENTS:
            raise ValueError(f"an event is one of {', '.join(_EVENTS)}, not {event!r}")
    run = _CrashRun(
        program,
        check,
        (tasks,) if isinstance(tasks, str) else tuple(tasks),
        recover,
        lose,
        Options(seed, until, preempt, tuple((options or {}).items())),
        schedule,
    )
    unharmed, passed = run.learn()
    if unharmed.error:
        failure = Failure("it fails without any harm", unharmed.error, unharmed.replay, unharmed.trace)
        return Report(1, "runs", (failure,))
    unknown = [name for name in run.tasks if not any(point.task == name for point in passed)]
    if unknown:
        raise ValueError(f"no task named {unknown[0]!r} came to a point in the first run")
    if only is not None:
        passed = [point for point in passed if point.number == only[1]]
        if not passed:
            raise ValueError(f"no point {only[1]!r}: the first run did not pass it")
    cases = [
        (event, point) for event in wanted for point in passed if point.task or event in ("crash", "restart")
    ]
    failures = []
    for (event, point), outcome in run_all(cases, run, jobs, "points"):
        if outcome.error:
            replay = f"crash_everywhere(..., only={(event, point.number)!r})"
            failures.append(Failure(f"{_WORDS[event]} at {point}", outcome.error, replay, outcome.trace))
    return Report(len(cases), "points", tuple(failures))
