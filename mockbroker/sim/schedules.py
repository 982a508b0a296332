"""Who runs next: the orders in which strands may run.

Owns: the decision between strands that could all run now, and the randomness it is drawn from. Refuses to
know: threads, time, brokers. It sees a list and answers an index.

Index 0 is always what first-come order would do: the strand that runs goes on, or the one that has waited
longest starts. So a run is described completely by the decisions that were *not* 0, which is what `Choices`
holds.

Read next: ``baton.py``, ``explore.py``.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = Literal["wait", "send", "line"]

# How often a strand that could go on is interrupted. A program sends a handful of times between two waits and
# runs tens of lines, so these give each such stretch a fair chance of one switch and a small one of many.
SEND_SWITCH_CHANCE: Final = 0.25
LINE_SWITCH_CHANCE: Final = 0.05
# A change of priorities every so many decisions: rare enough that a strand can be starved for a long stretch.
PRIORITY_CHANGE_CHANCE: Final = 0.05


class Schedule:
    """First come, first served; the base of all schedules."""

    name = "fifo"
    preempts = False
    """Whether a strand that could go on may be interrupted."""

    def choose(self, candidates: Sequence[object], point: Point) -> int:
        """Return the index of who runs next; at a "send" or a "line" the first one is running."""
        return 0

    def __repr__(self) -> str:
        return repr(self.name)


class RandomSchedule(Schedule):
    """Each candidate is as likely as any other; a running strand is interrupted now and then."""

    name = "random"
    preempts = True

    def __init__(self, seed: int) -> None:
        self._random = Random(f"schedule {seed}")

    def choose(self, candidates: Sequence[object], point: Point) -> int:
        if point == "send" and self._random.random() >= SEND_SWITCH_CHANCE:
            return 0
        if point == "line" and self._random.random() >= LINE_SWITCH_CHANCE:
            return 0
        return self._random.randrange(len(candidates))


class PrioritySchedule(Schedule):
    """The candidate of highest priority runs; now and then the leader falls behind all others.

    A strand can so be held back for a long time, which fair random choices practically never do (the idea is
    probabilistic concurrency testing, Burckhardt et al., 2010).
    """

    name = "priority"
    preempts = True

    def __init__(self, seed: int) -> None:
        self._random = Random(f"priorities {seed}")
        self._priority: dict[object, float] = {}
        self._lowest = 0.0

    def choose(self, candidates: Sequence[object], point: Point) -> int:
        for candidate in candidates:
            if candidate not in self._priority:
                self._priority[candidate] = 1.0 + self._random.random()
        best = max(range(len(candidates)), key=lambda index: self._priority[candidates[index]])
        if self._random.random() < PRIORITY_CHANGE_CHANCE:
            self._lowest -= 1.0
            self._priority[candidates[best]] = self._lowest
            best = max(range(len(candidates)), key=lambda index: self._priority[candidates[index]])
        return best


class Choices(Schedule):
    """First come, first served except at the given decisions: `(number of the decision, index chosen)`.

    This is the form in which a failing schedule is printed, replayed and shrunk. An index beyond the
    candidates is taken modulo their number, so that every value means something.

    Raises ValueError for a decision below 1, an index below 0, or a decision given twice.

    >>> Choices((3, 1), (17, 2))
    Choices((3, 1), (17, 2))
    """

    name = "choices"
    preempts = True

    def __init__(self, *choices: tuple[int, int]) -> None:
        self.choices = tuple(sorted((int(decision), int(index)) for decision, index in choices))
        self._chosen = dict(self.choices)
        if len(self._chosen) != len(self.choices):
            raise ValueError(f"each decision can be given only once: {self.choices!r}")
        for decision, index in self.choices:
            if decision < 1 or index < 0:
                raise ValueError(f"a choice is (decision from 1, index from 0), not {(decision, index)!r}")
        self._decision = 0

    def choose(self, candidates: Sequence[object], point: Point) -> int:
        self._decision += 1
        return self._chosen.get(self._decision, 0) % len(candidates)

    def fresh(self) -> Choices:
        """Return the same choices, to be followed from the first decision on."""
        return Choices(*self.choices)

    def without(self, dropped: Iterable[tuple[int, int]]) -> Choices:
        """Return these choices without some of them."""
        gone = tuple(dropped)
        return Choices(*(choice for choice in self.choices if choice not in gone))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choices) and other.choices == self.choices

    def __hash__(self) -> int:
        return hash(self.choices)

    def __repr__(self) -> str:
        return f"Choices({', '.join(map(repr, self.choices))})"


def make_schedule(schedule: str | Schedule, seed: int) -> Schedule:
    """Return the schedule with that name, or the given one made ready to be followed from the start.

    Raises ValueError for an unknown name, TypeError for what is neither a name nor a schedule.
    """
    if isinstance(schedule, Choices):
        return schedule.fresh()
    if isinstance(schedule, Schedule):
        return schedule
    if not isinstance(schedule, str):
        raise TypeError(f"schedule must be a name or a Schedule, not {schedule!r}")
    if schedule == "fifo":
        return Schedule()
    if schedule == "random":
        return RandomSchedule(seed)
    if schedule == "priority":
        return PrioritySchedule(seed)
    raise ValueError(f"schedule must be 'fifo', 'random', 'priority' or Choices(...), not {schedule!r}")
