"""pika's blocking connection on a `Broker`, in virtual time, for code that imports pika.

Owns: the exchange of ``pika.BlockingConnection`` for the native connection, and back. Refuses to know: what
the connection does; its methods are pika's already.

The code under test stays as it is: ``pika.BlockingConnection(pika.ConnectionParameters(...))`` gives it a
native connection. Host and port are not looked at; user, password and virtual host count. What blocks for
real in such code (``time.sleep``, threads) belongs in the simulation.

Read next: ``connection.py``, ``docs/testing.md``.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters import blocking_connection

from mockbroker.broker import Broker
from mockbroker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def patch(broker: Broker | None = None) -> Iterator[Broker]:
    """Let ``pika.BlockingConnection`` connect to `broker` (a new one unless given) within the ``with`` block.

    As a decorator, within the function. Modules that have imported the class by name get the exchange too.

    >>> import pika
    >>> with patch() as broker:
    ...     connection = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    ...     channel = connection.channel()
    ...     _ = channel.queue_declare("hello")
    >>> broker.list_queues("name")
    [{'name': 'hello'}]
    """
    used = Broker() if broker is None else broker
    original: type = blocking_connection.BlockingConnection
    replaced = _replace(original, _connection_class(used))
    try:
        yield used
    finally:
        for namespace, name in replaced:
            namespace[name] = original


def _replace(original: type, stand_in: type) -> list[tuple[dict[str, Any], str]]:
    """Put a class in the place of another in every module that is loaded; return where it was."""
    places = [
        (namespace, name)
        for module in list(sys.modules.values())
        if (namespace := getattr(module, "__dict__", None)) is not None
        for name, value in list(namespace.items())
        if value is original
    ]
    for namespace, name in places:
        namespace[name] = stand_in
    return places


def _connection_class(broker: Broker) -> type[Connection]:
    """Make the class that stands for pika's on this broker."""

    class BlockingConnection(Connection):
        """A native connection that is made as pika's is."""

        basic_nack = basic_nack_supported = True
        consumer_cancel_notify = consumer_cancel_notify_supported = True
        exchange_exchange_bindings = exchange_exchange_bindings_supported = True
        publisher_confirms = publisher_confirms_supported = True

        def __init__(self, parameters: Any = None, _impl_class: Any = None) -> None:
            if isinstance(parameters, list | tuple) and parameters:
                # pika tries one after the other; here the first is as good as any.
                parameters = parameters[0]
            given = pika.ConnectionParameters() if parameters is None else parameters
            if not isinstance(given, pika.connection.Parameters):
                raise TypeError(
                    "parameters must be pika's ConnectionParameters or URLParameters, or a list of them, "
                    f"not {parameters!r}"
                )
            if not broker.node.accepts_client():
                raise pika.exceptions.AMQPConnectionError("nobody listens")
            credentials = given.credentials
            super().__init__(
                broker,
                username=credentials.username,
                password=credentials.password,
                virtual_host=given.virtual_host,
                client_properties=given.client_properties,
                peer_host="127.0.0.1",
            )

    return BlockingConnection
