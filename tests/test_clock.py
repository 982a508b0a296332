"""Time: the order of timers, what moves time and what refuses to, and the clock that follows real time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockbroker.clock import NS, SimClock, Timer, WallClock, to_ns
from mockbroker.errors import LivelockError, ReentrancyError


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


def test_time_begins_at_zero_and_stands_still(clock: SimClock) -> None:
    assert (clock.now, clock.now_ns) == (0.0, 0)
    assert repr(clock) == "<SimClock at 0 s>"


def test_seconds_become_whole_nanoseconds_without_drift(clock: SimClock) -> None:
    for _ in range(10):
        clock.advance(0.1)
    assert clock.now_ns == NS
    assert to_ns(10**12) == 10**21  # an integer is never rounded by way of a float


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        to_ns(seconds)


@pytest.mark.parametrize("seconds", ["1", None, 1j])
def test_what_is_no_number_is_refused(seconds: object) -> None:
    with pytest.raises(TypeError, match="must be a number"):
        to_ns(seconds)  # type: ignore[arg-type]


def test_timers_fire_by_due_time_then_in_the_order_of_scheduling(clock: SimClock) -> None:
    fired: list[tuple[str, float]] = []
    for name, delay in (("late", 2), ("first", 1), ("second", 1), ("now", 0)):
        clock.call_later(delay, lambda name=name: fired.append((name, clock.now)))
    clock.advance(5)
    assert fired == [("now", 0.0), ("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert clock.now == 5


def test_housekeeping_keeps_its_place_in_the_order(clock: SimClock) -> None:
    fired: list[str] = []
    clock.schedule(NS, fired.append, "work")
    clock.schedule(NS, fired.append, "sweep", housekeeping=True)
    clock.schedule(NS, fired.append, "more work")
    clock.advance(1)
    assert fired == ["work", "sweep", "more work"]


def test_a_timer_that_a_timer_schedules_for_now_fires_at_once(clock: SimClock) -> None:
    fired: list[float] = []
    clock.call_later(1, lambda: clock.call_later(0, lambda: fired.append(clock.now)))
    clock.advance(1)
    assert fired == [1.0]


def test_a_timer_due_later_than_the_advance_waits(clock: SimClock) -> None:
    fired: list[str] = []
    clock.schedule(NS + 1, fired.append, "x")
    clock.advance(1)
    assert fired == []
    clock.advance_to_ns(NS + 1)
    assert fired == ["x"]


def test_a_cancelled_timer_does_not_fire_and_cancelling_again_is_no_error(clock: SimClock) -> None:
    fired: list[str] = []
    timer = clock.call_later(1, fired.append, "x")
    assert timer.is_pending
    assert repr(timer) == "<Timer due at 1 s, pending>"
    timer.cancel()
    timer.cancel()
    assert not timer.is_pending
    assert clock.next_due_ns() is None
    clock.advance(2)
    assert fired == []
    clock.check()


def test_a_timer_may_cancel_another_that_is_due_at_the_same_instant(clock: SimClock) -> None:
    fired: list[str] = []
    timers: list[Timer] = []

    def cancel_all() -> None:
        for timer in timers:
            timer.cancel()

    clock.call_later(1, cancel_all)
    timers.append(clock.call_later(1, fired.append, "second"))
    clock.advance(1)
    assert fired == []
    clock.check()


def test_cancelling_a_timer_that_has_fired_does_nothing(clock: SimClock) -> None:
    timer = clock.call_later(0, lambda: None)
    clock.advance(0)
    timer.cancel()
    clock.check()


def test_cancelled_timers_are_swept_and_the_rest_stays(clock: SimClock) -> None:
    fired: list[int] = []
    timers = [clock.call_later(1 + number, fired.append, number) for number in range(1000)]
    for number, timer in enumerate(timers):
        if number % 10:
            timer.cancel()
    clock.check()
    clock.advance(1000)
    assert fired == list(range(0, 1000, 10))


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.booleans()),
        max_size=200,
    )
)
def test_any_timers_fire_in_order(plan: list[tuple[int, bool, bool]]) -> None:
    clock = SimClock()
    fired: list[tuple[int, int]] = []
    expected = []
    for number, (due_s, housekeeping, cancelled) in enumerate(plan):
        timer = clock.schedule(due_s * NS, fired.append, (due_s, number), housekeeping=housekeeping)
        if cancelled:
            timer.cancel()
        else:
            expected.append((due_s, number))
        clock.check()
    clock.advance(10)
    assert fired == sorted(expected)


@pytest.mark.parametrize("delay", [-1, -0.001])
def test_negative_delays_are_refused_and_change_nothing(clock: SimClock, delay: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        clock.call_later(delay, lambda: None)
    with pytest.raises(ValueError, match="time never goes back"):
        clock.advance(delay)
    assert clock.next_due_ns() is None
    assert clock.now == 0


def test_time_never_goes_back(clock: SimClock) -> None:
    clock.advance(2)
    with pytest.raises(ValueError, match="it is 2 s, not yet 1 s again"):
        clock.advance_to(1)
    with pytest.raises(ValueError, match="it is 2 s already"):
        clock.call_at(1, lambda: None)
    assert clock.now == 2


def test_call_at_and_advance_to_take_the_present(clock: SimClock) -> None:
    fired: list[str] = []
    clock.advance(2)
    clock.call_at(2, fired.append, "x")
    clock.advance_to(2)
    assert fired == ["x"]


def test_a_timer_scheduled_in_the_past_fires_after_what_is_due(clock: SimClock) -> None:
    fired: list[str] = []
    clock.advance(2)
    clock.schedule(2 * NS, fired.append, "due")
    clock.schedule(0, fired.append, "late")
    clock.advance(0)
    assert fired == ["due", "late"]


def test_next_due_can_leave_housekeeping_out(clock: SimClock) -> None:
    clock.schedule(1, lambda: None, housekeeping=True)
    assert (clock.next_due_ns(), clock.next_due_ns(housekeeping=False)) == (1, None)
    clock.schedule(2, lambda: None)
    assert (clock.next_due_ns(), clock.next_due_ns(housekeeping=False)) == (1, 2)


def test_time_cannot_pass_inside_a_timer(clock: SimClock) -> None:
    clock.call_later(1, clock.advance, 1)
    with pytest.raises(ReentrancyError, match="call_later"):
        clock.advance(1)
    assert clock.now == 1
    clock.advance(1)  # and the clock goes on
    assert clock.now == 2


def test_a_timer_that_raises_stops_the_advance_there_and_the_next_goes_on(clock: SimClock) -> None:
    fired: list[str] = []

    def fail() -> None:
        raise RuntimeError("boom")

    clock.call_later(1, fail)
    clock.call_later(1, fired.append, "same instant")
    clock.call_later(2, fired.append, "later")
    with pytest.raises(RuntimeError, match="boom"):
        clock.advance(5)
    assert (clock.now, fired, clock.is_firing) == (1.0, [], False)
    clock.advance(0)
    assert fired == ["same instant"]
    clock.advance(1)
    assert fired == ["same instant", "later"]


def test_an_instant_without_end_is_stopped(clock: SimClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockbroker.clock.MAX_FIRINGS", 100)
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        clock.call_later(0, again)

    clock.call_later(1, again)
    with pytest.raises(LivelockError, match="more than 100 timers have fired at 1 s"):
        clock.advance(2)
    assert count == 101


def test_an_instant_without_end_by_way_of_a_server_is_stopped(
    clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockbroker.clock.MAX_FIRINGS", 100)
    clock.add_server(lambda: clock.call_later(0, lambda: None))
    with pytest.raises(LivelockError):
        clock.advance(1)


def test_many_timers_at_many_instants_are_no_livelock(
    clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockbroker.clock.MAX_FIRINGS", 100)
    for number in range(1000):
        clock.call_later(number // 100, lambda: None)
    clock.advance(10)
    assert clock.now == 10


def test_servers_are_called_at_each_instant_and_can_be_taken_back(clock: SimClock) -> None:
    instants: list[float] = []

    def serve() -> None:
        instants.append(clock.now)

    clock.add_server(serve)
    clock.call_later(1, lambda: None)
    clock.call_later(2, lambda: None)
    clock.advance(3)
    assert instants == [0, 1, 2]
    clock.remove_server(serve)
    clock.remove_server(serve)
    clock.advance(1)
    assert instants == [0, 1, 2]


def test_fire_due_fires_only_what_is_due(clock: SimClock) -> None:
    fired: list[str] = []
    clock.schedule(0, fired.append, "now")
    clock.schedule(0, fired.append, "sweep", housekeeping=True)
    clock.schedule(1, fired.append, "later")
    assert clock.fire_due() == 2
    assert fired == ["now", "sweep"]


def test_the_wall_clock_moves_by_itself_and_fires_what_came_due() -> None:
    clock = WallClock()
    fired: list[str] = []
    clock.call_later(0.001, fired.append, "soon")
    before_ns = clock.now_ns
    clock.advance(0.002)
    assert clock.now_ns - before_ns >= 2_000_000
    assert fired == ["soon"]
    clock.check()


def test_the_wall_clock_may_be_advanced_to_what_is_past_already() -> None:
    clock = WallClock()
    fired: list[str] = []
    clock.schedule(0, fired.append, "late")
    clock.advance(0)
    clock.advance_to_ns(0)
    assert fired == ["late"]
