"""What a channel's methods answer, in the shapes that pika gives them.

Owns: how answers are wrapped and shown. Refuses to know: what they say; the core decides.

Read next: ``channel.py``, ``core/replies.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.message import BasicProperties


class Frame:
    """An answer as pika wraps it: `method` has the answer's fields."""

    __slots__ = ("channel_number", "method")

    def __init__(self, channel_number: int, method: Any) -> None:
        self.channel_number = channel_number
        self.method = method

    def __repr__(self) -> str:
        return f"<METHOD(['channel_number={self.channel_number}', 'method={self.method!r}'])>"


class CancelledByBroker:
    """The method of a consumer cancel notification: `consumer_tag` says whose."""

    __slots__ = ("consumer_tag",)

    def __init__(self, consumer_tag: str) -> None:
        self.consumer_tag = consumer_tag

    def __repr__(self) -> str:
        return f"<Basic.Cancel(['consumer_tag={self.consumer_tag}'])>"


class Returned:
    """The method of a returned message: why, and where it was published to."""

    __slots__ = ("exchange", "reply_code", "reply_text", "routing_key")

    def __init__(self, reply_code: int, reply_text: str, exchange: str, routing_key: str) -> None:
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.exchange = exchange
        self.routing_key = routing_key

    def __repr__(self) -> str:
        return f"<Basic.Return(['reply_code={self.reply_code}', 'reply_text={self.reply_text}', ...])>"


class ReturnedMessage:
    """A message that came back from a publish in confirm mode: method, properties, body."""

    __slots__ = ("body", "method", "properties")

    def __init__(self, method: Returned, properties: BasicProperties, body: bytes) -> None:
        self.method = method
        self.properties = properties
        self.body = body

    def __repr__(self) -> str:
        return f"<ReturnedMessage {self.method!r} body={self.body!r}>"
