"""Message acknowledgement: what happens to a task whose worker dies."""

from __future__ import annotations

from mockbroker.exceptions import ChannelClosedByBroker
from mockbroker.teach.parts.stage import Options, Part, Stage, rabbitmqctl
from mockbroker.teach.parts.worker import Worker, as_body, as_text, duration_s, produce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.channel import Channel
    from mockbroker.message import BasicProperties, Delivery

TASKS = ("A long task....",)
_LISTING = "-q list_queues name messages_ready messages_unacknowledged"
_THREE_HOURS_S = 3 * 60 * 60


def play(stage: Stage, options: Options) -> None:
    """Kill a worker, with and without acknowledgements; ack where none is due; take three hours."""
    stage.say(
        "With acknowledgements, a task belongs to the queue until the worker says that it is done. C1 is "
        "killed in the middle of its first task: the broker sees the connection go, and gives the task to "
        "another worker, marked as redelivered."
    )
    _kill_a_worker(stage, options, prefetch=0)
    stage.say(
        "With automatic acknowledgement, a task counts as done when it has been sent. The same death loses "
        "it: nobody ever finishes it, and the queue knows nothing of it."
    )
    _kill_a_worker(stage, options, prefetch=None)
    stage.say("A consumer without acknowledgements has nothing to acknowledge. Doing it closes the channel.")
    _ack_where_none_is_due(stage)
    stage.say("However long a task takes, the broker waits for its acknowledgement.")
    _take_three_hours(stage)


def _kill_a_worker(stage: Stage, options: Options, *, prefetch: int | None) -> None:
    tasks = options.tasks or TASKS
    broker = stage.broker()
    consoles = stage.consoles(broker)
    producer = consoles.console("P")
    broker.connect().channel().queue_declare("task_queue", durable=True)
    workers = [
        Worker(broker, consoles.console(f"C{number + 1}"), "task_queue", prefetch=prefetch)
        for number in range(options.workers or 2)
    ]
    shell = consoles.console("shell")
    produce(broker, producer, "task_queue", tasks, interval_s=0.6)
    broker.clock.call_later(duration_s(as_body(tasks[0])) / 2, workers[0].die)
    broker.run_until_idle()
    rabbitmqctl(broker, shell, _LISTING)


def _ack_where_none_is_due(stage: Stage) -> None:
    broker = stage.broker()
    console = stage.consoles(broker).console("C1")
    channel = broker.connect().channel()
    channel.queue_declare("task_queue", durable=True)
    channel.basic_publish("", "task_queue", b"A task.")

    def on_message(channel: Channel, method: Delivery, properties: BasicProperties, body: bytes) -> None:
        console.print(f"Received {as_text(body)}")
        try:
            channel.basic_ack(method.delivery_tag)
        except ChannelClosedByBroker as closed:
            console.print(f"channel closed by the broker: {closed.reply_code} {closed.reply_text}")

    channel.basic_consume("task_queue", on_message, auto_ack=True)
    broker.run()


def _take_three_hours(stage: Stage) -> None:
    broker = stage.broker()
    consoles = stage.consoles(broker)
    console, shell = consoles.console("C1"), consoles.console("shell")
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("task_queue", durable=True)
    channel.basic_publish("", "task_queue", b"Three hours of work")

    def finish(delivery_tag: int) -> None:
        channel.basic_ack(delivery_tag)
        console.print("Done, acknowledged")

    def on_message(channel: Channel, method: Delivery, properties: BasicProperties, body: bytes) -> None:
        console.print(f"Received {as_text(body)}")
        connection.call_later(_THREE_HOURS_S, finish, method.delivery_tag)

    channel.basic_consume("task_queue", on_message)
    broker.clock.advance(_THREE_HOURS_S / 2)
    rabbitmqctl(broker, shell, _LISTING)
    broker.run_until_idle()
    rabbitmqctl(broker, shell, _LISTING)


PART = Part("ack", "a worker dies in the middle of a task", play, takes=("tasks", "workers"))
