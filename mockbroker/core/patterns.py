"""Regular expressions over names: what policies and permissions match with.

A name is its octets in UTF-8, as it is for RabbitMQ: to a pattern a letter beyond ASCII is two or more, and
none of them has another case. Source: recorded scenarios ``policies/patterns-match-octets``,
``permissions/patterns-match-octets*``.

Owns: what of PCRE's syntax Python writes otherwise, and PCRE's words for the usual faults.
Refuses to know: whose pattern it is. RabbitMQ matches with PCRE; what of it is not known here stands in
``docs/differences.md``.

Read next: ``core/policies.py``, ``core/access.py``.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mockbroker.values import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[bytes]:
    """Compile a pattern; named groups may be written as PCRE writes them. Raises `re.error`."""
    try:
        return re.compile(octets(pattern))
    except re.error as fault:
        try:
            return re.compile(octets(_NAMED.sub(_in_python, pattern)))
        except re.error:
            raise fault from None


def matches(pattern: str, name: str) -> bool:
    r"""Whether a pattern matches anywhere in a name. Raises `re.error`.

    >>> matches(r"^q(?<n>a)\k<n>$", "qaa"), matches("^.$", "é"), matches("^..$", "é")
    (True, False, True)
    """
    return compiled(pattern).search(octets(name)) is not None


_NAMED = re.compile(
    r"""
    \\k(?:<(?P<k1>\w+)>|\{(?P<k2>\w+)\}|'(?P<k3>\w+)')   # a reference by name
    | \(\?(?:<(?P<g1>[^\W\d]\w*)>|'(?P<g2>[^\W\d]\w*)')  # the beginning of a group with a name
    | \\. | \[\^?\]?(?:\\.|[^\]\\])*\]                   # what is escaped, or in a character class
    """,
    re.VERBOSE | re.DOTALL,
)


def _in_python(match: re.Match[str]) -> str:
    name = match["g1"] or match["g2"]
    if name:
        return f"(?P<{name}>"
    name = match["k1"] or match["k2"] or match["k3"]
    return f"(?P={name})" if name else match[0]


def _end(pattern: str, _: int) -> int:
    return len(pattern)


def _there(_: str, position: int) -> int:
    return position


def _end_of_count(pattern: str, position: int) -> int:
    """Where a repetition such as ``{2,3}`` closes; other ones are one character long."""
    return position if pattern[position] in "*+?" else pattern.index("}", position)


_FAULTS: dict[str, tuple[str, Callable[[str, int], int]]] = {
    "unterminated character set": ("missing terminating ] for character class", _end),
    "missing ), unterminated subpattern": ("missing )", _end),
    "missing ), unterminated comment": ("missing ) after comment", _end),
    "bad escape (end of pattern)": ("\\ at end of pattern", _end),
    "unbalanced parenthesis": ("unmatched parentheses", _there),
    "nothing to repeat": ("nothing to repeat", _end_of_count),
    "multiple repeat": ("nothing to repeat", _end_of_count),
    "min repeat greater than max repeat": ("numbers out of order in {} quantifier", _end_of_count),
}
"""Python's words for a fault -> PCRE's, and where PCRE finds it."""


def fault_of(pattern: str, fault: re.error) -> tuple[str, int]:
    """Return the words for a fault in a pattern and its position: PCRE's for usual ones, else Python's.

    Positions are counted in octets. Source: recorded scenario ``policies/pattern-fault-position``.
    """
    position = fault.pos or 0
    if fault.msg not in _FAULTS:
        return fault.msg, position
    words, place = _FAULTS[fault.msg]
    return words, place(octets(pattern).decode("latin-1"), position)
