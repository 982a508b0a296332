"""Who can never run again, and why.

Owns: the rule. A strand is stuck when it waits without a time-out, not for messages, and everybody who could
end its wait is stuck, dead or gone.
Refuses to know: how anything is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mockbroker.sim.places import user_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from mockbroker.sim.baton import Strand


def find_stuck(strands: Sequence[Strand]) -> list[Strand]:
    """Return the strands that nothing can ever wake, in order; no frozen and no dead ones."""
    alive = [strand for strand in strands if not strand.task.dead]
    stuck = [strand for strand in alive if _waits_for_others_only(strand)]
    while True:
        free = [strand for strand in alive if strand not in stuck]
        still_stuck = [strand for strand in stuck if not _can_be_woken(strand, free)]
        if len(still_stuck) == len(stuck):
            return stuck
        stuck = still_stuck


def _waits_for_others_only(strand: Strand) -> bool:
    wait = strand.wait
    return (
        wait is not None
        and not strand.queued
        and not strand.task.frozen
        and not wait.for_messages
        and strand.wait_due_ns is None
    )


def _can_be_woken(strand: Strand, free: Sequence[Strand]) -> bool:
    assert strand.wait is not None
    if (only := strand.wait.depends_on()) is not None:
        return only in free
    return bool(free)


def describe_deadlock(stuck: Sequence[Strand], frames: dict[int, FrameType], tables: Sequence[str]) -> str:
    """Say what each stuck strand waits for and where in its code, and what the broker holds meanwhile."""
    lines = ["deadlock: these can never run again"]
    for strand in stuck:
        place = user_place(frames.get(strand.ident))
        lines.append(f"  {strand.describe()}{f', at {place}' if place else ''}")
    return "\n".join([*lines, *(f"  {table}" for table in tables)])
