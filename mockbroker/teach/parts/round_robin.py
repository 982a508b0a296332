"""Round-robin dispatch: several workers share one queue, and each gets every n-th task."""

from __future__ import annotations

from mockbroker.teach.parts.stage import Options, Part, Stage
from mockbroker.teach.parts.worker import Worker, produce

TASKS = ("First message.", "Second message..", "Third message...", "Fourth message....", "Fifth message.....")


def play(stage: Stage, options: Options) -> None:
    """Publish tasks at an interval to workers of one queue; a worker may have several tasks running."""
    stage.say(
        "The broker hands the tasks of one queue to its consumers in turn, as they come, whatever the tasks "
        "take. Here a task takes a second for each dot, and a worker goes on receiving while its tasks run."
    )
    broker = stage.broker()
    consoles = stage.consoles(broker)
    producer = consoles.console("P")
    broker.connect().channel().queue_declare("task_queue", durable=True)
    for number in range(options.workers or 2):
        Worker(broker, consoles.console(f"C{number + 1}"), "task_queue", prefetch=options.prefetch)
    interval_s = 0.6 if options.interval_s is None else options.interval_s
    produce(broker, producer, "task_queue", options.tasks or TASKS, interval_s=interval_s)
    broker.run_until_idle()


PART = Part("round-robin", "workers take turns", play, takes=("tasks", "workers", "prefetch", "interval"))
