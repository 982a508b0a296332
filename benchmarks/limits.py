"""The limits: the least that CPython can do for the result that a workload asks for.

The calls that a user makes (a publish, the callback, an ack) stay calls. All the rest is straight-line
code over locals, without a single check, so no broker is as fast. A queued message is an exact tuple: the
garbage collector stops looking at it. A slotted record is made at delivery, is `method` to the callback and
goes into the unacked table. A message's place in its queue is counted when it is taken: nothing before.

One function for each workload, named as in `workloads` and passing the same checks. For W9 it is a heap with
an entry for every message: what a broker needs that expires each message at its own time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from random import Random
from typing import Any

from benchmarks import topics, workloads
from benchmarks.measure import Result, cpu_seconds, settled_memory_bytes
from benchmarks.workloads import ACK_EVERY, BODY, PREFETCH, WORKERS

Message = tuple[str, str, bytes, Any]
Publish = Callable[[str, str, bytes], None]


class Delivery:
    """What the callback gets as `method`, and what the unacked table keeps."""

    __slots__ = (
        "consumer_tag",
        "delivery_tag",
        "exchange",
        "message",
        "position",
        "redelivered",
        "routing_key",
    )

    def __init__(
        self,
        message: Message,
        exchange: str,
        routing_key: str,
        delivery_tag: int,
        redelivered: bool,
        consumer_tag: str,
        position: int,
    ) -> None:
        self.message = message
        self.exchange = exchange
        self.routing_key = routing_key
        self.delivery_tag = delivery_tag
        self.redelivered = redelivered
        self.consumer_tag = consumer_tag
        self.position = position


class Channel:
    """What is left of a channel with one consumer: its unacked table and its credit."""

    __slots__ = ("credit", "lowest_tag", "next_tag", "on_message", "ring", "unacked")

    def __init__(self, ring: deque[Channel], credit: int, on_message: workloads.OnMessage) -> None:
        self.unacked: dict[int, Delivery] = {}
        self.next_tag = 1
        self.lowest_tag = 1
        self.credit = credit
        self.ring = ring
        self.on_message = on_message
        ring.append(self)

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        if not self.credit:
            self.ring.append(self)
        if multiple:
            unacked, lowest = self.unacked, self.lowest_tag
            for tag in range(lowest, delivery_tag + 1):
                del unacked[tag]
            self.credit += delivery_tag + 1 - lowest
            self.lowest_tag = delivery_tag + 1
        else:
            del self.unacked[delivery_tag]
            self.credit += 1


def new_queue(name: str, bodies: Iterable[bytes] = ()) -> tuple[deque[Message], Publish]:
    """A queue that holds these bodies, and a publish by the default exchange that reaches it."""
    queue: deque[Message] = deque()
    queues = {name: queue.append}

    def basic_publish(exchange: str, routing_key: str, body: bytes, properties: Any = None) -> None:
        queues[routing_key]((exchange, routing_key, body, properties))

    for body in bodies:
        basic_publish("", name, body)
    return queue, basic_publish


def hello(size: int) -> Result:
    queue, publish = new_queue("hello")
    received = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal received
        received += 1

    began = cpu_seconds()
    for _ in range(size):
        publish("", "hello", BODY)
    take = queue.popleft
    tag = 0
    while queue:
        message = take()
        exchange, routing_key, body, properties = message
        tag += 1
        on_message(None, Delivery(message, exchange, routing_key, tag, False, "c", tag), properties, body)
    return Result(cpu_seconds() - began, size, {"all": received == size})


def work_queue(size: int) -> Result:
    queue, publish = new_queue("work")
    ring: deque[Channel] = deque()
    turns: list[int] = []

    def worker(number: int) -> workloads.OnMessage:
        def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            turns.append(number)
            channel.basic_ack(method.delivery_tag)

        return on_message

    for number in range(WORKERS):
        Channel(ring, 1, worker(number))
    began = cpu_seconds()
    for _ in range(size):
        publish("", "work", BODY)
    take, next_in_turn, to_the_tail = queue.popleft, ring.popleft, ring.append
    position = 0
    while queue and ring:
        channel = next_in_turn()
        message = take()
        exchange, routing_key, body, properties = message
        tag = channel.next_tag
        channel.next_tag = tag + 1
        position += 1
        delivery = Delivery(message, exchange, routing_key, tag, False, "c", position)
        channel.unacked[tag] = delivery
        channel.credit -= 1
        if channel.credit:
            to_the_tail(channel)
        channel.on_message(channel, delivery, properties, body)
    return Result(cpu_seconds() - began, size, workloads.round_robin_checks(turns, size))


def window(size: int) -> Result:
    queue, publish = new_queue("window")
    received = acked = most_unacked = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal received, acked, most_unacked
        received += 1
        if received - acked > most_unacked:
            most_unacked = received - acked
        if not received % ACK_EVERY:
            channel.basic_ack(method.delivery_tag, multiple=True)
            acked = received

    began = cpu_seconds()
    for _ in range(size):
        publish("", "window", BODY)
    ring: deque[Channel] = deque()
    Channel(ring, PREFETCH, on_message)
    take = queue.popleft
    position = 0
    while queue and ring:
        channel = ring.popleft()
        unacked = channel.unacked
        while queue and channel.credit:
            message = take()
            exchange, routing_key, body, properties = message
            tag = channel.next_tag
            channel.next_tag = tag + 1
            position += 1
            delivery = unacked[tag] = Delivery(message, exchange, routing_key, tag, False, "c", position)
            channel.credit -= 1
            on_message(channel, delivery, properties, body)
    seconds = cpu_seconds() - began
    return Result(seconds, size, {"all": received == size, "window": most_unacked <= PREFETCH})


def redelivery(size: int) -> Result:
    queue, _ = new_queue("again", workloads.numbered(size))
    first: list[bytes] = []
    second: list[bytes] = []
    redelivered = last_tag = 0

    def on_first(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        first.append(body)

    def on_second(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal redelivered, last_tag
        second.append(body)
        redelivered += method.redelivered
        last_tag = method.delivery_tag

    take = queue.popleft
    returned: deque[Delivery] = deque()  # all of them are older than what is still in the queue
    take_returned = returned.popleft
    steady = Channel(deque(), PREFETCH, on_second)
    position = 0
    began = cpu_seconds()
    for _ in range(0, size, PREFETCH):
        doomed = Channel(deque(), PREFETCH, on_first)
        unacked = doomed.unacked
        while queue and doomed.credit:
            message = take()
            exchange, routing_key, body, properties = message
            tag = doomed.next_tag
            doomed.next_tag = tag + 1
            position += 1
            delivery = unacked[tag] = Delivery(message, exchange, routing_key, tag, False, "c", position)
            doomed.credit -= 1
            on_first(doomed, delivery, properties, body)
        returned.extend(unacked.values())
        unacked = steady.unacked
        while returned and steady.credit:
            old = take_returned()
            message = old.message
            exchange, routing_key, body, properties = message
            tag = steady.next_tag
            steady.next_tag = tag + 1
            delivery = unacked[tag] = Delivery(message, exchange, routing_key, tag, True, "c", old.position)
            steady.credit -= 1
            on_second(steady, delivery, properties, body)
        steady.basic_ack(last_tag, multiple=True)
    seconds = cpu_seconds() - began
    return Result(seconds, 2 * size, workloads.redelivery_checks(size, first, second, redelivered))


def topic(size: int, *, binding_count: int, distinct_keys: int | None) -> Result:
    table = topics.bindings(binding_count)
    keys = topics.routing_keys(table, size, distinct_keys or size)
    queues: dict[str, deque[Message]] = {name: deque() for name in topics.QUEUES}
    trie = topics.Trie()
    for pattern, queue in table:
        trie.add(pattern, queue)
    match = trie.match
    routes: dict[str, tuple[Callable[[Message], None], ...]] = {}

    def basic_publish(exchange: str, routing_key: str, body: bytes, properties: Any = None) -> None:
        route = routes.get(routing_key)
        if route is None:
            route = routes[routing_key] = tuple([queues[name].append for name in match(routing_key)])
        message = (exchange, routing_key, body, properties)
        for put in route:
            put(message)

    began = cpu_seconds()
    for key in keys:
        basic_publish("topics", key, BODY)
    seconds = cpu_seconds() - began
    found = sum(map(len, queues.values()))
    return Result(seconds, size, {"routed": found == topics.expected_deliveries(table, keys)})


def fanout(size: int) -> Result:
    queues: list[deque[Message]] = [deque() for _ in range(workloads.FANOUT_QUEUES)]
    route = tuple([queue.append for queue in queues])

    def basic_publish(exchange: str, routing_key: str, body: bytes, properties: Any = None) -> None:
        message = (exchange, routing_key, body, properties)
        for put in route:
            put(message)

    copies = size * len(queues)
    began = cpu_seconds()
    for _ in range(size):
        basic_publish("all", "", BODY)
    seconds = cpu_seconds() - began
    return Result(seconds, copies, {"all": sum(map(len, queues)) == copies})


def depth(size: int) -> Result:
    queue, publish = new_queue("deep")
    received = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal received
        received += 1

    times = workloads.DepthTimes()
    portions = workloads.depth_portions(size)
    memory_before = settled_memory_bytes()
    times.filled.append(cpu_seconds())
    for count in portions:
        for number in range(count):
            publish("", "deep", b"%060d" % number)
        times.filled.append(cpu_seconds())
    memory_bytes = settled_memory_bytes() - memory_before
    take = queue.popleft
    tag = 0
    times.drain_began = cpu_seconds()
    times.drained.append(times.drain_began)
    for count in reversed(portions):
        for _ in range(count):
            message = take()
            exchange, routing_key, body, properties = message
            tag += 1
            on_message(None, Delivery(message, exchange, routing_key, tag, False, "c", tag), properties, body)
        times.drained.append(cpu_seconds())
    return times.result(size, memory_bytes, received)


class Queue:
    """A queue that holds nothing yet: it gets its deque with its first message."""

    __slots__ = (
        "arguments",
        "auto_delete",
        "bindings",
        "consumers",
        "durable",
        "exclusive",
        "name",
        "put",
        "ready",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = None
        self.consumers = ()
        self.bindings: tuple[tuple[str, str], ...] = ()


def queues(size: int) -> Result:
    declared: dict[str, Queue] = {}
    routes: dict[str, tuple[Queue, ...]] = {}

    def queue_declare(name: str) -> None:
        if name not in declared:
            declared[name] = Queue(name)

    def queue_bind(name: str, exchange: str, routing_key: str) -> None:
        queue = declared[name]
        routes[routing_key] = (*routes.get(routing_key, ()), queue)
        queue.bindings += ((exchange, routing_key),)

    names = [f"m{number}" for number in range(size)]
    memory_before = settled_memory_bytes()
    began = cpu_seconds()
    for name in names:
        queue_declare(name)
        queue_bind(name, "many", name)
    seconds = cpu_seconds() - began
    memory_bytes = settled_memory_bytes() - memory_before
    return workloads.queues_result(seconds, size, memory_bytes, len(declared))


def expiry(size: int) -> Result:
    ttls_ms = workloads.random_ttls_ms(size)
    expired = 0

    def on_expired(message: Message) -> None:
        nonlocal expired
        expired += 1

    heap: list[tuple[int, int, Message]] = []
    began = cpu_seconds()
    for position, ttl_ms in enumerate(ttls_ms):
        heappush(heap, (ttl_ms, position, ("", "expiry", BODY, None)))
    step_ms = workloads.MAX_TTL_MS // 100
    for now_ms in range(step_ms, workloads.MAX_TTL_MS + 1, step_ms):
        while heap and heap[0][0] <= now_ms:
            on_expired(heappop(heap)[2])
    return Result(cpu_seconds() - began, size, {"expired": expired == size})


def requeue_storm(size: int) -> Result:
    queue, _ = new_queue("storm", workloads.numbered(size))
    unacked: dict[int, Delivery] = {}
    first: list[bytes] = []
    for tag, message in enumerate(queue, 1):
        unacked[tag] = Delivery(message, message[0], message[1], tag, False, "c", tag)
        first.append(message[2])
    tags = list(unacked)
    Random(5).shuffle(tags)
    returned: list[tuple[int, Message]] = []
    forget, put_aside = unacked.pop, returned.append
    second: list[bytes] = []
    redelivered = 0

    def basic_nack(delivery_tag: int, multiple: bool = False, requeue: bool = True) -> None:
        delivery = forget(delivery_tag)
        put_aside((delivery.position, delivery.message))

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal redelivered
        second.append(body)
        redelivered += method.redelivered

    began = cpu_seconds()
    for tag in tags:
        basic_nack(tag, requeue=True)
    returned.sort(reverse=True)  # the oldest last, where taking it is cheap
    take = returned.pop
    tag = size
    while returned:
        position, message = take()
        exchange, routing_key, body, properties = message
        tag += 1
        on_message(None, Delivery(message, exchange, routing_key, tag, True, "c", position), properties, body)
    seconds = cpu_seconds() - began
    return Result(seconds, size, workloads.redelivery_checks(size, first, second, redelivered))
