"""Dead letters that must not get lost: who keeps them, when they are tried again, and who has them."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, events
from mockbroker.channel import Channel
from mockbroker.core.queues.at_least_once import WINDOW, DeadLetterWorker, is_at_least_once
from mockbroker.core.queues.quorum import QuorumQueue
from mockbroker.core.queues.settings import Settings

RETRY_S = 180
KEEPING = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
PERSISTENT = BasicProperties(delivery_mode=2)


@pytest.fixture(params=["rabbitmq-3.10", "rabbitmq-4.0"])
def broker(request: pytest.FixtureRequest) -> Broker:
    return Broker(rules=request.param)


@pytest.fixture
def channel(broker: Broker) -> Channel:
    return broker.connect().channel()


def declare(channel: Channel, key: str | None = "dead", **arguments: Any) -> None:
    routing_key = {} if key is None else {"x-dead-letter-routing-key": key}
    channel.queue_declare("q", durable=True, arguments={**KEEPING, **routing_key, **arguments})


def declare_targets(channel: Channel, exchange: str, *, durable: bool = False) -> None:
    """Bind a queue that takes everything, and one that refuses everything."""
    channel.queue_declare("a", durable=durable)
    refuses = {"x-max-length": 0, "x-overflow": "reject-publish"}
    channel.queue_declare("b", durable=durable, arguments=refuses)
    for name in ("a", "b"):
        channel.queue_bind(name, exchange)


def worker(broker: Broker) -> DeadLetterWorker:
    queue = broker.node.vhosts["/"].queues["q"]
    assert isinstance(queue, QuorumQueue)
    assert queue._letters is not None
    return queue._letters


def fetch(channel: Channel, queue: str = "q") -> int:
    """Fetch a message; return its delivery tag."""
    method, _, _ = channel.basic_get(queue)
    assert method is not None
    return int(method.delivery_tag)


def kill(channel: Channel, *bodies: bytes, properties: BasicProperties | None = None) -> None:
    """Publish messages and reject them."""
    for body in bodies:
        channel.basic_publish("", "q", body, properties)
        channel.basic_reject(fetch(channel), requeue=False)
    channel.connection.broker.run()
    channel.connection.broker.check()


def held_in(channel: Channel, queue: str = "dead") -> list[bytes]:
    bodies = []
    while (got := channel.basic_get(queue, auto_ack=True))[2] is not None:
        bodies.append(got[2])
    return bodies


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        ({}, True),
        ({"dead_letter_exchange": None}, False),
        ({"dead_letter_strategy": None}, False),
        ({"dead_letter_strategy": "at-most-once"}, False),
        ({"overflow": None}, False),
        ({"overflow": "drop-head"}, False),
    ],
)
def test_it_takes_an_exchange_the_strategy_and_reject_publish(changed: dict[str, Any], is_kept: bool) -> None:
    settings = Settings()
    fine = {
        "dead_letter_exchange": "",
        "dead_letter_strategy": "at-least-once",
        "overflow": "reject-publish",
    }
    for name, value in {**fine, **changed}.items():
        setattr(settings, name, value)
    assert is_at_least_once(settings) == is_kept


def test_a_letter_without_a_queue_is_tried_again_every_three_minutes(
    broker: Broker, channel: Channel
) -> None:
    declare(channel)
    kill(channel, b"m")
    row = broker.list_queues("messages", "messages_ready", "messages_unacknowledged")
    assert row == [{"messages": 1, "messages_ready": 0, "messages_unacknowledged": 0}]
    broker.clock.advance(RETRY_S)
    channel.queue_declare("dead")
    broker.clock.advance(RETRY_S - 0.001)
    assert held_in(channel) == []
    broker.clock.advance(0.001)
    assert held_in(channel) == [b"m"]
    assert broker.list_queues("name", "messages") == [
        {"name": "dead", "messages": 0},
        {"name": "q", "messages": 0},
    ]
    assert broker.clock.next_due_ns() is None, "a queue that keeps nothing has no timer"


def test_the_wait_can_be_set() -> None:
    broker = Broker(dead_letter_retry=0.5)
    channel = broker.connect().channel()
    declare(channel)
    kill(channel, b"m")
    channel.queue_declare("dead")
    broker.clock.advance(0.5)
    assert held_in(channel) == [b"m"]


def test_a_letter_that_waits_keeps_nobody_waiting(broker: Broker, channel: Channel) -> None:
    declare(channel)
    kill(channel, b"m")
    broker.run_until_idle()
    assert broker.clock.now == 0


def test_letters_behind_a_full_window_wait_for_their_turn(broker: Broker, channel: Channel) -> None:
    declare(channel, key=None, **{"x-dead-letter-exchange": "dx"})
    kill(channel, *(b"%d" % number for number in range(WINDOW + 3)))
    assert len(worker(broker)) == WINDOW + 3
    assert worker(broker).body_bytes == sum(len(b"%d" % number) for number in range(WINDOW + 3))
    channel.exchange_declare("dx", "fanout")
    channel.queue_declare("dead")
    channel.queue_bind("dead", "dx")
    kill(channel, b"last")
    assert held_in(channel) == []
    broker.clock.advance(RETRY_S)
    assert held_in(channel) == [*(b"%d" % number for number in range(WINDOW + 3)), b"last"]
    assert len(worker(broker)) == 0


def test_who_refused_a_letter_gets_it_at_the_tick_after_its_own_time(
    broker: Broker, channel: Channel
) -> None:
    channel.queue_declare("dead", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    declare(channel)
    kill(channel, b"first", b"second")
    broker.clock.advance(1)
    assert held_in(channel) == [b"first"]
    kill(channel, b"third", b"fourth")
    assert held_in(channel) == [b"third"]
    broker.clock.advance(RETRY_S - 1)
    assert held_in(channel) == [b"second"], "the fourth has not waited for so long"
    broker.clock.advance(RETRY_S - 1)
    assert held_in(channel) == []
    broker.clock.advance(1)
    assert held_in(channel) == [b"fourth"]


def test_who_has_a_letter_does_not_get_it_again(broker: Broker, channel: Channel) -> None:
    declare(channel, **{"x-dead-letter-exchange": "amq.fanout"})
    declare_targets(channel, "amq.fanout")
    kill(channel, b"m")
    for _ in range(3):
        broker.clock.advance(RETRY_S)
    assert held_in(channel, "a") == [b"m"]
    assert len(worker(broker)) == 1
    channel.queue_delete("b")
    channel.queue_declare("b")
    channel.queue_bind("b", "amq.fanout")
    broker.clock.advance(RETRY_S)
    assert (held_in(channel, "a"), held_in(channel, "b"), len(worker(broker))) == ([], [b"m"], 0)


def test_with_no_route_left_a_letter_that_one_queue_took_is_done(broker: Broker, channel: Channel) -> None:
    declare(channel, **{"x-dead-letter-exchange": "amq.fanout"})
    declare_targets(channel, "amq.fanout")
    with broker.tracing() as trace:
        kill(channel, b"m")
        for name in ("a", "b"):
            channel.queue_unbind(name, "amq.fanout")
        broker.clock.advance(RETRY_S)
    kinds = ["DeadLettered", "PublishRefused", "DeadLetterKept", "DeadLetterGivenUp"]
    assert [
        type(event).__name__ for event in trace if "Letter" in repr(event) or "Refused" in repr(event)
    ] == (kinds)
    assert (len(worker(broker)), held_in(channel, "a")) == (0, [b"m"])


def test_nothing_is_tried_or_given_up_while_the_exchange_is_not_there(
    broker: Broker, channel: Channel
) -> None:
    channel.exchange_declare("dx", "fanout")
    declare(channel, **{"x-dead-letter-exchange": "dx"})
    declare_targets(channel, "dx")
    kill(channel, b"m")
    channel.exchange_delete("dx")
    broker.clock.advance(2 * RETRY_S)
    channel.exchange_declare("dx", "fanout")
    channel.queue_declare("late")
    channel.queue_bind("late", "dx")
    broker.clock.advance(RETRY_S)
    assert (held_in(channel, "a"), held_in(channel, "late")) == ([b"m"], [b"m"])


def test_a_letter_whose_history_nobody_can_read_goes_nowhere() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    channel = broker.connect().channel()
    channel.queue_declare("dead")
    declare(channel)
    kill(channel, b"odd", properties=BasicProperties(headers={"x-death": ["no table"]}))
    kill(channel, b"fine")
    assert (held_in(channel), len(worker(broker))) == ([b"fine"], 0)


def test_a_letter_for_the_disk_is_done_once_it_is_there(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("dead", durable=True)
    declare(channel)
    channel.basic_publish("", "q", b"m", PERSISTENT)
    tag = fetch(channel)
    with broker.tracing() as trace:
        channel.basic_reject(tag, requeue=False)
        assert len(worker(broker)) == 1
        broker.run()
    assert [type(event).__name__ for event in trace] == ["Rejected", "DeadLettered", "Synced"]
    assert (len(worker(broker)), broker.clock.now) == (0, 0)


def test_a_power_cut_before_the_sync_loses_no_letter(broker: Broker, channel: Channel) -> None:
    channel.queue_declare("dead", durable=True)
    declare(channel)
    channel.basic_publish("", "q", b"m", PERSISTENT)
    channel.basic_reject(fetch(channel), requeue=False)
    broker.crash()
    assert held_in(broker.connect().channel()) == [b"m"]
    broker.run()
    broker.check()
    assert len(worker(broker)) == 0


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_letters_outlive_the_server_and_go_out_in_order_when_it_is_back(
    broker: Broker, channel: Channel, how: str
) -> None:
    declare(channel)
    kill(channel, *(b"%d" % number for number in range(WINDOW + 2)))
    channel.queue_declare("dead", durable=True)
    getattr(broker, how)(downtime=1)
    broker.check()
    assert held_in(broker.connect().channel()) == [b"%d" % number for number in range(WINDOW + 2)]
    assert broker.clock.now == 1


def test_nothing_is_tried_while_the_server_is_down(broker: Broker, channel: Channel) -> None:
    declare(channel)
    kill(channel, b"m")
    channel.queue_declare("dead", durable=True)
    with broker.tracing() as trace:
        broker.restart(downtime=2 * RETRY_S)
    kinds = [type(event) for event in trace]
    assert kinds.index(events.Started) < kinds.index(events.DeadLettered)
    assert held_in(broker.connect().channel()) == [b"m"]


def test_after_a_restart_nobody_remembers_who_has_a_letter(broker: Broker, channel: Channel) -> None:
    channel.exchange_declare("dx", "fanout", durable=True)
    declare(channel, **{"x-dead-letter-exchange": "dx"})
    declare_targets(channel, "dx", durable=True)
    kill(channel, b"m", properties=PERSISTENT)
    broker.restart()
    assert held_in(broker.connect().channel(), "a") == [b"m", b"m"]


def test_after_a_restart_a_letter_that_finds_no_queue_is_kept_whoever_had_it(
    broker: Broker, channel: Channel
) -> None:
    channel.exchange_declare("dx", "fanout")
    declare(channel, **{"x-dead-letter-exchange": "dx"})
    declare_targets(channel, "dx")
    kill(channel, b"m")
    broker.restart()
    broker.check()
    assert len(worker(broker)) == 1


def policy(broker: Broker, **changes: Any) -> None:
    definition = {key[len("x-") :]: value for key, value in KEEPING.items() if key != "x-queue-type"}
    definition["dead-letter-routing-key"] = "dead"
    changed = {**definition, **{key.replace("_", "-"): value for key, value in changes.items()}}
    broker.set_policy("p", "^q$", {key: value for key, value in changed.items() if value is not None})


def test_a_change_of_policy_has_letters_tried_at_once(broker: Broker, channel: Channel) -> None:
    policy(broker, dead_letter_routing_key="nowhere")
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    kill(channel, b"m")
    channel.queue_declare("dead")
    policy(broker)
    assert held_in(channel) == [b"m"]


def test_a_letter_that_got_a_key_of_its_own_at_a_later_try_has_no_copies(
    broker: Broker, channel: Channel
) -> None:
    declare(channel, key=None)
    channel.queue_declare("dead")
    channel.queue_declare("r", arguments={"x-dead-letter-exchange": "amq.direct"})
    channel.queue_declare("copy")
    for name, key in (("dead", "r"), ("copy", "c")):
        channel.queue_bind(name, "amq.direct", key)
    channel.queue_bind("q", "amq.fanout")
    properties = BasicProperties(headers={"CC": ["c"]})
    channel.basic_publish("amq.fanout", "nowhere", b"m", properties)
    for name in ("q", "r"):
        channel.basic_reject(fetch(channel, name), requeue=False)
        broker.set_policy("p", "^q$", {"dead-letter-routing-key": "r"})
    assert (held_in(channel), held_in(channel, "copy")) == ([b"m"], [])


@pytest.mark.parametrize(
    "change",
    [{"dead_letter_strategy": "at-most-once"}, {"overflow": "drop-head"}, {"dead_letter_exchange": None}],
)
def test_a_queue_that_keeps_no_more_gives_up_what_it_has(
    broker: Broker, channel: Channel, change: dict[str, Any]
) -> None:
    policy(broker)
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    kill(channel, b"one", b"two")
    with broker.tracing() as trace:
        policy(broker, **change)
    assert [event.position for event in trace.of(events.DeadLetterGivenUp)] == [0, 1]
    policy(broker)
    channel.queue_declare("dead")
    broker.clock.advance(RETRY_S)
    assert held_in(channel) == []
    broker.check()


@pytest.mark.parametrize("limit", [{"x-max-length": 2}, {"x-max-length-bytes": 5}])
def test_letters_count_for_the_limit(broker: Broker, channel: Channel, limit: dict[str, int]) -> None:
    declare(channel, **limit)
    kill(channel, b"m1", b"m2", b"m3")
    channel.basic_publish("", "q", b"m4")
    assert channel.queue_declare("q", passive=True).method.message_count == 0
    channel.queue_declare("dead")
    broker.clock.advance(RETRY_S)
    channel.basic_publish("", "q", b"m5")
    assert channel.queue_declare("q", passive=True).method.message_count == 1


def test_a_deleted_queue_takes_its_letters_along(broker: Broker, channel: Channel) -> None:
    declare(channel)
    kill(channel, b"m")
    letters = worker(broker)
    channel.queue_delete("q")
    assert (len(letters), letters.is_open, broker.clock.next_due_ns()) == (0, False, None)


def test_a_purge_leaves_letters_alone(broker: Broker, channel: Channel) -> None:
    declare(channel)
    kill(channel, b"m")
    channel.queue_purge("q")
    channel.queue_declare("dead")
    broker.clock.advance(RETRY_S)
    assert held_in(channel) == [b"m"]


def test_check_notices_what_is_wrong(broker: Broker, channel: Channel) -> None:
    declare(channel)
    kill(channel, b"m")
    letters = worker(broker)
    letter = next(iter(letters._under_way.values()))
    spoilt = [
        (lambda: setattr(letters, "body_bytes", 7), lambda: setattr(letters, "body_bytes", 1)),
        (lambda: letters._waiting.append(letter), letters._waiting.clear),
        (lambda: letter.settled.update(x=None), letter.settled.clear),
        (lambda: letter.missing.update(x=None), letter.missing.clear),
        (letters._disarm, letters._arm),
    ]
    for spoil, mend in spoilt:
        spoil()
        with pytest.raises(AssertionError):
            broker.check()
        mend()
        broker.check()
