"""What every test relies on: hypothesis draws the same examples in every run, and takes the time it needs."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.conformance.scenarios import pytest_addoption, pytest_terminal_summary  # noqa: F401 - pytest's hooks

# `pytest --hypothesis-profile=explore` looks for new examples.
# No verdict may hang on how busy the machine is.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", derandomize=False, deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")
