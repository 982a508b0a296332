"""What must be true of a broker, as a model of plain dicts that follows its trace.

The model decides nothing that the broker is free to decide (who gets a message when several consumers could);
it checks that each event is one that the rules allow, and knows for each message where it is: ready in a
queue, held by one delivery, or gone for a reason that the trace has named.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mockbroker import events
from mockbroker.clock import MS

ChannelName = tuple[str, int]


@dataclass
class Copy:
    """One message in one queue."""

    body: bytes
    position: int
    persistent: bool
    priority: int
    published_ns: int
    expires_ns: int | None
    deaths: dict[tuple[str, str], int]
    confirmed: bool = False
    returned: bool = False


@dataclass
class ModelConsumer:
    """A consumer; `unacked` counts what it holds, `served` its deliveries since the last change."""

    tag: str
    channel: ChannelName
    auto_ack: bool
    prefetch: int
    priority: int
    unacked: int = 0
    served: int = 0

    @property
    def has_credit(self) -> bool:
        return self.auto_ack or not self.prefetch or self.unacked < self.prefetch


@dataclass
class ModelQueue:
    """A queue, from its declaration to its end."""

    name: str
    durable: bool
    arguments: dict[str, Any]
    ready: dict[int, Copy] = field(default_factory=dict)
    unacked: dict[int, Copy] = field(default_factory=dict)
    on_disk: dict[int, Copy] = field(default_factory=dict)
    consumers: dict[str, ModelConsumer] = field(default_factory=dict)
    last_position: int = -1
    given_up: list[tuple[int | None, str, Copy]] = field(default_factory=list)
    active: ModelConsumer | None = None

    def order(self, copy: Copy) -> tuple[int, int]:
        return (-copy.priority, copy.position)

    @property
    def head(self) -> Copy:
        return min(self.ready.values(), key=self.order)

    @property
    def ready_bytes(self) -> int:
        return sum(len(copy.body) for copy in self.ready.values())

    @property
    def is_above_limit(self) -> bool:
        limit, limit_bytes = (self.arguments.get(f"x-max-length{suffix}") for suffix in ("", "-bytes"))
        return (limit is not None and len(self.ready) > limit) or (
            limit_bytes is not None and self.ready_bytes > limit_bytes
        )

    @property
    def drops_head(self) -> bool:
        return "x-overflow" not in self.arguments

    @property
    def may_overtake(self) -> bool:
        """Whether what has expired may come to the head unnoticed, until the queue next looks there."""
        return "x-max-priority" in self.arguments

    def start_counting_anew(self) -> None:
        for consumer in self.consumers.values():
            consumer.served = 0


class Model:
    """Follows a trace event by event; an event that breaks a rule fails an assertion."""

    def __init__(self, windows: dict[ChannelName, int]) -> None:
        self.queues: dict[str, ModelQueue] = {}
        self.bound: dict[str, None] = {}
        self.held: dict[tuple[ChannelName, int], tuple[ModelQueue, Copy, ModelConsumer | None]] = {}
        self.sent: dict[tuple[ChannelName, int], events.Delivered | events.Got] = {}
        self.deaths_seen: dict[tuple[ChannelName, int], dict[tuple[str, str], int]] = {}
        self.unconfirmed: dict[ChannelName, list[list[Copy]]] = defaultdict(list)
        self.windows = windows
        self.channels: dict[ChannelName, None] = {}
        self.transactional: list[ChannelName] = []
        self.is_power_cut = False

    def follow(self, event: events.Event) -> None:
        getattr(self, f"on_{type(event).__name__}", lambda _event: None)(event)

    # -- messages in

    def _add(self, event: Any, places: Any, body: bytes, priority: int, persistent: bool) -> list[Copy]:
        copies = []
        for name, position in places:
            queue = self.queues[name]
            assert position > queue.last_position, f"{name} gives position {position} twice"
            queue.last_position = position
            most = queue.arguments.get("x-max-priority")
            ttl_ms = queue.arguments.get("x-message-ttl")
            copy = Copy(
                body=body,
                position=position,
                persistent=persistent,
                priority=0 if most is None else min(priority, most),
                published_ns=event.time_ns,
                expires_ns=None if ttl_ms is None else event.time_ns + ttl_ms * MS,
                deaths={},
            )
            queue.ready[position] = copy
            copies.append(copy)
        return copies

    def on_Published(self, event: events.Published) -> None:
        if (event.connection, event.channel) not in self.transactional:  # there the route was found before
            wanted = sorted(self.bound) if event.exchange else [event.routing_key]
            places = [name for name in wanted if name in self.queues]
            assert [name for name, _ in event.queues] == places, "a message is routed elsewhere"
        properties = event.properties or {}
        copies = self._add(
            event,
            event.queues,
            event.body,
            properties.get("priority", 0),
            properties.get("delivery_mode") == 2,
        )
        if "expiration" in properties:
            due_ns = event.time_ns + int(properties["expiration"]) * MS
            for copy in copies:
                copy.expires_ns = due_ns if copy.expires_ns is None else min(copy.expires_ns, due_ns)
        self.unconfirmed[event.connection, event.channel].append(copies)

    def on_PublishRefused(self, event: events.PublishRefused) -> None:
        queue = self.queues[event.queue]
        copy = queue.ready.pop(queue.last_position)
        queue.last_position -= 1
        assert copy.body == event.body
        assert "x-overflow" in queue.arguments
        assert len(queue.ready) >= queue.arguments["x-max-length"], f"{queue.name} refuses without need"
        if queue.arguments["x-overflow"] == "reject-publish-dlx":
            # The event comes after the queue has asked for the dead letter, before the letter is published.
            queue.given_up.append((None, "maxlen", copy))

    def on_Confirmed(self, event: events.Confirmed) -> None:
        publishes = self.unconfirmed[event.connection, event.channel]
        for tag in event.delivery_tags:
            for copy in publishes[tag - 1]:
                copy.confirmed = True

    def on_DeadLettered(self, event: events.DeadLettered) -> None:
        queue = self.queues[event.queue]
        index = next(
            number
            for number, (position, reason, _) in enumerate(queue.given_up)
            if (position, reason) == (event.position, event.reason)
        )
        _, _, copy = queue.given_up.pop(index)
        target = queue.arguments["x-dead-letter-routing-key"]
        is_cycle = target == event.queue and event.reason != "rejected"
        wanted = [target] if target in self.queues and not is_cycle else []
        assert [name for name, _ in event.queues] == wanted, f"{event} goes elsewhere"
        deaths = dict(copy.deaths)
        death = (event.queue, event.reason)
        deaths[death] = deaths.get(death, 0) + 1
        for letter in self._add(event, event.queues, copy.body, 0, copy.persistent):
            letter.deaths = deaths

    # -- messages out

    def _take_head(self, queue: ModelQueue, event: events.Delivered | events.Got) -> Copy:
        copy = queue.ready.pop(event.position)
        assert all(queue.order(copy) < queue.order(each) for each in queue.ready.values()), (
            f"{event} is not the head of {queue.name}"
        )
        assert copy.body == event.body
        assert event.redelivered == copy.returned, f"{event} has the wrong flag"
        is_in_time = copy.expires_ns is None or copy.expires_ns >= event.time_ns
        assert is_in_time or queue.may_overtake, f"{event} has expired"
        channel = (event.connection, event.channel)
        self.sent[channel, event.delivery_tag] = event
        self.deaths_seen[channel, event.delivery_tag] = copy.deaths
        return copy

    def on_Delivered(self, event: events.Delivered) -> None:
        queue = self.queues[event.queue]
        channel = (event.connection, event.channel)
        consumer = next(
            each
            for each in queue.consumers.values()
            if (each.channel, each.tag) == (channel, event.consumer_tag)
        )
        assert consumer.has_credit, f"{event} is beyond the window of {consumer.prefetch}"
        self._check_turn(queue, consumer, event)
        copy = self._take_head(queue, event)
        consumer.served += 1
        if not event.auto_ack:
            consumer.unacked += 1
            self._hold(queue, copy, channel, event.delivery_tag, consumer)
            limit = self.windows.get(channel)
            in_flight = sum(
                who is not None for (where, _), (_, _, who) in self.held.items() if where == channel
            )
            assert limit is None or in_flight <= limit, f"{event} is beyond the channel's window of {limit}"
        if not consumer.has_credit or self.windows:
            queue.start_counting_anew()

    def _check_turn(self, queue: ModelQueue, consumer: ModelConsumer, event: events.Delivered) -> None:
        if queue.arguments.get("x-single-active-consumer"):
            assert consumer is queue.active, f"{event} goes past the single active consumer"
            return
        for other in queue.consumers.values():
            may_take = other.has_credit and other.channel not in self.windows
            if may_take and other is not consumer:
                assert other.priority <= consumer.priority, f"{event} goes past a higher priority"
                if other.priority == consumer.priority:
                    assert consumer.served <= other.served, f"{event} is not fair: {queue.consumers}"

    def _hold(
        self,
        queue: ModelQueue,
        copy: Copy,
        channel: ChannelName,
        tag: int,
        consumer: ModelConsumer | None,
    ) -> None:
        queue.unacked[copy.position] = copy
        assert (channel, tag) not in self.held, "a delivery tag is used twice"
        self.held[channel, tag] = (queue, copy, consumer)

    def on_Got(self, event: events.Got) -> None:
        queue = self.queues[event.queue]
        copy = self._take_head(queue, event)
        if not event.auto_ack:
            self._hold(queue, copy, (event.connection, event.channel), event.delivery_tag, None)

    def _release(self, event: events.OfDelivery) -> tuple[ModelQueue, Copy]:
        queue, copy, consumer = self.held.pop(((event.connection, event.channel), event.delivery_tag))
        assert (queue.name, copy.position) == (event.queue, event.position), f"{event} settles something else"
        del queue.unacked[copy.position]
        if consumer is not None:
            consumer.unacked -= 1
            queue.start_counting_anew()
        return queue, copy

    def on_Acknowledged(self, event: events.Acknowledged) -> None:
        self._release(event)

    def on_Rejected(self, event: events.Rejected) -> None:
        queue, copy = self._release(event)
        self._give_up(queue, copy, "rejected")

    def on_Requeued(self, event: events.Requeued) -> None:
        queue, copy = self._release(event)
        copy.returned = True
        queue.ready[copy.position] = copy

    def on_Dropped(self, event: events.Dropped) -> None:
        queue = self.queues[event.queue]
        copy = queue.ready[event.position]
        assert copy is queue.head, f"{event} is not about the head"
        if event.reason == "expired":
            assert copy.expires_ns is not None
            assert copy.expires_ns <= event.time_ns, f"{event} comes too early"
        elif event.reason == "maxlen":
            assert queue.drops_head
            assert queue.is_above_limit, f"{event} comes without need"
        del queue.ready[event.position]
        if event.reason != "purged":
            self._give_up(queue, copy, event.reason)

    def _give_up(self, queue: ModelQueue, copy: Copy, reason: str) -> None:
        if "x-dead-letter-exchange" in queue.arguments and self.queues.get(queue.name) is queue:
            queue.given_up.append((copy.position, reason, copy))

    # -- topology

    def on_QueueDeclared(self, event: events.QueueDeclared) -> None:
        assert event.queue not in self.queues
        self.queues[event.queue] = ModelQueue(event.queue, event.durable, event.arguments)

    def on_QueueDeleted(self, event: events.QueueDeleted) -> None:
        del self.queues[event.queue]

    def on_Bound(self, event: events.Bound) -> None:
        self.bound[event.destination] = None

    def on_Unbound(self, event: events.Unbound) -> None:
        del self.bound[event.destination]

    # -- clients

    def on_ChannelOpened(self, event: events.ChannelOpened) -> None:
        self._forget_channel((event.connection, event.channel))
        self.channels[event.connection, event.channel] = None

    def on_ChannelClosed(self, event: events.ChannelClosed) -> None:
        channel = (event.connection, event.channel)
        assert not any(where == channel for where, _ in self.held), f"{event} leaves something behind"
        self._forget_channel(channel)

    def _forget_channel(self, channel: ChannelName) -> None:
        self.channels.pop(channel, None)
        self.unconfirmed.pop(channel, None)
        self.windows.pop(channel, None)

    def on_ConsumerAdded(self, event: events.ConsumerAdded) -> None:
        queue = self.queues[event.queue]
        channel = (event.connection, event.channel)
        consumer = ModelConsumer(
            event.consumer_tag, channel, event.auto_ack, event.prefetch_count, event.priority
        )
        queue.consumers[event.consumer_tag] = consumer
        queue.active = queue.active or consumer
        queue.start_counting_anew()

    def on_ConsumerCancelled(self, event: events.ConsumerCancelled) -> None:
        queue = self.queues.get(event.queue)
        if queue is not None:
            gone = queue.consumers.pop(event.consumer_tag)
            if gone is queue.active:
                by_priority = sorted(queue.consumers.values(), key=lambda each: -each.priority)
                queue.active = by_priority[0] if by_priority else None
            queue.start_counting_anew()

    # -- down and up again

    def on_Synced(self, event: events.Synced) -> None:
        for queue in self.queues.values():
            alive = {**queue.ready, **queue.unacked}
            queue.on_disk = {position: copy for position, copy in alive.items() if copy.persistent}

    def on_Stopped(self, event: events.Stopped) -> None:
        self.is_power_cut = event.power_cut
        if event.power_cut:
            for _, copy, _ in self.held.values():
                copy.returned = True
            self.held.clear()
            for channel in list(self.channels):
                self._forget_channel(channel)
            for queue in self.queues.values():
                queue.consumers.clear()
                queue.active = None

    def on_Recovered(self, event: events.Recovered) -> None:
        queue = self.queues[event.queue]
        alive = {**queue.ready, **queue.unacked}
        if self.is_power_cut:
            expected = queue.on_disk
            for position, copy in alive.items():
                survives = position in event.positions
                assert survives or not (copy.confirmed and copy.persistent), (
                    f"{copy} was confirmed, and is lost"
                )
            for copy in expected.values():
                copy.returned = True
        else:
            expected = {position: copy for position, copy in alive.items() if copy.persistent}
        assert sorted(event.positions) == sorted(expected), f"{event} does not hold what the disk held"
        queue.ready, queue.unacked = dict(expected), {}
        queue.on_disk = dict(expected)

    # -- between two steps

    def check(self, now_ns: int, listed: list[dict[str, Any]]) -> None:
        """Compare with what the broker lists; no limit is exceeded, nothing expired is in sight."""
        assert {row["name"] for row in listed} == set(self.queues)
        for row in listed:
            queue = self.queues[row["name"]]
            counts = (len(queue.ready), len(queue.unacked), len(queue.consumers))
            shown = (row["messages_ready"], row["messages_unacknowledged"], row["consumers"])
            assert shown == counts, f"{queue.name} lists {shown}, the model has {counts}"
            assert not (queue.drops_head and queue.is_above_limit), f"{queue.name} is above its limit"
            assert not queue.given_up, f"{queue.name} owes dead letters: {queue.given_up}"
            if queue.ready and not queue.may_overtake:
                head = queue.head
                assert head.expires_ns is None or head.expires_ns > now_ns, f"{head} has expired"
