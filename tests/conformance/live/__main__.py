"""Record what a real server answers into scenario files, or check that it still answers so.

    python -m tests.conformance.live record FILES --server SERVER.json [--jobs N] [--missing]
    python -m tests.conformance.live verify FILES --server SERVER.json [--jobs N]

SERVER.json holds the arguments of `Target` and the name of the server's expectations, such as
{"label": "rabbitmq-4.0", "url": "amqp://...", "api": "http://...", "ctl": "rabbitmqctl -n NODE"}.
`record` runs every scenario twice, each time in a fresh vhost, and keeps the transcript only when both agree;
only `.json` files can be recorded. Exit status 1 when a scenario was not stable, or differs.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..transcript import Scenario, difference, expand, read
from .runner import run_scenario
from .scenarios import write_scenario
from .server import Target, UnsupportedError, changes_server

Job = tuple[Path, Scenario]


def _record(target: Target, label: str, job: Job) -> str | None:
    """Run twice and write; returns what went wrong."""
    path, scenario = job
    first, second = run_scenario(scenario, target), run_scenario(scenario, target)
    if unstable := difference(scenario["steps"], first, second):
        return f"unstable: {unstable}"
    latest = read(path)[0]  # another version's answers may have been recorded meanwhile
    latest["expect"] = dict(sorted({**latest.get("expect", {}), label: first}.items()))
    write_scenario(path, latest)
    return None


def _verify(target: Target, label: str, job: Job) -> str | None:
    """Run once and compare; returns the difference."""
    _, scenario = job
    return difference(scenario["steps"], scenario["expect"][label], run_scenario(scenario, target))


def _outcomes(
    perform: Callable[[Job], str | None], jobs: list[Job], workers: int
) -> Iterator[tuple[Job, str | None]]:
    """The outcome of every job: those that change the server one by one, after all others."""

    def attempt(job: Job) -> str | None:
        try:
            return perform(job)
        except UnsupportedError as reason:
            return f"cannot run: {reason}"

    alone = [job for job in jobs if changes_server(job[1])]
    together = [job for job in jobs if not changes_server(job[1])]
    with ThreadPoolExecutor(workers) as pool:
        yield from zip(together, pool.map(attempt, together), strict=True)
    for job in alone:
        yield job, attempt(job)


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.live", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("action", choices=("record", "verify"))
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--server", required=True, type=Path, help="JSON file that describes the server")
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time")
    parser.add_argument(
        "--missing", action="store_true", help="record only what this server has not answered yet"
    )
    options = parser.parse_args()
    server = json.loads(options.server.read_text())
    label = server.pop("label")
    perform = partial(_record if options.action == "record" else _verify, Target(**server), label)
    jobs = [(path, scenario) for path in expand(options.files) for scenario in read(path)]
    if options.action == "verify" or options.missing:
        wanted = options.action == "verify"
        jobs = [job for job in jobs if (label in job[1].get("expect", {})) == wanted]
    failed = 0
    for (_, scenario), problem in _outcomes(perform, jobs, options.jobs):
        if problem:
            failed += 1
            sys.stdout.write(f"{scenario['area']}/{scenario['name']}: {problem}\n")
    outcome = "recorded" if options.action == "record" else "equal"
    sys.stdout.write(f"{label}: {len(jobs) - failed} of {len(jobs)} {outcome}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
