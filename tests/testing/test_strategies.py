"""What Hypothesis draws is accepted by a broker, and finds mistakes with few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mockbroker import BasicProperties, Broker, fairness, faults, strategies
from mockbroker.core.dispatch import Ring
from mockbroker.events import Delivered
from mockbroker.testing.assertions import assert_no_loss, assert_within_prefetch
from mockbroker.testing.strategies import Message, Topology, Worker, Workload

few = settings(max_examples=25)


@given(strategies.names())
@few
def test_names_are_accepted(name: str) -> None:
    with Broker() as broker:
        channel = broker.connect().channel()
        assert channel.queue_declare(name).method.queue == name
        channel.exchange_declare(name)


@given(strategies.routing_keys(), strategies.binding_keys())
@few
def test_keys_are_accepted(routing_key: str, binding_key: str) -> None:
    with Broker() as broker:
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.queue_bind("q", "amq.topic", binding_key)
        channel.basic_publish("amq.topic", routing_key, b"")


@pytest.mark.parametrize(
    ("strategy", "condition"),
    [
        (strategies.names(), lambda name: len(name.encode()) > 250),
        (strategies.routing_keys(), lambda key: ".." in key),
        (strategies.routing_keys(), lambda key: key == ""),
        (strategies.routing_keys(), lambda key: len(key) == 255),
        (strategies.binding_keys(), lambda key: "#.#" in key),
        (strategies.headers(), lambda table: any(isinstance(value, dict) for value in table.values())),
        (strategies.properties(), lambda properties: properties.expiration == "0"),
        (strategies.bodies(), lambda body: len(body) > 4088),
        (strategies.topologies(), lambda topology: any(binding[4] for binding in topology.bindings)),
        (strategies.workers(), lambda worker: "die" in worker.answers),
        (strategies.workloads(with_faults=True), lambda workload: len(workload.faults) == 2),
    ],
)
def test_the_hard_cases_are_among_them(
    strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool]
) -> None:
    generate = settings(max_examples=2000, derandomize=True, phases=[Phase.generate])
    assert condition(find(strategy, condition, settings=generate))


@given(strategies.messages(st.just("q")))
@few
def test_messages_arrive_as_they_were_sent(message: Message) -> None:
    with Broker() as broker:
        channel = broker.connect().channel()
        channel.queue_declare("q")
        message.publish(channel)
        _, properties, body = channel.basic_get("q")
        if (message.properties or BasicProperties()).expiration != "0":
            assert (body, properties) == (message.body, message.properties or BasicProperties())


@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
@given(topology=strategies.topologies(), messages=st.lists(strategies.messages(), max_size=3))
@few
def test_topologies_can_be_declared_and_used(rules: str, topology: Topology, messages: list[Message]) -> None:
    with Broker(rules=rules) as broker:
        channel = broker.connect().channel()
        topology.declare(channel)
        assert eval(repr(topology)) == topology
        for message in messages:
            for exchange in ("", *topology.exchanges):
                message.publish(channel, exchange)
        broker.check()


@given(strategies.workloads(with_faults=True))
@settings(max_examples=60)
def test_careful_programs_survive_every_fault(workload: Workload) -> None:
    with Broker() as broker:
        trace = workload.play(broker)
        broker.check()
        assert_no_loss(trace, "tasks", allow=["purged", "lost"])  # what was not confirmed was published again
        done = {copy.body for copy in broker.queue("tasks").ready}
        done |= {event.body for event in trace.of(Delivered)}
        assert done >= set(workload.tasks)
        fairness.assert_fair(trace, "tasks")


def shrunk(prop: Callable[[Workload], None], **drawn: Any) -> Workload:
    """The smallest workload that Hypothesis finds against a property."""

    def fails(workload: Workload) -> bool:
        try:
            prop(workload)
        except AssertionError:
            return True
        return False

    drawn_from = strategies.workloads(max_tasks=3, max_workers=2, **drawn)
    return find(drawn_from, fails, settings=settings(max_examples=100, derandomize=True))


def test_a_lossy_consumer_is_caught() -> None:
    def nothing_is_lost(workload: Workload) -> None:
        with Broker() as broker:
            assert_no_loss(workload.play(broker), "tasks")

    assert shrunk(nothing_is_lost, is_reliable=False) == Workload(
        tasks=(b"task 1",), workers=(Worker(answers=("reject",)),)
    )


def test_an_eager_consumer_is_caught() -> None:
    def nobody_takes_two(workload: Workload) -> None:
        with Broker() as broker:
            assert_within_prefetch(workload.play(broker), limit=1)

    found = shrunk(nobody_takes_two)
    assert found.tasks == (b"task 1", b"task 2")
    assert [worker.prefetch for worker in found.workers] == [2]


def test_an_unfair_dispatcher_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ring, "rotate", lambda self: None)

    def turns_are_fair(workload: Workload) -> None:
        with Broker() as broker:
            fairness.assert_fair(workload.play(broker), "tasks")

    found = shrunk(turns_are_fair)
    assert len(found.workers) == 2
    assert len(found.tasks) <= 2


def test_a_workload_plays_with_a_worker_of_ones_own() -> None:
    seen: list[bytes] = []

    def start(connection: Any, queue: str) -> None:
        connection.channel().basic_consume(queue, lambda ch, m, p, body: seen.append(body), auto_ack=True)

    with Broker() as broker:
        Workload((b"one", b"two"), (Worker(),)).play(broker, start)
    assert seen == [b"one", b"two"]


def test_workers_tell_what_they_have_processed() -> None:
    with Broker() as broker:
        connection = broker.connect()
        connection.channel().queue_declare("tasks")
        for body in (b"1", b"2", b"3", b"4"):
            broker.queue("tasks").put(body)
        worker = Worker(seconds=1, answers=("requeue", "reject", "ack", "nothing"))
        processed = worker.start(broker.connect(), "tasks")
        broker.run_until_idle()
        assert processed == [b"2"]
        assert broker.clock.now == 4
        assert [held.body for held in broker.queue("tasks").unacked] == [b"3"]


@given(strategies.fault_plans())
@few
def test_every_plan_can_be_planted(plan: faults.Plan) -> None:
    with Broker() as broker:
        with plan.plant(broker) as fault:
            assert not fault.has_struck
        assert broker.node.trace is None
        assert eval(repr(plan), {"Plan": faults.Plan}) == plan


def test_an_unknown_kind_of_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of fault 'burn': choose from redeliver, drop"):
        strategies.fault_plans("burn")
