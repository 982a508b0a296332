"""Each recorded scenario, replayed over sockets, shows what the real server showed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mockbroker.rules import RULES
from tests.amqp.wire_replay import replay
from tests.conformance.transcript import Scenario, difference, expand, read

CONFORMANCE = Path(__file__).parent.parent / "conformance"


def cases():
    for file in expand([CONFORMANCE / "corpus", CONFORMANCE / "fuzz"]):
        for scenario in read(file):
            for label in scenario["expect"]:
                if label in RULES:
                    title = f"{scenario['area']}/{scenario['name']}[{label}]"
                    yield pytest.param(scenario, label, id=title)


@pytest.mark.parametrize(("scenario", "label"), list(cases()))
def test_wire_replay(scenario: Scenario, label: str) -> None:
    text = difference(scenario["steps"], scenario["expect"][label], replay(scenario, label))
    if text is not None:
        pytest.fail(f"{scenario['about']}\n{text}", pytrace=False)
