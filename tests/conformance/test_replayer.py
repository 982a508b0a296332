"""What steps mean in-process, where no recording can say it, and how a scenario fails."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker.rules import RULES

from .replay import replay
from .transcript import Seen, Step

LABEL = next(iter(RULES))
CONNECT: Step = {"op": "connect", "conn": "A"}
OPEN: Step = {"op": "channel.open", "at": "A.1"}


def run(*steps: Step, **settings: Any) -> list[Seen]:
    return replay({"name": "n", "area": "a", "about": "", "steps": list(steps), **settings}, LABEL)


def declare(**fields: Any) -> Step:
    return {"op": "queue.declare", "at": "A.1", "queue": "q", **fields}


def publish(**fields: Any) -> Step:
    return {"op": "basic.publish", "at": "A.1", "routing_key": "q", **fields}


@pytest.mark.parametrize("stop", ["restart", "kill"])
@pytest.mark.parametrize(("ttl_ms", "left"), [(9_000, 0), (11_000, 1)])
def test_restart_takes_ten_seconds(stop: str, ttl_ms: int, left: int) -> None:
    durable = declare(durable=True, arguments={"x-message-ttl": ttl_ms})
    persistent = publish(body="m1", properties={"delivery_mode": 2})
    synced: Step = {"op": "wait", "seconds": 0.5}
    seen = run(CONNECT, OPEN, durable, persistent, synced, {"op": stop}, CONNECT, OPEN, durable)
    assert seen[-1]["A.1"][0]["message_count"] == left


def test_settings_of_a_scenario() -> None:
    too_large = publish(body={"$repeat": ["x", 11]})
    seen = run(CONNECT, OPEN, too_large, max_message_size_bytes=10)
    assert seen[-1]["A.1"][0]["reply_code"] == 406
    get: Step = {"op": "basic.get", "at": "A.1", "queue": "q"}
    long_wait: Step = {"op": "wait", "seconds": 120}
    seen = run(CONNECT, OPEN, declare(), publish(body="m1"), get, long_wait, consumer_timeout_ms=1000)
    assert seen[-1]["A.1"][0]["ev"] == "channel.close"


def test_events_that_a_wait_causes_are_in_order() -> None:
    steps = [
        CONNECT,
        OPEN,
        declare(queue="dq"),
        declare(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dq"}),
        {"op": "basic.consume", "at": "A.1", "queue": "dq", "consumer_tag": "c", "no_ack": True},
        publish(body="m1", properties={"expiration": "2000"}),
        publish(body="m2", properties={"expiration": "1000"}),
        publish(body="m3", properties={"expiration": "3000"}),
        {"op": "wait", "seconds": 4},
    ]
    assert [event["body"] for event in run(*steps)[-1]["A.1"]] == ["m1", "m2", "m3"]


def test_client_that_is_gone_sees_nothing() -> None:
    consume: Step = {"op": "basic.consume", "at": "A.1", "queue": "q", "consumer_tag": "c"}
    seen = run(CONNECT, OPEN, declare(), consume, publish(body="m1"), {"op": "drop", "conn": "A"}, OPEN)
    assert seen[-2:] == [{}, {"A": [{"ev": "not-connected"}]}]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (declare(colour="red"), "queue.declare has no field colour"),
        ({"op": "queue.paint", "at": "A.1"}, "'queue.paint' is no step"),
        ({"op": "raw", "at": "A.0", "hex": "00"}, "'raw' is no step"),
    ],
)
def test_step_that_makes_no_sense(step: Step, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        run(CONNECT, OPEN, step)
    assert caught.value.__notes__[0].startswith('in step 2: {"op": ')
