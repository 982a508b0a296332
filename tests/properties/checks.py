"""What must be true between two commands: broker and model hold the same, and no limit is exceeded."""

from __future__ import annotations

from mockbroker import Broker
from mockbroker.clock import MS
from mockbroker.core.queues.base import Queue

from .kept_letters import RETRY_MS, WINDOW
from .model import Model
from .records import NORMAL, RETURNED, URGENT, Copy, ModelQueue

TICK_MS = 5000
"""How often a quorum queue looks whether it has expired."""


def check(model: Model, broker: Broker) -> None:
    """Compare the model with the broker."""
    now_ns = broker.clock.now_ns
    shown = broker.node.vhosts["/"].queues
    assert set(shown) == set(model.queues)
    for name, queue in model.queues.items():
        model.close_run(queue)
        queue.look_at_limits()
        for consumer in queue.consumers.values():
            consumer.unsettled = 0
        _check_messages(model, queue, shown[name], now_ns)
        _check_use(model, queue, now_ns)
    _check_lists(model, broker)
    _check_channels(model, broker, now_ns)
    model.bindings.check()


def _check_messages(model: Model, queue: ModelQueue, shown: Queue, now_ns: int) -> None:
    """The same messages, with the same flags, in an order that the rules allow; nothing overdue."""
    there = list(shown.messages())
    assert {position for position, _, _ in there} == set(queue.ready), f"{queue.name} holds something else"
    copies = [queue.ready[position] for position, _, _ in there]
    assert [message[2] for _, message, _ in there] == [copy.body for copy in copies]
    if queue.type == "stream":
        assert [copy.position for copy in copies] == list(range(queue.next_position)), (
            "a stream lost a message"
        )
        for consumer in queue.consumers.values():
            unread = list(model.unread(queue, consumer))
            assert not (unread and consumer.has_credit), f"{consumer} could read on at {unread}"
        return
    again = [_comes_again(queue, copy) for copy in copies]
    assert [redelivered for _, _, redelivered in there] == again, f"{queue.name} has wrong flags"
    queue.assert_in_order(copies, queue.name)
    _check_lanes([copy for copy in copies if copy.lane != RETURNED])
    if copies and not queue.may_overtake:
        expires_ns = copies[0].expires_ns
        assert expires_ns is None or expires_ns > now_ns, f"the head of {queue.name} has expired: {copies[0]}"
    assert not (queue.drops_head and queue.is_above_limit()), f"{queue.name} is above its limit"
    assert not queue.given_up, f"{queue.name} owes dead letters: {queue.given_up}"
    assert queue.keeps_letters or not queue.letters, f"{queue.name} keeps letters: {queue.letters}"
    _check_letters(queue, now_ns)
    assert not queue.spent, f"{queue.name} keeps what was returned too often: {queue.spent}"
    limit = model.delivery_limit(queue)
    if queue.type == "quorum" and limit is not None and not model.facts.policy_changes:
        most = max([copy.returns for copy in copies], default=0)
        assert most <= max(limit, 0), f"{queue.name} gives out again what came back {most} times"


def _check_letters(queue: ModelQueue, now_ns: int) -> None:
    """Letters wait only behind a full window, and what no queue was there for is not forgotten."""
    letters = list(queue.letters.values())
    under_way = [letter for letter in letters if letter.looked_at_ns is not None]
    assert len(under_way) == min(len(letters), WINDOW), f"letters of {queue.name} wait: {letters}"
    if queue.word("dead-letter-exchange") == "":  # nothing is tried while an exchange is not there
        for letter in under_way:
            if letter.is_home and set(letter.missing) <= {queue.name}:
                continue  # it waits for nothing that will come
            last_ns = letter.looked_at_ns if letter.tried_ns is None else letter.tried_ns + RETRY_MS * MS
            assert last_ns is not None
            assert now_ns < last_ns + RETRY_MS * MS, f"{letter} of {queue.name} should have been tried again"


def _check_lanes(copies: list[Copy]) -> None:
    """While urgent messages wait a normal one goes only before what is younger, at most every third time;
    where a normal one is older than what goes, it does so every third time.
    """
    for index, copy in enumerate(copies):
        later = copies[index + 1 :]
        urgent = [each for each in later if each.lane == URGENT]
        if copy.lane == NORMAL:
            assert all(copy.turn < each.turn for each in urgent), f"{copy} overtakes older ones: {urgent}"
            assert [each.lane for each in later[:2]].count(URGENT) == min(len(urgent), 2), (
                f"{copies} is not two for one"
            )
        elif [each.lane for each in later[:2]] == [URGENT, URGENT]:
            older = [each for each in later if each.lane == NORMAL and each.turn < copy.turn]
            assert not older, f"{copies} lets {older} wait"


def _comes_again(queue: ModelQueue, copy: Copy) -> bool:
    return copy.is_returned if queue.type == "classic" else copy.returns + copy.failures > 0


def _check_use(model: Model, queue: ModelQueue, now_ns: int) -> None:
    """Temporary queues are gone when their time has come."""
    assert queue.consumers or not (queue.auto_delete and queue.had_consumers), f"{queue.name} should be gone"
    assert not queue.exclusive or model.facts.owners[queue.name] in model.connections, (
        f"{queue.name} has no owner"
    )
    expires_ms = queue.number("expires")
    if queue.type == "classic":
        queue.used_ns = max(queue.used_ns, model.facts.used_ns.get(queue.name, 0))
    if expires_ms is not None and queue.type != "stream" and not queue.consumers and not queue.unacked:
        last_ns = queue.used_ns + expires_ms * MS
        if queue.type == "quorum":  # it looks only now and then, and counts from the server's start
            last_ns = max(last_ns, model.started_ns) + TICK_MS * MS
        assert now_ns < last_ns or model.facts.policies, f"{queue.name} should have expired at {last_ns}"


def _check_lists(model: Model, broker: Broker) -> None:
    listed = broker.list_queues("name", "messages_ready", "messages_unacknowledged", "messages")
    for row in listed:
        queue = model.queues[row["name"]]
        counts = (len(queue.ready), len(queue.unacked))
        assert (row["messages_ready"], row["messages_unacknowledged"]) == counts, f"{row}, and not {counts}"
        total = sum(counts) + len(queue.letters)
        assert row["messages"] == total, f"{row}, and not {total}: {queue.letters}"
    consumers = {
        (row["queue_name"], row["consumer_tag"])
        for row in broker.list_consumers("queue_name", "consumer_tag")
    }
    listed_queues = [queue for queue in model.queues.values() if queue.type != "stream"]
    fetches = {
        (holding.queue.name, str(tag))
        for (_, tag), holding in model.held.items()
        if holding.consumer is None
        and holding.queue.type == "quorum"
        and model.queues.get(holding.queue.name) is holding.queue
    }
    assert consumers == fetches | {(queue.name, tag) for queue in listed_queues for tag in queue.consumers}


def _check_channels(model: Model, broker: Broker, now_ns: int) -> None:
    """Who asked for something has an answer; who holds something too long is gone."""
    assert {connection.name for connection in broker.node.connections} == set(model.connections)
    if not model.facts.is_alarmed:
        waiting = [
            body for body, each in model.facts.asked.items() if each.channel not in model.facts.transactional
        ]
        assert not waiting, f"{waiting} were asked for and never published"
    if not model.facts.had_alarm:  # what an alarm has held is confirmed at the next sync
        for channel in model.facts.confirming:
            assert all(each.is_answered for each in model.publishes[channel]), f"{channel} waits for confirms"
    timeout_ms = broker.node.consumer_timeout_ms
    for (channel, tag), holding in model.held.items():
        is_late = timeout_ms is not None and now_ns >= holding.since_ns + timeout_ms * MS
        assert not is_late or channel in model.facts.transactional, f"{channel} holds {tag} too long"
