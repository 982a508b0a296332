"""Composing random conversations, shrinking them, and telling kinds of differences apart."""

from __future__ import annotations

import pytest

from mockbroker.rules import RULES

from .compare import compose, kind_of, own_answer, without_needless
from .families import FAMILIES
from .transcript import Step, difference


def steps_of(text: str) -> list[Step]:
    return [{"op": letter} for letter in text]


@pytest.mark.parametrize(
    ("text", "needed"),
    [("abcdefgh", "cg"), ("abcdefgh", "a"), ("abc", "abc"), ("x", "x"), ("aabbaabb", "ab")],
)
def test_only_what_is_needed_stays(text: str, needed: str) -> None:
    asked = []

    def has_needed(steps: list[Step]) -> bool:
        asked.append(steps)
        rest = iter(step["op"] for step in steps)
        return all(letter in rest for letter in needed)

    assert without_needless(steps_of(text), has_needed) == steps_of(needed)
    assert len(asked) <= 3 * len(text)


def test_kind_leaves_names_and_numbers_out() -> None:
    text = (
        'step 3: {"op": "basic.get", "at": "A.1", "queue": "q%d"}\n'
        '    A.1 - {"ev": "basic.get-ok", "body": "m%d"}\n'
        '    A.1 + {"ev": "channel.close", "reply_text": "NOT_FOUND - no queue"}'
    )
    assert kind_of(text % (1, 1)) == kind_of(text % (2, 5))
    assert kind_of(text % (1, 1)) != kind_of(text.replace("basic.get-ok", "basic.get-empty") % (1, 1))
    assert kind_of("AssertionError: a\nin step 1") != kind_of("KeyError: a\nin step 1")


@pytest.mark.parametrize("label", RULES)
@pytest.mark.parametrize("family", FAMILIES)
def test_seed_gives_one_conversation(family: str, label: str) -> None:
    first, second = (compose(7, family, label, wide=True) for _ in range(2))
    assert first == second
    assert len(first["steps"]) > 30
    answers = [own_answer(first, label) for _ in range(2)]
    assert not isinstance(answers[0], str), answers[0]
    assert not isinstance(answers[1], str), answers[1]
    assert difference(first["steps"], *answers) is None


def test_other_seeds_and_families_give_other_conversations() -> None:
    label = next(iter(RULES))
    told = {str(compose(seed, family, label, wide=False)["steps"]) for seed in (1, 2) for family in FAMILIES}
    assert len(told) == 2 * len(FAMILIES)
