"""Direct reply-to: answers that go straight to the requester's channel, through no queue.

Owns: who consumes from the pseudo-queue, and the names that stand for them. Refuses to know: requests.
Source: RabbitMQ documentation, "Direct Reply-to"; recorded area ``direct-reply-to``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals, replies
from mockbroker.core.dispatch import Consumer
from mockbroker.core.queues.base import Queue
from mockbroker.errors import SoftError
from mockbroker.message import Delivery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.node import Node
    from mockbroker.message import Message, Properties

PSEUDO_QUEUE = "amq.rabbitmq.reply-to"


class ReplyQueue(Queue):
    """What a reply consumer consumes from: it has the name of a queue and nothing else."""

    __slots__ = ()
    type = "reply"

    @property
    def ready_count(self) -> int:
        """Always none: a reply is delivered at once or not at all."""
        return 0


class FastReplies:
    """The reply consumers of a node: at most one on each channel."""

    __slots__ = ("_by_channel", "_by_name", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._by_name: dict[str, Consumer] = {}
        self._by_channel: dict[BrokerChannel, tuple[str, Consumer]] = {}

    def is_pseudo_queue(self, name: str) -> bool:
        """Whether it is the pseudo-queue's own name."""
        return name == PSEUDO_QUEUE

    def is_reply_name(self, name: str) -> bool:
        """Whether it is the pseudo-queue, or a name that stands for a requester."""
        return name.startswith(PSEUDO_QUEUE)

    def consume(self, channel: BrokerChannel, tag: str, *, no_ack: bool, context: Any) -> None:
        """Let a channel wait for replies. Raises SoftError 406: only with automatic acknowledgement, and
        once."""
        if not no_ack:
            raise SoftError("PRECONDITION_FAILED", "reply consumer cannot acknowledge")
        if channel in self._by_channel:
            raise SoftError("PRECONDITION_FAILED", "reply consumer already set")
        queue = ReplyQueue(channel.vhost, PSEUDO_QUEUE)
        consumer = Consumer(
            tag, channel, queue, ack_required=False, exclusive=False, prefetch_count=0, arguments={}
        )
        consumer.context = context
        name = self._node.generate_name(f"{PSEUDO_QUEUE}.")
        self._by_channel[channel] = (name, consumer)
        self._by_name[name] = consumer

    def cancel(self, channel: BrokerChannel, tag: str) -> None:
        """End the reply consumer with this tag, if there is one."""
        entry = self._by_channel.get(channel)
        if entry is not None and entry[1].tag == tag:
            self.channel_closed(channel)

    def channel_closed(self, channel: BrokerChannel) -> None:
        """Nobody waits for replies on this channel any more."""
        if channel in self._by_channel:
            name, _ = self._by_channel.pop(channel)
            del self._by_name[name]

    def with_reply_name(self, channel: BrokerChannel, properties: Properties) -> Properties:
        """Put the requester's name in the place of the pseudo-queue's. Raises SoftError 406 when it does
        not consume."""
        if properties["reply_to"] != PSEUDO_QUEUE:
            return properties
        entry = self._by_channel.get(channel)
        if entry is None:
            raise refusals.no_fast_reply_consumer()
        return {**properties, "reply_to": entry[0]}

    def declare(self, name: str, vhost: str) -> replies.QueueDeclareOk:
        """Answer a declaration: the pseudo-queue is always there, a requester's name while he is. Raises
        SoftError 404."""
        if name != PSEUDO_QUEUE and name not in self._by_name:
            raise refusals.not_found("queue", name, vhost)
        return replies.QueueDeclareOk(name, 0, 1)

    def deliver(self, message: Message) -> bool:
        """Deliver a reply; return False when its routing key is nobody's name."""
        consumer = self._by_name.get(message[1])
        if consumer is None:
            return False
        channel = consumer.channel
        tag = channel.next_tag
        channel.next_tag = tag + 1
        delivery = Delivery(consumer, consumer.queue, message, tag, tag, False)
        if self._node.trace is not None:
            self._node.trace.delivered(delivery)
        channel.sink.deliver(delivery)
        return True
