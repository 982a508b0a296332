"""What a test asks for: the marker, the options, and what follows from both.

Owns: their names and their order of precedence: the marker, then the command line, then the defaults.
Refuses to know: brokers.

Read next: ``plugin.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mockbroker.rules import rules_named

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "mockbroker"
DEFAULT_RULES = "rabbitmq-4.0"
_KEYWORDS = ("rules", "seed", "definitions", "consumer_timeout")


def add_options(parser: pytest.Parser) -> None:
    """Add the command line's options."""
    group = parser.getgroup("mockbroker", "mockbroker: RabbitMQ in a test")
    group.addoption(
        "--mockbroker-rules",
        action="append",
        metavar="NAME",
        help="rabbitmq-4.0 (the default) or rabbitmq-3.10; given twice, each test runs once with either",
    )
    group.addoption(
        "--mockbroker-seed", type=int, default=0, metavar="N", help="seed of brokers and simulations (0)"
    )
    group.addoption(
        "--mockbroker-live",
        metavar="URL",
        help="run tests that use mockbroker_url on this RabbitMQ (amqp://guest:guest@127.0.0.1:5672), each "
        "in a virtual host of its own; tests in virtual time are skipped",
    )
    group.addoption(
        "--mockbroker-live-management",
        metavar="URL",
        help="the live server's management API (http://host:AMQP port + 10000)",
    )
    group.addoption(
        "--mockbroker-report", metavar="DIR", help="save the traces of failing tests there, as text and HTML"
    )
    group.addoption(
        "--mockbroker-lint",
        nargs="?",
        const="report",
        choices=("report", "error"),
        help="say at the end what works here and bites on RabbitMQ later; 'error' fails such tests",
    )


@dataclass(frozen=True)
class Wishes:
    """What one test gets; `consumer_timeout` is in seconds."""

    rules: str
    seed: int
    definitions: dict[str, Any] | None
    consumer_timeout: float | None


def wishes_of(request: pytest.FixtureRequest, rules: str) -> Wishes:
    """Return what a test asks for. Raises UsageError for a marker that makes no sense."""
    given = _marker_keywords(request.node)
    return Wishes(
        rules=rules,
        seed=given.get("seed", request.config.getoption("--mockbroker-seed")),
        definitions=_definitions(given.get("definitions"), request.path),
        consumer_timeout=given.get("consumer_timeout"),
    )


def _marker_keywords(node: pytest.Item | pytest.Function) -> dict[str, Any]:
    """The keywords of all markers that count for a test; the closest one wins."""
    keywords: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers(MARKER))):
        wrong = [name for name in marker.kwargs if name not in _KEYWORDS]
        if marker.args or wrong:
            what = ", ".join(wrong) or repr(marker.args[0])
            raise pytest.UsageError(
                f"@pytest.mark.mockbroker takes the keywords {', '.join(_KEYWORDS)}; not {what}"
            )
        keywords.update(marker.kwargs)
    return keywords


def wanted_rules(metafunc: pytest.Metafunc) -> list[str]:
    """Return the rule sets that a test runs with; none when nobody asks for any.

    A live server has rules of its own: there the command line's rules do not count, and the marker's say
    which server the test is for. Raises UsageError for rules that there are not.
    """
    rules = _marker_keywords(metafunc.definition).get("rules")
    if rules is None and not metafunc.config.getoption("--mockbroker-live"):
        rules = metafunc.config.getoption("--mockbroker-rules")
    names = [rules] if isinstance(rules, str) else list(rules or ())
    for name in names:
        try:
            rules_named(name)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
    return list(dict.fromkeys(names))


def _definitions(given: Any, test: Path) -> dict[str, Any] | None:
    """Definitions as a dict; a path is that of a JSON file, as seen from the test's folder."""
    if given is None or isinstance(given, dict):
        return given
    loaded = json.loads((test.parent / given).read_text(encoding="utf-8"))
    if not isinstance(loaded, dict):
        raise pytest.UsageError(f"definitions in {given} must be one JSON object")
    return loaded
