"""Scenario files: reading, writing, and saying where two transcripts differ.

Owns the layout of the files; knows nothing of what the steps mean. Next: `../FORMAT.md`.
"""

import gzip
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .transcript import Seen

Scenario = dict[str, Any]


def scenario_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files as given; a folder stands for all scenario files below it, by name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.name.endswith((".json", ".jsonl.gz")))
        else:
            yield path


def read_scenarios(path: Path) -> list[Scenario]:
    """The scenarios of a `.json` file (one) or a `.jsonl.gz` file (one a line)."""
    if path.name.endswith(".jsonl.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    return [json.loads(path.read_text(encoding="utf-8"))]


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write one scenario as a `.json` file, with one step or one step's expectation a line."""
    expect = {label: _Rows(transcript) for label, transcript in scenario.get("expect", {}).items()}
    laid_out = {**scenario, "steps": _Rows(scenario["steps"]), "expect": expect}
    path.write_text(_text(laid_out, "") + "\n", encoding="utf-8")


class _Rows(list[Any]):
    """A list that is written with one item a line."""


def _text(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, _Rows):
        return "[\n" + ",\n".join(inner + _line(item) for item in value) + f"\n{indent}]"
    if isinstance(value, dict):
        items = (f"{inner}{_line(key)}: {_text(item, inner)}" for key, item in value.items())
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def difference(steps: list[Mapping[str, Any]], expected: list[Seen], observed: list[Seen]) -> str | None:
    """The first step that differs: expected events with `-`, observed ones with `+`. None when all agree."""
    if len(expected) != len(observed):
        return f"{len(expected)} steps expected, {len(observed)} observed"
    for number, (step, want, got) in enumerate(zip(steps, expected, observed, strict=True)):
        if want == got:
            continue
        lines = [f"step {number}: {_line(step)}"]
        for key in sorted(want.keys() | got.keys()):
            for x, y in itertools.zip_longest(want.get(key, []), got.get(key, [])):
                if x != y:
                    lines += [
                        f"  {key} {sign} {_line(event)}"
                        for sign, event in (("-", x), ("+", y))
                        if event is not None
                    ]
        return "\n".join(lines)
    return None
