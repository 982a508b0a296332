"""Methods and content as bytes, held against pamqp as an independent judge."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from mockbroker.amqp import frames
from mockbroker.amqp.fields import FieldError
from mockbroker.amqp.methods import METHODS
from mockbroker.errors import HardError
from mockbroker.values import Int8, Timestamp


def split(data):
    """The frames in `data` as (type, channel, payload)."""
    found = []
    while data:
        kind, number, size = frames.FRAME_HEAD.unpack_from(data)
        assert data[7 + size] == frames.END
        found.append((kind, number, data[7 : 7 + size]))
        data = data[8 + size :]
    return found


def hyphenated(pamqp_name):
    class_name, method_name = pamqp_name.split(".")
    words = "".join("-" + c.lower() if c.isupper() else c for c in method_name)
    return f"{class_name.lower()}.{words.lstrip('-')}"


NOT_PAMQPS = (
    "access.request",
    "access.request-ok",
    "basic.credit",
    "basic.credit-ok",
    "basic.credit-drained",
)
"""Methods that are no part of AMQP 0-9-1, and that servers know all the same."""


def test_the_table_of_methods_is_that_of_pamqp():
    theirs = {
        hyphenated(command.name): (
            index >> 16,
            index & 0xFFFF,
            [command.amqp_type(field) for field in command.attributes()],
        )
        for index, command in commands.INDEX_MAPPING.items()
    }
    ours = {
        method.name: (method.class_id, method.method_id, [kind for _, kind in method.fields])
        for method in METHODS.values()
        if method.name not in NOT_PAMQPS
    }
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (
            "queue.declare",
            {"queue": "q", "durable": True, "auto_delete": True, "arguments": {"x-max-length": 3}},
        ),
        ("exchange.declare", {"exchange": "e", "type": "topic", "internal": True, "arguments": {}}),
        ("basic.qos", {"prefetch_size": 0, "prefetch_count": 65535, "global": True}),
        ("basic.ack", {"delivery_tag": 2**64 - 1, "multiple": True}),
        (
            "connection.start-ok",
            {"client_properties": {"a": Int8(1)}, "mechanism": "PLAIN", "response": b"\0\xff"},
        ),
    ],
)
def test_a_method_round_trips(name, fields):
    method, decoded = frames.decode_method(frames.encode_method(name, fields))
    assert method.name == name
    assert {field: decoded[field] for field in fields} == fields
    assert not any(field.startswith("reserved") for field in decoded)


@pytest.mark.filterwarnings("ignore:This command is deprecated")  # pamqp says so of basic.recover-async
@pytest.mark.parametrize("name", [name for name in METHODS if name not in NOT_PAMQPS])
def test_pamqp_reads_every_method_that_is_written_empty(name):
    data = frames.frame(frames.METHOD, 3, frames.encode_method(name, {}))
    size, channel, command = pamqp.frame.unmarshal(data)
    assert (size, channel) == (len(data), 3)
    assert hyphenated(command.name) == name


def test_publish_has_its_own_reader_that_agrees_with_the_general_one():
    for mandatory in (False, True):
        for immediate in (False, True):
            payload = frames.encode_method(
                "basic.publish",
                {"exchange": "é", "routing_key": "k", "mandatory": mandatory, "immediate": immediate},
            )
            assert frames.decode_publish(payload) == frames.decode_method(payload)[1]


def test_a_publish_may_have_names_that_are_not_utf8():
    fields = frames.decode_publish(bytes.fromhex("003c0028") + b"\0\0\x02\xff\xfe\x01\xe9\0")
    assert (fields["exchange"], fields["routing_key"]) == ("\udcff\udcfe", "\udce9")


@pytest.mark.parametrize(
    ("payload", "error", "text"),
    [
        (bytes.fromhex("0032000a00"), frames.UndecodableMethod, "cannot decode <<0>>"),
        (bytes.fromhex("003c0050") + bytes(8), frames.UndecodableMethod, "cannot decode <<0,0,0,0,0,0,0,0>>"),
        (bytes.fromhex("003c0028") + b"\0\0\x01a\x01b\0\0", frames.UndecodableMethod, "cannot decode"),
        (bytes.fromhex("003c0028") + b"\0\0\x05ab", frames.UndecodableMethod, "cannot decode"),
        (bytes.fromhex("0032001e") + b"\0\0\x02\xff\xfe\0", HardError, "Malformed UTF-8 in shortstr"),
        (bytes.fromhex("0032000a0000") + b"\x01q\0" + b"\0\0\0\x03\x01aZ", FieldError, "unknown field type"),
        (bytes.fromhex("00ff000a"), frames.UnknownMethod, "00ff000a"),
    ],
)
def test_a_wrong_method_is_refused(payload, error, text):
    decode = frames.decode_publish if payload.startswith(frames.PUBLISH_IDS) else frames.decode_method
    with pytest.raises(error, match=text):
        decode(payload)


def test_a_field_that_does_not_fit_is_named():
    with pytest.raises(FieldError, match=r"basic\.ack: delivery_tag=-1 does not fit a longlong"):
        frames.encode_method("basic.ack", {"delivery_tag": -1})


ALL_PROPERTIES = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"h": [1, None, "x"]},
    "delivery_mode": 2,
    "priority": 255,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "1000",
    "message_id": "m",
    "timestamp": 2**33,
    "type": "t",
    "user_id": "guest",
    "app_id": "a",
    "cluster_id": "cl",
}


def test_properties_look_as_pamqp_has_them():
    # pamqp takes no cluster_id, and writes small integers in tables as octets.
    ours = {name: value for name, value in ALL_PROPERTIES.items() if name != "cluster_id"}
    ours["headers"] = {"h": ["x", None]}
    given = ours | {"timestamp": datetime.fromtimestamp(2**33, UTC)}
    given["message_type"] = given.pop("type")
    theirs = commands.Basic.Properties(**given).marshal()
    assert frames.encode_properties(ours) == theirs
    assert frames.decode_properties(theirs) == ours


@given(st.sets(st.sampled_from(sorted(ALL_PROPERTIES))))
def test_any_subset_of_properties_round_trips(names):
    properties = {name: ALL_PROPERTIES[name] for name in names} or None
    assert frames.decode_properties(frames.encode_properties(properties)) == properties


def test_octets_of_a_property_are_kept_whatever_they_are():
    raw = b"\x80\0\x02\xff\xfe"
    assert frames.encode_properties(frames.decode_properties(raw)) == raw


@pytest.mark.parametrize(
    "raw", [b"", b"\x80", b"\x80\0\x05ab", b"\x80\0\x02abXYZ", b"\0\x01\0\0", b"\x20\0\0\0\0\x03\x01aZ"]
)
def test_wrong_properties_are_an_internal_error(raw):
    with pytest.raises(HardError, match="541"):
        frames.decode_properties(raw)


def test_a_property_that_does_not_fit_is_named():
    with pytest.raises(FieldError, match="property priority=256 does not fit a octet"):
        frames.encode_properties({"priority": 256})


@pytest.mark.parametrize(("size", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_a_body_is_cut_into_frames(size, sizes):
    body = bytes(range(size))
    data = frames.encode_delivery(7, "ctag", 5, True, "e", "k", {"priority": 3}, body, 10)
    method, header, *bodies = split(data)
    assert method[:2] == (frames.METHOD, 7)
    name, fields = frames.decode_method(method[2])
    assert name.name == "basic.deliver"
    assert fields == {
        "consumer_tag": "ctag",
        "delivery_tag": 5,
        "redelivered": True,
        "exchange": "e",
        "routing_key": "k",
    }
    assert header == (frames.HEADER, 7, struct.pack(">HHQ", 60, 0, size) + b"\x08\0\x03")
    assert [len(payload) for _, _, payload in bodies] == sizes
    assert b"".join(payload for _, _, payload in bodies) == body


def test_ack_has_its_own_writer_that_agrees_with_the_general_one():
    expected = frames.frame(
        frames.METHOD, 9, frames.encode_method("basic.ack", {"delivery_tag": 300, "multiple": True})
    )
    assert frames.encode_ack(9, 300, True) == expected


def test_a_timestamp_is_any_unsigned_number():
    assert frames.decode_properties(frames.encode_properties({"timestamp": Timestamp(2**64 - 1)})) == {
        "timestamp": 2**64 - 1
    }
