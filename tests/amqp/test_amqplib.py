"""amqplib on Node, unmodified: the programs in `node/` get a URL and nothing else.

Without `node` and `npm` there is nothing to test; amqplib itself is fetched with npm, once for all workers of
a run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.amqp.test_serve import serving

PROGRAMS = Path(__file__).parent / "node"
PATIENCE_S = 60
NPM_PATIENCE_S = 120


def installed(folder):
    """Fetch amqplib into a folder; return what went wrong, or nothing."""
    command = [
        "npm",
        "install",
        "--prefix",
        str(folder),
        "--prefer-offline",
        "--ignore-scripts",
        "--no-audit",
    ]
    try:
        done = subprocess.run(
            [*command, "amqplib@2"],
            capture_output=True,
            text=True,
            timeout=NPM_PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "npm did not answer"
    return "" if done.returncode == 0 else f"npm install amqplib: {done.stderr.strip()[-300:]}"


@pytest.fixture(scope="session")
def node_path(tmp_path_factory):
    """Where node finds amqplib: in $NODE_PATH, or in a folder that all workers of this run share."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}")
    for folder in os.environ.get("NODE_PATH", "").split(os.pathsep):
        if folder and (Path(folder) / "amqplib").is_dir():
            return folder
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "amqplib"
    outcome = folder / "outcome.txt"
    try:
        folder.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + NPM_PATIENCE_S
        while not outcome.exists() and time.monotonic() < deadline:
            time.sleep(0.1)  # another worker is fetching it
        problem = outcome.read_text()
    else:
        problem = installed(folder)
        (folder / "writing.txt").write_text(problem)
        (folder / "writing.txt").rename(outcome)
    if problem:
        pytest.skip(problem)
    return str(folder / "node_modules")


@pytest.fixture
def node(node_path):
    """Start a program, by default one of `node/`; whatever still runs at the end is killed."""
    started = []

    def start(program, *arguments, **environment):
        process = subprocess.Popen(
            ["node", PROGRAMS / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment | {"NODE_PATH": node_path},
        )
        # A program that hangs ends, so that a test which reads what it prints ends too.
        guard = threading.Timer(PATIENCE_S, process.kill)
        guard.start()
        started.append((process, guard))
        return process

    yield start
    for process, guard in started:
        guard.cancel()
        process.kill()
        process.communicate()


EXPECTED = {
    "confirms": {"messages": 500, "severalAtOnce": True},
    "nacks": [True, False],
    "returns": {
        "replyCode": 312,
        "replyText": "NO_ROUTE",
        "exchange": "amq.direct",
        "routingKey": "nowhere",
        "messageId": "m1",
        "body": "back",
    },
    "cancelled": None,
    "refused": {
        "code": 404,
        "message": "Operation failed: QueueDeclare; 404 (NOT-FOUND) with message "
        "\"NOT_FOUND - no queue 'missing' in vhost '/'\"",
        "next": "q",
    },
    "properties": {
        "whole": True,
        "headers": {
            "text": "é",
            "int": -7,
            "big": 2**40,
            "half": 0.5,
            "yes": True,
            "nothing": None,
            "list": [1, "a"],
            "table": {"a": 1},
        },
        "rest": [3, 5, "60000", "t"],
        "then": False,
    },
    "settled": {
        "seen": [["1", False, 2], ["1", True, 2], ["2", False, 1], ["2", True, 1], ["3", False, 0]],
        "left": 0,
    },
    "replied": ["42", "c"],
    "secret": "q",
    "idle": "q",
}


@pytest.mark.parametrize("what", EXPECTED)
def test_the_promise_api(endpoint, node, what):
    out, problems = node("promises.js", endpoint.url, what).communicate()
    assert json.loads(out or "null") == EXPECTED[what], problems
    assert problems == ""


def test_the_program_in_the_documentation(endpoint, node, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
    program = tmp_path / "page.js"
    program.write_text(page.partition("```js\n")[2].partition("```")[0])
    out, problems = node(program, AMQP_URL=endpoint.url).communicate()
    assert (out, problems) == ("Hello\n", "")


class TestTheWorkQueueOfTheTutorial:
    @contextmanager
    def served(self):
        with serving() as (_, url):
            yield url

    def worker(self, node, url, ms_per_dot):
        process = node("worker.js", url, str(ms_per_dot))
        assert process.stdout.readline() == "ready\n"
        return process

    def send(self, node, url, *tasks):
        assert node("new_task.js", url, *tasks).wait() == 0

    def test_workers_share_the_tasks(self, node):
        with self.served() as url:
            workers = [self.worker(node, url, 100) for _ in range(2)]
            self.send(node, url, "one.", "two.")
            assert workers[0].stdout.readline() == "got one.\n"
            assert workers[1].stdout.readline() == "got two.\n"
            assert workers[0].stdout.readline() == "done one.\n"
            assert workers[1].stdout.readline() == "done two.\n"

    def test_a_killed_workers_task_goes_to_the_other(self, node):
        with self.served() as url:
            busy = self.worker(node, url, 1000 * PATIENCE_S)
            other = self.worker(node, url, 10)
            self.send(node, url, "long.", "a.", "b..", "c.")
            assert busy.stdout.readline() == "got long.\n"
            lines = [other.stdout.readline() for _ in range(6)]
            assert lines == [f"{what} {task}\n" for task in ("a.", "b..", "c.") for what in ("got", "done")]
            busy.kill()
            assert other.stdout.readline() == "again long.\n"
            assert other.stdout.readline() == "done long.\n"
