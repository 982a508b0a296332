"""The machine: its steps leave the broker sound, and a failure is a program that fails again."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from mockbroker import Broker
from mockbroker.testing.assertions import assert_no_loss
from mockbroker.testing.machine import BrokerMachine

TestMachine = BrokerMachine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=20)


class Purger(BrokerMachine):
    """A machine with a rule and an invariant of its own, which the rule breaks."""

    queues = {"work": {"durable": True}}  # noqa: RUF012 - as the machine has it
    goes_down = False
    server_rules = "rabbitmq-3.10"

    @rule()
    def purge(self) -> None:
        """Somebody tidies up."""
        self.do(f"{self.channel(0)}.queue_purge('work')")

    @invariant()
    def nothing_is_lost(self) -> None:
        """What was published is there, or somebody has taken it out."""
        assert_no_loss(self.trace, allow=["rejected", "purged"])


def failure_of(machine: type[BrokerMachine]) -> AssertionError:
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(
            machine, settings=settings(max_examples=100, stateful_step_count=10, derandomize=True)
        )
    return caught.value


def test_a_failure_is_shrunk_to_a_program_that_fails_again() -> None:
    class Strict(Purger):
        @invariant()
        def nothing_is_lost(self) -> None:
            assert_no_loss(self.trace, allow=[])

    error = failure_of(Strict)
    (note,) = [note for note in error.__notes__ if note.startswith("the same as a program")]
    program = note.partition("\n\n")[2]
    steps = program.partition("held = []\n")[2].strip().splitlines()
    assert steps == [
        "connection_1 = broker.connect()",
        "channel_1 = connection_1.channel()",
        "channel_1.queue_declare('work', durable=True)",
        "channel_1.basic_publish('', 'work', b'm1')",
        "channel_1.queue_purge('work')",
    ]
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["broker"].list_queues("name", "messages") == [{"name": "work", "messages": 0}]
    assert names["broker"].node.rules.name == "rabbitmq-3.10"


def test_a_subclass_that_holds_passes() -> None:
    run_state_machine_as_test(Purger, settings=settings(max_examples=10, stateful_step_count=15))


def test_what_the_broker_refuses_is_part_of_the_program() -> None:
    machine = Purger()
    machine.declare_queues()
    machine.do("channel_1.queue_purge('absent')")
    assert machine.lines[-1] == "with suppress(AMQPError): channel_1.queue_purge('absent')"
    assert machine.channels() == []
    assert machine.channel(5) == "channel_2"
    exec(machine.program, {})
    machine.teardown()


def test_a_step_that_fails_is_the_last_line() -> None:
    machine = Purger()
    machine.declare_queues()
    with pytest.raises(ZeroDivisionError) as caught:
        machine.do("1 / 0")
    assert machine.lines[-1] == "1 / 0"
    assert "1 / 0" in "".join(traceback.format_exception(caught.value))


def test_the_steps_are_those_of_the_program() -> None:
    machine = BrokerMachine()
    machine.declare_queues()
    machine.connect()
    machine.open_channel(1)
    for line in ("channel_2.basic_publish('', 'a', b'm1')", "channel_1.basic_consume('a', keep)"):
        machine.names["keep"] = lambda *delivery: machine.names["held"].append(delivery[:2])
        machine.do(line)
    machine.run()
    ((channel, method),) = machine.held()
    assert (channel, method.delivery_tag) == ("channel_1", 1)
    machine.settle(0, "requeue")
    machine.run()
    machine.settle(0, "reject")
    assert machine.held() == []
    machine.advance(60)
    machine.drop(1)
    machine.go_down("crash")
    assert (machine.connections(), machine.channels()) == ([], [])
    assert machine.lines[-3:] == ["broker.clock.advance(60)", "connection_2.drop()", "broker.crash()"]
    assert isinstance(machine.broker, Broker)
    machine.teardown()
