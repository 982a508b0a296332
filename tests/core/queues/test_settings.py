"""Settings in force: argument, policy and operator policy put together, and what a limit means."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker.core.queues.overflow import is_above
from mockbroker.core.queues.settings import Settings


def test_without_any_there_is_none() -> None:
    settings = Settings.of({}, {}, {})
    assert all(getattr(settings, name) is None for name in Settings.__slots__)
    assert [settings.is_limited, settings.drops_head, settings.rejects_publishes] == [False, False, False]


@pytest.mark.parametrize(
    ("argument", "policy", "operator", "expected"),
    [
        (5, None, None, 5),
        (None, 4, None, 4),
        (None, None, 3, 3),
        (5, 4, 3, 3),
        (1, 4, 3, 1),
        (5, 2, 3, 2),
        (0, 4, None, 0),
    ],
)
def test_of_numbers_the_lowest_counts(
    argument: int | None, policy: int | None, operator: int | None, expected: int
) -> None:
    def table(key: str, value: int | None) -> dict[str, Any]:
        return {} if value is None else {key: value}

    settings = Settings.of(
        table("x-max-length", argument), table("max-length", policy), table("max-length", operator)
    )
    assert settings.max_length == expected


def test_of_words_the_argument_counts_then_the_operator() -> None:
    words = {"overflow": "reject-publish"}
    assert Settings.of({"x-overflow": "drop-head"}, words, {}).overflow == "drop-head"
    assert Settings.of({}, words, {}).overflow == "reject-publish"


@pytest.mark.parametrize(
    ("arguments", "count", "body_bytes", "expected"),
    [
        ({}, 1000, 1000, False),
        ({"x-max-length": 2}, 2, 0, False),
        ({"x-max-length": 2}, 3, 0, True),
        ({"x-max-length": 0}, 1, 0, True),
        ({"x-max-length-bytes": 10}, 99, 10, False),
        ({"x-max-length-bytes": 10}, 1, 11, True),
        ({"x-max-length": 2, "x-max-length-bytes": 10}, 1, 11, True),
        ({"x-max-length": 2, "x-max-length-bytes": 10}, 3, 1, True),
    ],
)
def test_a_limit_is_what_still_fits(
    arguments: dict[str, Any], count: int, body_bytes: int, expected: bool
) -> None:
    assert is_above(Settings.of(arguments, {}, {}), count, body_bytes) is expected


@pytest.mark.parametrize(
    ("overflow", "drops", "rejects"),
    [
        (None, True, False),
        ("drop-head", True, False),
        ("reject-publish", False, True),
        ("reject-publish-dlx", False, True),
    ],
)
def test_a_full_queue_drops_or_rejects(overflow: str | None, drops: bool, rejects: bool) -> None:
    arguments: dict[str, Any] = {"x-max-length": 1}
    if overflow is not None:
        arguments["x-overflow"] = overflow
    settings = Settings.of(arguments, {}, {})
    assert (settings.drops_head, settings.rejects_publishes) == (drops, rejects)
