"""The common order of what waits for clients, and what remains when serving is interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mockbroker import Broker
from mockbroker.channel import Channel
from mockbroker.exceptions import LivelockError
from mockbroker.inbox import Inbox, Server


def log(calls: list[str], text: str) -> tuple[Callable[[str], None], tuple[str]]:
    return calls.append, (text,)


def test_entries_are_served_in_the_order_in_which_they_were_put() -> None:
    server = Server()
    inboxes = [Inbox(server.order) for _ in range(2)]
    calls: list[str] = []
    for number in range(4):
        inboxes[number % 2].put(log(calls, str(number)))
    assert server.serve_all(10) == 0  # calls are no deliveries
    assert calls == ["0", "1", "2", "3"]


def test_what_is_served_early_is_passed_over_and_what_is_cleared_is_gone() -> None:
    server = Server()
    mine, yours = Inbox(server.order), Inbox(server.order)
    calls: list[str] = []
    mine.put(log(calls, "mine 1"))
    yours.put(log(calls, "yours 1"))
    mine.put(log(calls, "mine 2"))
    server.serve_one(mine, 10)
    assert calls == ["mine 1", "mine 2"]
    mine.put(log(calls, "mine 3"))
    yours.put(log(calls, "yours 2"))
    yours.clear()
    yours.put(log(calls, "yours 3"))
    server.serve_all(10)
    assert calls == ["mine 1", "mine 2", "mine 3", "yours 3"]
    server.serve_all(10)
    assert not server.order


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_early_service_and_ends_serves_each_entry_once_in_its_inboxs_order(seed: int) -> None:
    chance = random.Random(seed)
    server = Server()
    inboxes = [Inbox(server.order) for _ in range(3)]
    calls: list[str] = []
    expected: dict[int, list[str]] = {0: [], 1: [], 2: []}
    waiting: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for number in range(200):
        which = chance.randrange(3)
        action = chance.random()
        if action < 0.7:
            text = f"{which}:{number}"
            inboxes[which].put(log(calls, text))
            waiting[which].append(text)
        elif action < 0.9:
            server.serve_one(inboxes[which], 10)
            expected[which] += waiting[which]
            waiting[which] = []
        elif action < 0.95:
            inboxes[which].clear()
            waiting[which] = []
        else:
            server.serve_all(10)
            for each in range(3):
                expected[each] += waiting[each]
                waiting[each] = []
    server.serve_all(10)
    for which in range(3):
        assert [text for text in calls if text.startswith(f"{which}:")] == expected[which] + waiting[which]
    assert not server.order


def consuming(auto_ack: bool) -> tuple[Broker, Channel, list[bytes]]:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    for number in range(4):
        channel.basic_publish("", "q", b"%d" % number)
    seen: list[bytes] = []
    channel.basic_consume("q", lambda *a: seen.append(a[3]), auto_ack=auto_ack)
    return broker, channel, seen


@pytest.mark.parametrize("auto_ack", [True, False])
def test_nothing_is_lost_when_serving_stops_at_the_limit(auto_ack: bool) -> None:
    broker, _, seen = consuming(auto_ack)
    with pytest.raises(LivelockError):
        broker.run(max_deliveries=2)
    assert seen == [b"0", b"1"]
    assert broker.run() == 2
    assert seen == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("auto_ack", [True, False])
@pytest.mark.parametrize("how", ["close", "drop"])
def test_who_leaves_sees_nothing_more(auto_ack: bool, how: str) -> None:
    broker, channel, seen = consuming(auto_ack)
    getattr(channel.connection, how)()
    assert broker.run() == 0
    assert seen == []


def test_a_channel_that_closes_inside_a_run_sees_no_more_of_it() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    for number in range(3):
        channel.basic_publish("", "q", b"%d" % number)
    seen: list[bytes] = []

    def receive(ch: Channel, _method: object, _properties: object, body: bytes) -> None:
        seen.append(body)
        ch.close()

    channel.basic_consume("q", receive, auto_ack=True)
    assert broker.run() == 1
    assert seen == [b"0"]


def test_tags_count_on_through_a_run() -> None:
    broker, channel, _ = consuming(auto_ack=True)
    tags: list[int] = []
    channel.stop_consuming()
    channel.basic_consume("q", lambda *a: tags.append(a[1].delivery_tag), auto_ack=True)
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    broker.run()
    assert tags == [5, 6, 7]
