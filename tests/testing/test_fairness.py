"""Measures of dispatch."""

from __future__ import annotations

import pytest

from mockbroker import Broker, fairness
from mockbroker.channel import Channel
from mockbroker.core.dispatch import Ring


def worker(broker: Broker, tag: str, prefetch: int = 1, seconds: float = 0, **arguments: int) -> Channel:
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=prefetch)

    def work(ch: Channel, method: object, properties: object, body: bytes) -> None:
        ch.connection.call_later(seconds * body.count(b"."), ch.basic_ack, method.delivery_tag)  # type: ignore[attr-defined]  # a delivery

    channel.basic_consume("tasks", work, consumer_tag=tag, arguments=dict(arguments))
    return channel


def traced(queue: dict[str, object] | None = None) -> tuple[Broker, Channel]:
    broker = Broker()
    broker.tracing()
    channel = broker.connect().channel()
    channel.queue_declare("tasks", arguments=queue)
    return broker, channel


def publish(channel: Channel, *bodies: bytes) -> None:
    for body in bodies:
        channel.basic_publish("", "tasks", body)


def test_turns_are_even() -> None:
    broker, channel = traced()
    for tag in ("a", "b", "c"):
        worker(broker, tag, prefetch=0)
    publish(channel, *[b"task"] * 9)
    broker.run_until_idle()
    measured = fairness.of(broker, "tasks")
    assert measured.counts == {"a": 3, "b": 3, "c": 3}
    assert (measured.jain, measured.largest_difference, measured.largest_gap) == (1.0, 1, 2)
    fairness.assert_fair(broker, "tasks", min_jain=1.0, max_gap=2, max_wait=0, max_idle=0)


def test_unlimited_prefetch_leaves_workers_idle() -> None:
    broker, channel = traced()
    publish(channel, b".", b".", b".", b".")
    worker(broker, "a", prefetch=0, seconds=1)
    worker(broker, "b", prefetch=0, seconds=1)
    broker.clock.advance(0.5)
    assert fairness.of(broker, "tasks").counts == {"a": 4, "b": 0}
    broker.run_until_idle()
    fairness.assert_fair(broker, "tasks")  # everybody had his turn: the other came too late
    with pytest.raises(AssertionError) as caught:
        fairness.assert_fair(broker, "tasks", max_idle=0)
    assert "dispatch is not fair: largest_idle is" in str(caught.value)
    assert "b  0 deliveries, idle" in str(caught.value)


def test_prefetch_one_keeps_everybody_busy() -> None:
    broker, channel = traced()
    worker(broker, "a", seconds=1)
    worker(broker, "b", seconds=1)
    publish(channel, b"....", b".", b".", b".", b".")
    broker.run_until_idle()
    measured = fairness.of(broker, "tasks")
    assert measured.counts == {"a": 1, "b": 4}
    assert measured.longest_wait == 3
    assert measured.largest_idle == 0
    with pytest.raises(AssertionError, match="longest_wait is 3, wanted at most 2"):
        fairness.assert_fair(broker, "tasks", max_wait=2)
    with pytest.raises(AssertionError, match=r"jain is 0\.735\d*, wanted at least 0\.9"):
        fairness.assert_fair(broker, "tasks", min_jain=0.9)


def test_a_dispatcher_that_has_a_favourite_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ring, "rotate", lambda self: None)
    broker, channel = traced()
    worker(broker, "favourite", prefetch=0)
    worker(broker, "other", prefetch=0)
    publish(channel, b"1", b"2")
    with pytest.raises(AssertionError) as caught:
        fairness.assert_fair(broker, "tasks")
    shown = str(caught.value).splitlines()
    assert shown[0] == "dispatch is not fair: largest_difference is 2, wanted at most 1"
    assert [line for line in shown if line.startswith(">")] == [
        ">     0.000 s  127.0.0.1:50004 (1) 'favourite' <- b'1' from queue 'tasks' #0, tag 1",
        ">     0.000 s  127.0.0.1:50004 (1) 'favourite' <- b'2' from queue 'tasks' #1, tag 2",
    ]


def test_a_higher_priority_has_every_turn() -> None:
    broker, channel = traced()
    worker(broker, "low", prefetch=0)
    worker(broker, "high", prefetch=0, **{"x-priority": 5})
    publish(channel, *[b"task"] * 5)
    fairness.assert_fair(broker, "tasks")
    assert fairness.of(broker, "tasks").counts == {"low": 0, "high": 5}


def test_a_single_active_consumer_owes_nobody_a_turn() -> None:
    broker, channel = traced({"x-single-active-consumer": True})
    worker(broker, "a", prefetch=0)
    worker(broker, "b", prefetch=0)
    publish(channel, *[b"task"] * 5)
    fairness.assert_fair(broker, "tasks")


def test_a_stretch_begins_when_somebody_joins() -> None:
    broker, channel = traced()
    worker(broker, "a", prefetch=0)
    publish(channel, *[b"task"] * 5)
    worker(broker, "b", prefetch=0)
    publish(channel, *[b"task"] * 4)
    fairness.assert_fair(broker, "tasks")
    assert fairness.of(broker, "tasks").counts == {"a": 7, "b": 2}


def test_tags_that_are_used_twice_are_told_apart() -> None:
    broker, channel = traced()
    worker(broker, "same", prefetch=0)
    worker(broker, "same", prefetch=0)
    publish(channel, b"1", b"2")
    assert fairness.of(broker, "tasks").counts == {"same": 1, "same (2)": 1}


def test_an_auto_ack_consumer_is_not_called_idle() -> None:
    broker, channel = traced()
    worker(broker, "a", seconds=1)
    broker.connect().channel().basic_consume("tasks", lambda *_: None, auto_ack=True, consumer_tag="auto")
    publish(channel, b".", b".")
    broker.run_until_idle()
    assert fairness.of(broker, "tasks").idle["auto"] == 0


def test_what_went_with_a_queue_waits_no_more() -> None:
    broker, channel = traced()
    publish(channel, b"gone")
    channel.queue_delete("tasks")
    broker.clock.advance(60)
    channel.queue_declare("tasks")
    worker(broker, "a", seconds=1)
    publish(channel, b".", b".")
    broker.run_until_idle()
    measured = fairness.of(broker, "tasks")
    assert (measured.longest_wait, measured.idle) == (1, {"a": 0})


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was recorded"):
        fairness.of(Broker(), "tasks")
    broker = Broker()
    with broker.tracing() as trace:
        broker.connect().channel().queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    with pytest.raises(ValueError, match="'s' is a stream"):
        fairness.of(trace, "s")


def test_an_empty_trace_is_fair() -> None:
    with Broker().tracing() as trace:
        pass
    fairness.assert_fair(trace, "tasks", min_jain=1.0)
    assert str(fairness.of(trace, "tasks")).startswith("queue 'tasks': 0 deliveries")
