"""Runs conformance scenarios against a real RabbitMQ server, and records what it answers.

`run_scenario(scenario, Target(url=..., api=...))` gives the transcript that FORMAT.md describes.
`python -m tests.conformance.live record FILES --server SERVER.json` records it.

It shares with the in-process replay what a transcript is (`../transcript.py`). Its bytes are its own, so
that it has no mistake in common with the broker.
"""

from .runner import run_scenario
from .scenarios import write_scenario
from .server import Target, UnsupportedError, changes_server

__all__ = ["Target", "UnsupportedError", "changes_server", "run_scenario", "write_scenario"]
