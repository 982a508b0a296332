"""The pytest plugin: fixtures, and what a failing test tells.

Owns: the fixtures and the hooks. Refuses to know: how anything is measured or shown. A run whose tests use no
fixture imports nothing more than this module and ``options.py``.

Read next: ``options.py``, ``report.py``, ``live.py``, ``docs/testing.md``.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mockbroker.testing import options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mockbroker.broker import Broker
    from mockbroker.sim.simulation import Simulation
    from mockbroker.testing.live import LiveServer
    from mockbroker.testing.options import Wishes
    from mockbroker.trace import Trace

GRACE_S = 0.02
"""How long a test's endpoint waits for clients that the test left connected."""
LONGEST_NAME = 150
_LINT = "mockbroker-lint"


@dataclass
class Watched:
    """A broker that a test has, for the report."""

    fixture: str
    broker: Broker
    trace: Trace
    simulation: Simulation | None = None

    def text(self) -> str:
        """Return what there is to tell of it."""
        from mockbroker.testing import report  # noqa: PLC0415 - only failing tests need it

        with self.broker.lock or nullcontext():
            told = report.text(self.broker, self.trace)
        if self.simulation is None:
            return told
        log = "\n".join(map(str, self.simulation.log[-report.SHOWN_EVENTS :]))
        return f"{told}\n\nwhat the programs printed:\n{log or '(nothing)'}\n\n{self.simulation.replay}"


_watched = pytest.StashKey[list[Watched]]()
_live = pytest.StashKey["LiveServer"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is for."""
    config.addinivalue_line(
        "markers",
        "mockbroker(rules=..., seed=..., definitions=..., consumer_timeout=...): "
        "the broker that the test's fixtures make",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each rule set that is asked for."""
    if "_mockbroker_rules" in metafunc.fixturenames:
        rules = options.wanted_rules(metafunc)
        if rules:
            metafunc.parametrize("_mockbroker_rules", rules, indirect=True)


# -- fixtures


@pytest.fixture
def _mockbroker_rules(request: pytest.FixtureRequest) -> str | None:
    """The rules that the test runs with, None when nobody asks for any."""
    return getattr(request, "param", None)


@pytest.fixture
def _mockbroker_wishes(request: pytest.FixtureRequest, _mockbroker_rules: str | None) -> Wishes:
    """What the test asks for."""
    return options.wishes_of(request, _mockbroker_rules or options.DEFAULT_RULES)


def _skip_on_live(request: pytest.FixtureRequest, fixture: str) -> None:
    url = request.config.getoption("--mockbroker-live")
    if url:
        pytest.skip(f"{fixture} is virtual time in this process: it cannot run on the live server {url}")


@contextmanager
def _watching(
    request: pytest.FixtureRequest, fixture: str, broker: Broker, simulation: Simulation | None = None
) -> Iterator[None]:
    """Record a broker for the length of a test, and look at it in the end: lint, invariants."""
    from mockbroker.testing.report import Recording  # noqa: PLC0415 - only tests with a fixture need it

    trace = Recording(broker.node)
    watched = Watched(fixture, broker, trace, simulation)
    request.node.stash.setdefault(_watched, []).append(watched)
    try:
        yield
        findings = _findings(request, trace)
        with broker.lock or nullcontext():
            broker.check()
        if findings and request.config.getoption("--mockbroker-lint") == "error":
            pytest.fail("\n".join(findings), pytrace=False)
    finally:
        trace.stop()


def _findings(request: pytest.FixtureRequest, trace: Trace) -> list[str]:
    if not request.config.getoption("--mockbroker-lint"):
        return []
    from mockbroker.testing.lint import lint  # noqa: PLC0415 - only who asks for lint pays for it

    findings = [str(finding) for finding in lint(trace)]
    request.node.user_properties.extend((_LINT, text) for text in findings)
    return findings


@pytest.fixture
def mockbroker(request: pytest.FixtureRequest, _mockbroker_wishes: Wishes) -> Iterator[Broker]:
    """A new `Broker` in virtual time; its invariants are checked when the test is over."""
    from mockbroker.broker import Broker  # noqa: PLC0415 - only tests with this fixture need it

    _skip_on_live(request, "mockbroker")
    wishes = _mockbroker_wishes
    broker = Broker(rules=wishes.rules, seed=wishes.seed, consumer_timeout=wishes.consumer_timeout)
    _define(broker, wishes)
    with broker, _watching(request, "mockbroker", broker):
        yield broker


@pytest.fixture
def mockbroker_url(request: pytest.FixtureRequest, _mockbroker_wishes: Wishes) -> Iterator[str]:
    """The URL of a broker of the test's own, for any AMQP client; with ``--mockbroker-live`` RabbitMQ's."""
    if request.config.getoption("--mockbroker-live"):
        with _live_url(request, _mockbroker_wishes) as url:
            yield url
        return
    from mockbroker.broker import Broker  # noqa: PLC0415 - only tests with this fixture need it
    from mockbroker.clock import WallClock  # noqa: PLC0415 - only tests with this fixture need it

    wishes = _mockbroker_wishes
    broker = Broker(
        rules=wishes.rules,
        seed=wishes.seed,
        clock=WallClock(),
        consumer_timeout=wishes.consumer_timeout,
    )
    _define(broker, wishes)
    endpoint = broker.listen()
    try:
        with _watching(request, "mockbroker_url", broker):
            yield endpoint.url
    finally:
        endpoint.close(GRACE_S)
        broker.close()


@pytest.fixture
def mockbroker_sim(request: pytest.FixtureRequest, _mockbroker_wishes: Wishes) -> Iterator[Simulation]:
    """A `Simulation`: unmodified blocking programs against a broker of its own, in virtual time."""
    from mockbroker.sim.simulation import SimulatedBroker, Simulation  # noqa: PLC0415 - heavy, and rarely used

    _skip_on_live(request, "mockbroker_sim")
    wishes = _mockbroker_wishes
    broker = SimulatedBroker(rules=wishes.rules, seed=wishes.seed, consumer_timeout=wishes.consumer_timeout)
    _define(broker, wishes)
    with (
        broker,
        Simulation(wishes.seed, broker=broker) as simulation,
        _watching(request, "mockbroker_sim", broker, simulation),
    ):
        yield simulation


@pytest.fixture
def mockbroker_pika(mockbroker: Broker) -> Iterator[Broker]:
    """``pika.BlockingConnection`` connects to this broker, in virtual time, wherever it was imported."""
    from mockbroker.pika import patch  # noqa: PLC0415 - imports pika

    with patch(mockbroker):
        yield mockbroker


def _define(broker: Broker, wishes: Wishes) -> None:
    if wishes.definitions is not None:
        from mockbroker.admin import definitions  # noqa: PLC0415 - few tests have definitions

        passed_over = definitions.load(broker.node, wishes.definitions, "/")
        if passed_over:
            warnings.warn(f"definitions: passed over: {', '.join(passed_over)}", stacklevel=2)


@contextmanager
def _live_url(request: pytest.FixtureRequest, wishes: Wishes) -> Iterator[str]:
    from mockbroker.rules import rules_named  # noqa: PLC0415 - only live runs need it

    server = _live_server(request.config)
    asked = request.getfixturevalue("_mockbroker_rules")
    if asked is not None and not server.has_rules(rules_named(asked).version):
        pytest.skip(f"this test is about {asked}, and the live server is RabbitMQ {server.version}")
    timeout_ms = None if wishes.consumer_timeout is None else round(wishes.consumer_timeout * 1000)
    if timeout_ms is not None and server.has_rules("3.10"):
        pytest.skip(f"RabbitMQ {server.version} has no consumer timeout for one virtual host")
    with server.vhost(wishes.definitions, timeout_ms) as url:
        yield url


def _live_server(config: pytest.Config) -> LiveServer:
    if _live not in config.stash:
        from mockbroker.testing.live import LiveServer  # noqa: PLC0415 - only live runs need it

        url = config.getoption("--mockbroker-live")
        config.stash[_live] = LiveServer(url, config.getoption("--mockbroker-live-management"))
    return config.stash[_live]


# -- what a failing test tells


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add what the test's brokers hold to the report of a failure."""
    report = yield
    if report.failed:
        for watched in item.stash.get(_watched, ()):
            told = watched.text()
            report.sections.append((f"{watched.fixture} ({report.when})", told))
            folder = item.config.getoption("--mockbroker-report")
            if folder:
                _save(item.config.invocation_params.dir / folder, item.nodeid, watched, told)
    return report


def _save(folder: Path, nodeid: str, watched: Watched, told: str) -> None:
    """Write the trace as text and as a page, named after the test."""
    from mockbroker.testing import report  # noqa: PLC0415 - only failing tests need it

    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.\-\[\]]+", "-", f"{nodeid}-{watched.fixture}").strip("-")[-LONGEST_NAME:]
    with watched.broker.lock or nullcontext():
        page = report.html(f"{nodeid}: {watched.fixture}", told, watched.trace)
        everything = f"{told}\n\nall events:\n{watched.trace}\n"
    (folder / f"{name}.txt").write_text(everything, encoding="utf-8")
    (folder / f"{name}.html").write_text(page, encoding="utf-8")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what lint has found, by test."""
    found: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown" or getattr(report, "user_properties", ()):
                texts = [text for name, text in report.user_properties if name == _LINT]
                found.setdefault(report.nodeid, []).extend(texts)
    found = {nodeid: list(dict.fromkeys(texts)) for nodeid, texts in found.items() if texts}
    if found:
        terminalreporter.section("mockbroker lint")
        for nodeid, texts in found.items():
            terminalreporter.line(nodeid)
            for text in texts:
                terminalreporter.line("  " + text.replace("\n", "\n  "))
