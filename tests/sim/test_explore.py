"""Exploration: many orders, and an end at every point."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import find, given, settings

from mockbroker.sim import Choices, Simulation, crash_everywhere, explore, schedules
from mockbroker.sim.schedules import PrioritySchedule, RandomSchedule, Schedule, make_schedule
from tests.sim.rare_order import not_backwards, only_in_a_rare_order


def lost_update(sim):
    """Two tasks read, wait and write: wrong only when the second reads before the first writes."""
    record = sim.shared.setdefault("record", {"value": 0})

    def add(delay):
        time.sleep(delay)
        value = record["value"]
        time.sleep(0)
        record["value"] = value + 1

    sim.spawn(add, 1, name="a")
    sim.spawn(add, 1, name="b")


def both_counted(sim):
    assert sim.shared["record"]["value"] == 2


def test_a_race_is_found_at_once_where_order_does_not_save_it():
    report = explore(lost_update, both_counted)
    assert (report.ok, bool(report), report.tried) == (False, False, 1)
    assert "1 schedules tried, 1 failed" in str(report)


def test_a_rare_order_is_found_shrunk_and_repeated_by_the_printed_line():
    report = explore(only_in_a_rare_order, not_backwards)
    (failure,) = report.failures
    assert 1 < report.tried < 100
    replay = eval(failure.replay, {"Simulation": Simulation, "Choices": Choices})
    with replay as sim:
        only_in_a_rare_order(sim)
        sim.run()
        assert sim.shared["order"] == ["c", "b", "a"]
        assert len(sim.choices) == 2
    assert "AssertionError" in failure.error
    assert "a * started" in failure.trace


def test_a_program_that_is_right_passes_all_schedules_and_the_report_says_how_many():
    report = explore(only_in_a_rare_order, lambda sim: len(sim.shared["order"]) == 3, schedules=30)
    assert report.ok
    assert str(report) == "30 schedules tried, none failed"


def test_a_check_that_answers_false_fails_and_so_does_a_deadlock():
    def lock_up(sim):
        lock = threading.Lock()

        def take_twice():
            lock.acquire()
            lock.acquire()

        sim.spawn(take_twice)

    assert "answered False" in str(explore(only_in_a_rare_order, lambda sim: False, schedules=1))
    assert "Deadlock" in str(explore(lock_up, lambda sim: True, schedules=1))


def test_several_processes_give_the_same_report():
    alone = explore(only_in_a_rare_order, not_backwards, schedules=60)
    shared = explore(only_in_a_rare_order, not_backwards, schedules=60, jobs=2)
    assert shared == alone
    with pytest.raises(TypeError, match="import by name"):
        explore(lambda sim: None, both_counted, jobs=2)
    with pytest.raises(ValueError, match="jobs must be"):
        explore(lost_update, both_counted, jobs=-1)
    with pytest.raises(ValueError, match="schedules must be"):
        explore(lost_update, both_counted, schedules=0)


def test_hypothesis_shrinks_a_failing_schedule_to_the_choices_that_matter():
    def fails(schedule):
        with Simulation(schedule=schedule) as sim:
            only_in_a_rare_order(sim)
            sim.run()
            return sim.shared["order"] == ["c", "b", "a"]

    found = find(
        schedules(decisions=20), fails, settings=settings(derandomize=True, database=None, max_examples=1000)
    )
    assert len(found.choices) == 2
    assert eval(repr(found)) == found


@given(schedules())
@settings(max_examples=20, deadline=None)
def test_any_schedule_runs_every_task_to_its_end(schedule):
    with Simulation(schedule=schedule) as sim:
        only_in_a_rare_order(sim)
        sim.run()
        assert sorted(sim.shared["order"]) == ["a", "b", "c"]


def careless(sim):
    """Notes the work before it is safe: a kill in between leaves a note without work."""
    notes = sim.shared.setdefault("notes", {"begun": 0, "done": 0})

    def work():
        time.sleep(1)
        notes["begun"] += 1
        time.sleep(1)
        notes["done"] += 1

    sim.spawn(work, name="worker")


def consistent(sim):
    notes = sim.shared["notes"]
    assert notes["begun"] == notes["done"], notes


def test_every_point_is_struck_and_the_place_is_named():
    report = crash_everywhere(careless, consistent, tasks=["worker"])
    assert report.tried == 2
    (failure,) = report.failures
    assert failure.where.startswith("killed at point 2, worker at 1 s, test_explore.py:")
    assert failure.where.endswith("in work: time.sleep(1)")
    assert failure.replay == "crash_everywhere(..., only=('kill', 2))"
    again = crash_everywhere(careless, consistent, tasks=["worker"], only=("kill", 2))
    assert again.failures == report.failures
    assert again.tried == 1


def test_lines_are_points_too_when_asked_for():
    report = crash_everywhere(careless, consistent, tasks=["worker"], preempt="lines")
    assert report.tried > 2
    assert not report.ok


def test_the_recovery_can_be_the_callers_own():
    def recover(sim):
        sim.shared["notes"]["begun"] = sim.shared["notes"]["done"]

    assert crash_everywhere(careless, consistent, recover=recover).ok


def test_a_program_that_fails_unharmed_is_told_as_such():
    report = crash_everywhere(careless, lambda sim: False)
    assert (report.tried, report.failures[0].where) == (1, "it fails without any harm")


def test_events_and_points_are_checked():
    with pytest.raises(ValueError, match="an event is one of kill, cut, crash, restart, not 'fire'"):
        crash_everywhere(careless, consistent, events=["fire"])
    with pytest.raises(ValueError, match="no task named 'Worker'"):
        crash_everywhere(careless, consistent, tasks="Worker")
    with pytest.raises(ValueError, match="no point 99"):
        crash_everywhere(careless, consistent, only=("kill", 99))


def test_a_program_that_depends_on_something_else_is_told_so():
    runs = []

    def fickle(sim):
        runs.append(1)
        for _ in range(3 if len(runs) == 1 else 1):
            sim.spawn(time.sleep, 1)

    report = crash_everywhere(fickle, lambda sim: True)
    assert "depends on something outside of the simulation" in report.failures[-1].error


def send_and_stop(sim):
    """A publisher with confirms; a link that dies may take the confirm along."""

    def publish():
        import pika

        connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
        channel = connection.channel()
        channel.queue_declare("q")
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x")
        connection.close()

    sim.spawn(publish, name="publisher")


def arrived_once(sim):
    messages = sim.broker.list_queues("messages")[0]["messages"]
    assert messages == 1, f"{messages} messages"


@pytest.mark.parametrize(("lose", "twice"), [("in", True), ("out", False)])
def test_a_cut_that_loses_the_confirm_makes_the_publisher_send_twice(lose, twice):
    report = crash_everywhere(send_and_stop, arrived_once, events=["cut"], lose=lose)
    sending = [failure for failure in report.failures if "basic_publish" in failure.where]
    assert bool(sending) is twice
    assert all("2 messages" in failure.error for failure in sending)


def test_schedules_by_name_and_their_limits():
    assert type(make_schedule("fifo", 0)) is Schedule
    assert type(make_schedule("random", 0)) is RandomSchedule
    assert type(make_schedule("priority", 0)) is PrioritySchedule
    with pytest.raises(TypeError, match="a name or a Schedule"):
        make_schedule(3, 0)
    with pytest.raises(ValueError, match="only once"):
        Choices((1, 1), (1, 2))
    with pytest.raises(ValueError, match="decision from 1"):
        Choices((0, 1))
    used = Choices((1, 1))
    assert [used.choose("ab", "wait"), used.choose("ab", "wait")] == [1, 0]
    assert make_schedule(used, 0).choose("ab", "wait") == 1


def test_a_priority_schedule_can_hold_a_task_back_for_long():
    order = []

    def worker(name):
        for _ in range(6):
            time.sleep(0)
            order.append(name)

    longest = 0
    for seed in range(20):
        order.clear()
        with Simulation(seed, "priority") as sim:
            sim.spawn(worker, "a", name="a")
            sim.spawn(worker, "b", name="b")
            sim.run()
        longest = max(longest, "".join(order).find("b"), "".join(order).find("a"))
    assert longest == 6
