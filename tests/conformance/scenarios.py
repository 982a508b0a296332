"""Which scenarios are replayed: the project's own, or those that ``--scenarios`` names.

Owns: the option, the choice, and the summary that names what needs the wire. ``tests/conftest.py`` hands the
two hooks on to pytest, so that they are known however it is started.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from .transcript import Scenario, expand, needs_wire, read

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


def chosen_scenarios(config: pytest.Config) -> list[Scenario]:
    """The scenarios to replay."""
    paths = config.getoption("scenarios") or OWN
    for path in map(Path, paths):
        if not path.exists():
            raise pytest.UsageError(f"--scenarios {path}: there is no such file or folder")
    return _scenarios(tuple(map(Path, paths)))


def title_of(scenario: Scenario) -> str:
    """Its area and name."""
    return f"{scenario['area']}/{scenario['name']}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ran = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    if not any("conformance/test_replay" in report.nodeid for report in ran):
        return
    chosen = chosen_scenarios(config)
    wire_only = [title_of(scenario) for scenario in chosen if needs_wire(scenario)]
    terminalreporter.section("conformance")
    terminalreporter.line(
        f"{len(chosen) - len(wire_only)} scenarios replay in-process. "
        f"{len(wire_only)} are wire only (raw frames, handshake options); replays over the wire cover them:"
    )
    for title in wire_only:
        terminalreporter.line(f"  {title}")
