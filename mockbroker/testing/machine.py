"""A machine that plays with a broker, step by step, and prints what it did as a program.

Owns: the steps that it knows, and the program. Refuses to know: what the test is about; that is added in a
subclass, as rules and invariants of Hypothesis.

Every step is a line of Python on the native API, and is run as that line: what is printed is what happened.

Read next: ``strategies.py``, ``docs/testing.md``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mockbroker.broker import Broker
from mockbroker.exceptions import AMQPError
from mockbroker.message import BasicProperties

if TYPE_CHECKING:
    from mockbroker.channel import Channel
    from mockbroker.connection import Connection

_numbers = st.integers(0, 7)

_IMPORTS = """\
from contextlib import suppress

from mockbroker import BasicProperties, Broker
from mockbroker.exceptions import AMQPError
"""


class BrokerMachine(RuleBasedStateMachine):
    """Clients that connect, publish, consume, settle, die; a broker that restarts. Made to be subclassed.

    `queues` says how each queue is declared, `server_rules` and `seed` which broker it is; `goes_down` lets
    it restart and crash. Rules of a subclass do their steps with `do`; its invariants look at `broker` and
    `trace`. The broker's own invariants are checked after each step.

    When a step or an invariant fails, Hypothesis shrinks the steps, and the error has a note with them as a
    program that can be pasted.
    """

    queues: dict[str, dict[str, Any]] = {  # noqa: RUF012 - a subclass overrides it whole
        "a": {"durable": True},
        "b": {
            "arguments": {"x-max-length": 3, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a"}
        },
    }
    server_rules = "rabbitmq-4.0"
    seed = 0
    goes_down = True

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(rules=self.server_rules, seed=self.seed)
        self.trace = self.broker.tracing()
        self.names: dict[str, Any] = {
            "broker": self.broker,
            "BasicProperties": BasicProperties,
            "held": [],
        }
        """What the lines know by name; `held` has the deliveries to settle: channel and method."""
        self.lines: list[str] = []
        self._published = 0

    # -- steps as lines

    def do(self, line: str) -> None:
        """Run one line of Python as a step. What the broker refuses is part of the program."""
        try:
            exec(line, self.names)
        except AMQPError:
            line = f"with suppress(AMQPError): {line}"
        except BaseException:
            self.lines.append(line)
            raise
        self.lines.append(line)

    @property
    def program(self) -> str:
        """What was done so far, as a program of its own."""
        start = [f"broker = Broker(rules={self.server_rules!r}, seed={self.seed})", "held = []"]
        return "\n".join([_IMPORTS, *start, *self.lines])

    def connections(self) -> list[str]:
        """The names of the connections that are open."""
        return [name for name, it in self.names.items() if name.startswith("connection_") and it.is_open]

    def channels(self) -> list[str]:
        """The names of the channels that are open."""
        return [name for name, it in self.names.items() if name.startswith("channel_") and it.is_open]

    def channel(self, number: int) -> str:
        """The name of an open channel; one is opened when there is none."""
        if not self.channels():
            self.open_channel(number)
        names = self.channels()
        return names[number % len(names)]

    def held(self) -> list[tuple[str, Any]]:
        """What consumers have seen and not settled: the channel's name and the delivery."""
        names = {id(self.names[name]): name for name in self.channels()}
        return [
            (names[id(channel)], method)
            for channel, method in self.names["held"]
            if id(channel) in names and not _is_settled(channel, method)
        ]

    # -- rules

    @initialize()
    def declare_queues(self) -> None:
        """Every program begins with its queues."""
        self.do("connection_1 = broker.connect()")
        self.do("channel_1 = connection_1.channel()")
        for name, declaration in self.queues.items():
            arguments = "".join(f", {key}={value!r}" for key, value in declaration.items())
            self.do(f"channel_1.queue_declare({name!r}{arguments})")

    @rule()
    def connect(self) -> None:
        """A client comes."""
        count = sum(name.startswith("connection_") for name in self.names)
        self.do(f"connection_{count + 1} = broker.connect()")

    @rule(number=_numbers)
    def open_channel(self, number: int) -> None:
        """A client opens a channel."""
        if not self.connections():
            self.connect()
        names = self.connections()
        count = sum(name.startswith("channel_") for name in self.names)
        self.do(f"channel_{count + 1} = {names[number % len(names)]}.channel()")

    @rule(number=_numbers, data=st.data(), persistent=st.booleans())
    def publish(self, number: int, data: st.DataObject, persistent: bool) -> None:
        """A message for one of the queues."""
        queue = data.draw(st.sampled_from(sorted(self.queues)))
        self._published += 1
        body = b"m%d" % self._published
        properties = ", BasicProperties(delivery_mode=2)" if persistent else ""
        self.do(f"{self.channel(number)}.basic_publish('', {queue!r}, {body!r}{properties})")

    @rule(number=_numbers, data=st.data(), prefetch=st.sampled_from([1, 2, 0]), auto_ack=st.booleans())
    def consume(self, number: int, data: st.DataObject, prefetch: int, auto_ack: bool) -> None:
        """A consumer that keeps what it sees."""
        queue, channel = data.draw(st.sampled_from(sorted(self.queues))), self.channel(number)
        keep = "lambda *delivery: None" if auto_ack else "lambda *delivery: held.append(delivery[:2])"
        self.do(f"{channel}.basic_qos(prefetch_count={prefetch})")
        self.do(f"{channel}.basic_consume({queue!r}, {keep}, auto_ack={auto_ack})")

    @rule()
    def run(self) -> None:
        """Everything that is due is served."""
        self.do("broker.run()")

    @precondition(lambda self: self.held())
    @rule(number=_numbers, how=st.sampled_from(["ack", "ack", "requeue", "reject"]))
    def settle(self, number: int, how: str) -> None:
        """A delivery that was seen is settled."""
        held = self.held()
        channel, method = held[number % len(held)]
        if how == "ack":
            self.do(f"{channel}.basic_ack({method.delivery_tag})")
        else:
            self.do(f"{channel}.basic_reject({method.delivery_tag}, requeue={how == 'requeue'})")

    @precondition(lambda self: self.connections())
    @rule(number=_numbers)
    def drop(self, number: int) -> None:
        """A link dies."""
        names = self.connections()
        self.do(f"{names[number % len(names)]}.drop()")

    @rule(seconds=st.sampled_from([0.1, 1, 60]))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.do(f"broker.clock.advance({seconds})")

    @precondition(lambda self: self.goes_down)
    @rule(how=st.sampled_from(["restart", "crash"]))
    def go_down(self, how: str) -> None:
        """The broker stops, in good order or not, and is back."""
        self.do(f"broker.{how}()")

    @invariant()
    def broker_is_sound(self) -> None:
        """The broker's own invariants hold."""
        self.broker.check()

    def teardown(self) -> None:
        """Put the program into the note of whatever went wrong."""
        error = sys.exception()
        if error is not None:
            error.add_note(f"the same as a program:\n\n{self.program}\n")
        self.broker.close()


def _is_settled(channel: Channel, method: Any) -> bool:
    """Whether a delivery is outstanding no more."""
    connection: Connection = channel.connection
    core = connection.core.channels.get(channel.channel_number)
    return core is None or core.unacked.get(method.delivery_tag) is not method
