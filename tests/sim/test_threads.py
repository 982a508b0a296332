"""Threads, locks and executors of a simulated program."""

# ruff: noqa: T201 - what programs print is what these tests look at
from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mockbroker.sim import Simulation


def run_one(function, **arguments):
    """Run one function in a simulation; return what it printed."""
    with Simulation(**arguments) as sim:
        sim.spawn(function, name="T")
        sim.run()
        return str(sim.console("T"))


def test_a_thread_joins_the_simulation_and_can_be_joined():
    def program():
        thread = threading.Thread(target=time.sleep, args=(3,))
        thread.start()
        thread.join(1)
        print(thread.is_alive(), time.monotonic())
        thread.join()
        print(thread.is_alive(), time.monotonic())

    assert run_one(program) == "True 1001.0\nFalse 1003.0\n"


def test_a_timer_a_condition_and_an_event_wait_in_virtual_time():
    def program():
        event = threading.Event()
        threading.Timer(5, event.set).start()
        print(event.wait(2), time.monotonic())
        print(event.wait(), time.monotonic())
        condition = threading.Condition()
        with condition:
            print(condition.wait(1.5), time.monotonic())

    assert run_one(program) == "False 1002.0\nTrue 1005.0\nFalse 1006.5\n"


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "SimpleQueue"])
def test_queues_block_in_virtual_time(kind):
    def program():
        items = getattr(queue, kind)()

        def put_later():
            time.sleep(2)
            items.put("late")

        threading.Thread(target=put_later).start()
        try:
            items.get(timeout=1)
        except queue.Empty:
            print("empty", time.monotonic())
        print(items.get(), time.monotonic())

    assert run_one(program) == "empty 1001.0\nlate 1002.0\n"


def test_a_queue_made_outside_works_inside():
    items = queue.Queue()

    def consumer():
        print(items.get(), time.monotonic())

    def producer():
        time.sleep(4)
        items.put("x")

    with Simulation() as sim:
        sim.spawn(consumer, name="consumer")
        sim.spawn(producer)
        sim.run()
        assert str(sim.console("consumer")) == "x 1004.0\n"


def test_an_executor_runs_its_jobs_side_by_side():
    def program():
        with ThreadPoolExecutor(3) as pool:
            print(sum(pool.map(lambda n: (time.sleep(1), n)[1], range(6))), time.monotonic())
        ThreadPoolExecutor(1).submit(print, "left alone")

    assert run_one(program) == "15 1002.0\nleft alone\n"


def test_the_process_ends_with_its_last_thread_that_is_no_daemon():
    def program():
        threading.Thread(target=time.sleep, args=(3,)).start()
        threading.Thread(target=time.sleep, args=(99,), daemon=True).start()

    with Simulation() as sim:
        task = sim.spawn(program)
        sim.run(until=2)
        assert task.exit_code is None
        sim.run()
        assert (task.exit_code, sim.now) == (0, 3)


def test_a_lock_is_taken_and_released_as_threading_does():
    def program():
        lock = threading.Lock()
        assert lock.acquire()
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=2)
        print(time.monotonic(), lock.locked())
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()
        with pytest.raises(ValueError, match="non-blocking"):
            lock.acquire(False, 1)
        rlock = threading.RLock()
        with rlock, rlock:
            print("twice")

    assert run_one(program) == "1002.0 True\ntwice\n"


def test_a_threads_error_goes_to_the_programs_console():
    def program():
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        print("goes on")

    output = run_one(program)
    assert "ZeroDivisionError" in output
    assert output.endswith("goes on\n")


def test_the_main_thread_is_the_programs_own():
    def program():
        print(threading.current_thread() is threading.main_thread(), threading.current_thread().name)

    assert run_one(program) == "True MainThread\n"


def test_no_thread_is_left_behind():
    before = threading.active_count()

    def program():
        threading.Thread(target=time.sleep, args=(1000,)).start()
        pool = ThreadPoolExecutor(2)
        pool.submit(time.sleep, 1000)
        time.sleep(1000)

    with Simulation() as sim:
        sim.spawn(program)
        sim.run(until=1)
    assert threading.active_count() == before
