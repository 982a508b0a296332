"""The recorder's bytes: what is written can be read back, and is what the specification says."""

from __future__ import annotations

from typing import Any

import pytest

from . import wire


@pytest.mark.parametrize(
    "form",
    [
        True,
        None,
        "Grüße",
        7,
        2**40,
        0.25,
        [1, ["a"], {}],
        {"key": {"inner": [None]}},
        {"$int8": -5},
        {"$uint8": 200},
        {"$int16": -300},
        {"$uint16": 60000},
        {"$uint32": 4000000000},
        {"$float32": 0.5},
        {"$decimal": [2, 314]},
        {"$timestamp": 77},
        {"$bytes": "00ff"},
        {"$longstr": "ff"},
    ],
)
def test_table_values_are_read_as_they_were_written(form: Any) -> None:
    assert wire.Reader(wire.encode_value(form)).value() == form


def test_integers_take_the_narrower_type_unless_told() -> None:
    assert wire.encode_value(5)[:1] == b"I"
    assert wire.encode_value(2**31)[:1] == b"l"
    assert wire.encode_value({"$int64": 5})[:1] == b"l"


def test_a_method_has_its_bits_in_one_octet() -> None:
    fields = {"queue": "q", "durable": True, "auto_delete": True}
    payload = wire.encode_method("queue.declare", fields)
    assert payload == bytes.fromhex("0032000a" + "0000" + "0171" + "0a" + "00000000")


def test_a_field_that_the_method_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"basic\.ack has no field \['tag'\]"):
        wire.encode_method("basic.ack", {"tag": 1})


def test_a_property_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no property \['ttl'\]"):
        wire.encode_header(0, {"ttl": 1})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("queue.declare-ok", {"queue": "q", "message_count": 3, "consumer_count": 1}),
        ("basic.ack", {"delivery_tag": 2**63, "multiple": True}),
        ("connection.blocked", {"reason": "low on memory"}),
        ("channel.close", {"reply_code": 404, "reply_text": "NOT_FOUND", "class_id": 50, "method_id": 10}),
        ("basic.get-empty", {}),
        ("channel.open-ok", {}),
    ],
)
def test_methods_are_read_as_events_without_reserved_fields(name: str, fields: dict[str, Any]) -> None:
    assert wire.decode_method(wire.encode_method(name, fields)) == {"ev": name, **fields}


def test_a_method_that_does_not_exist_is_shown_in_bytes() -> None:
    assert wire.decode_method(bytes.fromhex("00ff000a")) == {"ev": "unknown", "hex": "00ff000a"}


def test_headers_are_read_as_they_were_written() -> None:
    properties = {"content_type": "", "headers": {"a": 1}, "delivery_mode": 2, "timestamp": 5, "type": "t"}
    assert wire.decode_header(wire.encode_header(300, properties)) == (300, properties)


def test_no_body_frame_is_longer_than_allowed() -> None:
    content = wire.content_frames(1, {}, b"x" * 100, frame_max=48)
    header = wire.frame(wire.FRAME_HEADER, 1, wire.encode_header(100, {}))
    bodies = [wire.frame(wire.FRAME_BODY, 1, b"x" * size) for size in (40, 40, 20)]
    assert content == b"".join([header, *bodies])
    assert len(bodies[0]) == 48


def test_what_is_cut_off_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 bytes wanted at 1 of 3"):
        wire.Reader(wire.encode_value(5)[:3]).value()
