"""Hello World: one program sends, one receives, and both declare the queue."""

from __future__ import annotations

from mockbroker.teach.parts.stage import Options, Part, Stage
from mockbroker.teach.parts.worker import as_body, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.channel import Channel
    from mockbroker.message import BasicProperties, Delivery


def play(stage: Stage, options: Options) -> None:
    """Send and receive; declare the queue on both sides, and once more with the message in it."""
    stage.say(
        "A message waits in a queue until somebody takes it. Sender and receiver both declare the queue, so "
        "that it does not matter who is started first: declaring what is there already changes nothing."
    )
    broker = stage.broker()
    consoles = stage.consoles(broker)
    send, receive = consoles.console("send"), consoles.console("receive")

    sender = broker.connect().channel()
    sender.queue_declare("hello")
    for text in options.tasks or ("Hello World!",):
        sender.basic_publish("", "hello", as_body(text))
        send.print(f"Sent '{text}'")
    again = sender.queue_declare("hello").method
    send.print(f"Declared 'hello' again: {again.message_count} ready, {again.consumer_count} consumers")

    def on_message(channel: Channel, method: Delivery, properties: BasicProperties, body: bytes) -> None:
        receive.print(f"Received '{as_text(body)}'")

    receiver = broker.connect().channel()
    receiver.queue_declare("hello")
    receive.print("Waiting for messages")
    receiver.basic_consume("hello", on_message, auto_ack=True)
    broker.run()


PART = Part("hello", "send and receive a message", play, takes=("tasks",))
