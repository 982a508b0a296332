"""Collects the scenarios, one test for each scenario and rule set, and names those that need the wire."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from mockbroker.rules import RULES

from .transcript import Scenario, expand, needs_wire, read

LABELS = tuple(RULES)
HERE = Path(__file__).parent
OWN = (HERE / "corpus", HERE / "fuzz")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scenarios",
        action="append",
        default=[],
        metavar="PATH",
        help="replay this file or folder of scenarios instead of the project's own (repeatable)",
    )


@functools.cache
def _scenarios(paths: tuple[Path, ...]) -> list[Scenario]:
    return [scenario for file in expand(paths) for scenario in read(file)]


def _chosen(config: pytest.Config) -> list[Scenario]:
    # The option is unknown when pytest was not started on this folder: then there is nothing to choose.
    paths = config.getoption("scenarios", default=None) or OWN
    for path in map(Path, paths):
        if not path.exists():
            raise pytest.UsageError(f"--scenarios {path}: there is no such file or folder")
    return _scenarios(tuple(map(Path, paths)))


def _title(scenario: Scenario) -> str:
    return f"{scenario['area']}/{scenario['name']}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__name__ != "test_replay":
        return
    cases = [
        pytest.param(scenario, label, id=f"{_title(scenario)}[{label}]")
        for scenario in _chosen(metafunc.config)
        if not needs_wire(scenario)
        for label in scenario.get("expect", {})
        if label in LABELS
    ]
    metafunc.parametrize(("scenario", "label"), cases)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    chosen = _chosen(config)
    wire_only = [_title(scenario) for scenario in chosen if needs_wire(scenario)]
    terminalreporter.section("conformance")
    terminalreporter.line(
        f"{len(chosen) - len(wire_only)} scenarios replay in-process. "
        f"{len(wire_only)} are wire only (raw frames, handshake options); replays over the wire cover them:"
    )
    for title in wire_only:
        terminalreporter.line(f"  {title}")
