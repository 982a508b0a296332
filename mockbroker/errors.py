"""What can go wrong, and who closes.

::

    MockbrokerError
    |-- AMQPError                a method that the broker refuses: reply code and text
    |   |-- SoftError            closes the channel
    |   `-- HardError            closes the connection
    |-- PolicyError              a policy or definition that is not accepted (management API: 400)
    |   `-- UnreadablePolicyError  one that makes a server's request fail (management API: 500)
    |-- ReentrancyError          something that lets time pass, called inside a callback
    |-- WouldBlockForever        a wait that nothing can ever end
    |-- LivelockError            callbacks that keep one instant going for ever
    `-- ThreadError              the native API called from a thread that does not own it

A mistake of the caller in the Python API itself is a plain TypeError or ValueError. What a client program
sees (``ChannelClosedByBroker`` and its siblings, pika's names) is made of these in ``exceptions.py``.

Owns: the reply codes of AMQP 0-9-1 and the tree above. Refuses to know: the wording of single refusals
(``core/refusals.py``).
"""

from __future__ import annotations

import sys

from mockbroker.values import octets

REPLY_CODES = {
    "CONTENT_TOO_LARGE": 311,
    "NO_ROUTE": 312,
    "NO_CONSUMERS": 313,
    "CONNECTION_FORCED": 320,
    "INVALID_PATH": 402,
    "ACCESS_REFUSED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_LOCKED": 405,
    "PRECONDITION_FAILED": 406,
    "FRAME_ERROR": 501,
    "SYNTAX_ERROR": 502,
    "COMMAND_INVALID": 503,
    "CHANNEL_ERROR": 504,
    "UNEXPECTED_FRAME": 505,
    "RESOURCE_ERROR": 506,
    "NOT_ALLOWED": 530,
    "NOT_IMPLEMENTED": 540,
    "INTERNAL_ERROR": 541,
}
"""Name -> number of each reply code. Source: AMQP 0-9-1 specification, section 1.2."""


class MockbrokerError(Exception):
    """The root of every error that mockbroker raises on purpose."""


_SIBLINGS: dict[type, type] = {}


class CaughtAsPikas(MockbrokerError):
    """An error that pika has too: where pika is loaded, ``except pika.exceptions.NAME`` catches it as well.

    pika is never imported for it: who has not loaded it cannot name its classes.
    """

    def __new__(cls, *args: object) -> CaughtAsPikas:
        """Make an instance that belongs to pika's class of the same name too, if there is one."""
        theirs = getattr(sys.modules.get("pika.exceptions"), cls.__name__, None)
        if theirs is not None and not issubclass(cls, theirs):
            if cls not in _SIBLINGS:
                _SIBLINGS[cls] = type(cls.__name__, (cls, theirs), {"__module__": cls.__module__})
            return super().__new__(_SIBLINGS[cls], *args)
        return super().__new__(cls, *args)


def shortened(text: str) -> str:
    """Fit a reply text into a short string as RabbitMQ does: above 255 bytes it ends in three dots."""
    if len(text) < 64:
        return text
    raw = octets(text)
    if len(raw) <= 255:
        return text
    return raw[:252].decode("utf-8", "surrogateescape") + "..."


class AMQPError(MockbrokerError):
    """A method that the broker refuses.

    `reply_code` is the number, `reply_text` what a client is told: the code's name, a dash, the text.
    An empty text leaves the name alone, as RabbitMQ does for 541. `is_cut_beyond_ascii` says whether the text
    was too long, and what is left of it is not ASCII.
    """

    def __init__(self, code: str, text: str = "") -> None:
        self.reply_code = REPLY_CODES[code]
        whole = f"{code} - {text}" if text else code
        self.reply_text = shortened(whole)
        self.is_cut_beyond_ascii = self.reply_text is not whole and not self.reply_text.isascii()
        super().__init__(self.reply_code, self.reply_text)

    def __str__(self) -> str:
        return f"({self.reply_code}) {self.reply_text}"


class SoftError(AMQPError):
    """A refusal that closes the channel."""


class HardError(AMQPError):
    """A refusal that closes the connection."""


class PolicyError(MockbrokerError):
    """A policy, parameter or definition that is not accepted; `reason` is the management API's text."""

    def __init__(self, reason: str | list[str]) -> None:
        self.reason = reason
        super().__init__(reason)


class UnreadablePolicyError(PolicyError):
    """A policy with a value of a kind that RabbitMQ does not expect: the management API fails (500) and says
    nothing, so the words are mockbroker's."""


class ReentrancyError(CaughtAsPikas):
    """A call that lets time pass or serves others, made inside a callback."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what}: {why}. A worker that is busy for a while says so with "
            "connection.call_later(seconds, callback); code that really blocks belongs in the simulation "
            "(mockbroker.sim)."
        )


class WouldBlockForever(MockbrokerError):
    """A wait without limit that nothing can ever end; the text says what was waited for."""


class LivelockError(MockbrokerError):
    """One instant that never ends: a callback that requeues what it gets, say. The text names queue and
    consumer."""


class ThreadError(MockbrokerError):
    """The native API belongs to one thread; a call came from another."""
