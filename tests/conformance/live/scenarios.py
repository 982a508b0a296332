"""Writes scenario files: one step, or what was seen in one step, a line.

Owns the layout of the files; knows nothing of what the steps mean. Next: `../transcript.py`.
"""

from pathlib import Path
from typing import Any

from ..transcript import Scenario, line


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
        return "[\n" + ",\n".join(inner + line(item) for item in value) + f"\n{indent}]"
    if isinstance(value, dict):
        items = (f"{inner}{line(key)}: {_text(item, inner)}" for key, item in value.items())
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    return line(value)
