"""``python -m benchmarks`` prints a table of ratios, ``python -m benchmarks startup`` what a start costs,
``python -m benchmarks endpoint`` what pika gets from the endpoint, beside servers at other URLs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from pathlib import Path

from benchmarks.cases import chosen
from benchmarks.endpoint import report
from benchmarks.peers import PEERS, is_installed
from benchmarks.runner import HEADING, compare, is_right
from benchmarks.single import LIMIT
from benchmarks.startup import import_ms, isolated_test_ms

SMOKE_FACTOR = 0.002


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=PROGRAMS, default="table")
    parser.add_argument("--only", metavar="W1,W5", help="these cases (W5 means all of its kind)")
    parser.add_argument("--peers", help=f"these of {', '.join(PEERS)}; {LIMIT}, the limit, always runs")
    parser.add_argument("--reps", type=int, default=5, help="repetitions; the median counts (default 5)")
    parser.add_argument("--factor", type=float, default=1.0, help="share of the full sizes (default 1)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one run (default 300)")
    parser.add_argument(
        "--url", action="append", default=[], help="endpoint: a server to compare with (repeatable)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once: are the results right?")
    options = parser.parse_args()
    if options.smoke:
        options.factor, options.reps = SMOKE_FACTOR, 1
    if options.reps < 1 or options.factor <= 0:
        parser.error(f"--reps {options.reps} and --factor {options.factor} must be above zero")
    try:
        options.cases = chosen(options.only)
    except ValueError as error:
        parser.error(f"--only: {error}")
    installed = [name for name, peer in PEERS.items() if is_installed(peer.package)]
    options.peers = options.peers.split(",") if options.peers else installed
    for name in options.peers:
        if name not in {LIMIT, *PEERS}:
            parser.error(f"--peers: no such peer: {name}; there are {LIMIT}, {', '.join(PEERS)}")
    return options


def table(options: argparse.Namespace) -> tuple[object, bool]:
    """Prints the table row by row; returns the rows as data and whether our results are right."""
    print(HEADING)
    rows = []
    for row in compare(
        options.cases,
        [name for name in options.peers if name != LIMIT],
        repetitions=options.reps,
        factor=options.factor,
        timeout_s=options.timeout,
    ):
        print(row, flush=True)
        rows.append(row)
    return [dataclasses.asdict(row) for row in rows], all(map(is_right, rows))


def startup(options: argparse.Namespace) -> tuple[object, bool]:
    """Prints the price of imports and of an isolated test; returns the figures."""
    imports = import_ms(options.reps)
    print(f"a bare interpreter takes {imports.pop(''):.1f} ms of CPU time; above it:")
    for name, taken in imports.items():
        print(f"  import {name:24} {taken:8.1f} ms")
    isolated = {}
    for name, taken in isolated_test_ms():
        print(f"  isolated test, {name:16} {taken:8.4f} ms")
        isolated[name] = taken
    return {"import_ms": imports, "isolated_test_ms": isolated}, True


def through_pika(options: argparse.Namespace) -> tuple[object, bool]:
    """Prints what pika gets from the endpoint and the servers at `--url`; a wrong result is an error."""
    return report(options.url, repetitions=options.reps, factor=options.factor), True


PROGRAMS = {"table": table, "startup": startup, "endpoint": through_pika}


def main() -> int:
    options = arguments()
    time = "wall-clock time" if options.what == "endpoint" else "CPU time in this process"
    print(f"{time}, Python {platform.python_version()}, median of {options.reps}")
    figures, is_all_right = PROGRAMS[options.what](options)
    if options.json:
        data = {"python": platform.python_version(), options.what: figures}
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 0 if is_all_right else 1


if __name__ == "__main__":
    sys.exit(main())
