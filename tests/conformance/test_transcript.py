"""The pure parts of a replay: values, names, confirms, differences."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mockbroker.values import ByteArray, Decimal, Float32, Int8, Int64, LongString, Timestamp, UInt32

from .transcript import (
    Names,
    Transcript,
    decode_body,
    decode_properties,
    decode_value,
    difference,
    expand,
    merged,
    needs_wire,
    read,
    show_body,
    show_properties,
    show_value,
)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({"$int8": -5}, Int8(-5)),
        ({"$uint32": 5}, UInt32(5)),
        ({"$float32": 0.5}, Float32(0.5)),
        ({"$timestamp": 7}, Timestamp(7)),
        ({"$decimal": [2, 314]}, Decimal(2, 314)),
        ({"$bytes": "00ff"}, ByteArray(b"\x00\xff")),
        ({"$longstr": "ff"}, LongString(b"\xff")),
        ([1, "a", None, True, 0.5], [1, "a", None, True, 0.5]),
        ({"a": {"$int8": 1}, "b": {}}, {"a": Int8(1), "b": {}}),
        ({"$unknown": 1}, {"$unknown": 1}),
    ],
)
def test_values_have_one_written_form(form: Any, value: Any) -> None:
    decoded = decode_value(form)
    assert decoded == value
    assert type(decoded) is type(value)
    assert show_value(decoded) == form


def test_width_of_plain_integers_is_not_shown() -> None:
    assert decode_value({"$int64": 5}) == Int64(5)
    assert show_value([decode_value({"$int64": 5}), decode_value({"$int32": 6})]) == [5, 6]


@pytest.mark.parametrize("form", ["text", "", {"$hex": "00ff"}, {"$repeat": ["x", 300]}])
def test_bodies_have_one_written_form(form: Any) -> None:
    assert show_body(decode_body(form)) == form


def test_long_body_is_described() -> None:
    assert show_body(b"ab" * 200) == {"$size": 400}
    assert show_body(b"ab" * 128) == "ab" * 128


def test_properties_in_the_order_of_the_specification() -> None:
    shown = show_properties({"app_id": "a", "headers": {"n": Int8(1)}, "content_type": "t"})
    assert list(shown) == ["content_type", "headers", "app_id"]
    assert decode_properties(shown) == {"app_id": "a", "headers": {"n": 1}, "content_type": "t"}
    assert decode_properties({}) is None
    assert show_properties(None) == {}


def test_generated_names_are_numbered_by_first_sight() -> None:
    names = Names("a-vhost")
    text = (
        "queue 'amq.gen-x_1' in vhost 'a-vhost', amq.ctag-y, amq.gen-x_1, amq.rabbitmq.reply-to.k=, <0.1.2>"
    )
    assert names.normalised(text) == "queue '$gen1' in vhost '/', $gen2, $gen1, $reply1, $pid"
    assert names.resolved({"queue": ["$gen2", "$gen9"]}) == {"queue": ["amq.ctag-y", "$gen9"]}


def test_time_of_a_death_is_hidden() -> None:
    headers = {"x-death": [{"time": {"$timestamp": 5}, "count": 1}], "time": {"$timestamp": 6}}
    assert Names().normalised(headers) == {
        "x-death": [{"time": "$time", "count": 1}],
        "time": {"$timestamp": 6},
    }


def deliver(tag: int) -> dict[str, Any]:
    return {"ev": "basic.deliver", "delivery_tag": tag}


def confirmed(*tags: int) -> dict[str, Any]:
    return {"ev": "confirmed", "tags": list(tags)}


def nacked(*tags: int) -> dict[str, Any]:
    return {"ev": "nacked", "tags": list(tags)}


RETURN = {"ev": "basic.return"}
COMMIT = {"ev": "tx.commit-ok"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([confirmed(2), RETURN, confirmed(1)], [RETURN, confirmed(1, 2)]),
        ([confirmed(1), deliver(1), deliver(2), RETURN], [deliver(1), deliver(2), confirmed(1), RETURN]),
        ([COMMIT, deliver(1)], [deliver(1), COMMIT]),
        ([nacked(2), confirmed(1)], [confirmed(1), nacked(2)]),
        ([nacked(2), RETURN, confirmed(1)], [nacked(2), RETURN, confirmed(1)]),
        ([nacked(1), deliver(1), nacked(2), confirmed(3)], [deliver(1), confirmed(3), nacked(1, 2)]),
    ],
)
def test_confirms_of_a_step_are_merged(events: list[Any], expected: list[Any]) -> None:
    assert merged(events) == expected


def test_multiple_confirms_are_resolved() -> None:
    transcript = Transcript()
    transcript.arrived("A", 1, {"ev": "confirm.select-ok"})
    for _ in range(4):
        transcript.publishes("A.1")
    transcript.arrived("A", 1, {"ev": "basic.ack", "delivery_tag": 2, "multiple": False})
    transcript.arrived("A", 1, {"ev": "basic.ack", "delivery_tag": 3, "multiple": True})
    transcript.note("A", {"ev": "not-connected"})
    assert transcript.is_waiting_for_confirms
    assert transcript.end_step() == {
        "A": [{"ev": "not-connected"}],
        "A.1": [{"ev": "confirm.select-ok"}, confirmed(1, 2, 3)],
    }
    transcript.arrived("A", 1, {"ev": "basic.nack", "delivery_tag": 4, "multiple": False})
    assert transcript.end_step() == {"A.1": [nacked(4)]}
    assert not transcript.is_waiting_for_confirms


@pytest.mark.parametrize(("connection", "number", "end"), [("A", 1, "channel.close"), ("A", 0, "closed")])
def test_end_of_a_channel_ends_its_confirms(connection: str, number: int, end: str) -> None:
    transcript = Transcript()
    transcript.confirms_begin("A.1")
    transcript.publishes("A.1")
    transcript.arrived(connection, number, {"ev": end})
    assert not transcript.is_waiting_for_confirms


def test_what_is_never_shown() -> None:
    transcript = Transcript()
    transcript.arrived("A", 1, {"ev": "basic.cancel", "consumer_tag": "c", "no_wait": True})
    transcript.arrived("A", 1, {"ev": "basic.get-empty", "reserved_1": ""})
    transcript.arrived("A", 1, {"ev": "basic.get-ok", "properties": {}, "body": ""})
    assert transcript.end_step() == {
        "A.1": [
            {"ev": "basic.cancel", "consumer_tag": "c"},
            {"ev": "basic.get-empty"},
            {"ev": "basic.get-ok", "body": ""},
        ]
    }


def test_difference_shows_the_first_step_that_differs() -> None:
    steps = [{"op": "connect", "conn": "A"}, {"op": "channel.open", "at": "A.1"}]
    expected = [{"A": [{"ev": "connected"}]}, {"A.1": [{"ev": "channel.open-ok"}, deliver(1)]}]
    observed = [{"A": [{"ev": "connected"}]}, {"A.1": [{"ev": "channel.open-ok"}], "A": [RETURN]}]
    assert difference(steps, expected, observed) == (
        'step 1: {"op": "channel.open", "at": "A.1"}\n'
        '    A + {"ev": "basic.return"}\n'
        '    A.1 - {"ev": "basic.deliver", "delivery_tag": 1}'
    )
    assert difference(steps, expected, expected[:1]) == "2 steps expected, 1 observed"
    assert difference(steps, expected, expected) is None


def test_difference_tells_types_of_numbers_but_not_orders_of_keys() -> None:
    steps = [{"op": "x"}]
    assert difference(steps, [{"A": [{"ev": "e", "n": 1}]}], [{"A": [{"n": 1, "ev": "e"}]}]) is None
    assert difference(steps, [{"A": [{"n": 1}]}], [{"A": [{"n": True}]}]) is not None
    assert difference(steps, [{"A": [{"n": 1}]}], [{"A": [{"n": 1.0}]}]) is not None


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"op": "raw", "at": "A.0"}, True),
        ({"op": "frame", "at": "A.1"}, True),
        ({"op": "connect", "conn": "A", "heartbeat": 5}, True),
        ({"op": "connect", "conn": "A", "password": "wrong"}, False),
        ({"op": "queue.declare", "at": "A.1"}, False),
    ],
)
def test_what_needs_the_wire(step: dict[str, Any], expected: bool) -> None:
    assert needs_wire({"steps": [step]}) is expected


def test_files_and_folders_of_scenarios(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    first, second, third = tmp_path / "a.json", tmp_path / "below" / "b.jsonl", tmp_path / "c.jsonl.gz"
    first.write_text('{"name": "one"}')
    second.write_text('{"name": "two"}\n\n{"name": "three"}\n')
    third.write_bytes(gzip.compress(json.dumps({"name": "four"}).encode()))
    (tmp_path / "notes.txt").write_text("no scenario")
    files = expand([tmp_path])
    assert files == [first, second, third]
    assert [scenario["name"] for file in files for scenario in read(file)] == ["one", "two", "three", "four"]
    assert expand([second]) == [second]


def test_file_that_holds_no_scenario(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json is no scenario file: .*"):
        read(bad)
    with pytest.raises(ValueError, match=r"notes\.txt is no scenario file: its name must end in \.json"):
        read(tmp_path / "notes.txt")
