"""The disk model: what reaches it, when, and who is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker.clock import SimClock
from mockbroker.core.storage import Disk, Journal

INTERVAL_NS = 1000


def message(position: int) -> tuple[str, str, bytes, None, None]:
    return ("", "q", b"%d" % position, None, None)


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def synced() -> list[int]:
    return []


@pytest.fixture
def disk(clock: SimClock, synced: list[int]) -> Disk:
    return Disk(clock, INTERVAL_NS, lambda: synced.append(clock.now_ns))


def positions(journal: Journal, present: list[int]) -> list[int]:
    return [position for position, _ in journal.survivors([(each, message(each)) for each in present])]


def test_a_write_reaches_the_disk_after_the_interval(disk: Disk, clock: SimClock, synced: list[int]) -> None:
    journal = Journal(disk)
    clock.advance_to_ns(5)
    journal.write(0)
    assert positions(journal, [0]) == []
    clock.advance_to_ns(5 + INTERVAL_NS - 1)
    assert positions(journal, [0]) == []
    clock.advance_to_ns(5 + INTERVAL_NS)
    assert positions(journal, [0]) == [0]
    assert synced == [5 + INTERVAL_NS]
    disk.check()


def test_the_first_write_decides_when_all_are_synced(disk: Disk, clock: SimClock, synced: list[int]) -> None:
    first, second = Journal(disk), Journal(disk)
    first.write(0)
    clock.advance_to_ns(600)
    second.write(0)
    first.write(1)
    disk.check()
    clock.advance_to_ns(5000)
    assert synced == [INTERVAL_NS]
    first.write(2)
    clock.advance_to_ns(9000)
    assert synced == [INTERVAL_NS, 5000 + INTERVAL_NS]


def test_a_removal_that_was_not_synced_is_undone(disk: Disk) -> None:
    journal = Journal(disk)
    journal.write(0)
    journal.write(1)
    disk.sync()
    journal.remove(0, message(0))
    journal.write(2)
    journal.remove(2, message(2))
    assert positions(journal, [1]) == [0, 1]


def test_syncing_nothing_tells_nobody(disk: Disk, synced: list[int]) -> None:
    disk.sync()
    assert synced == []
    disk.check()


def test_a_power_cut_stops_the_timer(disk: Disk, clock: SimClock, synced: list[int]) -> None:
    journal = Journal(disk)
    journal.write(0)
    disk.lose_power()
    journal.clear()
    disk.check()
    clock.advance(1)
    assert synced == []


@given(st.lists(st.tuples(st.sampled_from(["write", "remove", "sync"]), st.integers(0, 5)), max_size=40))
def test_the_survivors_are_what_was_there_at_the_last_sync(steps: list[tuple[str, int]]) -> None:
    disk = Disk(SimClock(), INTERVAL_NS, lambda: None)
    journal = Journal(disk)
    present: list[int] = []
    on_disk: list[int] = []
    following = 0
    for step, which in steps:
        if step == "write":
            journal.write(following)
            present.append(following)
            following += 1
        elif step == "remove" and present:
            position = present.pop(which % len(present))
            journal.remove(position, message(position))
        elif step == "sync":
            disk.sync()
            on_disk = list(present)
        disk.check()
        assert positions(journal, present) == on_disk
