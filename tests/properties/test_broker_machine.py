"""Any program of several clients, command by command, beside a model of plain dicts.

After each command the broker's own invariants hold, and the model agrees: every message is in one place or
gone for a reason that the trace names; windows, limits and times to live are kept; turns are fair; queues are
in order; what was confirmed survives a power cut. At the end the same commands make the same trace again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mockbroker import Broker
from mockbroker.channel import Channel
from mockbroker.message import Delivery

from .model import Model
from .program import EXCHANGE, NAMES, Command, Program, name_of

numbers = st.integers(0, 7)
settlements = st.sampled_from(["ack", "ack", "requeue", "discard"])


def play(commands: list[Command], rules: str) -> str:
    """Carry commands out on a new broker; return its trace."""
    broker = Broker(rules=rules)
    trace = broker.tracing()
    program = Program(broker, lambda *_: None)
    for command in commands:
        program.do(command)
    return str(trace)


class BrokerMachine(RuleBasedStateMachine):
    """Draws commands for the rules of RabbitMQ 4.0."""

    server_rules = "rabbitmq-4.0"

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(rules=self.server_rules)
        self.trace = self.broker.tracing()
        self.program = Program(self.broker, self._seen)
        self.model = Model(self.program.windows)
        self.commands: list[Command] = []
        self.focus: list[str] = []
        self._followed = 0

    def _seen(self, channel: Channel, method: Delivery, properties: Any, body: bytes) -> None:
        self._follow()
        name = name_of(channel)
        event = self.model.sent.pop((name, method.delivery_tag))
        assert (body, method.redelivered) == (event.body, event.redelivered)
        deaths = (properties.headers or {}).get("x-death", [])
        told = {(each["queue"], each["reason"]): each["count"] for each in deaths}
        assert told == self.model.deaths_seen.pop((name, method.delivery_tag))

    def _follow(self) -> None:
        self.model.transactional = [seat.name for seat in self.program.seats if seat.is_transactional]
        while self._followed < len(self.trace):
            self._followed += 1
            self.model.follow(self.trace[self._followed - 1])

    def _do(self, what: str, /, *arguments: Any, **named: Any) -> None:
        command = (what, arguments, named)
        self.commands.append(command)
        self.program.do(command)
        self._follow()
        self.broker.check()
        listed = self.broker.list_queues("name", "messages_ready", "messages_unacknowledged", "consumers")
        self.model.check(self.broker.clock.now_ns, listed)

    def teardown(self) -> None:
        assert play(self.commands, self.server_rules) == str(self.trace)

    @initialize(
        focus=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
        bound=st.booleans(),
        mode=st.sampled_from(["plain", "confirm", "tx"]),
        count=st.integers(0, 5),
    )
    def begin(self, focus: list[str], bound: bool, mode: str, count: int) -> None:
        """A program is about a few queues, so that its clients meet."""
        self.focus = focus
        self._do("open_channel", 0, "plain")
        self._do("connect")
        self._do("open_channel", 1, mode)
        for name in ("dead", *focus):
            self._do("bind" if bound else "declare", 0, name)
            self._do("publish_many", 0, name, count, persistent=True)

    def _name(self, which: int) -> str:
        return self.focus[which % len(self.focus)]

    @rule(
        number=numbers,
        which=numbers,
        exchange=st.sampled_from(["", "", "", EXCHANGE]),
        persistent=st.booleans(),
        priority=st.sampled_from([None, None, 0, 2, 9]),
        ttl_ms=st.sampled_from([None, None, None, 0, 100, 400]),
        mandatory=st.booleans(),
    )
    def publish(self, number: int, which: int, **message: Any) -> None:
        name = "nowhere" if which == 7 else self._name(which)
        self._do("publish", number, name=name, **message)

    @rule(number=numbers, which=numbers, count=st.integers(2, 6), persistent=st.booleans())
    def publish_many(self, number: int, which: int, count: int, persistent: bool) -> None:
        self._do("publish_many", number, self._name(which), count, persistent)

    @rule(
        number=numbers,
        which=numbers,
        auto_ack=st.sampled_from([False, False, True]),
        prefetch=st.sampled_from([0, 0, 1, 2]),
        exclusive=st.sampled_from([False, False, False, False, False, True]),
        priority=st.sampled_from([0, 0, 0, 5]),
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

    @rule(ms=st.sampled_from([0, 50, 100, 150, 200, 500, 1000]))
    def advance(self, ms: int) -> None:
        self._do("advance", ms)

    @rule(number=numbers, what=st.sampled_from(["recover", "commit", "commit", "roll_back"]))
    def other(self, number: int, what: str) -> None:
        self._do(what, number)

    @rule(number=numbers, prefetch=st.integers(0, 2))
    def limit_channel(self, number: int, prefetch: int) -> None:
        self._do("limit_channel", number, prefetch)

    @rule(number=numbers, which=numbers, how=st.sampled_from(["cancel", "purge", "unbind", "bind", "delete"]))
    def change_queues(self, number: int, which: int, how: str) -> None:
        self._do(how, number, which if how == "cancel" else self._name(which))

    @rule(number=numbers, how=st.sampled_from(["drop", "close", "close_channel", "settle_unknown"]))
    def leave(self, number: int, how: str) -> None:
        self._do(how, number)

    @precondition(lambda self: len(self.commands) % 3 == 0)
    @rule(how=st.sampled_from(["restart", "crash", "crash"]))
    def go_down(self, how: str) -> None:
        self._do(how)

    @rule(number=numbers, mode=st.sampled_from(["plain", "confirm", "tx"]))
    def arrive(self, number: int, mode: str) -> None:
        self._do("open_channel", number, mode)


class OlderBrokerMachine(BrokerMachine):
    """The same for RabbitMQ 3.10."""

    server_rules = "rabbitmq-3.10"


# Both profiles count: `pytest --hypothesis-profile=explore` tries ten times as many programs.
EXAMPLES = settings.default.max_examples if settings.default is not None else 100

TestBroker = BrokerMachine.TestCase
TestBroker.settings = settings(max_examples=5 * EXAMPLES, stateful_step_count=40)
TestOlderBroker = OlderBrokerMachine.TestCase
TestOlderBroker.settings = settings(max_examples=2 * EXAMPLES, stateful_step_count=40)
