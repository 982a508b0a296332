"""Who is measured, each behind the names of pika; a peer's package is imported when the peer is made.

`share` says what part of a case's full size a slow peer runs, by the case's name or kind (``W5``: all four).
`unsupported` says why a case makes no sense for a peer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, ClassVar

from benchmarks.cases import Case
from benchmarks.measure import Unsupported


class MockBroker:
    """mockbroker's native API."""

    package = "mockbroker"
    share: ClassVar[Mapping[str, float]] = {}
    unsupported: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        import mockbroker  # noqa: PLC0415 - measured, so only where it is asked for

        self.properties = mockbroker.BasicProperties
        self.broker = mockbroker.Broker()

    def connect(self) -> Any:
        return self.broker.connect()

    def workplace(self, connection: Any) -> Any:
        return connection

    def serve(self, connections: Sequence[Any], is_done: Callable[[], bool]) -> None:
        self.broker.run()

    def queued(self, channel: Any, queues: Sequence[str]) -> int:
        return sum(channel.queue_declare(name, passive=True).method.message_count for name in queues)

    def expiring(self, ttl_ms: int) -> Any:
        return self.properties(expiration=str(ttl_ms))

    def let_time_pass(self, seconds: float) -> None:
        self.broker.clock.advance(seconds)


class KombuMemory:
    """kombu's memory transport as its users have it: a Producer and a Consumer on each channel."""

    package = "kombu"
    share: ClassVar[Mapping[str, float]] = {
        "W1": 0.2,
        "W2": 0.2,
        "W3": 0.2,
        "W5": 0.05,
        "W5-10k-hot": 0.02,
        "W5-10k-cold": 0.02,
        "W6": 0.5,
        "W7": 0.2,
        "W8": 0.2,
        "W10": 0.2,
    }
    unsupported: ClassVar[Mapping[str, str]] = {
        "W4": "unacked messages are lost with their channel",
        "W9": "the expiration of a message is ignored",
    }

    def __init__(self) -> None:
        import kombu  # noqa: PLC0415 - optional
        from kombu.transport import memory  # noqa: PLC0415 - optional

        # The transport keeps queues and exchanges in class attributes: an earlier peer may have left some.
        memory.Channel.queues.clear()
        memory.Transport.global_state.clear()
        self.kombu = kombu

    def connect(self) -> Any:
        connection = self.kombu.Connection("memory://", transport_options={"polling_interval": 0.001})
        connection.connect()
        return KombuConnection(self.kombu, connection)

    def workplace(self, connection: Any) -> Any:
        # A connection of this transport has one callback for each queue, however many consume it.
        return self.connect()

    def serve(self, connections: Sequence[Any], is_done: Callable[[], bool]) -> None:
        wait_s = 1.0 if len(connections) == 1 else 0.0001
        while not is_done():
            for connection in connections:
                try:
                    connection.connection.drain_events(timeout=wait_s)
                except TimeoutError:
                    continue

    def queued(self, channel: Any, queues: Sequence[str]) -> int:
        return sum(channel.queue_declare(name, passive=True).method.message_count for name in queues)

    def expiring(self, ttl_ms: int) -> Any:
        raise Unsupported(self.unsupported["W9"])

    def let_time_pass(self, seconds: float) -> None:
        raise Unsupported("there is no virtual time")


class KombuConnection:
    def __init__(self, kombu: Any, connection: Any) -> None:
        self.kombu = kombu
        self.connection = connection

    def channel(self) -> KombuChannel:
        return KombuChannel(self.kombu, self.connection)

    def close(self) -> None:
        self.connection.close()


class KombuChannel:
    """A virtual channel of kombu with pika's method names."""

    def __init__(self, kombu: Any, connection: Any) -> None:
        self.kombu = kombu
        self.channel = connection.channel()
        self.publish = kombu.Producer(self.channel, auto_declare=False).publish
        self.unacked: list[Any] = []
        self.exchange_declare = self.channel.exchange_declare
        self.queue_bind = self.channel.queue_bind

    def queue_declare(self, queue: str, passive: bool = False) -> Any:
        return SimpleNamespace(method=self.channel.queue_declare(queue, passive=passive))

    def basic_publish(self, exchange: str, routing_key: str, body: bytes) -> None:
        self.publish(body, exchange=exchange, routing_key=routing_key)

    def basic_qos(self, prefetch_count: int) -> None:
        self.channel.basic_qos(0, prefetch_count, False)

    def basic_consume(self, queue: str, on_message: Callable[..., None], auto_ack: bool = False) -> Any:
        note = self.unacked.append

        def on_kombu_message(message: Any) -> None:
            tag = message.delivery_tag
            if not auto_ack:
                note(tag)
            method = SimpleNamespace(delivery_tag=tag, redelivered=bool(message._raw.get("redelivered")))
            on_message(self, method, message.properties, message.body)

        consumer = self.kombu.Consumer(
            self.channel,
            [self.kombu.Queue(queue, channel=self.channel)],
            on_message=on_kombu_message,
            no_ack=auto_ack,
            auto_declare=False,
        )
        consumer.consume()
        return consumer

    def basic_cancel(self, consumer: Any) -> None:
        consumer.cancel()

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        if not multiple:
            self.channel.basic_ack(delivery_tag)
            return
        for tag in self.unacked:  # the transport ignores `multiple`
            self.channel.basic_ack(tag)
        self.unacked.clear()

    def basic_nack(self, delivery_tag: Any, requeue: bool = True) -> None:
        self.channel.basic_reject(delivery_tag, requeue=requeue)


PEERS: dict[str, type[MockBroker] | type[KombuMemory]] = {
    "mockbroker": MockBroker,
    "kombu-memory": KombuMemory,
}


def share_of(peer_name: str, case: Case) -> float:
    """The part of the case's full size that the peer runs. Raises Unsupported where it runs none."""
    peer = PEERS[peer_name]
    names = (case.name, case.name.partition("-")[0])
    for name in names:
        if name in peer.unsupported:
            raise Unsupported(peer.unsupported[name])
    return next((peer.share[name] for name in names if name in peer.share), 1.0)


def is_installed(package: str) -> bool:
    """Whether a package can be imported; one that was imported already may hide where it came from."""
    return package in sys.modules or find_spec(package) is not None
