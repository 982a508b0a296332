"""Forgotten acknowledgement: the mistake that is easy to make, and how to see it."""

from __future__ import annotations

from mockbroker.teach.parts.stage import Options, Part, Stage, rabbitmqctl
from mockbroker.teach.parts.worker import Worker, produce

TASKS = ("Task 1.", "Task 2.", "Task 3.", "Task 4.", "Task 5.")
_INTERVAL_S = 1
_LISTING = "-q list_queues name messages_ready messages_unacknowledged message_bytes_unacknowledged"


def play(stage: Stage, options: Options) -> None:
    """Let a worker forget every acknowledgement, list the queue meanwhile, and end the worker."""
    stage.say(
        "C1 asked for manual acknowledgements and never sends one. It seems to work: but the broker keeps "
        "every message, and its memory grows. When C1 ends, all of them come back, and C2 does the work a "
        "second time."
    )
    tasks = options.tasks or TASKS
    broker = stage.broker()
    consoles = stage.consoles(broker)
    producer, forgetful, careful, shell = map(consoles.console, ("P", "C1", "C2", "shell"))
    broker.connect().channel().queue_declare("task_queue", durable=True)
    worker = Worker(broker, forgetful, "task_queue", prefetch=0, forgetful=True)
    produce(broker, producer, "task_queue", tasks, interval_s=_INTERVAL_S)
    broker.clock.advance(len(tasks) // 2 * _INTERVAL_S)
    rabbitmqctl(broker, shell, _LISTING)
    broker.run_until_idle()
    rabbitmqctl(broker, shell, _LISTING)
    forgetful.print("ends")
    worker.connection.close()
    rabbitmqctl(broker, shell, _LISTING)
    Worker(broker, careful, "task_queue", prefetch=1)
    broker.run_until_idle()
    rabbitmqctl(broker, shell, _LISTING)


PART = Part("forgotten-ack", "unacknowledged messages pile up", play, takes=("tasks",))
