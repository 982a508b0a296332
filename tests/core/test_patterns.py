"""Patterns: named groups as PCRE writes them, and its words for faults."""

from __future__ import annotations

import re

import pytest

from mockbroker.core.patterns import compiled, fault_of, matches


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        (r"^(?<n>a)\k<n>$", "aa", True),
        (r"^(?'n'a)\k'n'\k{n}$", "aaa", True),
        (r"^(?<n>a)\k<n>$", "ab", False),
        (r"^(?<n>a)\(?<n>[(?<n>]$", "a(<n><", True),
        (r"(?<=a)b", "ab", True),
    ],
)
def test_named_groups_may_be_written_as_pcre_does(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, name) == is_match


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("(", ("missing )", 1)),
        ("[a", ("missing terminating ] for character class", 2)),
        ("a)", ("unmatched parentheses", 1)),
        ("é)", ("unmatched parentheses", 2)),
        ("é{2,1}", ("numbers out of order in {} quantifier", 6)),
        ("a{2,1}", ("numbers out of order in {} quantifier", 5)),
        ("a{1,2}{3}", ("nothing to repeat", 8)),
        ("*a", ("nothing to repeat", 0)),
        ("\\", ("\\ at end of pattern", 1)),
        ("[z-a]", ("bad character range z-a", 1)),
    ],
)
def test_usual_faults_are_told_in_pcres_words(pattern: str, fault: tuple[str, int]) -> None:
    with pytest.raises(re.error) as refused:
        compiled(pattern)
    assert fault_of(pattern, refused.value) == fault
