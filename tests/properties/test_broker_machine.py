"""Any program of several clients and operators, command by command, beside a model that follows the trace.

After each command the broker's own invariants hold, and the model agrees: every message is in one place or
gone for a reason that the trace names; windows, limits and times to live are kept; turns are fair; queues are
in order; what was confirmed survives a power cut. At the end the same commands make the same trace again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .beside import Beside
from .topology import CLASSIC, EXCHANGES, OPERATOR_POLICIES, POLICIES, QUORUM, STREAMS

numbers = st.integers(0, 7)
settlements = st.sampled_from(["ack", "ack", "requeue", "discard"])
modes = st.sampled_from(["plain", "plain", "confirm", "tx"])
exchanges = st.sampled_from(tuple(EXCHANGES))


def one_in(count: int) -> st.SearchStrategy[bool]:
    """True about once in so many times."""
    return st.integers(1, count).map(lambda number: number == count)


def now_and_then(count: int) -> Callable[[Any], Any]:
    """Offer a rule only at every such command: what ends much would leave little to look at."""
    return precondition(lambda self: self.steps % count == 0)


class BrokerMachine(RuleBasedStateMachine):
    """Draws commands for the rules of RabbitMQ 4.0 and mostly classic queues."""

    server_rules = "rabbitmq-4.0"
    names: tuple[str, ...] = (*CLASSIC, "q-plain", "q-twice", "log")
    grave = "dead"
    shares_windows = True

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.focus: list[str] = []

    def _do(self, what: str, /, *arguments: Any, **named: Any) -> None:
        self.steps += 1
        self.beside.do(what, *arguments, **named)

    def teardown(self) -> None:
        if self.steps:
            self.beside.assert_repeatable()

    @initialize(
        data=st.data(),
        bound=st.sampled_from([None, None, *EXCHANGES]),
        mode=modes,
        count=st.integers(0, 5),
        prefetch=st.sampled_from([None, 0, 1, 2]),
        window=st.sampled_from([0, 0, 0, 1, 2]),
        policies=st.lists(st.sampled_from([*POLICIES, *OPERATOR_POLICIES]), max_size=2),
        consumer_timeout=st.sampled_from([None, None, None, 1.0]),
    )
    def begin(
        self,
        data: st.DataObject,
        bound: str | None,
        mode: str,
        count: int,
        prefetch: int | None,
        window: int,
        policies: list[str],
        consumer_timeout: float | None,
    ) -> None:
        """A program is about a few queues, so that its clients meet; mostly they are at work already."""
        self.beside = Beside(self.server_rules, consumer_timeout)
        self.focus = data.draw(st.lists(st.sampled_from(self.names), min_size=1, max_size=3, unique=True))
        self._do("open_channel", 0, "plain")
        self._do("connect")
        self._do("open_channel", 1, mode)
        for policy in policies:
            self._do("set_policy", policy, operator=policy in OPERATOR_POLICIES)
        if window and self.shares_windows:
            prefetch = 0
            self._do("limit_channel", 0, window)
        for name in dict.fromkeys((self.grave, *self.focus)):
            if bound is None:
                self._do("declare", 0, name)
            else:
                self._do("bind", 0, name, bound, 0)
            self._do("publish_many", 1 if mode == "confirm" else 0, name, count, persistent=True)
            if prefetch is not None:
                self._do("consume", 0, name, False, prefetch, False, 0, "first")

    def _name(self, which: int) -> str:
        return self.grave if which == 7 else self.focus[which % len(self.focus)]

    # -- clients

    @rule(
        number=numbers,
        which=numbers,
        exchange=st.sampled_from(["", "", "", *EXCHANGES]),
        is_lost=one_in(8),
        persistent=st.booleans(),
        priority=st.sampled_from([None, None, 0, 2, 9]),
        ttl_ms=st.sampled_from([None, None, None, 0, 100, 400]),
        mandatory=st.booleans(),
        copied=st.sampled_from([None, None, None, [0], [1, 2], [7]]),
        blind=st.sampled_from([None, None, None, None, [1], [2, 7]]),
        label=st.sampled_from([None, None, "a", "b"]),
    )
    def publish(
        self,
        number: int,
        which: int,
        is_lost: bool,
        copied: list[int] | None,
        blind: list[int] | None,
        **message: Any,
    ) -> None:
        name = "nowhere" if is_lost else self._name(which)
        for header, numbers in (("copies", copied), ("blind", blind)):
            message[header] = None if numbers is None else [self._name(each) for each in numbers]
        self._do("publish", number, name=name, **message)

    @rule(
        number=numbers,
        which=numbers,
        count=st.integers(2, 6),
        persistent=st.booleans(),
        priority=st.sampled_from([None, None, 5]),
    )
    def publish_many(self, number: int, which: int, **messages: Any) -> None:
        self._do("publish_many", number, self._name(which), **messages)

    @rule(
        number=numbers,
        which=numbers,
        auto_ack=one_in(3),
        prefetch=st.sampled_from([0, 0, 1, 2]),
        exclusive=one_in(6),
        priority=st.sampled_from([0, 0, 0, 5]),
        offset=st.sampled_from([None, "first", "last", "next", "1s", 2]),
        wanted=st.sampled_from([None, None, None, "a"]),
        is_again=st.booleans(),
    )
    def consume(self, number: int, which: int, **consumer: Any) -> None:
        self._do("consume", number, self._name(which), **consumer)

    @rule(number=numbers, which=numbers, auto_ack=st.booleans())
    def get(self, number: int, which: int, auto_ack: bool) -> None:
        self._do("get", number, self._name(which), auto_ack)

    @rule(number=numbers, which=numbers, how=settlements, multiple=st.booleans())
    def settle(self, number: int, which: int, how: str, multiple: bool) -> None:
        self._do("serve")
        self._do("settle", number, which, how, multiple)

    @rule(number=numbers, which=numbers, hows=st.lists(settlements, min_size=1, max_size=4))
    def settle_several(self, number: int, which: int, hows: list[str]) -> None:
        self._do("serve")
        for how in hows:
            self._do("settle", number, which, how, multiple=False)

    @rule(number=numbers, what=st.sampled_from(["recover", "commit", "commit", "roll_back"]))
    def other(self, number: int, what: str) -> None:
        self._do(what, number)

    @now_and_then(3)
    @rule(number=numbers, prefetch=st.integers(0, 2))
    def limit_channel(self, number: int, prefetch: int) -> None:
        self._do("limit_channel", number, prefetch)

    @rule(number=numbers, which=numbers, how=st.sampled_from(["cancel", "purge", "delete"]))
    def change_queues(self, number: int, which: int, how: str) -> None:
        self._do(how, number, which if how == "cancel" else self._name(which))

    @rule(
        number=numbers,
        which=numbers,
        how=st.sampled_from(["bind", "bind", "unbind"]),
        exchange=exchanges,
        key=numbers,
    )
    def change_bindings(self, number: int, which: int, how: str, exchange: str, key: int) -> None:
        self._do(how, number, self._name(which), exchange, key)

    @rule(
        number=numbers, source=exchanges, to=exchanges, key=st.sampled_from(["dead", "#"]), is_end=one_in(3)
    )
    def change_exchanges(self, number: int, source: str, to: str, key: str, is_end: bool) -> None:
        if is_end:
            self._do("delete_exchange", number, source)
        else:
            self._do("bind_exchange", number, source, to, key)

    @now_and_then(3)
    @rule(number=numbers, how=st.sampled_from(["drop", "close", "close_channel", "settle_unknown"]))
    def leave(self, number: int, how: str) -> None:
        self._do(how, number)

    @rule(number=numbers, mode=modes)
    def arrive(self, number: int, mode: str) -> None:
        self._do("open_channel", number, mode)

    # -- operators

    @rule(ms=st.sampled_from([0, 50, 100, 150, 200, 500, 1000, 6000, 180_000]))
    def advance(self, ms: int) -> None:
        self._do("advance", ms)

    @now_and_then(4)
    @rule(how=st.sampled_from(["restart", "crash", "crash"]), downtime_ms=st.sampled_from([0, 0, 250]))
    def go_down(self, how: str, downtime_ms: int) -> None:
        self._do(how, downtime_ms)

    @rule(what=st.sampled_from([*POLICIES, *OPERATOR_POLICIES]), how=st.sampled_from(["set", "set", "clear"]))
    def change_policy(self, what: str, how: str) -> None:
        self._do(f"{how}_policy", what, operator=what in OPERATOR_POLICIES)

    @now_and_then(4)
    @rule(what=st.sampled_from(["max-queues", "max-connections", None]), most=st.integers(2, 4))
    def change_limits(self, what: str | None, most: int) -> None:
        if what is None:
            self._do("lift_limits")
        else:
            self._do("limit", what, most)

    @now_and_then(8)
    @rule()
    def raise_alarm(self) -> None:
        self._do("raise_alarm")

    @precondition(lambda self: self.beside.program.facts.is_alarmed)
    @rule()
    def end_alarm(self) -> None:
        self._do("end_alarm")


class OlderBrokerMachine(BrokerMachine):
    """The same for RabbitMQ 3.10."""

    server_rules = "rabbitmq-3.10"


class QuorumMachine(BrokerMachine):
    """Programs about quorum queues."""

    names = tuple(QUORUM)
    grave = "q-dead"
    shares_windows = False


class OlderQuorumMachine(QuorumMachine):
    """The same for RabbitMQ 3.10."""

    server_rules = "rabbitmq-3.10"


class StreamMachine(BrokerMachine):
    """Programs about streams."""

    names = tuple(STREAMS)
    grave = "log"
    shares_windows = False


# Both profiles count: `pytest --hypothesis-profile=explore` tries ten times as many programs.
EXAMPLES = settings.default.max_examples if settings.default is not None else 100
MACHINES = {
    BrokerMachine: 2,
    OlderBrokerMachine: 1,
    QuorumMachine: 2,
    OlderQuorumMachine: 1,
    StreamMachine: 1,
}
"""Machine -> how many programs it tries, in hundreds where the profile says nothing else."""


def _test_of(machine: type[BrokerMachine]) -> Any:
    machine.TestCase.settings = settings(max_examples=MACHINES[machine] * EXAMPLES, stateful_step_count=40)
    return machine.TestCase


pytestmark = pytest.mark.timeout(3 * EXAMPLES)
TestBroker = _test_of(BrokerMachine)
TestOlderBroker = _test_of(OlderBrokerMachine)
TestQuorum = _test_of(QuorumMachine)
TestOlderQuorum = _test_of(OlderQuorumMachine)
TestStream = _test_of(StreamMachine)
