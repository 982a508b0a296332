"""Message durability: what a restart keeps, what a power cut keeps, and how a publisher can be sure."""

from __future__ import annotations

from mockbroker import BasicProperties
from mockbroker.exceptions import AMQPConnectionError, ChannelClosedByBroker
from mockbroker.teach.parts.stage import Options, Part, Stage, rabbitmqctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker import Broker
    from mockbroker.channel import Channel
    from mockbroker.teach.consoles import Console

_LISTING = "-q list_queues name durable messages"
_PERSISTENT = BasicProperties(delivery_mode=2)
_LONGER_THAN_A_SYNC_S = 1


def play(stage: Stage, options: Options) -> None:
    """Redeclare a queue, restart the broker, cut its power around a write to the disk, and use confirms."""
    stage.say(
        "A queue that is there cannot be made durable: declaring it with another flag is refused, and closes "
        "the channel. A new name helps."
    )
    _redeclare(stage)
    stage.say(
        "An orderly restart keeps durable queues, and in them the messages that were published as "
        "persistent. All else is gone, the connections too."
    )
    _restart(stage)
    stage.say(
        "A power cut keeps what had reached the disk. The broker writes in batches, so the last moments "
        "before the cut are at risk, persistent or not."
    )
    _crash(stage)
    stage.say(
        "Publisher confirms are the remedy: the broker confirms a persistent message when it is on the disk. "
        "What was confirmed is still there after the cut."
    )
    _confirm(stage)


def _redeclare(stage: Stage) -> None:
    broker = stage.broker()
    consoles = stage.consoles(broker)
    console, shell = consoles.console("P"), consoles.console("shell")
    connection = broker.connect()
    channel = connection.channel()
    channel.queue_declare("hello")
    console.print("Declared 'hello'")
    try:
        channel.queue_declare("hello", durable=True)
    except ChannelClosedByBroker as closed:
        console.print(f"channel closed by the broker: {closed.reply_code} {closed.reply_text}")
    connection.channel().queue_declare("task_queue", durable=True)
    console.print("Declared 'task_queue' as durable")
    rabbitmqctl(broker, shell, _LISTING)


def _restart(stage: Stage) -> None:
    broker = stage.broker()
    consoles = stage.consoles(broker)
    console, shell = consoles.console("P"), consoles.console("shell")
    channel = broker.connect().channel()
    channel.queue_declare("hello")
    channel.queue_declare("task_queue", durable=True)
    _publish(channel, console, "hello", persistent=True)
    _publish(channel, console, "task_queue", persistent=False)
    _publish(channel, console, "task_queue", persistent=True)
    rabbitmqctl(broker, shell, _LISTING)
    shell.print("(the broker is stopped and started)")
    broker.restart()
    _notice(channel, console)
    rabbitmqctl(broker, shell, _LISTING)


def _crash(stage: Stage) -> None:
    broker = stage.broker()
    consoles = stage.consoles(broker)
    console, shell = consoles.console("P"), consoles.console("shell")
    channel = broker.connect().channel()
    channel.queue_declare("task_queue", durable=True)
    _publish(channel, console, "task_queue", persistent=True)
    broker.clock.advance(_LONGER_THAN_A_SYNC_S)
    _publish(channel, console, "task_queue", persistent=True)
    _cut_the_power(broker, channel, console, shell)


def _confirm(stage: Stage) -> None:
    broker = stage.broker()
    consoles = stage.consoles(broker)
    console, shell = consoles.console("P"), consoles.console("shell")
    channel = broker.connect().channel()
    channel.queue_declare("task_queue", durable=True)
    channel.confirm_delivery()
    for _ in range(2):
        _publish(channel, console, "task_queue", persistent=True)
        console.print("confirmed")
    _cut_the_power(broker, channel, console, shell)


def _publish(channel: Channel, console: Console, queue: str, *, persistent: bool) -> None:
    channel.basic_publish("", queue, b"a task", _PERSISTENT if persistent else None)
    console.print(f"Sent a {'persistent' if persistent else 'transient'} message to '{queue}'")


def _cut_the_power(broker: Broker, channel: Channel, console: Console, shell: Console) -> None:
    rabbitmqctl(broker, shell, _LISTING)
    shell.print("(the power is cut, and comes back)")
    broker.crash()
    _notice(channel, console)
    rabbitmqctl(broker, shell, _LISTING)


def _notice(channel: Channel, console: Console) -> None:
    """Let the program find out that its connection is gone, in the client's words."""
    try:
        channel.connection.process_data_events()
    except AMQPConnectionError as lost:
        console.print(f"{type(lost).__name__}: {lost}")


PART = Part("durability", "restart, power cut and confirms", play)
