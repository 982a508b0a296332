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
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.declarations import Declarations
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
    """The reply consumers of a node: at most one on each channel.

    Invariant: every name was made for a channel that is open, and stands in `_names` under it; a channel in
    `_current` has at least one.
    """

    __slots__ = ("_channels", "_current", "_names", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._current: dict[BrokerChannel, tuple[str, Consumer]] = {}
        self._channels: dict[str, BrokerChannel] = {}
        self._names: dict[BrokerChannel, list[str]] = {}
        """All names that a channel has had: each leads to it, also when nobody waits there any more."""

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
        if channel in self._current:
            raise SoftError("PRECONDITION_FAILED", "reply consumer already set")
        queue = ReplyQueue(channel.vhost, PSEUDO_QUEUE)
        consumer = Consumer(
            tag, channel, queue, ack_required=False, exclusive=False, prefetch_count=0, arguments={}
        )
        consumer.context = context
        name = self._node.generate_name(f"{PSEUDO_QUEUE}.")
        self._current[channel] = (name, consumer)
        self._channels[name] = channel
        self._names.setdefault(channel, []).append(name)

    def consumer_of(self, channel: BrokerChannel) -> Consumer | None:
        """Return the channel's reply consumer; None when it has none."""
        entry = self._current.get(channel)
        return entry[1] if entry is not None else None

    def cancel(self, channel: BrokerChannel) -> None:
        """End the channel's reply consumer."""
        del self._current[channel]

    def channel_closed(self, channel: BrokerChannel) -> None:
        """Nobody waits for replies on this channel any more, and its names stand for nothing."""
        self._current.pop(channel, None)
        for name in self._names.pop(channel, ()):
            del self._channels[name]

    def with_reply_name(self, channel: BrokerChannel, properties: Properties) -> Properties:
        """Put the requester's name in the place of the pseudo-queue's. Raises SoftError 406 when it does
        not consume."""
        if properties["reply_to"] != PSEUDO_QUEUE:
            return properties
        entry = self._current.get(channel)
        if entry is None:
            raise refusals.no_fast_reply_consumer()
        return {**properties, "reply_to": entry[0]}

    def declare(self, name: str, channel: Declarations) -> replies.QueueDeclareOk:
        """Answer a declaration: the pseudo-queue is always there, a requester's name while he is.

        Raises SoftError 404; HardError 541 for a name of the very channel that asks, also when nobody waits
        there any more: that channel would have to ask itself. Source: recorded scenarios
        ``direct-reply-to/declare-own-name*``.
        """
        if name != PSEUDO_QUEUE:
            if self._channels.get(name) is channel:
                raise refusals.internal_error()
            if self._consumer_named(name) is None:
                raise refusals.not_found("queue", name, channel.vhost.name)
        return replies.QueueDeclareOk(name, 0, 1)

    def _consumer_named(self, name: str) -> Consumer | None:
        channel = self._channels.get(name)
        entry = self._current.get(channel) if channel is not None else None
        return entry[1] if entry is not None and entry[0] == name else None

    def consumers_named(self, keys: Iterable[str]) -> list[Consumer]:
        """Return who waits for a message with these routing keys, each once."""
        if not self._channels:
            return []
        found = {consumer: None for key in keys if (consumer := self._consumer_named(key)) is not None}
        return list(found)

    def deliver(self, consumers: list[Consumer], message: Message) -> None:
        """Deliver a reply to those who still wait for it.

        It carries the tag that the channel's next delivery will have, and does not use it up. Source:
        recorded scenario ``direct-reply-to/delivery-tag``.
        """
        for consumer in consumers:
            channel = consumer.channel
            if self.consumer_of(channel) is not consumer:
                continue
            tag = channel.next_tag
            delivery = Delivery(consumer, consumer.queue, message, tag, tag, False)
            if self._node.trace is not None:
                self._node.trace.delivered(delivery)
            channel.sink.deliver(delivery)
