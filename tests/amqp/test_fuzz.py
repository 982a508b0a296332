"""A few thousand mutated frames on each run; ``python -m tests.amqp.fuzz`` takes a million."""

from __future__ import annotations

import pytest

from tests.amqp import fuzz


@pytest.mark.parametrize("seed", [1, 1001, 2001])
def test_mutated_frames_harm_nobody(seed):
    assert fuzz.run(seed, frames=500) >= 500
