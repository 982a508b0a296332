"""Turns, time and the end of a run."""

# ruff: noqa: T201 - what programs print is what these tests look at
from __future__ import annotations

import gc
import threading
import time

import pytest

from mockbroker.sim import Deadlock, RealBlock, Simulation, SimulationClosed, SimulationError


def test_time_sleep_costs_no_real_time_and_is_exact():
    def sleeper():
        for _ in range(4):
            time.sleep(0.1)
        print(time.monotonic())

    with Simulation() as sim:
        sim.spawn(sleeper, name="S")
        sim.run()
        assert sim.now == 0.4
        assert str(sim.console("S")) == "1000.4\n"


def test_tasks_take_turns_in_the_order_of_their_deadlines_then_first_come():
    order = []

    def worker(name, pause):
        for _ in range(3):
            time.sleep(pause)
            order.append(name)

    with Simulation() as sim:
        sim.spawn(worker, "a", 2, name="a")
        sim.spawn(worker, "b", 3, name="b")
        sim.spawn(worker, "c", 2, name="c")
        sim.run()
    assert order == ["a", "c", "b", "a", "c", "b", "a", "c", "b"]


def test_until_is_inclusive_and_leaves_the_clock_there():
    seen = []

    def worker():
        while True:
            time.sleep(1)
            seen.append(time.time())

    with Simulation() as sim:
        sim.spawn(worker)
        sim.run(until=3)
        assert len(seen) == 3
        sim.run(until=3.5)
        assert (len(seen), sim.now) == (3, 3.5)
        with pytest.raises(ValueError, match="cannot run until 2"):
            sim.run(until=2)


def test_a_polling_loop_does_not_stop_time():
    def poll():
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass

    def spin():
        end = time.time() + 0.025
        while time.time() < end:
            time.sleep(0)

    with Simulation() as sim:
        sim.spawn(poll)
        sim.spawn(spin)
        sim.run()
        assert sim.now == 0.05


def test_sleep_zero_lets_the_others_run_first():
    order = []

    def polite():
        order.append("polite")
        time.sleep(0)
        order.append("polite again")

    def other():
        order.append("other")

    with Simulation() as sim:
        sim.spawn(polite)
        sim.spawn(other)
        sim.run()
    assert order == ["polite", "other", "polite again"]


def test_a_deadlock_is_reported_with_what_each_waits_for():
    first, second = [], []

    def setup():
        first.append(threading.Lock())
        second.append(threading.Lock())

    def one():
        with first[0]:
            time.sleep(1)
            with second[0]:
                pass

    def other():
        with second[0]:
            time.sleep(1)
            with first[0]:
                pass

    with Simulation() as sim:
        sim.spawn(setup)
        sim.run()
        sim.spawn(one, name="one")
        sim.spawn(other, name="other")
        with pytest.raises(Deadlock) as caught:
            sim.run()
    text = str(caught.value)
    assert "one waits for a lock that other (MainThread) holds" in text
    assert "other waits for a lock that one (MainThread) holds" in text
    assert "in one: with second[0]:" in text


def test_waiting_for_what_a_living_task_may_still_do_is_no_deadlock():
    with Simulation() as sim:
        event = threading.Event()
        sim.spawn(event.wait, name="waits")
        sim.run(until=5)
        event.set()
        sim.run()
        assert [task.exit_code for task in sim.tasks] == [0]


def test_a_real_lock_that_blocks_is_named_not_a_silent_hang(monkeypatch):
    monkeypatch.setattr("mockbroker.sim.baton.REAL_BLOCK_S", 0.2)
    real_lock = threading.Lock()

    def holder():
        with real_lock:
            time.sleep(1)

    with Simulation() as sim:
        sim.spawn(holder, name="holder")
        sim.spawn(holder, name="blocked")
        with pytest.raises(
            RealBlock, match=r"blocked has been blocked for 0.2 real seconds in holder.*real_lock"
        ):
            sim.run()


def test_a_failure_of_a_spawned_function_is_raised_if_it_is_an_assertion():
    def failing():
        time.sleep(1)
        assert 1 + 1 == 3, "arithmetic"

    def broken():
        raise OSError("disk full")

    with Simulation() as sim:
        sim.spawn(broken, name="broken")
        sim.spawn(failing, name="failing")
        with pytest.raises(AssertionError, match="arithmetic"):
            sim.run()
        sim.run()  # told once
        assert "OSError: disk full" in str(sim.console("broken"))
        assert isinstance(sim.tasks[0].error, OSError)
        assert [task.exit_code for task in sim.tasks] == [1, 1]


def test_the_traceback_begins_in_the_programs_own_code():
    def broken():
        raise OSError("disk full")

    with Simulation() as sim:
        sim.spawn(broken, name="broken")
        sim.run()
        lines = str(sim.console("broken")).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]


def test_collection_of_garbage_is_held_off_while_tasks_run():
    seen = []
    before = gc.isenabled()
    with Simulation() as sim:
        sim.spawn(lambda: seen.append(gc.isenabled()))
        sim.run()
    assert seen == [False]
    assert gc.isenabled() is before


def test_a_closed_simulation_refuses_and_closing_twice_is_fine():
    sim = Simulation()
    sim.close()
    sim.close()
    with pytest.raises(SimulationClosed):
        sim.run()
    with pytest.raises(SimulationClosed):
        sim.spawn(print)


def test_run_belongs_to_the_code_outside():
    with Simulation() as sim:

        def inside():
            with pytest.raises(SimulationError, match="running already"):
                sim.run()

        sim.spawn(inside)
        sim.run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "lifo"}, "schedule must be"),
        ({"preempt": "words"}, "preempt must be"),
        ({"addresses": ["localhost"]}, "an address is 'host:port'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    sleep = time.sleep
    with pytest.raises(ValueError, match=message):
        Simulation(**arguments)
    assert time.sleep is sleep
