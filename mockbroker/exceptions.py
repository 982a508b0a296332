"""What client programs catch, under pika's names.

::

    AMQPError
    |-- AMQPConnectionError
    |   |-- ConnectionClosed             reply_code, reply_text
    |   |   |-- ConnectionClosedByBroker
    |   |   `-- ConnectionClosedByClient
    |   |-- ConnectionWrongStateError    an operation on a connection that is closed
    |   |-- ProbableAuthenticationError  a wrong password, or guest from afar
    |   |-- ProbableAccessDeniedError    an unknown virtual host, or one without permissions
    |   `-- StreamLostError              the link died, or the broker crashed
    `-- AMQPChannelError
        |-- ChannelClosed                reply_code, reply_text
        |   |-- ChannelClosedByBroker
        |   `-- ChannelClosedByClient
        |-- ChannelWrongStateError       an operation on a channel that is closed
        |-- ConsumerCancelled            the queue of a generator's consumer is gone
        |-- DuplicateConsumerTag
        |-- NackError                    a publish was refused; messages
        `-- UnroutableError              a mandatory publish came back; messages

Besides these: `ReentrancyError`, `WouldBlockForever`, `LivelockError`, `ThreadError` (``errors.py``).
Where pika is loaded, its own classes of the same names catch them too.

Owns: the names above. Refuses to know: when they are raised.
"""

from __future__ import annotations

from mockbroker.errors import (
    CaughtAsPikas,
    LivelockError,
    MockbrokerError,
    PolicyError,
    ReentrancyError,
    ThreadError,
    WouldBlockForever,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AMQPChannelError",
    "AMQPConnectionError",
    "AMQPError",
    "ChannelClosed",
    "ChannelClosedByBroker",
    "ChannelClosedByClient",
    "ChannelWrongStateError",
    "ConnectionClosed",
    "ConnectionClosedByBroker",
    "ConnectionClosedByClient",
    "ConnectionWrongStateError",
    "ConsumerCancelled",
    "DuplicateConsumerTag",
    "LivelockError",
    "MockbrokerError",
    "NackError",
    "PolicyError",
    "ProbableAccessDeniedError",
    "ProbableAuthenticationError",
    "ReentrancyError",
    "StreamLostError",
    "ThreadError",
    "UnroutableError",
    "WouldBlockForever",
]


class AMQPError(CaughtAsPikas):
    """The root of what a client program may catch."""


class AMQPConnectionError(AMQPError):
    """Something about a connection."""


class AMQPChannelError(AMQPError):
    """Something about a channel."""


class _Closed(AMQPError):
    def __init__(self, reply_code: int, reply_text: str) -> None:
        super().__init__(int(reply_code), reply_text)

    # Properties, as pika's are: an attribute could not be set where both classes are one.
    @property
    def reply_code(self) -> int:
        """The reply code of the closing."""
        return int(self.args[0])

    @property
    def reply_text(self) -> str:
        """The reply text of the closing."""
        return str(self.args[1])

    def __repr__(self) -> str:
        return f"{type(self).__name__}: ({self.reply_code}) {self.reply_text!r}"

    def __str__(self) -> str:
        return f"({self.reply_code}) {self.reply_text}"


class ConnectionClosed(_Closed, AMQPConnectionError):
    """A connection that is closed, with the reply code and text of its closing."""


class ConnectionClosedByBroker(ConnectionClosed):
    """The broker closed the connection."""


class ConnectionClosedByClient(ConnectionClosed):
    """The program closed the connection."""


class ConnectionWrongStateError(AMQPConnectionError):
    """An operation on a connection that is closed."""


class ProbableAuthenticationError(AMQPConnectionError):
    """The broker refused the name or the password, or guest from another host."""


class ProbableAccessDeniedError(AMQPConnectionError):
    """The broker refused the virtual host."""


class StreamLostError(AMQPConnectionError):
    """The link died without a word."""


class ChannelClosed(_Closed, AMQPChannelError):
    """A channel that is closed, with the reply code and text of its closing."""


class ChannelClosedByBroker(ChannelClosed):
    """The broker closed the channel."""


class ChannelClosedByClient(ChannelClosed):
    """The program closed the channel."""


class ChannelWrongStateError(AMQPChannelError):
    """An operation on a channel that is closed."""


class ConsumerCancelled(AMQPChannelError):
    """The consumer was cancelled by the broker."""


class DuplicateConsumerTag(AMQPChannelError):
    """The consumer tag is in use on this channel; `consumer_tag` names it."""

    def __init__(self, consumer_tag: str) -> None:
        self.consumer_tag = consumer_tag
        super().__init__(consumer_tag)


class _Unwanted(AMQPChannelError):
    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        super().__init__(messages)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {len(self.messages)} messages returned by the broker"

    __str__ = __repr__


class NackError(_Unwanted):
    """A publish in confirm mode was refused; `messages` holds what came back."""


class UnroutableError(_Unwanted):
    """A mandatory publish in confirm mode found no queue; `messages` holds what came back."""
