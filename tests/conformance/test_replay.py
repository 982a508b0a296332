"""Each recorded scenario, replayed in-process, shows what the real server showed."""

from __future__ import annotations

import pytest

from .replay import replay
from .transcript import Scenario, difference


def test_replay(scenario: Scenario, label: str) -> None:
    seen = replay(scenario, label)
    text = difference(scenario["steps"], scenario["expect"][label], seen)
    if text is not None:
        pytest.fail(f"{scenario['about']}\n{text}", pytrace=False)
