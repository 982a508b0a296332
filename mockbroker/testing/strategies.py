"""What Hypothesis draws for tests of queue programs.

Owns: the strategies, with the hard cases among the easy ones, and the values they make. Refuses to know:
what is right; that is the property's business.

Everything drawn is a value with a ``repr`` that can be pasted, and shrinks to something small: short names,
few messages, well-behaved consumers, no faults.

Read next: ``machine.py``, ``assertions.py``, ``fairness.py``, ``faults.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import strategies as st

from mockbroker.exceptions import AMQPError
from mockbroker.message import BasicProperties
from mockbroker.testing import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from mockbroker.broker import Broker
    from mockbroker.channel import Channel
    from mockbroker.connection import Connection
    from mockbroker.trace import Trace

LONGEST_BYTES = 255
"""How long a short string may be: names, keys, most properties. Source: AMQP 0-9-1, section 4.2.5.3."""

_EASY_WORDS = ("a", "b", "orders", "eu", "error", "1")
_HARD_WORDS = ("", " ", "*", "#", "a b", "A", "ä", "日本", "a/b", "\x00", "**", "a#", "x" * 60)


def _fits(text: str) -> bool:
    return len(text.encode()) <= LONGEST_BYTES


def names() -> SearchStrategy[str]:
    """Names that a program may give to queues and exchanges: never empty, at most 255 bytes, not ``amq.``."""
    easy = st.sampled_from(["a", "b", "tasks", "logs.eu", "x-y_z:1"])
    any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
    hard = st.sampled_from(["*", "#", " ", "ä", "日本", "n" * LONGEST_BYTES, "ä" * (LONGEST_BYTES // 2)])
    return (easy | any_text | hard).filter(lambda name: _fits(name) and not name.startswith("amq."))


def _keys(words: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.lists(words, max_size=5).map(".".join).filter(_fits)


def routing_keys() -> SearchStrategy[str]:
    """Routing keys: words between dots, also empty ones, none at all, and such as look like patterns."""
    words = st.sampled_from(_EASY_WORDS) | st.sampled_from(_HARD_WORDS)
    longest = st.just(".".join(["a"] * (LONGEST_BYTES // 2 + 1)))
    return _keys(words) | longest


def binding_keys() -> SearchStrategy[str]:
    """Binding keys of topic exchanges: words, ``*`` and ``#``, also several ``#`` in a row."""
    words = st.sampled_from(_EASY_WORDS) | st.sampled_from(["*", "#"]) | st.sampled_from(["", "**", "a#"])
    return _keys(words) | st.sampled_from(["#", "#.#", "*.#", "#.*", "#.a.#", "*"])


def table_values() -> SearchStrategy[Any]:
    """Values of an AMQP table: every common type, nested."""
    plain = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.binary(max_size=20)
    )
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | _tables(inner), max_leaves=6)


def _tables(values: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["a", "b", "x-match", "retries", "trace-id", "ä"]) | st.text(
        st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10
    )
    return st.dictionaries(keys, values, max_size=4)


def headers() -> SearchStrategy[dict[str, Any]]:
    """Headers of a message; none that the broker gives a meaning to (``CC``, ``BCC``, ``x-...``)."""
    return _tables(table_values()).map(
        lambda table: {
            key: value
            for key, value in table.items()
            if key not in ("CC", "BCC") and not key.lower().startswith("x-")
        }
    )


def _short_texts() -> SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def properties() -> SearchStrategy[BasicProperties]:
    """Basic properties that every broker accepts from every user; most are not set most of the time."""

    def maybe(values: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.none() | values

    return st.builds(
        BasicProperties,
        content_type=maybe(st.sampled_from(["text/plain", "application/json"])),
        content_encoding=maybe(st.sampled_from(["utf-8", "gzip"])),
        headers=maybe(headers()),
        delivery_mode=maybe(st.sampled_from([1, 2])),
        priority=maybe(st.integers(0, 255)),
        correlation_id=maybe(_short_texts()),
        reply_to=maybe(st.sampled_from(["replies", "nobody"])),
        expiration=maybe(st.sampled_from(["0", "1", "1000", "86400000"])),
        message_id=maybe(_short_texts()),
        timestamp=maybe(st.integers(0, 2**33)),
        type=maybe(_short_texts()),
        app_id=maybe(_short_texts()),
    )


def bodies() -> SearchStrategy[bytes]:
    """Bodies: empty, short, and around the size of the smallest frame (4,096 bytes, 8 not content)."""
    large = st.sampled_from([4087, 4088, 4089]).map(lambda size: b"." * size)
    return st.binary(max_size=30) | large


@dataclass(frozen=True)
class Message:
    """What a publish says."""

    routing_key: str
    body: bytes
    properties: BasicProperties | None = None
    mandatory: bool = False

    def publish(self, channel: Channel, exchange: str = "") -> None:
        """Publish it on a channel."""
        channel.basic_publish(exchange, self.routing_key, self.body, self.properties, self.mandatory)


def messages(keys: SearchStrategy[str] | None = None) -> SearchStrategy[Message]:
    """Messages; `keys` are their routing keys, any at all unless given."""
    return st.builds(
        Message,
        routing_key=routing_keys() if keys is None else keys,
        body=bodies(),
        properties=st.none() | properties(),
        mandatory=st.booleans(),
    )


# -- topologies


@dataclass(frozen=True)
class Topology:
    """Exchanges (name -> type), queues (name -> arguments of the declaration) and bindings between them.

    A binding is (source, destination, routing key, arguments, whether the destination is an exchange).
    """

    exchanges: dict[str, str] = field(default_factory=dict)
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    bindings: tuple[tuple[str, str, str, dict[str, Any], bool], ...] = ()

    def declare(self, channel: Channel) -> None:
        """Declare everything on a channel."""
        for name, kind in self.exchanges.items():
            channel.exchange_declare(name, kind, durable=True)
        for name, declaration in self.queues.items():
            channel.queue_declare(name, **declaration)
        for source, destination, key, arguments, to_exchange in self.bindings:
            if to_exchange:
                channel.exchange_bind(destination, source, key, arguments)
            else:
                channel.queue_bind(destination, source, key, arguments)


_QUEUE_ARGUMENTS: dict[str, SearchStrategy[Any]] = {
    "x-message-ttl": st.sampled_from([0, 1, 1000]),
    "x-max-length": st.sampled_from([0, 1, 3]),
    "x-overflow": st.sampled_from(["drop-head", "reject-publish"]),
    "x-max-priority": st.sampled_from([1, 5]),
    "x-single-active-consumer": st.just(True),
    "x-dead-letter-exchange": st.just(""),
    "x-dead-letter-routing-key": st.sampled_from(["q1", "q2", "nowhere"]),
}


@st.composite
def _declarations(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["plain", "durable", "quorum"]))
    allowed = dict(_QUEUE_ARGUMENTS)
    if kind == "quorum":
        del allowed["x-max-priority"]
    arguments = draw(st.fixed_dictionaries({}, optional=allowed))
    if "x-dead-letter-routing-key" in arguments:
        arguments.setdefault("x-dead-letter-exchange", "")
    if kind == "quorum":
        arguments["x-queue-type"] = "quorum"
    return {"durable": kind != "plain", "arguments": arguments}


@st.composite
def topologies(draw: st.DrawFn, max_queues: int = 4, max_exchanges: int = 3) -> Topology:
    """Whole topologies that can be declared on a fresh broker: queues q1.., exchanges e1.., and bindings."""
    queues = {f"q{n + 1}": draw(_declarations()) for n in range(draw(st.integers(1, max_queues)))}
    kinds = st.sampled_from(["direct", "fanout", "topic", "headers"])
    exchanges = {f"e{n + 1}": draw(kinds) for n in range(draw(st.integers(0, max_exchanges)))}
    bindings = []
    if exchanges:
        for _ in range(draw(st.integers(0, 6))):
            source = draw(st.sampled_from(list(exchanges)))
            destination = draw(st.sampled_from([*queues, *exchanges]))
            key = draw(binding_keys() if exchanges[source] == "topic" else routing_keys())
            matches = st.fixed_dictionaries(
                {"x-match": st.sampled_from(["all", "any"]), "a": st.integers(0, 2)}
            )
            arguments = draw(matches) if exchanges[source] == "headers" else {}
            bindings.append((source, destination, key, arguments, destination in exchanges))
    return Topology(exchanges, queues, tuple(bindings))


# -- consumers


Answer = Literal["ack", "requeue", "reject", "nothing", "die"]


@dataclass(frozen=True)
class Worker:
    """How a consumer behaves: its window, how long a message takes, and what it answers, message by message.

    After the last of `answers` it acknowledges. ``nothing`` forgets the message, ``die`` lets its link die.
    `seconds` are virtual. A redelivered message is never requeued again, so that a run ends.
    """

    prefetch: int = 1
    auto_ack: bool = False
    seconds: float = 0
    answers: tuple[Answer, ...] = ()

    def start(self, connection: Connection, queue: str) -> list[bytes]:
        """Start it on a connection of its own; return the list to which it adds what it has processed."""
        processed: list[bytes] = []
        answers = iter(self.answers)

        def finish(channel: Channel, method: Any, body: bytes) -> None:
            answer = next(answers, "ack")
            if answer == "die":
                connection.drop()
            elif self.auto_ack or answer == "ack" or (answer == "requeue" and method.redelivered):
                processed.append(body)
                if not self.auto_ack:
                    channel.basic_ack(method.delivery_tag)
            elif answer in ("requeue", "reject"):
                channel.basic_reject(method.delivery_tag, requeue=answer == "requeue")

        def work(channel: Channel, method: Any, properties: Any, body: bytes) -> None:
            if self.seconds:
                connection.call_later(self.seconds, finish_if_open, channel, method, body)
            else:
                finish(channel, method, body)

        def finish_if_open(channel: Channel, method: Any, body: bytes) -> None:
            if channel.is_open:
                finish(channel, method, body)

        channel = connection.channel()
        channel.basic_qos(prefetch_count=self.prefetch)
        channel.basic_consume(queue, work, auto_ack=self.auto_ack)
        return processed


def workers(*, is_reliable: bool = False) -> SearchStrategy[Worker]:
    """Consumers of all kinds; with `is_reliable` only such as lose nothing: they ack, requeue, die."""
    answers: list[Answer] = ["ack", "requeue", "die"]
    if not is_reliable:
        answers += ["reject", "nothing"]
    return st.builds(
        Worker,
        prefetch=st.sampled_from([1, 2, 5, 0]),
        auto_ack=st.just(False) if is_reliable else st.booleans(),
        seconds=st.sampled_from([0, 1, 2.5]),
        answers=st.lists(st.sampled_from(answers), max_size=4).map(tuple),
    )


# -- faults, and everything together


def fault_plans(*kinds: str) -> SearchStrategy[faults.Plan]:
    """Faults at points that a small program reaches; of these kinds, or of all."""
    nth = st.integers(1, 6)
    plans: dict[str, SearchStrategy[faults.Plan]] = {
        "redeliver": st.builds(faults.Plan, st.just("redeliver"), nth=nth),
        "drop": st.builds(faults.Plan, st.just("drop"), st.sampled_from(faults.LINK_POINTS), nth),
        "restart": st.builds(faults.Plan, st.just("restart"), st.sampled_from(sorted(faults.POINTS)), nth),
        "crash": st.builds(faults.Plan, st.just("crash"), st.sampled_from(sorted(faults.POINTS)), nth),
        "nack": st.builds(faults.Plan, st.just("nack"), nth=st.integers(1, 3)),
    }
    unknown = [kind for kind in kinds if kind not in plans]
    if unknown:
        raise ValueError(f"there is no kind of fault {unknown[0]!r}: choose from {', '.join(plans)}")
    return st.one_of([plans[kind] for kind in kinds or plans])


@dataclass(frozen=True)
class Workload:
    """Tasks for several workers on one durable queue: ``tasks``."""

    tasks: tuple[bytes, ...]
    workers: tuple[Worker, ...]
    faults: tuple[faults.Plan, ...] = ()

    def play(
        self, broker: Broker, start: Callable[[Connection, str], object] | None = None, queue: str = "tasks"
    ) -> Trace:
        """Publish the tasks with confirms, let the workers work until nothing is left; return the trace.

        `start(connection, queue)` starts a worker of the test's own in the place of each drawn one. The
        publisher publishes again what was refused, or lost with its link, as a careful one does.
        """
        trace = broker.tracing()
        broker.connect().channel().queue_declare(queue, durable=True)
        for worker in self.workers:
            (start or worker.start)(broker.connect(), queue)
        planted = [plan.plant(broker) for plan in self.faults]
        for task in self.tasks:
            _publish_until_confirmed(broker, queue, task)
        _run_through(broker)
        for fault in planted:
            fault.cancel()
        trace.stop()
        return trace


_MOST_TRIES = 20
"""More than any plan of faults can spoil."""


def _publish_until_confirmed(broker: Broker, queue: str, body: bytes) -> None:
    for _ in range(_MOST_TRIES):
        try:
            channel = broker.connect().channel()
            channel.confirm_delivery()
            channel.basic_publish("", queue, body, BasicProperties(delivery_mode=2))
        except (AMQPError, ConnectionRefusedError):
            continue
        return
    raise AssertionError(f"{body!r} could not be published in {_MOST_TRIES} tries")


def _run_through(broker: Broker) -> None:
    """Serve everybody; a worker's error after its link died is that worker's end."""
    for _ in range(_MOST_TRIES):
        try:
            broker.run_until_idle()
        except AMQPError:
            continue
        return


def workloads(
    *, max_tasks: int = 8, max_workers: int = 3, is_reliable: bool = True, with_faults: bool = False
) -> SearchStrategy[Workload]:
    """Workloads: what a property of a work queue is about. See `Workload.play`."""
    numbered = st.integers(1, max_tasks).map(lambda count: tuple(b"task %d" % n for n in range(1, count + 1)))
    return st.builds(
        Workload,
        tasks=numbered,
        workers=st.lists(workers(is_reliable=is_reliable), min_size=1, max_size=max_workers).map(tuple),
        faults=st.lists(fault_plans(), max_size=2).map(tuple) if with_faults else st.just(()),
    )
