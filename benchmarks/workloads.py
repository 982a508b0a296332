"""What a user would do, over pika's names; each function serves every peer.

A workload gets a peer and a size, takes the CPU seconds of what it is about, and checks what came out. Where
checks or figures need more than a line they have a function: the limits pass and report the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, Protocol

from benchmarks import topics
from benchmarks.measure import Result, cpu_seconds, settled_memory_bytes

BODY = b"x" * 64
WORKERS = 10
PREFETCH = 100
ACK_EVERY = 50
FANOUT_QUEUES = 1_000
MAX_TTL_MS = 60_000
SHALLOW = 1_000  # the depth that W7 calls shallow

OnMessage = Callable[[Any, Any, Any, bytes], None]


class Peer(Protocol):
    """What is measured. Connections and channels have pika's names."""

    def connect(self) -> Any: ...

    def workplace(self, connection: Any) -> Any:
        """A connection for one more consumer of a queue: this one will do, unless the peer says otherwise."""

    def serve(self, connections: Sequence[Any], is_done: Callable[[], bool]) -> None:
        """Delivers to the callbacks of these connections until done, or until nothing is left."""

    def queued(self, channel: Any, queues: Sequence[str]) -> int:
        """How many messages are ready in these queues."""

    def expiring(self, ttl_ms: int) -> Any:
        """Properties of a message that lives so long."""

    def let_time_pass(self, seconds: float) -> None: ...


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def hello(peer: Peer, size: int) -> Result:
    """W1: publish all, then consume all with auto-ack."""
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("hello")
    publish = channel.basic_publish
    received = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal received
        received += 1

    began = cpu_seconds()
    for _ in range(size):
        publish("", "hello", BODY)
    channel.basic_consume("hello", on_message, auto_ack=True)
    peer.serve([connection], lambda: received >= size)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, size, {"all": received == size})


def round_robin_checks(turns: Sequence[int], size: int) -> dict[str, bool]:
    """`turns` says which worker got each message."""
    counts = [turns.count(worker) for worker in range(WORKERS)]
    head = turns[:5_000]
    return {
        "all": len(turns) == size,
        "even": max(counts) - min(counts) <= max(2, size // 50),
        "round_robin": all(head[i] == head[i - WORKERS] for i in range(WORKERS, len(head))),
    }


def work_queue(peer: Peer, size: int) -> Result:
    """W2: ten workers with a prefetch of one; each acks in its callback."""
    connection = peer.connect()
    publisher = connection.channel()
    publisher.queue_declare("work")
    turns: list[int] = []

    def worker(number: int) -> OnMessage:
        def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            turns.append(number)
            channel.basic_ack(method.delivery_tag)

        return on_message

    workplaces = [peer.workplace(connection) for _ in range(WORKERS)]
    for number, workplace in enumerate(workplaces):
        channel = workplace.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("work", worker(number))
    publish = publisher.basic_publish
    began = cpu_seconds()
    for _ in range(size):
        publish("", "work", BODY)
    peer.serve(workplaces, lambda: len(turns) >= size)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, size, round_robin_checks(turns, size))


def window(peer: Peer, size: int) -> Result:
    """W3: a prefetch of a hundred, and one ack for every fifty messages."""
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("window")
    publish = channel.basic_publish
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
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.basic_consume("window", on_message)
    peer.serve([connection], lambda: received >= size)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, size, {"all": received == size, "window": most_unacked <= PREFETCH})


def redelivery_checks(
    size: int, first: list[bytes], second: list[bytes], redelivered: int
) -> dict[str, bool]:
    wanted = numbered(size)
    return {
        "all": sorted(second) == sorted(wanted),
        "order": first == wanted == second,
        "redelivered": redelivered == size,
    }


def redelivery(peer: Peer, size: int) -> Result:
    """W4: again and again a worker goes with a hundred unacked messages, and another one does them."""
    connection = peer.connect()
    steady = connection.channel()
    steady.queue_declare("again")
    steady.basic_qos(prefetch_count=PREFETCH)
    for body in numbered(size):
        steady.basic_publish("", "again", body)
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

    began = cpu_seconds()
    for done in range(PREFETCH, size + 1, PREFETCH):
        doomed = peer.connect()
        channel = doomed.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume("again", on_first)
        peer.serve([doomed], lambda done=done: len(first) >= done)
        doomed.close()
        consumer_tag = steady.basic_consume("again", on_second)
        peer.serve([connection], lambda done=done: len(second) >= done)
        steady.basic_cancel(consumer_tag)
        steady.basic_ack(last_tag, multiple=True)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, 2 * size, redelivery_checks(size, first, second, redelivered))


def topic(peer: Peer, size: int, *, binding_count: int, distinct_keys: int | None) -> Result:
    """W5: topic routing, by few keys that come again (hot) or by keys that are all new (None: cold)."""
    table = topics.bindings(binding_count)
    keys = topics.routing_keys(table, size, distinct_keys or size)
    connection = peer.connect()
    channel = connection.channel()
    channel.exchange_declare("topics", "topic")
    for queue in topics.QUEUES:
        channel.queue_declare(queue)
    for pattern, queue in table:
        channel.queue_bind(queue, "topics", pattern)
    publish = channel.basic_publish
    began = cpu_seconds()
    for key in keys:
        publish("topics", key, BODY)
    found = peer.queued(channel, topics.QUEUES)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, size, {"routed": found == topics.expected_deliveries(table, keys)})


def fanout(peer: Peer, size: int) -> Result:
    """W6: every message to a thousand queues; an operation is a copy in a queue."""
    connection = peer.connect()
    channel = connection.channel()
    channel.exchange_declare("all", "fanout")
    names = [f"f{number}" for number in range(FANOUT_QUEUES)]
    for name in names:
        channel.queue_declare(name)
        channel.queue_bind(name, "all", "")
    publish = channel.basic_publish
    copies = size * FANOUT_QUEUES
    began = cpu_seconds()
    for _ in range(size):
        publish("all", "", BODY)
    found = peer.queued(channel, names)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, copies, {"all": found == copies})


def depth_portions(size: int) -> list[int]:
    """W7's filling: up to the shallow depth, a portion there, the bulk, and a portion at full depth."""
    part = min(20_000, size // 10)
    return [SHALLOW, part, size - SHALLOW - 2 * part, part]


@dataclass
class DepthTimes:
    """W7's clock readings at the ends of the portions; draining takes them from the last to the first."""

    filled: list[float] = field(default_factory=list)
    drain_began: float = 0.0
    drained: list[float] = field(default_factory=list)  # the first reading is that of the first message

    def result(self, size: int, memory_bytes: int, received: int) -> Result:
        filled, drained = self.filled, self.drained
        part = depth_portions(size)[1]
        put_shallow, put_deep = filled[2] - filled[1], filled[4] - filled[3]
        get_deep, get_shallow = drained[1] - drained[0], drained[3] - drained[2]
        figures = {
            "bytes per message": memory_bytes / size,
            "put ns deep": put_deep / part * 1e9,
            "get ns deep": get_deep / part * 1e9,
            "put deep/1k": put_deep / put_shallow,
            "get deep/1k": get_deep / get_shallow,
        }
        seconds = filled[-1] - filled[0] + drained[-1] - self.drain_began
        return Result(seconds, size, {"all": received == size}, figures)


def depth(peer: Peer, size: int) -> Result:
    """W7: fill a queue and drain it; a message at full depth should cost what it costs near the bottom."""
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("deep")
    publish = channel.basic_publish
    times = DepthTimes()
    portions = depth_portions(size)
    memory_before = settled_memory_bytes()
    times.filled.append(cpu_seconds())
    for count in portions:
        for number in range(count):
            publish("", "deep", b"%060d" % number)  # each message has a body of its own
        times.filled.append(cpu_seconds())
    memory_bytes = settled_memory_bytes() - memory_before
    edges = {1, *accumulate(reversed(portions))}
    received = 0

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal received
        received += 1
        if received in edges:
            times.drained.append(cpu_seconds())

    times.drain_began = cpu_seconds()
    channel.basic_consume("deep", on_message, auto_ack=True)
    peer.serve([connection], lambda: received >= size)
    connection.close()
    return times.result(size, memory_bytes, received)


def queues_result(seconds: float, size: int, memory_bytes: int, declared: int) -> Result:
    return Result(seconds, size, {"all": declared == size}, {"bytes per queue": memory_bytes / size})


def queues(peer: Peer, size: int) -> Result:
    """W8: declare a queue and bind it, many times."""
    connection = peer.connect()
    channel = connection.channel()
    channel.exchange_declare("many", "direct")
    names = [f"m{number}" for number in range(size)]
    memory_before = settled_memory_bytes()
    began = cpu_seconds()
    for name in names:
        channel.queue_declare(name)
        channel.queue_bind(name, "many", name)
    seconds = cpu_seconds() - began
    memory_bytes = settled_memory_bytes() - memory_before
    channel.basic_publish("many", names[0], BODY)
    channel.basic_publish("many", names[-1], BODY)
    declared = size if peer.queued(channel, names) == 2 else 0
    connection.close()
    return queues_result(seconds, size, memory_bytes, declared)


def random_ttls_ms(size: int) -> list[int]:
    random = Random(3)
    return [random.randrange(1, MAX_TTL_MS) for _ in range(size)]


def expiry(peer: Peer, size: int) -> Result:
    """W9: every message has its own TTL, and all of them expire."""
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("expiry")
    all_properties = [peer.expiring(ttl_ms) for ttl_ms in random_ttls_ms(size)]
    publish = channel.basic_publish
    began = cpu_seconds()
    for properties in all_properties:
        publish("", "expiry", BODY, properties)
    peer.let_time_pass(MAX_TTL_MS / 1_000)
    seconds = cpu_seconds() - began
    left = peer.queued(channel, ["expiry"])
    connection.close()
    return Result(seconds, size, {"expired": left == 0})


def requeue_storm(peer: Peer, size: int) -> Result:
    """W10: one consumer holds all, returns all in random order, and they come in the old order again."""
    connection = peer.connect()
    channel = connection.channel()
    channel.queue_declare("storm")
    for body in numbered(size):
        channel.basic_publish("", "storm", body)
    first: list[bytes] = []
    tags: list[int] = []

    def hold(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        first.append(body)
        tags.append(method.delivery_tag)

    consumer_tag = channel.basic_consume("storm", hold)
    peer.serve([connection], lambda: len(tags) >= size)
    channel.basic_cancel(consumer_tag)
    Random(5).shuffle(tags)
    second: list[bytes] = []
    redelivered = 0

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal redelivered
        second.append(body)
        redelivered += method.redelivered

    began = cpu_seconds()
    for tag in tags:
        channel.basic_nack(tag, requeue=True)
    channel.basic_consume("storm", take, auto_ack=True)
    peer.serve([connection], lambda: len(second) >= size)
    seconds = cpu_seconds() - began
    connection.close()
    return Result(seconds, size, redelivery_checks(size, first, second, redelivered))
