"""A pure-Python, in-process emulator of RabbitMQ (AMQP 0-9-1) on a clock that the test owns.

>>> from mockbroker import Broker
>>> with Broker() as broker:
...     channel = broker.connect().channel()
...     _ = channel.queue_declare("hello")
...     _ = channel.basic_consume("hello", lambda ch, method, properties, body: print(body), auto_ack=True)
...     channel.basic_publish("", "hello", b"Hello World!")
...     broker.run()
b'Hello World!'
1
"""

from __future__ import annotations

from mockbroker.broker import Broker
from mockbroker.channel import Channel
from mockbroker.clock import SimClock, WallClock
from mockbroker.connection import Connection
from mockbroker.message import BasicProperties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.testing import fairness, faults, strategies
    from mockbroker.testing.lint import lint

__version__ = "0.1.0"

__all__ = [
    "BasicProperties",
    "Broker",
    "Channel",
    "Connection",
    "SimClock",
    "WallClock",
    "fairness",
    "faults",
    "lint",
    "strategies",
]


def __getattr__(name: str) -> Any:
    """Fetch a tool for tests when it is first asked for: who only talks to a broker does not pay for it."""
    if name == "lint":
        from mockbroker.testing.lint import lint  # noqa: PLC0415 - only tests that ask for lint pay for it

        return lint
    if name in ("fairness", "faults", "strategies"):
        from importlib import import_module  # noqa: PLC0415 - `from ... import` would ask this function again

        return import_module(f"mockbroker.testing.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
