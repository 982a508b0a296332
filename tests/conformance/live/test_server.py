"""What scenarios ask of a server beside AMQP, and how they are written down; no server is needed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..transcript import read
from .scenarios import write_scenario
from .server import Target, UnsupportedError, changes_server, management_request


@pytest.mark.parametrize(
    ("step", "request_"),
    [
        (
            {
                "op": "policy.set",
                "name": "p",
                "pattern": "^q",
                "definition": {"max-length": 1},
                "apply_to": "queues",
            },
            (
                "PUT",
                ("policies", "v", "p"),
                {"pattern": "^q", "definition": {"max-length": 1}, "apply-to": "queues"},
            ),
        ),
        ({"op": "operator-policy.delete", "name": "o"}, ("DELETE", ("operator-policies", "v", "o"), None)),
        (
            {"op": "user.set", "name": "u", "password": "x", "tags": ""},
            ("PUT", ("users", "u"), {"password": "x", "tags": ""}),
        ),
        ({"op": "permissions.clear", "user": "u"}, ("DELETE", ("permissions", "v", "u"), None)),
        (
            {"op": "topic-permissions.set", "user": "u", "exchange": "x", "write": "a", "read": "b"},
            ("PUT", ("topic-permissions", "v", "u"), {"exchange": "x", "write": "a", "read": "b"}),
        ),
        (
            {"op": "vhost-limit.set", "name": "max-queues", "value": 0},
            ("PUT", ("vhost-limits", "v", "max-queues"), {"value": 0}),
        ),
        (
            {"op": "user-limit.clear", "user": "u", "name": "max-channels"},
            ("DELETE", ("user-limits", "u", "max-channels"), None),
        ),
        ({"op": "queue.declare", "queue": "q"}, None),
    ],
)
def test_administration_is_a_call_of_the_management_api(step: dict[str, Any], request_: Any) -> None:
    assert management_request(step, "v") == request_


@pytest.mark.parametrize(
    ("scenario", "alone"),
    [
        ({"steps": [{"op": "user.set"}]}, False),
        ({"steps": [{"op": "alarm.set", "resource": "disk"}]}, True),
        ({"steps": [{"op": "restart"}]}, True),
        ({"steps": [], "consumer_timeout_ms": 1000}, True),
    ],
)
def test_what_others_could_notice_runs_alone(scenario: dict[str, Any], alone: bool) -> None:
    assert changes_server(scenario) is alone


def test_a_target_says_which_command_or_plugin_is_missing() -> None:
    target = Target(url="amqp://user:p%40ss@host:5673", api="http://host:15673")
    target.check_can_run({"steps": [{"op": "connect"}]})
    with pytest.raises(UnsupportedError, match="no control command"):
        target.check_can_run({"steps": [{"op": "kill"}]})
    with pytest.raises(UnsupportedError, match="no ctl command"):
        target.check_can_run({"steps": [{"op": "alarm.set", "resource": "memory"}]})
    target.__dict__["plugins"] = frozenset(["rabbitmq_management", "rabbitmq_sharding"])
    target.check_can_run({"steps": [], "plugins": ["rabbitmq_sharding"]})
    with pytest.raises(UnsupportedError, match=r"no plugin rabbitmq_random_exchange$"):
        target.check_can_run({"steps": [], "plugins": ["rabbitmq_sharding", "rabbitmq_random_exchange"]})
    assert target.address == ("host", 5673)
    assert target.credentials == ("user", "p@ss")


def test_scenario_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    scenario = {
        "name": "n",
        "area": "a",
        "about": "größer",
        "steps": [{"op": "wait", "seconds": 0.5}, {"op": "close", "conn": "A"}],
        "expect": {"rabbitmq-4.0": [{}, {"A": [{"ev": "not-connected"}]}]},
    }
    path = tmp_path / "n.json"
    write_scenario(path, scenario)
    assert read(path) == [scenario]
    text = path.read_text(encoding="utf-8")
    assert '    {"op": "wait", "seconds": 0.5},\n' in text
    assert text.endswith("}\n")
