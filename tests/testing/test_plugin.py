"""The pytest plugin, run in projects of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

EACH_FIXTURE = """
import pika

def test_native(mockbroker):
    channel = mockbroker.connect().channel()
    channel.queue_declare("hello")
    channel.basic_publish("", "hello", b"Hello World!")
    assert [message.body for message in mockbroker.queue("hello").ready] == [b"Hello World!"]

def test_url(mockbroker_url):
    with pika.BlockingConnection(pika.URLParameters(mockbroker_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("hello", exclusive=True)
        channel.basic_publish("", "hello", b"Hello World!")
        assert channel.basic_get("hello", auto_ack=True)[2] == b"Hello World!"

def test_sim(mockbroker_sim):
    def program():
        with pika.BlockingConnection(pika.ConnectionParameters("localhost")) as connection:
            connection.channel().queue_declare("hello")
            connection.sleep(3600)
    mockbroker_sim.spawn(program)
    mockbroker_sim.run()
    assert mockbroker_sim.now == 3600

def test_pika(mockbroker_pika):
    pika.BlockingConnection().channel().queue_declare("hello")
    assert mockbroker_pika.queue("hello").ready_count == 0
"""

FAILING = """
import pytest

@pytest.mark.mockbroker(seed=7)
def test_fails(mockbroker):
    channel = mockbroker.connect().channel()
    channel.queue_declare("tasks")
    for number in range(250):
        channel.basic_publish("", "tasks", b"%d" % number)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("tasks", lambda *_: None, consumer_tag="worker")
    assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    # This process has imported mockbroker already, which pytest would warn of.
    ignored = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    pytester.makeini(
        f"[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings =\n    error\n    {ignored}"
    )
    return pytester


def test_each_fixture_works(project: pytest.Pytester) -> None:
    project.makepyfile(EACH_FIXTURE)
    project.runpytest_inprocess().assert_outcomes(passed=4)


def test_a_run_without_fixtures_imports_no_tools(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_nothing():
            loaded = {name for name in sys.modules if name.startswith("mockbroker.")}
            tools = {"amqp", "sim", "admin", "pika", "testing.report", "testing.lint", "testing.strategies"}
            assert not {f"mockbroker.{tool}" for tool in tools} & loaded
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_failure_shows_what_the_broker_holds(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*mockbroker (call)*",
            "rules rabbitmq-4.0, seed 7, 0 s on the broker's clock",
            "queues:",
            "'tasks': 249 ready, 1 unacknowledged, 1 consumers; 'worker' holds 1 unacknowledged of the 1 *",
            "unacknowledged:",
            "'tasks' #0 b'0': 'worker' of 127.0.0.1:50002 (1), tag 1, and its callback has not run",
            "the last 200 of 256 events:",
            "*publishes b'249' to default exchange: queue 'tasks' #249",
            "*'worker' <- b'0' from queue 'tasks' #0, tag 1",
        ]
    )
    result.stdout.no_fnmatch_line("*publishes b'20' *")


def test_a_failure_is_saved_as_text_and_as_a_page(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=FAILING)
    project.runpytest_inprocess("--mockbroker-report", "out")
    text, page = (
        project.path / "out" / f"test_it.py-test_fails-mockbroker.{kind}" for kind in ("txt", "html")
    )
    assert "publishes b'20' " in text.read_text(encoding="utf-8")
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert html.count("<tr class=") == 256
    assert "http" not in html


def test_every_broker_of_a_failing_test_is_shown(project: pytest.Pytester) -> None:
    project.makepyfile("def test_two(mockbroker, mockbroker_url, mockbroker_sim): assert False")
    result = project.runpytest_inprocess()
    for fixture in ("mockbroker", "mockbroker_url", "mockbroker_sim"):
        result.stdout.fnmatch_lines([f"*- {fixture} (call) -*"])


def test_a_broken_invariant_fails_the_test(project: pytest.Pytester) -> None:
    project.makepyfile("def test_breaks(mockbroker): mockbroker.node.work.append((print, ()))")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*work was left undone*", "*mockbroker (teardown)*"])


RULES_SEEN = """
import pytest

def test_any(mockbroker, mockbroker_sim):
    print("rules:", mockbroker.node.rules.name, mockbroker_sim.broker.node.rules.name)

@pytest.mark.mockbroker(rules="rabbitmq-3.10", consumer_timeout=5)
def test_marked(mockbroker):
    assert mockbroker.node.rules.name == "rabbitmq-3.10"
    assert mockbroker.node.consumer_timeout_ms == 5000

@pytest.mark.mockbroker(rules=["rabbitmq-3.10", "rabbitmq-4.0"])
def test_both(mockbroker_url):
    pass

def test_none():
    pass
"""


def test_rules_are_those_of_the_marker_or_the_command_line(project: pytest.Pytester) -> None:
    project.makepyfile(RULES_SEEN)
    project.runpytest_inprocess().assert_outcomes(passed=5)
    options = ["--mockbroker-rules", "rabbitmq-3.10", "--mockbroker-rules", "rabbitmq-4.0"]
    result = project.runpytest_inprocess("-s", *options)
    result.assert_outcomes(passed=6)
    for rules in ("rabbitmq-3.10", "rabbitmq-4.0"):
        result.stdout.fnmatch_lines([f"*rules: {rules} {rules}*"])


def test_the_seed_is_that_of_the_marker_or_the_command_line(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        def test_option(mockbroker, mockbroker_sim):
            assert (mockbroker.node.seed, mockbroker_sim.seed) == (5, 5)

        @pytest.mark.mockbroker(seed=6)
        def test_marker(mockbroker):
            assert mockbroker.node.seed == 6
        """
    )
    project.runpytest_inprocess("--mockbroker-seed", "5").assert_outcomes(passed=2)


def test_the_closest_marker_wins(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.mockbroker(seed=1, rules="rabbitmq-3.10")

        @pytest.mark.mockbroker(seed=2)
        def test_it(mockbroker):
            assert (mockbroker.node.seed, mockbroker.node.rules.name) == (2, "rabbitmq-3.10")
        """
    )
    project.runpytest_inprocess("--strict-markers").assert_outcomes(passed=1)


def test_definitions_come_from_a_dict_or_a_file(project: pytest.Pytester) -> None:
    (project.path / "definitions.json").write_text('{"queues": [{"name": "tasks", "durable": true}]}')
    project.makepyfile(
        """
        import pika
        import pytest

        @pytest.mark.mockbroker(definitions="definitions.json")
        def test_file(mockbroker):
            assert mockbroker.list_queues("name", "durable") == [{"name": "tasks", "durable": True}]

        @pytest.mark.mockbroker(definitions={"queues": [{"name": "tasks", "durable": True}]})
        def test_dict(mockbroker_url):
            with pika.BlockingConnection(pika.URLParameters(mockbroker_url)) as connection:
                connection.channel().queue_declare("tasks", passive=True)
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("seeds=1", "takes the keywords rules, seed, definitions, consumer_timeout; not seeds"),
        (
            "'rabbitmq-4.0'",
            "takes the keywords rules, seed, definitions, consumer_timeout; not 'rabbitmq-4.0'",
        ),
        (
            "rules='rabbitmq-2'",
            "there are no rules named 'rabbitmq-2': choose from rabbitmq-3.10, rabbitmq-4.0",
        ),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(project: pytest.Pytester, marker: str, text: str) -> None:
    project.makepyfile(f"import pytest\n@pytest.mark.mockbroker({marker})\ndef test_it(mockbroker): pass\n")
    result = project.runpytest_inprocess()
    assert result.ret
    assert text in result.stdout.str() + result.stderr.str()


def test_a_test_may_leave_its_connections_open(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pika

        left = []

        def test_leaks(mockbroker_url):
            for _ in range(5):
                left.append(pika.BlockingConnection(pika.URLParameters(mockbroker_url)))

        def test_next(mockbroker_url):
            with pika.BlockingConnection(pika.URLParameters(mockbroker_url)) as connection:
                assert connection.is_open
        """
    )
    # In a process of its own: the sockets that are left would be collected in another test.
    project.runpytest_subprocess("-W", "ignore").assert_outcomes(passed=2)


def test_lint_is_shown_at_the_end_or_fails_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_loses(mockbroker):
            mockbroker.connect().channel().basic_publish("", "nowhere", b"one")
        """
    )
    assert "mockbroker lint" not in project.runpytest_inprocess().stdout.str()
    result = project.runpytest_inprocess("--mockbroker-lint")
    result.assert_outcomes(passed=1)
    shown = ["*mockbroker lint*", "*test_loses", "  unroutable-without-mandatory: *", "    remedy: *"]
    result.stdout.fnmatch_lines(shown)
    assert result.stdout.str().count("remedy") == 1
    result = project.runpytest_inprocess("--mockbroker-lint=error")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unroutable-without-mandatory*"])


def test_it_works_in_several_processes(project: pytest.Pytester) -> None:
    project.makepyfile(EACH_FIXTURE + FAILING)
    result = project.runpytest_subprocess("-n", "2", "--mockbroker-lint")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*mockbroker (call)*", "*mockbroker lint*"])


def test_it_works_in_asyncio_tests(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import aio_pika
        import pytest

        @pytest.mark.asyncio
        async def test_url(mockbroker_url):
            async with await aio_pika.connect(mockbroker_url) as connection:
                channel = await connection.channel()
                queue = await channel.declare_queue("tasks", durable=True)
                await channel.default_exchange.publish(aio_pika.Message(b"one"), "tasks")
                assert (await queue.get(no_ack=True)).body == b"one"

        @pytest.mark.asyncio
        async def test_native(mockbroker):
            mockbroker.connect().channel().queue_declare("tasks")
            assert mockbroker.queue("tasks").ready_count == 0
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_virtual_time_is_skipped_on_a_live_server_with_the_reason(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_native(mockbroker): pass
        def test_sim(mockbroker_sim): pass
        def test_pika(mockbroker_pika): pass
        """
    )
    result = project.runpytest_inprocess("-rs", "--mockbroker-live", "amqp://guest:guest@127.0.0.1:1")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(
        ["SKIPPED*mockbroker is virtual time in this process: it cannot run on the live server amqp://*"]
    )


def test_a_live_server_that_does_not_answer_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile("def test_url(mockbroker_url): pass")
    result = project.runpytest_inprocess(
        "--mockbroker-live", "amqp://127.0.0.1:1", "--mockbroker-live-management", "http://127.0.0.1:1"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConnectionError: no management API at http://127.0.0.1:1/api*"])


def test_the_options_are_explained() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    for option in ("rules", "seed", "live", "live-management", "report", "lint"):
        assert f"--mockbroker-{option}" in run.stdout
