"""A program of several clients, one plain command at a time; the same commands make the same program again.

Commands name things by number, so that any list of them means something: the number is taken modulo what is
there. What the broker refuses is part of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mockbroker import BasicProperties, Broker
from mockbroker.channel import Channel
from mockbroker.connection import Connection
from mockbroker.exceptions import AMQPError
from mockbroker.message import Delivery

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}

QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "durable": {"durable": True},
    "dead": {"durable": True},
    "ttl": {"arguments": {"x-message-ttl": 300, **DEAD}},
    "durable-ttl": {"durable": True, "arguments": {"x-message-ttl": 500, **DEAD}},
    "short": {"arguments": {"x-max-length": 2, **DEAD}},
    "narrow": {"durable": True, "arguments": {"x-max-length-bytes": 12}},
    "full": {"arguments": {"x-max-length": 2, "x-overflow": "reject-publish"}},
    "full-dlx": {"arguments": {"x-max-length": 1, "x-overflow": "reject-publish-dlx", **DEAD}},
    "priority": {"durable": True, "arguments": {"x-max-priority": 3, **DEAD}},
    "single": {"arguments": {"x-single-active-consumer": True}},
    "auto": {"auto_delete": True},
    "own": {"exclusive": True},
    "loop": {"arguments": {"x-message-ttl": 200, **DEAD, "x-dead-letter-routing-key": "loop"}},
}
"""The queues that programs declare: name -> how."""

NAMES = tuple(QUEUES)
Command = tuple[str, tuple[Any, ...], dict[str, Any]]
EXCHANGE = "everywhere"


def name_of(channel: Channel) -> tuple[str, int]:
    """What events call a channel."""
    return channel.connection.core.name, channel.channel_number


@dataclass
class Seat:
    """A channel, what it has seen and not settled, and its consumers."""

    channel: Channel
    held: list[Delivery] = field(default_factory=list)
    is_transactional: bool = False

    @property
    def name(self) -> tuple[str, int]:
        return name_of(self.channel)


class Program:
    """Clients of one broker. `seen` is told of each delivery that a callback gets."""

    def __init__(self, broker: Broker, seen: Callable[[Channel, Delivery, Any, bytes], None]) -> None:
        self.broker = broker
        self._seen = seen
        self.connections: list[Connection] = []
        self.seats: list[Seat] = []
        self.windows: dict[tuple[str, int], int] = {}
        """The shared windows in force, by channel; one for each consumer lifts the shared one."""
        self._published = 0

    def do(self, command: Command) -> None:
        """Carry one command out. A refusal, and what cannot be done now, is passed over."""
        what, arguments, named = command
        try:
            getattr(self, what)(*arguments, **named)
        except AMQPError:
            pass
        self.connections = [each for each in self.connections if each.is_open]
        self.seats = [each for each in self.seats if each.channel.is_open]

    def _seat(self, number: int) -> Seat:
        while not self.seats:
            self.connect()
            self.open_channel(0, "plain")
        return self.seats[number % len(self.seats)]

    def connect(self) -> None:
        self.connections.append(self.broker.connect())

    def open_channel(self, number: int, mode: str) -> None:
        if not self.connections:
            self.connect()
        channel = self.connections[number % len(self.connections)].channel()
        seat = Seat(channel)
        self.seats.append(seat)
        if mode == "confirm":
            channel.confirm_delivery()
        elif mode == "tx":
            channel.tx_select()
            seat.is_transactional = True

    def drop(self, number: int) -> None:
        if self.connections:
            self.connections[number % len(self.connections)].drop()

    def close(self, number: int) -> None:
        if self.connections:
            self.connections[number % len(self.connections)].close()

    def close_channel(self, number: int) -> None:
        self._seat(number).channel.close()

    def declare(self, number: int, name: str) -> None:
        channel = self._seat(number).channel
        if name in QUEUES:
            channel.queue_declare(name, **QUEUES[name])
        channel.exchange_declare(EXCHANGE, "fanout", durable=True)

    def bind(self, number: int, name: str) -> None:
        self.declare(number, name)
        self._seat(number).channel.queue_bind(name, EXCHANGE)

    def unbind(self, number: int, name: str) -> None:
        self._seat(number).channel.queue_unbind(name, EXCHANGE)

    def delete(self, number: int, name: str) -> None:
        self._seat(number).channel.queue_delete(name)

    def purge(self, number: int, name: str) -> None:
        self._seat(number).channel.queue_purge(name)

    def publish(
        self,
        number: int,
        exchange: str,
        name: str,
        persistent: bool,
        priority: int | None,
        ttl_ms: int | None,
        mandatory: bool,
    ) -> None:
        self._published += 1
        properties = BasicProperties(
            delivery_mode=2 if persistent else None,
            priority=priority,
            expiration=None if ttl_ms is None else str(ttl_ms),
        )
        body = b"m%d" % self._published
        self.declare(number, name)
        self._seat(number).channel.basic_publish(exchange, name, body, properties, mandatory)

    def publish_many(self, number: int, name: str, count: int, persistent: bool) -> None:
        for _ in range(count):
            self.publish(number, "", name, persistent, None, None, mandatory=False)

    def consume(
        self, number: int, name: str, auto_ack: bool, prefetch: int, exclusive: bool, priority: int
    ) -> None:
        seat = self._seat(number)

        def receive(channel: Channel, method: Delivery, properties: Any, body: bytes) -> None:
            self._seen(channel, method, properties, body)
            if not auto_ack:
                seat.held.append(method)

        arguments = {"x-priority": priority} if priority else None
        self.declare(number, name)
        if prefetch:
            self.windows.pop(seat.name, None)
            seat.channel.basic_qos(prefetch_count=prefetch)
        seat.channel.basic_consume(name, receive, auto_ack, exclusive, arguments=arguments)

    def limit_channel(self, number: int, prefetch: int) -> None:
        seat = self._seat(number)
        self.windows[seat.name] = prefetch
        if not prefetch:
            del self.windows[seat.name]
        seat.channel.basic_qos(prefetch_count=prefetch, global_qos=True)

    def cancel(self, number: int, which: int) -> None:
        seat = self._seat(number)
        tags = seat.channel.consumer_tags
        if tags:
            seat.channel.basic_cancel(tags[which % len(tags)])

    def get(self, number: int, name: str, auto_ack: bool) -> None:
        self.declare(number, name)
        seat = self._seat(number)
        method, properties, body = seat.channel.basic_get(name, auto_ack)
        if method is not None:
            assert body is not None
            self._seen(seat.channel, method, properties, body)
            if not auto_ack:
                seat.held.append(method)

    def settle(self, number: int, which: int, how: str, multiple: bool) -> None:
        busy = [seat for seat in self.seats if seat.held]
        if not busy:
            return
        seat = busy[number % len(busy)]
        index = which % len(seat.held)
        tag = seat.held[index].delivery_tag
        if multiple:
            seat.held = [each for each in seat.held if each.delivery_tag > tag]
        else:
            del seat.held[index]
        if how == "ack":
            seat.channel.basic_ack(tag, multiple)
        else:
            seat.channel.basic_nack(tag, multiple, requeue=how == "requeue")

    def settle_unknown(self, number: int) -> None:
        self._seat(number).channel.basic_ack(1_000_000)

    def recover(self, number: int) -> None:
        seat = self._seat(number)
        if not seat.is_transactional:
            seat.held.clear()
        seat.channel.basic_recover(requeue=True)

    def commit(self, number: int) -> None:
        seat = self._seat(number)
        if seat.is_transactional:
            seat.channel.tx_commit()

    def roll_back(self, number: int) -> None:
        seat = self._seat(number)
        if seat.is_transactional:
            seat.channel.tx_rollback()

    def serve(self) -> None:
        self.broker.run()

    def advance(self, ms: int) -> None:
        self.broker.clock.advance(ms / 1000)

    def restart(self) -> None:
        self.broker.restart()

    def crash(self) -> None:
        self.broker.crash()
