"""Arguments of declarations: which values are taken, and when two declarations are the same."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.core.arguments import check_stream_offset, expiration_ms, parse_age_s
from mockbroker.errors import AMQPError, SoftError
from mockbroker.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from mockbroker.rules import RULES
from mockbroker.values import Int8, Int64, LongString


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
        ("x-queue-version", -1),
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


OLD, NEW = "rabbitmq-3.10", "rabbitmq-4.0"


def refused(
    rules: str, arguments: dict[str, Any], queue: str = "q", before: dict[str, Any] | None = None
) -> str:
    """Declare a durable queue, after one with `before`; return why that is refused, or nothing."""
    channel = Broker(rules=rules).connect().channel()
    if before is not None:
        channel.queue_declare(queue, durable=True, arguments=before)
    try:
        channel.queue_declare(queue, durable=True, arguments=arguments)
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as error:
        return error.reply_text
    return ""


@pytest.mark.parametrize(
    ("rules", "arguments", "first"),
    [
        (OLD, {"x-max-age": "1D", "x-initial-cluster-size": 1}, "x-max-age"),
        (NEW, {"x-max-age": "1D", "x-initial-cluster-size": 1}, "x-initial-cluster-size"),
        (NEW, {"x-queue-type": "classic", "x-max-age": "1D", "x-initial-cluster-size": 1}, "x-max-age"),
        (OLD, {"x-max-age": "1D", "x-expires": -1}, "x-expires"),
        (OLD, {"x-queue-master-locator": "bogus", "x-max-age": "1D"}, "x-max-age"),
        (OLD, {"x-queue-master-locator": "bogus", "x-queue-type": "quorum"}, "x-queue-master-locator"),
        (NEW, {"x-queue-type": "stream", "x-stream-filter-size-bytes": 15}, "x-stream-filter-size-bytes"),
        (NEW, {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 3_000_000_001}, "x-stream-max"),
    ],
)
def test_own_values_are_looked_at_before_arguments_of_other_types(
    rules: str, arguments: dict[str, Any], first: str
) -> None:
    assert first in refused(rules, arguments)


@pytest.mark.parametrize(
    ("rules", "arguments"),
    [
        (OLD, {"x-queue-type": "stream", "x-stream-filter-size-bytes": "x"}),
        (NEW, {"x-stream-filter-size-bytes": "x"}),
        (NEW, {"x-queue-type": "stream", "x-stream-filter-size-bytes": 255}),
        (OLD, {"x-queue-master-locator": b"random"}),
        (NEW, {"x-queue-master-locator": "bogus"}),
    ],
)
def test_what_nobody_looks_at_is_taken(rules: str, arguments: dict[str, Any]) -> None:
    assert refused(rules, arguments) == ""


@pytest.mark.parametrize(("rules", "shown"), [(OLD, "\udcff"), (NEW, "\xff")])
def test_a_type_that_is_not_utf8_is_shown(rules: str, shown: str) -> None:
    assert f"unsupported queue type '{shown}'" in refused(rules, {"x-queue-type": LongString(b"\xff")})


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_that_a_type_needs_a_name_comes_first(kind: str) -> None:
    assert "Cannot declare a server-named" in refused(NEW, {"x-queue-type": kind, "x-max-age": "x"}, queue="")
    assert refused(NEW, {"x-queue-type": "imaginary"}, queue="") == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("rules", "before", "after", "reason"),
    [
        (OLD, {}, {"x-max-age": "1D", "x-delivery-limit": 5}, ""),
        (OLD, {}, {"x-queue-leader-locator": "random"}, ""),
        (NEW, {}, {"x-queue-leader-locator": "random"}, "x-queue-leader-locator"),
        (NEW, {}, {"x-queue-master-locator": "random"}, "x-queue-master-locator"),
        (
            OLD,
            {"x-queue-type": "quorum"},
            {"x-queue-type": "classic"},
            "received 'classic' but current is 'quorum'",
        ),
        (OLD, {"x-queue-type": "classic"}, {}, ""),
        (OLD, {}, {"x-queue-type": "classic"}, ""),
        (
            OLD,
            {"x-queue-type": "classic"},
            {"x-queue-type": "quorum"},
            "received 'quorum' but current is 'classic'",
        ),
        (OLD, {}, {"x-queue-type": "quorum"}, "current is none"),
        (NEW, {"x-queue-type": "stream"}, {"x-queue-type": "stream", "x-stream-filter-size-bytes": "x"}, ""),
    ],
)
def test_the_arguments_of_the_queues_type_are_compared(
    rules: str, before: dict[str, Any], after: dict[str, Any], reason: str
) -> None:
    text = refused(rules, after, before=before)
    assert (reason in text) if reason else not text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5 x", '{leftover_string," x"}'),
        ('5"', r'{leftover_string,"\""}'),
        ("5\x7f", "{leftover_string,[127]}"),
        ("-5", "{value_negative,-5}"),
        ("9" * 25, "{value_too_large,\n" + " " * 49 + "9" * 25 + "}"),
        ("x", "no_integer"),
    ],
)
def test_why_an_expiration_is_none(text: str, reason: str) -> None:
    with pytest.raises(SoftError) as refusal:
        expiration_ms(text, RULES[NEW])
    assert refusal.value.reply_text == f"PRECONDITION_FAILED - invalid expiration '{text}': {reason}"


@pytest.mark.parametrize(("rules", "shown"), [(OLD, "é"), (NEW, "Ã©")])
def test_leftover_octets_are_shown_as_the_rules_do(rules: str, shown: str) -> None:
    with pytest.raises(SoftError, match=f'leftover_string,"{shown}"'):
        expiration_ms("5é", RULES[rules])


@pytest.mark.parametrize(
    ("offset", "code", "words"),
    [
        ('1"h', 406, r'<<"1\"h">>'),
        ("1€", 406, "<<49,226,130,172>>"),
        (LongString(b"1\xff"), 406, "invalid_stream_offset_arg"),
        (LongString(b"\xff1"), 541, ""),
        ("soon", 541, ""),
        ([1], 541, ""),
    ],
)
def test_offsets_that_are_none(offset: Any, code: int, words: str) -> None:
    for rules in (OLD, NEW):
        with pytest.raises(AMQPError) as refusal:
            check_stream_offset("s", "/", {"x-stream-offset": offset}, RULES[rules])
        assert refusal.value.reply_code == code
        assert words in refusal.value.reply_text
