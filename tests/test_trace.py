"""Tracing: what a trace hears, and that the same program makes the same trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mockbroker import Broker, events

PROGRAM = """
from mockbroker import BasicProperties, Broker

broker = Broker(seed=7)
with broker.tracing() as trace:
    channel = broker.connect().channel()
    limits = {"x-max-length": 3, "x-dead-letter-exchange": "amq.fanout"}
    for name in ("b", "a", "c"):
        channel.queue_declare(name, durable=True, arguments=limits)
        channel.queue_bind(name, "amq.topic", "#." + name)
        channel.queue_bind(name, "amq.headers", arguments={"x": name, "y": 1})
    server_named = channel.queue_declare("").method.queue
    channel.queue_bind(server_named, "amq.fanout")
    for name in ("a", "b"):
        for _ in range(3):
            channel.basic_consume(name, lambda ch, m, p, b: ch.basic_nack(m.delivery_tag, requeue=False))
    for number in range(20):
        channel.basic_publish("amq.topic", "x.a.b.c", b"t%d" % number, BasicProperties(delivery_mode=2))
        channel.basic_publish("amq.headers", "", b"h%d" % number, BasicProperties(headers={"x": "a", "y": 1}))
    broker.run()
    broker.crash(downtime=1.5)
    broker.restart()
print(trace)
print("\\n".join(trace.json_lines()))
"""


def test_a_trace_is_a_sequence() -> None:
    broker = Broker()
    with broker.tracing() as trace:
        assert repr(trace) == "<Trace listening: 0 events>"
        assert str(trace) == ""
        broker.connect().channel()
    assert repr(trace) == "<Trace stopped: 2 events>"
    opened, channel_opened = trace
    assert (trace[0], trace[-1], trace[:1]) == (opened, channel_opened, [opened])
    assert opened in trace
    assert trace.index(channel_opened) == 1
    assert trace.of(events.ConnectionOpened, events.ChannelOpened) == list(trace)
    assert trace.of(events.OfChannel) == [channel_opened]


def test_a_trace_hears_what_happens_between_its_beginning_and_its_end() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("before")
    with broker.tracing() as outer:
        channel.queue_declare("both")
        inner = broker.tracing()
        channel.queue_declare("inner")
        inner.stop()
        inner.stop()
        channel.queue_declare("outer")
    channel.queue_declare("after")
    assert [event.queue for event in outer.of(events.QueueDeclared)] == ["both", "inner", "outer"]
    assert [event.queue for event in inner.of(events.QueueDeclared)] == ["inner"]
    assert broker.node.trace is None
    broker.check()


def test_tracing_changes_nothing_that_a_client_sees() -> None:
    def run(*, traced: bool) -> list[tuple[bytes, int, bool]]:
        broker = Broker()
        seen: list[tuple[bytes, int, bool]] = []
        trace = broker.tracing() if traced else None
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"early")
        channel.basic_consume(
            "q", lambda _c, m, _p, body: seen.append((body, m.delivery_tag, m.redelivered)), auto_ack=True
        )
        for number in range(3):
            channel.basic_publish("", "q", b"%d" % number)
        broker.run()
        broker.check()
        assert trace is None or len(trace.of(events.Delivered)) == 4
        return seen

    assert run(traced=True) == run(traced=False)


def test_a_trace_that_begins_in_the_middle_hears_every_publish_from_then_on() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"before")
    with broker.tracing() as trace:
        channel.basic_publish("", "q", b"during")
        broker.check()
    channel.basic_publish("", "q", b"after")
    broker.check()
    assert [(event.body, event.queues) for event in trace.of(events.Published)] == [(b"during", (("q", 1),))]


def test_the_same_seed_makes_the_same_trace_whatever_the_hash_seed() -> None:
    root = Path(__file__).resolve().parent.parent
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "12345")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) > 200


def test_another_seed_changes_generated_names_and_nothing_else() -> None:
    def names(seed: int) -> list[str]:
        channel = Broker(seed=seed).connect().channel()
        return [channel.queue_declare("").method.queue for _ in range(3)]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert len(set(names(1))) == 3
    assert all(name.startswith("amq.gen-") and len(name) == 30 for name in names(1))
