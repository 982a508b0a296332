"""Compare the broker with a live server, on random conversations that nobody has seen yet.

    python -m tests.conformance.compare --server SERVER.json --seed N --count K [--family NAME] [--wide]
                                        [--minutes M] [--jobs J] [--out FOLDER]

SERVER.json is what ``tests.conformance.live`` takes. Each conversation is composed against the in-process
broker, then performed on the server. Where they differ, the server is asked again: if it contradicts itself,
the conversation is counted as unstable; otherwise it is shrunk and saved as a scenario with the server's
answers. Exit status 1 when there are findings.

Read next: ``generator.py``, ``live/``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .families import FAMILIES
from .generator import Generator
from .live.runner import run_scenario
from .live.scenarios import write_scenario
from .live.server import Target
from .replay import Replay, replay
from .transcript import Scenario, Seen, Step, difference

VHOST = "scenario-000000000000"
"""As long as the names of the live runner's, because servers cut texts that are too long."""

SAME_KIND_SHOWN = 1
"""How many findings of one kind are shrunk (that takes a while) and saved; further ones are only counted."""


TIMES_ASKED = 4
"""How often a server has to give the same answers: of two, races give the same one often enough."""


class Outcome(NamedTuple):
    """What became of one conversation: ``equal``, ``unstable`` or ``finding``, and the difference."""

    verdict: str
    scenario: Scenario
    text: str = ""


def compose(seed: int, family: str, label: str, *, wide: bool) -> Scenario:
    """Return the conversation of a seed, composed against the in-process broker.

    Where that breaks down, the conversation ends with the step that did it.
    """
    generator = Generator(seed, family, wide=wide)
    scenario: Scenario = {
        "name": f"{family}-{seed}" + ("-wide" if wide else ""),
        "area": f"random-{family}",
        "about": f"A random conversation of the family {family}, seed {seed}" + (", wide." if wide else "."),
        "steps": [],
    }
    run = Replay(scenario, label, vhost=VHOST)

    def perform(step: Step) -> None:
        scenario["steps"].append(step)
        generator.learn(step, run.step(step))

    try:
        while len(scenario["steps"]) < generator.length or generator.has_more_to_do:
            perform(generator.next())
        for step in generator.ending():
            perform(step)
    except Exception:
        pass  # whatever breaks the broker is a finding: `own_answer` shows it
    return scenario


def own_answer(scenario: Scenario, label: str) -> list[Seen] | str:
    """Return the in-process transcript, or what broke, as text."""
    try:
        return replay(scenario, label, vhost=VHOST)
    except Exception as error:
        return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])


class Comparison:
    """Compares with one server."""

    def __init__(self, target: Target, label: str) -> None:
        self._target = target
        self._label = label

    def difference(self, scenario: Scenario) -> tuple[str | None, list[Seen]]:
        """Return the difference (the server's answers are the expected ones) and the server's transcript."""
        own = own_answer(scenario, self._label)
        if isinstance(own, str):
            return own, []
        live = run_scenario(scenario, self._target)
        return difference(scenario["steps"], live, own), live

    def judge(self, scenario: Scenario) -> Outcome:
        """Compare; a finding is one where the server gives the same answers each time."""
        text, live = self.difference(scenario)
        if text is None:
            return Outcome("equal", scenario)
        for _ in range(TIMES_ASKED - 1 if live else 0):
            if difference(scenario["steps"], live, run_scenario(scenario, self._target)):
                return Outcome("unstable", scenario, text)
        return Outcome("finding", scenario, text)

    def shrunk(self, finding: Outcome) -> Outcome:
        """Return the finding with every step left out that it does not need."""
        kind = kind_of(finding.text)

        def still_differs(steps: list[Step]) -> bool:
            text, _ = self.difference({**finding.scenario, "steps": steps})
            return text is not None and kind_of(text) == kind

        steps = without_needless(finding.scenario["steps"], still_differs)
        scenario = {**finding.scenario, "steps": steps}
        text, live = self.difference(scenario)
        if live:
            scenario["expect"] = {self._label: live}
        return Outcome("finding", scenario, text or finding.text)


def without_needless(steps: list[Step], still_differs: Callable[[list[Step]], bool]) -> list[Step]:
    """Leave out runs of steps, long ones first, as long as `still_differs` says that nothing is lost."""
    size = max(len(steps) // 2, 1)
    while True:
        start = 0
        while start < len(steps):
            shorter = steps[:start] + steps[start + size :]
            if shorter and still_differs(shorter):
                steps = shorter
            else:
                start += size
        if size == 1:
            return steps
        size = max(size // 2, 1)


def kind_of(text: str) -> str:
    """Reduce a difference to its kind: the step's method and the events, without names and numbers."""
    step = re.search(r'"op": "([^"]+)"', text)
    events = re.findall(r'^ +\S+ ([-+]) .*?"ev": "([^"]+)"', text, re.MULTILINE)
    reasons = re.findall(r'"reply_text": "([A-Z_]+)', text)
    first_line = "" if text.startswith("step ") else text.partition(":")[0]
    return " ".join([step[1] if step else "?", first_line, *dict.fromkeys(map("".join, events)), *reasons])


class _Report:
    """Counts outcomes, and says which findings are of a new kind."""

    def __init__(self, folder: Path) -> None:
        self.verdicts: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()
        """How often each kind of difference came up, as (verdict, kind)."""
        self._folder = folder
        self._lock = threading.Lock()

    def is_of_interest(self, outcome: Outcome) -> bool:
        with self._lock:
            self.verdicts[outcome.verdict] += 1
            if outcome.verdict == "equal":
                return False
            kind = outcome.verdict, kind_of(outcome.text)
            self.kinds[kind] += 1
            return outcome.verdict == "finding" and self.kinds[kind] <= SAME_KIND_SHOWN

    def save(self, outcome: Outcome, label: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{outcome.scenario['name']}-{label}"
        write_scenario(self._folder / f"{name}.json", outcome.scenario)
        with self._lock:
            sys.stdout.write(f"{name}:\n  {outcome.text}\n")
            sys.stdout.flush()

    def show(self, seconds: float) -> None:
        counts = ", ".join(f"{self.verdicts[name]} {name}" for name in ("equal", "unstable", "finding"))
        sys.stdout.write(f"{sum(self.verdicts.values())} conversations in {seconds:.0f} s: {counts}\n")
        for (verdict, kind), count in self.kinds.most_common():
            sys.stdout.write(f"  {count:4} {verdict}: {kind}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.compare", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--server", required=True, type=Path, help="JSON file that describes the server")
    parser.add_argument("--seed", type=int, required=True, help="the first seed")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="seeds of each family")
    parser.add_argument(
        "--family",
        action="append",
        choices=FAMILIES,
        help="repeatable; default: all, with one job, and with more jobs those that can run side by side",
    )
    parser.add_argument("--wide", action="store_true", help="more clients, longer conversations")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin none after this time")
    parser.add_argument("--jobs", type=int, default=4, help="conversations at a time")
    parser.add_argument("--out", type=Path, default=Path("findings"), help="folder for findings")
    options = parser.parse_args()
    alone = {name for name, family in FAMILIES.items() if family.needs_server_alone}
    if options.jobs > 1 and alone & set(options.family or ()):
        parser.error(f"{', '.join(sorted(alone))}: conversations that need the server alone need --jobs 1")
    if not options.family:
        options.family = [name for name in FAMILIES if options.jobs == 1 or name not in alone]
    return options


def main() -> int:
    """The command line; returns the exit status."""
    options = _options()
    server = json.loads(options.server.read_text())
    label = server.pop("label")
    comparison = Comparison(Target(**server), label)
    report = _Report(options.out)
    begun = time.monotonic()

    def conversations() -> Iterator[tuple[int, str]]:
        for seed in range(options.seed, options.seed + options.count):
            for family in options.family:
                if time.monotonic() - begun > options.minutes * 60:
                    return
                yield seed, family

    pending = conversations()
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                job = next(pending, None)
            if job is None:
                return
            outcome = comparison.judge(compose(*job, label, wide=options.wide))
            if report.is_of_interest(outcome):
                report.save(comparison.shrunk(outcome), label)

    with ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(work) for _ in range(options.jobs)]:
            done.result()
    report.show(time.monotonic() - begun)
    return 1 if report.verdicts["finding"] else 0


if __name__ == "__main__":
    sys.exit(main())
