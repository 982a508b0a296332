"""The lane of returned messages: whatever the order in which they come back, the oldest leaves first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker.core.queues.lane import ReturnLane


def message(position: int) -> tuple[str, str, bytes, None, None]:
    return ("", "q", b"%d" % position, None, None)


def fill(lane: ReturnLane, positions: list[int]) -> None:
    for position in positions:
        lane.put(position, message(position), redelivered=True)


@pytest.mark.parametrize(
    "positions",
    [[3, 2, 1, 0], [0, 1, 2, 3], [5, 0, 4, 1], list(range(50)), list(range(50, 0, -1)), [1]],
)
def test_the_oldest_leaves_first(positions: list[int]) -> None:
    lane = ReturnLane()
    fill(lane, positions)
    lane.check()
    assert [entry[0] for entry in lane] == sorted(positions)
    taken = []
    while len(lane):
        assert lane.head() == message(min(set(positions) - set(taken)))
        position, body, redelivered = lane.take()
        assert (body, redelivered) == (message(position), True)
        taken.append(position)
        lane.check()
    assert taken == sorted(positions)


@given(st.lists(st.one_of(st.integers(0, 40), st.none()), max_size=80))
def test_any_comings_and_goings_keep_the_order(steps: list[int | None]) -> None:
    lane = ReturnLane()
    model: list[int] = []
    for step in steps:
        if step is None:
            if model:
                assert lane.take()[0] == model.pop(0)
        elif step not in model:
            lane.put(step, message(step), redelivered=False)
            model = sorted([*model, step])
        lane.check()
        assert len(lane) == len(model)
    assert [entry[0] for entry in lane] == model


def test_a_message_that_comes_back_twice_is_a_broken_invariant() -> None:
    lane = ReturnLane()
    fill(lane, [1, 1])
    with pytest.raises(AssertionError, match="returned twice"):
        lane.check()


def test_clearing_forgets_all() -> None:
    lane = ReturnLane()
    fill(lane, [0, 2, 1])
    lane.clear()
    lane.check()
    assert (len(lane), list(lane)) == (0, [])
