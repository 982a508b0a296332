"""What operators do, as commands of a program: policies, limits, alarms, time, and the ways down and up."""

from __future__ import annotations

from mockbroker import Broker

from .facts import Facts
from .topology import OPERATOR_POLICIES, POLICIES


class Operators:
    """The operators of one broker; what they set is in the notebook."""

    def __init__(self, broker: Broker, facts: Facts) -> None:
        self.broker = broker
        self.facts = facts

    def _note_policy_change(self) -> None:
        self.facts.is_policy_changing = True
        self.facts.policy_changes += 1

    def set_policy(self, name: str, operator: bool) -> None:
        book = self.facts.operator_policies if operator else self.facts.policies
        book[name] = (OPERATOR_POLICIES if operator else POLICIES)[name]
        pattern, priority, definition = book[name]
        self._note_policy_change()
        self.broker.set_policy(name, pattern, definition, priority, operator=operator)

    def clear_policy(self, name: str, operator: bool) -> None:
        book = self.facts.operator_policies if operator else self.facts.policies
        if name in book:
            del book[name]
            self._note_policy_change()
            self.broker.clear_policy(name, operator=operator)

    def limit(self, what: str, most: int) -> None:
        self.facts.limits[what] = most
        self.broker.node.set_vhost_limit("/", what, most)

    def lift_limits(self) -> None:
        for what in self.facts.limits:
            self.broker.node.clear_vhost_limit("/", what)
        self.facts.limits.clear()

    def raise_alarm(self) -> None:
        self.facts.is_alarmed = self.facts.had_alarm = True
        self.broker.set_alarm("disk")

    def end_alarm(self) -> None:
        self.facts.is_alarmed = False
        self.broker.clear_alarm("disk")

    def advance(self, ms: int) -> None:
        self.broker.clock.advance(ms / 1000)

    def restart(self, downtime_ms: int) -> None:
        self.broker.restart(downtime_ms / 1000)

    def crash(self, downtime_ms: int) -> None:
        self.broker.crash(downtime_ms / 1000)
