"""The node: work that follows, names that it makes up, limits, and what its check finds."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.clock import SimClock
from mockbroker.core import node as node_room
from mockbroker.core.node import Node
from mockbroker.errors import HardError, LivelockError
from mockbroker.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError
from mockbroker.rules import RULES, rules_named


@pytest.fixture
def node() -> Node:
    return Node(RULES["rabbitmq-4.0"], SimClock())


def test_work_is_done_in_order_and_work_that_it_makes_comes_last(node: Node) -> None:
    done: list[str] = []
    node.later(lambda: node.later(done.append, "third"))
    node.later(done.append, "second")
    node.drain()
    assert done == ["second", "third"]
    node.check()


def test_connections_have_their_turns_when_all_work_is_done(node: Node) -> None:
    done: list[str] = []

    def first() -> None:
        done.append("first")
        node.later(done.append, "what it caused")
        node.next_turn(lambda: done.append("first again"))

    node.next_turn(first)
    node.next_turn(lambda: done.append("second"))
    node.later(done.append, "work")
    node.drain()
    assert done == ["work", "first", "what it caused", "second", "first again"]
    node.check()


def test_draining_inside_a_piece_of_work_does_nothing(node: Node) -> None:
    done: list[str] = []

    def work() -> None:
        node.drain()
        done.append("first")

    node.later(work)
    node.later(done.append, "second")
    node.drain()
    assert done == ["first", "second"]


def test_a_step_without_end_is_stopped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_room, "LONGEST_STEP", 100)

    def again() -> None:
        node.later(again)

    again()
    with pytest.raises(LivelockError, match="one operation caused more than 100 others"):
        node.drain()


def test_work_that_raises_leaves_the_rest_for_the_next_drain(node: Node) -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("boom")

    node.later(fail)
    node.later(done.append, "rest")
    with pytest.raises(RuntimeError, match="boom"):
        node.drain()
    node.drain()
    assert done == ["rest"]


def test_names_come_from_the_seed_alone() -> None:
    def names(seed: int) -> list[str]:
        node = Node(RULES["rabbitmq-4.0"], SimClock(), seed=seed)
        return [node.generate_name("x-") for _ in range(4)]

    assert names(3) == names(3)
    assert len({*names(3), *names(4)}) == 8
    assert all(len(name) == 24 for name in names(3))


def test_the_time_of_day_follows_the_clock(node: Node) -> None:
    assert node.wall_time_s == 1_735_689_600
    node.clock.advance(1.999)
    assert node.wall_time_s == 1_735_689_601
    assert Node(RULES["rabbitmq-4.0"], SimClock(), epoch_s=0).wall_time_s == 0


@pytest.mark.parametrize(
    ("username", "password", "host"),
    [("guest", "wrong", "127.0.0.1"), ("nobody", "guest", "127.0.0.1"), ("guest", "guest", "8.8.8.8")],
)
def test_a_login_is_refused_without_saying_why(node: Node, username: str, password: str, host: str) -> None:
    with pytest.raises(HardError, match="ACCESS_REFUSED - Login was refused"):
        node.authenticate(username, password, host)


def test_rules_are_found_by_name() -> None:
    rules = RULES["rabbitmq-3.10"]
    assert rules_named("rabbitmq-3.10") is rules
    assert rules_named(rules) is rules
    assert repr(rules) == "<Rules rabbitmq-3.10>"
    for wrong in ("3.10", None, []):
        with pytest.raises(ValueError, match=r"choose from rabbitmq-3\.10, rabbitmq-4\.0"):
            rules_named(wrong)  # type: ignore[arg-type]


# -- limits


def test_a_virtual_host_may_limit_its_queues() -> None:
    broker = Broker()
    broker.node.vhosts["/"].limits["max-queues"] = 1
    channel = broker.connect().channel()
    channel.queue_declare("one")
    channel.queue_declare("one")
    with pytest.raises(ChannelClosedByBroker, match=r"queue limit in vhost '/' \(1\) is reached"):
        channel.queue_declare("two")
    channel = broker.connect().channel()
    channel.queue_delete("one")
    channel.queue_declare("two")
    broker.node.vhosts["/"].limits["max-queues"] = -1
    channel.queue_declare("three")


def test_a_virtual_host_may_limit_its_connections() -> None:
    broker = Broker()
    broker.node.vhosts["/"].limits["max-connections"] = 1
    connection = broker.connect()
    with pytest.raises(ProbableAccessDeniedError, match=r"connection limit \(1\) is reached"):
        broker.connect()
    connection.drop()
    assert broker.connect().is_open


def test_limits_on_connections_are_looked_at_before_permissions() -> None:
    broker = Broker()
    broker.add_user("anna", "x")
    for limit, text in (("user", "user connection limit"), ("vhost", r": connection limit \(0\)")):
        if limit == "user":
            broker.node.set_user_limit("anna", "max-connections", 0)
        else:
            broker.node.set_vhost_limit("/", "max-connections", 0)
        with pytest.raises(ProbableAccessDeniedError, match=text):
            broker.connect("anna", "x")
    broker.node.clear_vhost_limit("/", "max-connections")
    broker.node.clear_user_limit("anna", "max-connections")
    with pytest.raises(ProbableAccessDeniedError, match=r"refused for user 'anna'$"):
        broker.connect("anna", "x")


@pytest.mark.parametrize(
    ("rules", "arguments", "text"),
    [
        ("rabbitmq-3.10", {"x-max-length": "x"}, "queue limit"),
        ("rabbitmq-3.10", {"x-dead-letter-exchange": 5}, "queue limit"),
        ("rabbitmq-4.0", {"x-max-length": "x"}, "invalid arg 'x-max-length'"),
        ("rabbitmq-4.0", {"x-dead-letter-exchange": 5}, "for arg 'x-dead-letter-exchange'"),
        ("rabbitmq-4.0", {"x-queue-type": "quorum"}, "queue limit"),
    ],
)
def test_a_limit_on_queues_has_its_place_among_the_checks(
    rules: str, arguments: dict[str, Any], text: str
) -> None:
    broker = Broker(rules=rules)
    broker.node.set_vhost_limit("/", "max-queues", 0)
    with pytest.raises(ChannelClosedByBroker, match=text):
        broker.connect().channel().queue_declare("q", arguments=arguments)


# -- what check finds


@pytest.mark.parametrize("what", ["ledger", "credit", "place", "work", "bytes", "route"])
def test_check_finds_what_is_broken(what: str) -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q", arguments={"x-max-length-bytes": 100})
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume("q", lambda *_: None)
    for body in (b"0", b"1", b"2"):
        channel.basic_publish("", "q", body)
    broker.check()
    core = broker.node.connections[0].channels[1]
    queue = broker.node.vhosts["/"].queues["q"]
    if what == "ledger":
        core.unacked = dict(reversed(core.unacked.items()))
    elif what == "credit":
        next(iter(core.consumers.values())).credit += 1
    elif what == "place":
        core.unacked[2].position = core.unacked[1].position
    elif what == "work":
        broker.node.work.append((print, ()))
    elif what == "bytes":
        queue.ready_bytes += 1  # type: ignore[attr-defined]
    else:
        broker.node.vhosts["/"].exchanges["amq.direct"].routes["k"] = (queue,)
    with pytest.raises(AssertionError):
        broker.check()
