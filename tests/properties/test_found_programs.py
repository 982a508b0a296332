"""Programs that random draws have found, cut down to what it takes: each once went wrong beside the model."""

from __future__ import annotations

from typing import Any

import pytest

from .beside import Beside

Line = tuple[Any, ...]
"""A command and its arguments; a table at the end holds those with names."""

OLD, NEW = "rabbitmq-3.10", "rabbitmq-4.0"


PROGRAMS: dict[str, tuple[str, list[Line]]] = {
    "two connections go on in turn, each after all that the other's message caused": (
        NEW,
        [
            ("open_channel", 0, "plain"),
            ("connect",),
            ("open_channel", 1, "plain"),
            ("raise_alarm",),
            ("publish_many", 2, "q-kept", 5, {"persistent": True}),
            ("publish_many", 3, "q-kept", 6, {"persistent": False}),
            ("end_alarm",),
        ],
    ),
    "a window of automatic acknowledgements lets others be served": (
        NEW,
        [
            ("publish_many", 0, "q-plain", 5, {"persistent": True}),
            ("open_channel", 0, "plain"),
            ("consume", 0, "q-plain", False, 0, False, 0, "first"),
            ("consume", 1, "q-plain", True, 2, False, 5, "first"),
            ("consume", 1, "q-plain", False, 0, False, 0, "first"),
            ("close_channel", 0),
        ],
    ),
    "a negative argument stands back behind two policies": (
        NEW,
        [
            ("set_policy", "mixed", {"operator": False}),
            ("set_policy", "strict", {"operator": True}),
            ("publish_many", 0, "q-patient", 1, {"persistent": True}),
            ("consume", 0, "q-patient", False, 0, False, 0, "first"),
            ("serve",),
            ("settle", 0, 0, "requeue", False),
            ("serve",),
            ("settle", 0, 0, "requeue", False),
        ],
    ),
    "who was refused stays refused when a policy makes room": (
        OLD,
        [
            ("set_policy", "buried", {"operator": False}),
            ("publish_many", 0, "q-careful", 9, {"persistent": True}),
            ("set_policy", "patience", {"operator": False}),
            ("publish_many", 0, "q-careful", 2, {"persistent": True}),
        ],
    ),
    "whose message was the last is refused when a policy makes room": (
        OLD,
        [
            ("set_policy", "buried", {"operator": False}),
            ("publish_many", 0, "q-careful", 8, {"persistent": True}),
            ("set_policy", "patience", {"operator": False}),
            ("publish_many", 0, "q-careful", 2, {"persistent": True}),
        ],
    ),
    "a letter in a stream has its expiration again": (
        NEW,
        [
            ("set_policy", "buried", {"operator": False}),
            ("consume", 0, "log", False, 3, False, 0, "first"),
            ("bind", 0, "log", "graveyard", 5),
            ("publish", 0, "", "dead", True, {"ttl_ms": 100, "blind": ["log"]}),
            ("advance", 500),
        ],
    ),
    "what an exclusive queue drops at the end is dead-lettered before it goes": (
        NEW,
        [
            ("set_policy", "buried", {"operator": False}),
            ("publish_many", 0, "own", 6, {"persistent": True}),
            ("bind_exchange", 1, "topics", "graveyard", "#"),
            ("get", 0, "own", False),
            ("publish_many", 0, "own", 2, {"persistent": True}),
            ("restart", 0),
        ],
    ),
    "a limit drops the head at recovery though it refuses publishes": (
        NEW,
        [
            ("publish_many", 0, "durable", 3, {"persistent": True}),
            ("advance", 200),
            ("set_policy", "tiny", {"operator": False}),
            ("crash", 0),
        ],
    ),
    "a shared window does not count what waits for a commit": (
        NEW,
        [
            ("open_channel", 0, "tx"),
            ("publish_many", 1, "plain", 1, {"persistent": True}),
            ("open_channel", 0, "plain"),
            ("consume", 0, "plain", False, 2, False, 0),
            ("publish_many", 1, "plain", 3, {"persistent": True}),
            ("serve",),
            ("settle", 0, 1, "ack", False),
            ("limit_channel", 0, 1),
            ("commit", 0),
        ],
    ),
    "a shared window counts off all that is returned before the first queue delivers": (
        NEW,
        [
            ("publish_many", 0, "plain", 2, {"persistent": True}),
            ("consume", 0, "plain", False, 2, False, 0),
            ("publish_many", 0, "durable", 2, {"persistent": True}),
            ("consume", 0, "durable", False, 2, False, 0),
            ("limit_channel", 0, 1),
            ("recover", 0),
        ],
    ),
    "what a client returned during an alarm is not lost with its channel": (
        OLD,
        [
            ("publish_many", 0, "q-full", 3, {"persistent": True}),
            ("consume", 0, "q-full", False, 1, False, 0),
            ("serve",),
            ("raise_alarm",),
            ("publish_many", 0, "q-full", 1, {"persistent": True}),
            ("settle", 0, 0, "requeue", False),
            ("drop", 0),
            ("end_alarm",),
        ],
    ),
    "publishes that an alarm held back are refused one by one": (
        NEW,
        [
            ("declare", 0, "q-full"),
            ("raise_alarm",),
            ("publish_many", 0, "q-full", 6, {"persistent": True}),
            ("end_alarm",),
        ],
    ),
    "who waited takes over from a single active consumer, not who comes": (
        OLD,
        [
            ("open_channel", 0, "plain"),
            ("open_channel", 0, "plain"),
            ("consume", 0, "q-single", False, 0, False, 0),
            ("consume", 1, "q-single", False, 0, False, 0),
            ("close_channel", 0),
            ("open_channel", 0, "plain"),
            ("consume", 1, "q-single", False, 0, False, 5),
            ("publish_many", 0, "q-single", 1, {"persistent": True}),
        ],
    ),
}
"""What it is about -> rules and commands."""


@pytest.mark.parametrize("about", PROGRAMS)
def test_found_program(about: str) -> None:
    rules, lines = PROGRAMS[about]
    beside = Beside(rules, None)
    for what, *arguments in lines:
        named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        beside.do(what, *arguments, **named)
    beside.assert_repeatable()
