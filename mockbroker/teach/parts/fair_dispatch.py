"""Fair dispatch: why taking turns is not fair, and what a prefetch window of one changes."""

from __future__ import annotations

from mockbroker.teach.consoles import format_times
from mockbroker.teach.parts.stage import Options, Part, Stage
from mockbroker.teach.parts.worker import Worker, produce

TASKS = ("Heavy 1.....", "Light 2.", "Heavy 3.....", "Light 4.", "Heavy 5.....", "Light 6.")
_BAR_COLUMNS = 40


def play(stage: Stage, options: Options) -> None:
    """Run the same tasks without a window and with one; show counts, busy time and total time."""
    prefetch = 1 if options.prefetch is None else options.prefetch
    stage.say(
        "A worker does one task at a time; by default odd tasks are heavy and even ones light. Without a "
        "window the broker hands out every task as it comes, in turn: one worker gets all the heavy ones, "
        "and the other is idle soon."
    )
    without_ns = _run(stage, options, prefetch=0)
    stage.say(
        f"With prefetch_count={prefetch} a worker is given no task beyond {prefetch} unacknowledged, so the "
        "next one goes to a worker that is free."
        if prefetch
        else "prefetch_count=0 is no window at all: nothing changes."
    )
    with_ns = _run(stage, options, prefetch=prefetch)
    without_s, with_s = map(str.strip, format_times([without_ns, with_ns]))
    stage.say(f"Total time: {without_s} s without a window, {with_s} s with prefetch_count={prefetch}.")


def _run(stage: Stage, options: Options, *, prefetch: int) -> int:
    """Play one run and show its table; return when the last task was done, in nanoseconds."""
    broker = stage.broker()
    consoles = stage.consoles(broker)
    producer = consoles.console("P")
    broker.connect().channel().queue_declare("task_queue", durable=True)
    workers = {
        name: Worker(broker, consoles.console(name), "task_queue", prefetch=prefetch, one_at_a_time=True)
        for name in (f"C{number + 1}" for number in range(options.workers or 2))
    }
    produce(broker, producer, "task_queue", options.tasks or TASKS, interval_s=options.interval_s or 0)
    broker.run_until_idle()
    total_ns = max(worker.finished_ns for worker in workers.values())
    stage.show(_table(workers, total_ns))
    return total_ns


def _table(workers: dict[str, Worker], total_ns: int) -> list[str]:
    """Return a row for each worker; the bar is the total time, its filled part the time that it was busy."""
    widths = (
        max(map(len, (*workers, "worker"))),
        5,
        max(len(str(worker.busy_s)) for worker in workers.values()) + 4,
    )
    rows = [f"{'worker':<{widths[0]}}  {'tasks':>{widths[1]}}  {'busy':>{widths[2]}}  busy of total time"]
    for name, worker in workers.items():
        filled = round(_BAR_COLUMNS * worker.busy_s * 1_000_000_000 / total_ns) if total_ns else 0
        bar = ("#" * filled).ljust(_BAR_COLUMNS, ".")
        busy = f"{worker.busy_s} s"
        rows.append(f"{name:<{widths[0]}}  {worker.done_count:>{widths[1]}}  {busy:>{widths[2]}}  {bar}")
    return rows


PART = Part(
    "fair-dispatch",
    "heavy and light tasks, with and without prefetch",
    play,
    takes=("tasks", "workers", "prefetch", "interval"),
)
