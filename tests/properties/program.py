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
from mockbroker.errors import WouldBlockForever
from mockbroker.exceptions import AMQPError, NackError, UnroutableError
from mockbroker.message import Delivery
from mockbroker.trace import Trace

from .facts import Asked, Facts
from .operators import Operators
from .topology import BINDING_KEYS, EXCHANGES, QUEUES, type_of

Command = tuple[str, tuple[Any, ...], dict[str, Any]]
Seen = Callable[[Channel, Delivery, Any, bytes], None]


def name_of(channel: Channel) -> tuple[str, int]:
    """What events call a channel."""
    return channel.connection.core.name, channel.channel_number


@dataclass
class Seat:
    """A channel, what it has seen and not settled, and its mode."""

    channel: Channel
    held: list[Delivery] = field(default_factory=list)
    last_tag: str = ""

    @property
    def name(self) -> tuple[str, int]:
        return name_of(self.channel)


class Program(Operators):
    """Clients of one broker. `seen` is told of each delivery that a client gets."""

    def __init__(self, broker: Broker, trace: Trace, seen: Seen) -> None:
        super().__init__(broker, Facts())
        self._trace = trace
        self._seen = seen
        self.connections: list[Connection] = []
        self.seats: list[Seat] = []
        self._published = 0
        self._consumers = 0

    def do(self, command: Command) -> None:
        """Carry one command out. A refusal, and what cannot be done now, is passed over."""
        what, arguments, named = command
        self.facts.committing = None
        self.facts.is_policy_changing = False
        try:
            getattr(self, what)(*arguments, **named)
        except (AMQPError, WouldBlockForever):
            pass
        self.connections = [each for each in self.connections if each.is_open]
        self.seats = [each for each in self.seats if each.channel.is_open and each.channel.connection.is_open]

    # -- connections and channels

    def _seat(self, number: int) -> Seat:
        if not self.seats:
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
        self.facts.confirming.pop(seat.name, None)
        self.facts.transactional.pop(seat.name, None)
        if mode == "confirm":
            channel.confirm_delivery()
            self.facts.confirming[seat.name] = None
        elif mode == "tx":
            channel.tx_select()
            self.facts.transactional[seat.name] = None

    def drop(self, number: int) -> None:
        if self.connections:
            self.connections[number % len(self.connections)].drop()

    def close(self, number: int) -> None:
        if self.connections:
            self.connections[number % len(self.connections)].close()

    def close_channel(self, number: int) -> None:
        self._seat(number).channel.close()

    # -- topology

    def declare(self, number: int, name: str) -> None:
        seat = self._seat(number)
        if name in QUEUES:
            seat.channel.queue_declare(name, **QUEUES[name])
            self.facts.used_ns[name] = self.broker.clock.now_ns
            if QUEUES[name].get("exclusive"):
                self.facts.owners[name] = seat.name[0]

    def declare_exchange(self, number: int, name: str) -> None:
        if name in EXCHANGES:
            self._seat(number).channel.exchange_declare(name, **EXCHANGES[name])

    def delete_exchange(self, number: int, name: str) -> None:
        self._seat(number).channel.exchange_delete(name)

    def bind(self, number: int, name: str, exchange: str, which: int) -> None:
        keys = (name, *BINDING_KEYS[exchange])
        self.declare(number, name)
        self.declare_exchange(number, exchange)
        self._seat(number).channel.queue_bind(name, exchange, keys[which % len(keys)])

    def unbind(self, number: int, name: str, exchange: str, which: int) -> None:
        keys = (name, *BINDING_KEYS[exchange])
        self._seat(number).channel.queue_unbind(name, exchange, keys[which % len(keys)])

    def bind_exchange(self, number: int, source: str, destination: str, key: str) -> None:
        self.declare_exchange(number, source)
        self.declare_exchange(number, destination)
        self._seat(number).channel.exchange_bind(destination, source, key)

    def delete(self, number: int, name: str) -> None:
        self._seat(number).channel.queue_delete(name)

    def purge(self, number: int, name: str) -> None:
        if type_of(name) != "stream":
            self._seat(number).channel.queue_purge(name)

    # -- publishing

    def publish(
        self,
        number: int,
        exchange: str,
        name: str,
        persistent: bool,
        priority: int | None = None,
        ttl_ms: int | None = None,
        mandatory: bool = False,
        copies: list[str] | None = None,
        blind: list[str] | None = None,
        label: str | None = None,
    ) -> None:
        self._published += 1
        headers = {"CC": copies, "BCC": blind, "x-stream-filter-value": label}
        headers = {header: value for header, value in headers.items() if value is not None}
        properties = BasicProperties(
            delivery_mode=2 if persistent else None,
            priority=priority,
            expiration=None if ttl_ms is None else str(ttl_ms),
            headers=headers or None,
        )
        body = b"m%d" % self._published
        seat = self._seat(number)
        if not seat.channel.connection.core.is_blocked:  # there everything but a publish would wait for ever
            self.declare(number, name)
            self.declare_exchange(number, exchange)
        self.facts.asked[body] = Asked(seat.name, mandatory, tuple(blind or ()), len(self._trace))
        try:
            seat.channel.basic_publish(exchange, name, body, properties, mandatory)
        except (NackError, UnroutableError):
            pass  # answered all the same
        except AMQPError:
            self.facts.asked.pop(body, None)
            raise

    def publish_many(
        self, number: int, name: str, count: int, persistent: bool, priority: int | None = None
    ) -> None:
        for _ in range(count):
            self.publish(number, "", name, persistent, priority)

    # -- consuming

    def consume(
        self,
        number: int,
        name: str,
        auto_ack: bool,
        prefetch: int,
        exclusive: bool,
        priority: int,
        offset: int | str | None = None,
        wanted: str | None = None,
        is_again: bool = False,
    ) -> None:
        """Consume; `is_again` with the tag that the channel used last, if that is free."""
        arguments: dict[str, Any] = {}
        if type_of(name) == "stream":
            auto_ack, prefetch = False, prefetch or 3
            arguments = {"x-stream-offset": offset, "x-stream-filter": wanted}
        elif priority:
            arguments = {"x-priority": priority}
        arguments = {key: value for key, value in arguments.items() if value is not None}
        self.declare(number, name)
        seat = self._seat(number)
        if not (is_again and seat.last_tag and seat.last_tag not in seat.channel.consumer_tags):
            self._consumers += 1
            seat.last_tag = f"c{self._consumers}"
        tag = seat.last_tag

        def receive(channel: Channel, method: Delivery, properties: Any, body: bytes) -> None:
            self._seen(channel, method, properties, body)
            if not auto_ack:
                seat.held.append(method)

        if prefetch:
            seat.channel.basic_qos(prefetch_count=prefetch)
        self.facts.consumer_arguments[tag] = arguments
        seat.channel.basic_consume(name, receive, auto_ack, exclusive, tag, arguments)

    def limit_channel(self, number: int, prefetch: int) -> None:
        self._seat(number).channel.basic_qos(prefetch_count=prefetch, global_qos=True)

    def cancel(self, number: int, which: int) -> None:
        seat = self._seat(number)
        tags = seat.channel.consumer_tags
        if tags:
            seat.channel.basic_cancel(tags[which % len(tags)])

    def get(self, number: int, name: str, auto_ack: bool) -> None:
        if type_of(name) == "stream":
            return
        self.declare(number, name)
        seat = self._seat(number)
        method, properties, body = seat.channel.basic_get(name, auto_ack)
        if method is not None:
            assert body is not None
            self._seen(seat.channel, method, properties, body)
            if not auto_ack:
                seat.held.append(method)

    # -- settling

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
        if seat.name not in self.facts.transactional:
            seat.held.clear()
        seat.channel.basic_recover(requeue=True)

    def commit(self, number: int) -> None:
        seat = self._seat(number)
        if seat.name in self.facts.transactional:
            self.facts.committing = seat.name
            seat.channel.tx_commit()

    def roll_back(self, number: int) -> None:
        seat = self._seat(number)
        if seat.name in self.facts.transactional:
            seat.channel.tx_rollback()
            self.facts.forget(seat.name)

    def serve(self) -> None:
        self.broker.run()
