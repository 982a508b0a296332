"""docs/supported.md names recorded scenarios that exist, leaves none out, and accounts for every rule."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from mockbroker.rules import RULES, Rules

from .conformance.transcript import Scenario, expand, read

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "supported.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<patterns>(?:`[a-z0-9-]+/[^`]+` ?)+)\|$", re.MULTILINE)
OLD, NEW = RULES.values()


@cache
def scenarios() -> dict[str, Scenario]:
    """All designed scenarios by area and name."""
    corpus = expand([ROOT / "tests" / "conformance" / "corpus"])
    return {f"{each['area']}/{each['name']}": each for file in corpus for each in read(file)}


def rows(text: str = PAGE) -> list[tuple[str, list[str]]]:
    return [(row["what"], re.findall(r"`([^`]+)`", row["patterns"])) for row in ROW.finditer(text)]


def matching(pattern: str) -> list[str]:
    return [name for name in scenarios() if fnmatchcase(name, pattern)]


def rules_rows() -> dict[str, list[str]]:
    return {what.strip("`"): patterns for what, patterns in rows(PAGE.partition("## Rules")[2])}


def differing_fields() -> list[str]:
    """The fields in which the two versions differ; what they are called is no rule."""
    names = [name for name in Rules.__annotations__ if name not in ("name", "version")]
    return [name for name in names if getattr(OLD, name) != getattr(NEW, name)]


def expectations(name: str) -> list[Any]:
    expect = scenarios()[name]["expect"]
    return [expect.get(rules.name) for rules in (OLD, NEW)]


def test_every_row_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    heads = [line for line in lines if re.match(r"\| (---|Feature|Field) \|", line)]
    assert len(rows()) == len(lines) - len(heads) > 0


def test_every_pattern_names_scenarios() -> None:
    assert [pattern for _, patterns in rows() for pattern in patterns if not matching(pattern)] == []


def test_every_scenario_is_named() -> None:
    named = {name for _, patterns in rows() for pattern in patterns for name in matching(pattern)}
    assert sorted(set(scenarios()) - named) == []


def test_every_rule_has_scenarios_or_a_reason() -> None:
    excused = re.findall(r"`(\w+)`", PAGE.rpartition("have no scenario.")[2])
    assert sorted([*rules_rows(), *excused]) == sorted(differing_fields())


def test_the_servers_differ_where_a_rule_says_so() -> None:
    named = [name for patterns in rules_rows().values() for name in patterns]
    assert [name for name in named if expectations(name)[0] == expectations(name)[1]] == []
