"""The classic mistakes are found, and their fixes hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

MISTAKES = Path(__file__).parents[2] / "docs" / "mistakes"


def load(name):
    spec = importlib.util.spec_from_file_location(f"mistake_{name}", MISTAKES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    assert sorted(path.stem for path in MISTAKES.glob("*.py")) == [
        "ack_before_work",
        "auto_ack",
        "done_twice",
        "no_confirms",
        "not_durable",
        "shared_record",
    ]


@pytest.mark.parametrize(
    ("name", "where", "what"),
    [
        ("ack_before_work", "killed at point .*in callback: time.sleep(1)", "lost: [b'"),
        ("auto_ack", "killed at point .*in callback: time.sleep(1)", "lost: [b'"),
        ("done_twice", "killed at point .*in callback: time.sleep(1)  # prints the receipt", "order-1"),
        ("no_confirms", "broker crashed at point .*when all has come to rest", "lost: [b'"),
        ("not_durable", "broker restarted at point .*when all has come to rest", "left after the restart"),
    ],
)
def test_crashing_everywhere_finds_the_mistake_and_passes_the_fix(name, where, what):
    example = load(name)
    report = example.find(example.mistake)
    assert not report.ok
    assert report.tried >= 10
    places = [failure.where for failure in report.failures]
    start, _, end = where.partition(".*")
    assert any(place.startswith(start) and end in place for place in places), places
    assert any(what in failure.error for failure in report.failures)
    fixed = example.find(example.fix)
    assert fixed.ok, str(fixed)


def test_exploring_finds_the_race_and_passes_the_fix():
    example = load("shared_record")
    report = example.find(example.mistake)
    assert not report.ok
    assert "preempt='lines'" in report.failures[0].replay
    fixed = example.find(example.fix, schedules=20)
    assert fixed.ok, str(fixed)
