"""What is left of a message that has been in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mockbroker.core.queues.stream_message import check_storable, is_readable, stored
from mockbroker.errors import HardError
from mockbroker.rules import RULES
from mockbroker.values import ByteArray, Decimal, Timestamp

if TYPE_CHECKING:
    from mockbroker.message import Properties

OLD, NEW = RULES.values()


def kept(properties: Properties, rules: Any = NEW) -> Properties:
    """Return the properties as a stream keeps them."""
    message = stored(("", "s", b"", properties, None), rules)
    assert message[3] is not None
    return message[3]


def readable(headers: dict[str, Any], rules: Any = NEW) -> bool:
    return is_readable(stored(("", "s", b"", {"headers": headers}, None), rules))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 0),
        (1_700_000_000, 1_700_000_000),
        (2**63 // 1000, 2**63 // 1000),
        (2**63 // 1000 + 1, 18_437_520_701_672_696_841),
        (2**64 - 1, 2**64 - 1),
        (2**64 // 1000 + 1, 0),
    ],
)
def test_timestamps_are_signed_milliseconds(seconds: int, expected: int) -> None:
    for rules in (OLD, NEW):
        assert kept({"timestamp": seconds}, rules)["timestamp"] == expected


@pytest.mark.parametrize(("mode", "expected"), [(None, 1), (0, 1), (1, 1), (2, 2), (3, 1), (255, 1)])
def test_4_0_knows_two_delivery_modes(mode: int | None, expected: int) -> None:
    assert kept({} if mode is None else {"delivery_mode": mode})["delivery_mode"] == expected


def test_the_brokers_own_annotations_are_not_told_by_4_0() -> None:
    names = ("x-exchange", "x-routing-key", "x-death", "x-opt-deaths", "x-basic-foo", "x-basic", "x-foo")
    headers = dict.fromkeys(names, "a")
    assert list(kept({"headers": headers})["headers"]) == ["x-basic", "x-foo"]
    assert kept({"headers": headers}, OLD)["headers"] == headers


def test_x_cc_comes_out_of_4_0_as_cc() -> None:
    assert kept({"headers": {"x-cc": 5, "CC": ["b"]}})["headers"] == {"CC": 5}


def test_bytes_become_text_also_inside_of_annotations() -> None:
    headers = {"CC": [ByteArray(b"a")], "x-t": {"b": ByteArray(b"c")}}
    assert kept({"headers": headers})["headers"] == {"CC": ["a"], "x-t": {"b": "c"}}


def test_headers_stand_for_properties() -> None:
    both = kept({"headers": {"x-basic-type": "t", "x-basic-app-id": "a", "x-basic-priority": 300}})
    assert both == {"headers": {}, "type": "t", "priority": 44, "delivery_mode": 1}
    old = kept(
        {"headers": {"x-basic-type": ByteArray(b"t"), "x-basic-app-id": "a", "x-basic-priority": 3}}, OLD
    )
    assert old == {"headers": {"x-basic-priority": 3}, "type": "t", "app_id": "a"}
    assert kept({"headers": {"x-basic-priority": Timestamp(5)}})["priority"] == 5


def test_a_property_that_is_set_wins() -> None:
    properties: Properties = {"headers": {"x-basic-type": 5}, "type": "t"}
    assert kept(properties) == {"headers": {}, "type": "t", "delivery_mode": 1}
    assert kept(properties, OLD) == properties


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("x-basic-type", 5, (False, False)),
        ("x-basic-type", ["a"], (True, False)),
        ("x-basic-type", None, (True, True)),
        ("x-basic-type", "a" * 256, (False, False)),
        ("x-basic-app-id", True, (False, True)),
        ("x-basic-priority", "5", (True, False)),
        ("x-basic-priority", True, (True, False)),
        ("x-basic-expiration", 5, (True, False)),
    ],
)
def test_what_cannot_be_that_property_cannot_be_read(
    header: str, value: object, expected: tuple[bool, bool]
) -> None:
    assert (readable({header: value}, OLD), readable({header: value}, NEW)) == expected


@pytest.mark.parametrize(
    ("headers", "older", "newer"),
    [
        ({"a": Decimal(1, 5)}, False, False),
        ({"a": [Decimal(1, 5)]}, True, True),
        ({"x-a": [[Decimal(1, 5)]]}, True, False),
        ({"x-a": {"b": Decimal(1, 5)}}, True, False),
        ({"x-a": {"b": [1, "c"]}}, True, True),
    ],
)
def test_decimals_cannot_be_stored_but_where_they_are_dropped_anyway(
    headers: dict[str, Any], older: bool, newer: bool
) -> None:
    for rules, is_stored in ((OLD, older), (NEW, newer)):
        message = ("", "s", b"", {"headers": headers}, None)
        if is_stored:
            check_storable(message, rules)
        else:
            with pytest.raises(HardError, match="INTERNAL_ERROR"):
                check_storable(message, rules)
