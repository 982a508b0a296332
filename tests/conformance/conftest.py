"""Collects the scenarios: one test for each scenario and rule set."""

from __future__ import annotations

import pytest

from mockbroker.rules import RULES

from .scenarios import chosen_scenarios, title_of
from .transcript import needs_wire

LABELS = tuple(RULES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__name__ != "test_replay":
        return
    cases = [
        pytest.param(scenario, label, id=f"{title_of(scenario)}[{label}]")
        for scenario in chosen_scenarios(metafunc.config)
        if not needs_wire(scenario)
        for label in scenario.get("expect", {})
        if label in LABELS
    ]
    metafunc.parametrize(("scenario", "label"), cases)
