"""A program beside the model: after each command both hold the same, and clients see what the trace tells.

Owns: the trace, how far the model has followed it, and the commands so far.
Refuses to know: where the commands come from.
"""

from __future__ import annotations

from typing import Any

from mockbroker import Broker
from mockbroker.channel import Channel
from mockbroker.message import Delivery
from mockbroker.trace import Trace

from .checks import check
from .model import Model
from .program import Command, Program, Seen, name_of


def begin_program(rules: str, consumer_timeout: float | None, seen: Seen) -> tuple[Program, Trace]:
    """Return a program on a new broker, and its trace."""
    broker = Broker(rules=rules, consumer_timeout=consumer_timeout)
    trace = broker.tracing()
    return Program(broker, trace, seen), trace


class Beside:
    """A program on a broker with these rules, and the model of it."""

    def __init__(self, rules: str, consumer_timeout: float | None) -> None:
        self._rules = rules
        self._consumer_timeout = consumer_timeout
        self.program, self._trace = begin_program(rules, consumer_timeout, self._seen)
        self._broker = self.program.broker
        self._model = Model(self.program.facts, self._broker.node.rules)
        self._commands: list[Command] = []
        self._followed = 0

    def do(self, what: str, /, *arguments: Any, **named: Any) -> None:
        """Carry a command out, follow what happened, and compare."""
        command = (what, arguments, named)
        self._commands.append(command)
        self.program.do(command)
        self._follow()
        self._broker.check()
        check(self._model, self._broker)

    def assert_repeatable(self) -> None:
        """The same commands make the same trace again."""
        again, trace = begin_program(self._rules, self._consumer_timeout, lambda *_: None)
        for command in self._commands:
            again.do(command)
        assert str(trace) == str(self._trace)

    def _seen(self, channel: Channel, method: Delivery, properties: Any, body: bytes) -> None:
        self._follow()
        sent = self._model.sent.pop((name_of(channel), method.delivery_tag))
        assert (body, method.redelivered) == (sent.event.body, sent.event.redelivered)
        headers = properties.headers or {}
        deaths = headers.get("x-death", [])
        told = {(each["queue"], each["reason"]): each["count"] for each in deaths}
        assert told == {death: sent.deaths.count(death) for death in sent.deaths}
        if sent.deaths:
            is_of_stream = sent.offset is not None  # there a letter may have its expiration again
            assert is_of_stream or properties.expiration is None, "the same time to live would kill it again"
            assert (headers["x-first-death-queue"], headers["x-first-death-reason"]) == sent.deaths[0]
            if self._rules == "rabbitmq-4.0":
                assert (headers["x-last-death-queue"], headers["x-last-death-reason"]) == sent.deaths[-1]
                assert list(told) == list(dict.fromkeys(reversed(sent.deaths))), (
                    "the newest death is not the first"
                )
        assert headers.get("x-delivery-count") == sent.delivery_count
        assert headers.get("x-stream-offset") == sent.offset
        assert "BCC" not in headers

    def _follow(self) -> None:
        happened = self._trace[self._followed :]
        self._followed = len(self._trace)
        self._model.follow(happened)
