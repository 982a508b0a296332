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

from mockbroker.broker import Broker
from mockbroker.channel import Channel
from mockbroker.clock import SimClock, WallClock
from mockbroker.connection import Connection
from mockbroker.message import BasicProperties

__version__ = "0.1.0"

__all__ = ["BasicProperties", "Broker", "Channel", "Connection", "SimClock", "WallClock"]
