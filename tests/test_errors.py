"""Reply codes, and who closes."""

from __future__ import annotations

import pytest

from mockbroker import errors


def test_a_refusal_carries_the_code_and_the_text_that_a_client_is_told() -> None:
    error = errors.SoftError("NOT_FOUND", "no queue 'q' in vhost '/'")
    assert (error.reply_code, error.reply_text) == (404, "NOT_FOUND - no queue 'q' in vhost '/'")
    assert str(error) == "(404) NOT_FOUND - no queue 'q' in vhost '/'"


def test_an_empty_text_leaves_the_name_alone() -> None:
    assert errors.HardError("INTERNAL_ERROR").reply_text == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("text", "kept", "is_cut_beyond_ascii"),
    [
        ("x" * 243, "x" * 243, False),
        ("x" * 244, "x" * 240 + "...", False),
        ("é" * 121, "é" * 121, False),
        ("é" * 122, "é" * 120 + "...", True),
        ("x" * 244 + "é", "x" * 240 + "...", False),
        ("x" * 239 + "é" * 10, "x" * 239 + "\udcc3...", True),
    ],
)
def test_a_text_has_255_octets_at_most(text: str, kept: str, is_cut_beyond_ascii: bool) -> None:
    error = errors.SoftError("NOT_FOUND", text)
    assert error.reply_text == f"NOT_FOUND - {kept}"
    assert error.is_cut_beyond_ascii is is_cut_beyond_ascii


def test_an_unknown_code_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        errors.SoftError("NO_SUCH_CODE")


def test_codes_and_names_are_the_same_table() -> None:
    assert len(set(errors.REPLY_CODES.values())) == len(errors.REPLY_CODES)
    assert all(300 < code < 600 for code in errors.REPLY_CODES.values())


def test_every_error_raised_on_purpose_has_one_root() -> None:
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == errors.__name__
    ]
    assert all(issubclass(each, errors.MockbrokerError) for each in kinds)


def test_reentrancy_names_the_call_and_the_remedy() -> None:
    with pytest.raises(errors.ReentrancyError, match=r"run: nothing can be served.*connection\.call_later"):
        raise errors.ReentrancyError("run", "nothing can be served")
