"""What the broker tells its clients, as the adapters receive it, and what queues tell who publishes to them.

Owns: the names of the outward effects. An adapter (the native API's inbox, the wire's session) implements
them; the core calls them directly, in the order in which a real broker would send. Refuses to know: what an
adapter does with an effect. An effect must never call back into the core.

Read next: ``core/channel.py``, ``inbox.py``.
"""

from __future__ import annotations

from typing import Protocol  # only type checkers load this module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from mockbroker.core.dispatch import Consumer
    from mockbroker.errors import HardError, SoftError
    from mockbroker.message import Delivery, Message


class Publisher(Protocol):
    """Who publishes to queues and wants to know what becomes of it: a channel, or a queue with dead letters.

    It numbers what it publishes.
    """

    @property
    def is_open(self) -> bool:
        """Whether it may still publish."""

    def confirm(self, tags: list[int]) -> None:
        """What has these numbers is safe."""


class ChannelSink(Protocol):
    """The client's end of a channel."""

    def deliver(self, delivery: Delivery) -> None:
        """basic.deliver."""

    def deliver_run(self, consumer: Consumer, first_tag: int, messages: deque[Message]) -> None:
        """Several basic.deliver in a row, automatically acknowledged: tags count up from `first_tag`.

        `messages` belongs to the receiver from now on, who may read it later.
        """

    def returned(self, reply_code: int, reply_text: str, message: Message) -> None:
        """basic.return: a mandatory message that no queue took."""

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """basic.ack by the broker: a publisher confirm."""

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        """basic.nack by the broker: a publish that was refused."""

    def consumer_cancelled(self, consumer_tag: str) -> None:
        """basic.cancel by the broker: the consumer's queue is gone."""

    def closed(self, error: SoftError) -> None:
        """channel.close by the broker, of its own accord."""


class ConnectionSink(Protocol):
    """The client's end of a connection."""

    def connection_closed(self, error: HardError) -> None:
        """connection.close by the broker, of its own accord."""

    def link_lost(self) -> None:
        """The link died without a word."""

    def blocked(self, reason: str) -> None:
        """connection.blocked: publishes wait from now on."""

    def unblocked(self) -> None:
        """connection.unblocked."""
