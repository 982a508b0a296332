"""Endpoints for the tests of this folder."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.clock import WallClock


@pytest.fixture
def broker():
    """A broker on the wall clock, checked at the end."""
    with Broker(clock=WallClock()) as broker:
        yield broker
        broker.check()


@pytest.fixture
def endpoint(broker):
    """An endpoint of that broker."""
    with broker.listen() as endpoint:
        yield endpoint
