"""What every test relies on: hypothesis draws the same examples in every run, and takes the time it needs."""

from __future__ import annotations

from hypothesis import settings

from tests.conformance.scenarios import pytest_addoption, pytest_terminal_summary  # noqa: F401 - pytest's hooks

# `pytest --hypothesis-profile=explore` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")
