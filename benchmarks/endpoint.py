"""The endpoint through pika, beside real servers: ``python -m benchmarks endpoint [--url amqp://...]``.

mockbroker, in a process of its own, and the servers at the given URLs take turns in every repetition, with
the same client here. Times are of the wall clock: a client that waits for a server is what is measured. W1 to
W3 differ in how the queue is worked off; it is full before that, so that publishing is timed alone.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.runner import ROOT
from benchmarks.workloads import ACK_EVERY, BODY, PREFETCH, WORKERS

QUEUE = "mockbroker-benchmark"
OWN = "mockbroker"
PATIENCE_S = 60
ISOLATED_TESTS = 30


@dataclass(frozen=True)
class Shape:
    """How a queue is worked off: `prefetch` 0 is automatic acknowledgement."""

    name: str
    size: int
    workers: int = 1
    prefetch: int = 0
    ack_every: int = 1


SHAPES = [
    Shape("W1", 20_000),
    Shape("W2", 10_000, WORKERS, 1),
    Shape("W3", 20_000, 1, PREFETCH, ACK_EVERY),
]


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """The URL of a ``mockbroker serve`` that runs as long as this."""
    command = [sys.executable, "-m", "mockbroker", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def publish(channel: Any, size: int) -> float:
    """Seconds for `size` messages to be in the queue."""
    began = perf_counter()
    for _ in range(size):
        channel.basic_publish("", QUEUE, BODY)
    while channel.queue_declare(QUEUE, passive=True).method.message_count < size:
        if perf_counter() - began > PATIENCE_S:
            raise AssertionError(f"fewer than {size} messages arrived in {PATIENCE_S} s")
    return perf_counter() - began


def consume(connection: Any, shape: Shape, size: int) -> tuple[float, bool]:
    """Seconds for the workers to do all, and whether each had a part and nothing is missing."""
    turns: list[int] = []

    def work(number: int) -> None:
        channel = connection.channel()
        received = 0

        def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal received
            received += 1
            turns.append(number)
            if shape.prefetch and not received % shape.ack_every:
                channel.basic_ack(method.delivery_tag, multiple=shape.ack_every > 1)

        channel.basic_qos(prefetch_count=shape.prefetch)
        channel.basic_consume(QUEUE, on_message, auto_ack=not shape.prefetch)

    began = perf_counter()
    for number in range(shape.workers):
        work(number)
    while len(turns) < size and perf_counter() - began < PATIENCE_S:
        connection.process_data_events(1)
    seconds = perf_counter() - began
    return seconds, len(turns) == size and set(turns) == set(range(shape.workers))


def run(url: str, shape: Shape, size: int) -> dict[str, float]:
    """Messages per second of both halves. Raises AssertionError when a server does it wrong."""
    import pika  # noqa: PLC0415 - only this part of the benchmarks needs it

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE)
    try:
        publish_s = publish(channel, size)
        consume_s, is_right = consume(connection, shape, size)
    finally:
        channel.queue_delete(QUEUE)
        connection.close()
    if not is_right:
        raise AssertionError(f"{shape.name} at {url}: not every worker had a part, or messages are missing")
    return {"publish": size / publish_s, "consume": size / consume_s}


def table(urls: Sequence[str], *, repetitions: int, factor: float) -> list[dict[str, Any]]:
    """Print messages per second of each server, and the ratio to ours; return the rows as data."""
    rows = []
    print(f"{'case':5} {'half':8} {'per second':>11} {'x ours':>7}  server")
    with own_server() as own:
        servers = {OWN: own, **{url.rpartition("@")[2]: url for url in urls}}
        for shape in SHAPES:
            size = max(WORKERS * ACK_EVERY, int(shape.size * factor) // ACK_EVERY * ACK_EVERY)
            runs = [
                {name: run(url, shape, size) for name, url in servers.items()} for _ in range(repetitions)
            ]
            for half in ("publish", "consume"):
                for name in servers:
                    row = {
                        "case": shape.name,
                        "half": half,
                        "server": name,
                        "per_second": median(each[name][half] for each in runs),
                        "times_ours": median(each[name][half] / each[OWN][half] for each in runs),
                    }
                    rows.append(row)
                    print("{case:5} {half:8} {per_second:11,.0f} {times_ours:7.2f}  {server}".format(**row))
    return rows


def isolated_test() -> tuple[float, float]:
    """Milliseconds until a new broker listens, and for a whole test: one message through a queue of it."""
    import pika  # noqa: PLC0415 - only this part of the benchmarks needs it

    import mockbroker  # noqa: PLC0415 - measured

    began = perf_counter()
    with mockbroker.Broker().listen() as endpoint:
        ready_s = perf_counter() - began
        connection = pika.BlockingConnection(pika.URLParameters(endpoint.url))
        channel = connection.channel()
        channel.queue_declare(QUEUE)
        channel.basic_publish("", QUEUE, BODY)
        method, _, _ = next(iter(channel.consume(QUEUE)))
        channel.basic_ack(method.delivery_tag)
        connection.close()
    return ready_s * 1e3, (perf_counter() - began) * 1e3


def report(urls: Sequence[str], *, repetitions: int, factor: float) -> dict[str, Any]:
    """Print the table and what an isolated test takes; return all figures."""
    rows = table(urls, repetitions=repetitions, factor=factor)
    tests = [isolated_test() for _ in range(ISOLATED_TESTS)]
    ready_ms, test_ms = (median(times) for times in zip(*tests, strict=True))
    print(
        f"ready to accept {ready_ms:.1f} ms, an isolated test {test_ms:.1f} ms: medians of {ISOLATED_TESTS}"
    )
    return {"rows": rows, "ready_ms": ready_ms, "isolated_test_ms": test_ms}
