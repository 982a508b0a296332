"""Arguments of declarations: which values are taken, and when two declarations are the same."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.core.arguments import parse_age_s
from mockbroker.exceptions import ChannelClosedByBroker
from mockbroker.values import Int8, Int64


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("x-message-ttl", 0),
        ("x-message-ttl", Int64(5)),
        ("x-expires", 1),
        ("x-max-length", 0),
        ("x-max-length", Int8(5)),
        ("x-max-length-bytes", 0),
        ("x-max-priority", 0),
        ("x-max-priority", 255),
        ("x-overflow", "drop-head"),
        ("x-overflow", "reject-publish-dlx"),
        ("x-dead-letter-exchange", "absent"),
        ("x-queue-mode", "lazy"),
        ("x-queue-type", "classic"),
        ("x-single-active-consumer", True),
        ("my-own", {"anything": [1]}),
    ],
)
def test_a_value_in_range_is_taken_and_redeclared(argument: str, value: Any) -> None:
    channel = Broker().connect().channel()
    for _ in range(2):
        channel.queue_declare("q", arguments={argument: value})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("x-message-ttl", -1),
        ("x-message-ttl", "1000"),
        ("x-message-ttl", 1.5),
        ("x-message-ttl", True),
        ("x-expires", 0),
        ("x-expires", -1),
        ("x-max-length", -1),
        ("x-max-length-bytes", "many"),
        ("x-max-priority", -1),
        ("x-max-priority", 256),
        ("x-overflow", "explode"),
        ("x-overflow", 1),
        ("x-dead-letter-exchange", 5),
        ("x-queue-mode", "fast"),
        ("x-queue-type", "imaginary"),
        ("x-single-active-consumer", "yes"),
    ],
)
def test_a_value_out_of_range_is_named_and_no_queue_is_made(argument: str, value: Any) -> None:
    broker = Broker()
    channel = broker.connect().channel()
    with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED") as info:
        channel.queue_declare("q", arguments={argument: value})
    assert argument in str(info.value) or "queue type" in str(info.value)
    assert broker.list_queues() == []
    broker.check()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"x-max-length": 1}),
        ({"x-max-length": 1}, {}),
        ({"x-max-length": 1}, {"x-max-length": 2}),
        ({"x-message-ttl": 5}, {"x-message-ttl": 6}),
        ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"}),
        ({"x-max-priority": 5}, {}),
    ],
)
def test_another_value_is_another_queue(before: dict[str, Any], after: dict[str, Any]) -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("q", arguments=before)
    with pytest.raises(ChannelClosedByBroker, match=r"inequivalent arg '.*' for queue 'q' in vhost '/'"):
        channel.queue_declare("q", arguments=after)


def test_arguments_that_mean_nothing_and_widths_do_not_matter() -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("q", arguments={"x-max-length": 5, "mine": 1})
    channel.queue_declare("q", arguments={"x-max-length": Int64(5), "mine": 2})


def test_an_argument_of_another_queue_type_is_refused() -> None:
    channel = Broker().connect().channel()
    with pytest.raises(ChannelClosedByBroker, match="x-max-age"):
        channel.queue_declare("q", arguments={"x-max-age": "1h"})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7D", 604_800), ("1h", 3600), ("2m", 120), ("5s", 5), ("1Y", 31_536_000), ("1M", 2_592_000)],
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age_s(text) == seconds


def test_server_named_queues_are_new_each_time_and_may_not_be_asked_for() -> None:
    channel = Broker().connect().channel()
    names = {channel.queue_declare("").method.queue for _ in range(5)}
    assert len(names) == 5
    name = names.pop()
    with pytest.raises(ChannelClosedByBroker, match="contains reserved prefix"):
        channel.queue_declare(name)
