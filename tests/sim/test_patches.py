"""What is replaced, for whom, and that all is as before afterwards."""

# ruff: noqa: T201 - what programs print is what these tests look at

from __future__ import annotations

import datetime
import os
import random
import secrets
import select
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import types
import uuid
from random import getrandbits
from time import sleep as pause

import pytest

from mockbroker.sim import Simulation
from mockbroker.sim.patches import PATCHES

REPLACED = [
    (time, "sleep"),
    (time, "monotonic"),
    (datetime, "datetime"),
    (select, "select"),
    (socket, "getaddrinfo"),
    (socket.socket, "connect"),
    (socket.socket, "recv"),
    (threading, "Lock"),
    (threading.Thread, "join"),
    (random, "random"),
    (random.Random, "seed"),
    (os, "urandom"),
    (signal, "signal"),
    (selectors.SelectSelector, "_select"),
    (sys.modules[__name__], "pause"),
    (sys.modules[__name__], "getrandbits"),
]


def values():
    return [getattr(owner, name) for owner, name in REPLACED]


def run_one(function, **arguments):
    with Simulation(**arguments) as sim:
        sim.spawn(function, name="T")
        sim.run()
        assert sim.tasks[0].error is None, str(sim.console("T"))
        return str(sim.console("T")).splitlines()


def test_everything_is_as_before_also_after_a_failure():
    before, state = values(), random.getstate()
    streams = (sys.stdout, sys.stderr, sys.stdin, sys.argv, sys.path, sys.modules["__main__"])

    def program():
        random.seed(1)
        raise OSError

    def fail():
        with Simulation() as sim:
            assert all(now != was for now, was in zip(values(), before, strict=True))
            sim.spawn(program)
            sim.run()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert values() == before
    assert random.getstate() == state
    assert streams == (sys.stdout, sys.stderr, sys.stdin, sys.argv, sys.path, sys.modules["__main__"])
    assert not PATCHES.is_in
    assert not {"connect", "send", "recv"} & vars(socket.socket).keys()


def test_two_simulations_may_be_open_and_the_last_puts_back():
    before = values()
    first, second = Simulation(), Simulation()
    first.close()
    assert values() != before
    second.spawn(time.sleep, 5)
    second.run()
    assert second.now == 5
    second.close()
    assert values() == before


def test_outside_of_simulated_threads_nothing_changes():
    with Simulation() as sim:
        started_s = time.perf_counter()
        time.sleep(0.002)
        assert 0.002 <= time.perf_counter() - started_s < 5
        assert abs(datetime.datetime.now().timestamp() - time.time()) < 5
        assert time.time() > 1_760_000_000
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        thread.join()
        ours, theirs = socket.socketpair()
        ours.send(b"x")
        assert select.select([theirs], [], [], 1)[0] == [theirs]
        assert theirs.recv(1) == b"x"
        ours.close()
        theirs.close()
        assert sim.now == 0


def test_modules_imported_meanwhile_get_the_originals_back(tmp_path, monkeypatch):
    (tmp_path / "imported_meanwhile.py").write_text("from time import sleep\nfrom random import random\n")
    monkeypatch.syspath_prepend(tmp_path)
    original = time.sleep

    def program():
        import imported_meanwhile

        imported_meanwhile.sleep(2)
        assert imported_meanwhile.sleep is not original

    run_one(program)
    module = sys.modules.pop("imported_meanwhile")
    assert module.sleep is original
    assert module.random is random.random


def test_names_bound_before_are_virtual_inside():
    def program():
        pause(7)
        print(time.monotonic(), getrandbits(16))

    first, second = run_one(program), run_one(program)
    assert first == second
    assert first[0].startswith("1007.0 ")


def test_the_calendar():
    def program():
        time.sleep(3600.25)
        now = datetime.datetime.now(datetime.UTC)
        print(now.isoformat(), datetime.date.today().year, time.gmtime().tm_hour)
        print(time.time(), time.time_ns(), time.strftime("%Y", time.gmtime()), time.ctime(0)[-4:])
        assert isinstance(now, datetime.datetime)
        assert type(datetime.datetime(2020, 1, 1)) is type(now)
        assert issubclass(type(now), datetime.date)
        assert datetime.datetime.fromisoformat("2025-01-01").year == 2025
        assert datetime.datetime.strptime("2025", "%Y") == datetime.datetime(2025, 1, 1)
        assert time.clock_gettime(time.CLOCK_REALTIME) == time.time()

        class Later(datetime.datetime):
            pass

        assert type(Later(2025, 1, 1)) is Later

    assert run_one(program) == [
        "2025-01-01T01:00:00.250000+00:00 2025 1",
        "1735693200.25 1735693200250000000 2025 1970",
    ]


def test_what_is_drawn_is_seeded_for_each_task():
    def program():
        print(random.random(), random.Random().random(), uuid.uuid4(), uuid.uuid1(), os.urandom(4).hex())
        print(
            secrets.token_hex(4), random.choice("abcdef"), os.getpid(), socket.gethostname(), uuid.getnode()
        )
        with tempfile.TemporaryDirectory() as name:
            print(os.path.basename(name))

    with Simulation(seed=1) as sim:
        sim.spawn(program, name="a")
        sim.spawn(program, name="b")
        sim.run()
        a, b = str(sim.console("a")), str(sim.console("b"))
    assert a != b
    with Simulation(seed=1) as sim:
        sim.spawn(program, name="a")
        sim.run()
        assert str(sim.console("a")) == a
    with Simulation(seed=2) as sim:
        sim.spawn(program, name="a")
        sim.run()
        assert str(sim.console("a")) != a


def test_seeding_inside_stays_inside():
    def program():
        random.seed(42)
        print(random.random(), random.getstate() == random.getstate())

    state = random.getstate()
    assert run_one(program) == run_one(program, seed=9) == ["0.6394267984578837 True"]
    assert random.getstate() == state


def test_replacements_know_nothing_of_a_module_that_is_none():
    sys.modules["a_module_that_is_none"] = None
    fake = types.SimpleNamespace(sleep=time.sleep)
    sys.modules["a_namespace"] = fake
    try:
        assert run_one(lambda: print("fine")) == ["fine"]
    finally:
        del sys.modules["a_module_that_is_none"], sys.modules["a_namespace"]
