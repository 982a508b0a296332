"""Runs conformance scenarios against a real RabbitMQ server, and records what it answers.

`run_scenario(scenario, Target(url=..., api=...))` gives the transcript that FORMAT.md describes.
`python -m tests.conformance.live record FILES --server SERVER.json` records it.
"""

from .runner import run_scenario
from .scenarios import Scenario, difference, read_scenarios, scenario_files, write_scenario
from .server import Target, UnsupportedError, changes_server
from .transcript import Seen

__all__ = [
    "Scenario",
    "Seen",
    "Target",
    "UnsupportedError",
    "changes_server",
    "difference",
    "read_scenarios",
    "run_scenario",
    "scenario_files",
    "write_scenario",
]
