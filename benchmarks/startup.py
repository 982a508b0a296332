"""What a test suite pays before it does anything: the import, and a broker of its own for each test."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from benchmarks import limits
from benchmarks.measure import cpu_seconds
from benchmarks.peers import PEERS, KombuMemory, MockBroker, is_installed
from benchmarks.runner import ROOT
from benchmarks.single import LIMIT
from benchmarks.workloads import BODY

IMPORTS = ["mockbroker", "asyncio", "pika", "kombu.transport.memory", "aio_pika"]
TESTS = 2_000


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def interpreter_ms(program: str) -> float:
    """CPU milliseconds of an interpreter that runs the program and ends."""
    began = children_cpu_seconds()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    return (children_cpu_seconds() - began) * 1e3


def import_ms(repetitions: int) -> dict[str, float]:
    """CPU milliseconds of each import; those of a bare interpreter are taken off, and shown under ``""``."""
    programs = {"": "pass"} | {name: f"import {name}" for name in IMPORTS if is_installed(name)}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repetitions):
        for name, program in programs.items():
            times[name].append(interpreter_ms(program))
    bare = median(times[""])
    return {name: median(taken) - (bare if name else 0.0) for name, taken in times.items()}


def isolated_test(make_peer: type[MockBroker] | type[KombuMemory]) -> None:
    """A broker, a queue, one message through it, and its end."""
    peer = make_peer()
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("one")
    channel.basic_publish("", "one", BODY)
    bodies: list[bytes] = []

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        bodies.append(body)

    channel.basic_consume("one", on_message, auto_ack=True)
    peer.serve([connection], lambda: bool(bodies))
    connection.close()
    if len(bodies) != 1:
        raise AssertionError(f"one message was published, {len(bodies)} came")


def median_ms(test: Callable[[], object]) -> float:
    times = []
    for _ in range(TESTS):
        began = cpu_seconds()
        test()
        times.append(cpu_seconds() - began)
    return median(times) * 1e3


def isolated_test_ms() -> Iterator[tuple[str, float]]:
    """CPU milliseconds of an isolated test, for the limit and each peer that is installed."""
    yield LIMIT, median_ms(lambda: limits.hello(1))
    for name, peer in PEERS.items():
        if is_installed(peer.package):
            yield name, median_ms(lambda peer=peer: isolated_test(peer))
