"""Dead letters: where they go, what they tell, and when a circle ends."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from mockbroker import BasicProperties, Broker, events
from mockbroker.channel import Channel
from mockbroker.core.queues.dead_letter import bury, let_letters_overtake

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture(params=["rabbitmq-3.10", "rabbitmq-4.0"])
def channel(request: pytest.FixtureRequest) -> Channel:
    channel = Broker(rules=request.param).connect().channel()
    channel.queue_declare("dead")
    return channel


def fetched(channel: Channel, queue: str = "dead") -> tuple[Any, BasicProperties, bytes]:
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    assert method is not None
    assert properties is not None
    assert body is not None
    return method, properties, body


def reject(channel: Channel, queue: str = "q") -> None:
    method, _, _ = channel.basic_get(queue)
    assert method is not None
    channel.basic_reject(method.delivery_tag, requeue=False)


def deaths(properties: BasicProperties) -> list[tuple[str, str, int]]:
    """Queue, reason and count of each death, the newest first."""
    assert properties.headers is not None
    return [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]


def test_a_rejected_message_tells_where_it_died(channel: Channel) -> None:
    channel.queue_declare("q", arguments=DEAD)
    channel.exchange_declare("e", "fanout")
    channel.queue_bind("q", "e")
    channel.connection.broker.clock.advance(1.7)
    channel.basic_publish("e", "key", b"x", BasicProperties(headers={"mine": 1}, app_id="me"))
    reject(channel)
    method, properties, body = fetched(channel)
    assert (method.exchange, method.routing_key, body, properties.app_id) == ("", "dead", b"x", "me")
    assert properties.headers is not None
    assert properties.headers["mine"] == 1
    assert properties.headers["x-death"] == [
        {
            "count": 1,
            "reason": "rejected",
            "queue": "q",
            "time": datetime.datetime(2025, 1, 1, 0, 0, 1, tzinfo=datetime.UTC),
            "exchange": "e",
            "routing-keys": ["key"],
        }
    ]
    first = {name: properties.headers[f"x-first-death-{name}"] for name in ("exchange", "queue", "reason")}
    assert first == {"exchange": "e", "queue": "q", "reason": "rejected"}


def test_the_three_reasons_of_a_classic_queue(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-max-length": 2, "x-message-ttl": 100, **DEAD})
    for body in ("0", "1", "2"):
        channel.basic_publish("", "q", body)
    reject(channel)
    channel.connection.broker.clock.advance(0.1)
    told = [
        (body, *deaths(properties)[0][:2]) for _, properties, body in (fetched(channel) for _ in range(3))
    ]
    assert told == [(b"0", "q", "maxlen"), (b"1", "q", "rejected"), (b"2", "q", "expired")]


def test_the_expiration_is_taken_off_and_told(channel: Channel) -> None:
    channel.queue_declare("q", arguments=DEAD)
    channel.basic_publish("", "q", b"x", BasicProperties(expiration="50"))
    channel.connection.broker.clock.advance(10)
    _, properties, _ = fetched(channel)
    assert properties.expiration is None
    assert properties.headers is not None
    assert properties.headers["x-death"][0]["original-expiration"] == "50"


def test_without_a_routing_key_the_messages_own_is_kept(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "amq.topic"})
    channel.queue_bind("dead", "amq.topic", "key.#")
    channel.queue_bind("q", "amq.direct", "key.1")
    channel.basic_publish("amq.direct", "key.1", b"x")
    reject(channel)
    assert fetched(channel)[0].routing_key == "key.1"


@pytest.mark.parametrize(
    "arguments", [{}, {"x-dead-letter-exchange": "absent"}, {"x-dead-letter-exchange": "amq.direct"}]
)
def test_a_message_without_a_way_on_is_gone(channel: Channel, arguments: dict[str, Any]) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q", arguments=arguments)
    channel.basic_publish("", "q", b"x")
    reject(channel)
    assert [row["messages"] for row in broker.list_queues("messages")] == [0, 0]
    broker.check()


def test_a_dead_letter_exchange_that_comes_later_serves(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "later"})
    channel.basic_publish("", "q", b"lost")
    reject(channel)
    channel.exchange_declare("later", "fanout")
    channel.queue_bind("dead", "later")
    channel.basic_publish("", "q", b"kept")
    reject(channel)
    assert fetched(channel)[2] == b"kept"


def test_a_policy_may_say_where_dead_letters_go(channel: Channel) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q")
    broker.set_policy("p", "^q$", {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"})
    channel.basic_publish("", "q", b"x")
    reject(channel)
    assert fetched(channel)[2] == b"x"


def test_deaths_in_the_same_queue_for_the_same_reason_are_counted(channel: Channel) -> None:
    loop = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    channel.queue_declare("q", arguments=loop)
    channel.basic_publish("", "q", b"x")
    for _ in range(3):
        reject(channel)
    _, properties, _ = fetched(channel, "q")
    assert deaths(properties) == [("q", "rejected", 3)]


def test_a_circle_without_a_rejection_is_broken(channel: Channel) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q", arguments={"x-message-ttl": 100, **DEAD, "x-dead-letter-routing-key": "r"})
    channel.queue_declare("r", arguments={"x-message-ttl": 100, **DEAD, "x-dead-letter-routing-key": "q"})
    channel.basic_publish("", "q", b"x")
    with broker.tracing() as trace:
        broker.clock.advance(1)
    assert broker.clock.next_due_ns() is None
    assert [event.queues for event in trace.of(events.DeadLettered)] == [(("r", 0),), ()]
    assert not trace.of(events.PublishRefused)


def test_a_letter_may_be_refused(channel: Channel) -> None:
    channel.queue_declare("q", arguments=DEAD | {"x-dead-letter-routing-key": "full"})
    channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    channel.basic_publish("", "q", b"x")
    with channel.connection.broker.tracing() as trace:
        reject(channel)
    assert [event.queues for event in trace.of(events.DeadLettered)] == [(("full", 0),)]
    assert [event.queue for event in trace.of(events.PublishRefused)] == ["full"]


@pytest.mark.parametrize("header", [1, Decimal("1.5")], ids=["plain", "that cannot be stored"])
def test_a_letter_that_a_stream_does_not_take_is_refused(channel: Channel, header: Any) -> None:
    broker = channel.connection.broker
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("q", arguments=DEAD | {"x-dead-letter-routing-key": "s"})
    channel.basic_publish("", "q", b"x", BasicProperties(headers={"h": header}))
    with broker.tracing() as trace:
        reject(channel)
    is_taken = header == 1 and broker.node.rules.stream_takes_dead_letters
    assert broker.queue("s").ready_count == is_taken
    refusing = [event.queue for event in trace.of(events.PublishRefused)]
    assert refusing == ([] if is_taken else ["s"])


def test_a_circle_with_a_rejection_in_it_goes_on(channel: Channel) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait"})
    wait = {"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    channel.queue_declare("wait", arguments=wait)
    channel.basic_publish("", "q", b"x")
    for _ in range(3):
        reject(channel)
        broker.clock.advance(0.1)
    _, properties, _ = fetched(channel, "q")
    assert sorted(deaths(properties)) == [("q", "rejected", 3), ("wait", "expired", 3)]


def test_purging_and_deleting_leave_no_dead_letters(channel: Channel) -> None:
    broker = channel.connection.broker
    channel.queue_declare("q", arguments=DEAD)
    channel.basic_publish("", "q", b"x")
    channel.queue_purge("q")
    channel.basic_publish("", "q", b"x")
    channel.queue_delete("q")
    assert broker.list_queues("messages") == [{"messages": 0}]


def test_many_deaths_at_once_keep_their_order(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-message-ttl": 100, **DEAD})
    bodies = [b"%d" % number for number in range(50)]
    for body in bodies:
        channel.basic_publish("", "q", body)
    channel.connection.broker.clock.advance(1)
    assert [fetched(channel)[2] for _ in bodies] == bodies


def test_what_the_client_claims_about_deaths_is_not_lost_where_the_rules_trust_it(channel: Channel) -> None:
    channel.queue_declare("q", arguments=DEAD)
    claim = {"queue": "q", "reason": "rejected", "count": 5}
    channel.basic_publish("", "q", b"x", BasicProperties(headers={"x-death": [claim]}))
    reject(channel)
    _, properties, _ = fetched(channel)
    trusted = channel.connection.broker.node.rules.name == "rabbitmq-3.10"
    assert deaths(properties)[0] == ("q", "rejected", 6 if trusted else 1)


def is_older(channel: Channel) -> bool:
    return channel.connection.broker.node.rules.name == "rabbitmq-3.10"


@pytest.mark.parametrize(
    ("claimed", "told"),
    [
        ([], [("q", "rejected", 1)]),
        ("text", [("q", "rejected", 1)]),
        ([{"queue": "z", "reason": "expired", "count": 2}], [("q", "rejected", 1), ("z", "expired", 2)]),
        ([{"queue": "q", "reason": "rejected"}], [("q", "rejected", 1)]),
        ([{"queue": "q", "reason": "rejected"}] * 2, [("q", "rejected", 3)]),
    ],
)
def test_a_history_that_a_client_made_up_is_continued_where_the_rules_trust_it(
    channel: Channel, claimed: Any, told: list[tuple[str, str, int]]
) -> None:
    channel.queue_declare("q", arguments=DEAD)
    channel.basic_publish("", "q", b"x", BasicProperties(headers={"x-death": claimed}))
    reject(channel)
    _, properties, _ = fetched(channel)
    assert deaths(properties) == (told if is_older(channel) else [("q", "rejected", 1)])
    assert properties.headers is not None
    assert ("x-first-death-queue" in properties.headers) != is_older(channel)


def test_a_letter_with_a_key_of_its_own_has_no_copies_any_more(channel: Channel) -> None:
    channel.queue_declare("q", arguments={**DEAD, "x-dead-letter-routing-key": "r"})
    channel.queue_declare("r", arguments={"x-dead-letter-exchange": "amq.topic"})
    channel.queue_bind("dead", "amq.topic", "#")
    channel.queue_declare("copy")
    for key in ("red", "blue"):
        channel.queue_bind("copy", "amq.topic", key)
    channel.basic_publish("", "q", b"x", BasicProperties(headers={"CC": ["red"], "BCC": ["blue"]}))
    for queue in ("q", "r"):
        reject(channel, queue)
    _, properties, _ = fetched(channel)
    assert channel.basic_get("copy")[0] is None
    assert properties.headers is not None
    assert ("CC" in properties.headers) != is_older(channel)
    assert [death["routing-keys"] for death in properties.headers["x-death"]] == [["r"], ["q", "red"]]


@pytest.mark.parametrize(
    ("copies", "hidden", "told"),
    [(["b"], ["q"], ["b", "q"]), (["b", "q"], ["b"], ["q", "q", "b"]), (["b"], ["c", "d"], ["q", "b"])],
)
def test_a_death_does_not_tell_hidden_keys(
    channel: Channel, copies: list[str], hidden: list[str], told: list[str]
) -> None:
    channel.queue_declare("q", arguments=DEAD)
    channel.queue_bind("q", "amq.fanout")
    headers = {"CC": copies, "BCC": hidden}
    channel.basic_publish("amq.fanout", "q", b"x", BasicProperties(headers=headers))
    reject(channel)
    _, properties, _ = fetched(channel)
    assert properties.headers is not None
    assert properties.headers["x-death"][0]["routing-keys"] == (["q", *copies] if is_older(channel) else told)


def test_a_headers_exchange_sees_no_history_that_the_broker_keeps_apart(channel: Channel) -> None:
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "amq.headers"})
    channel.queue_bind("dead", "amq.headers", arguments={"x-match": "all-with-x", "x-death": None})
    for headers in (None, {"x-death": "mine"}):
        channel.basic_publish("", "q", b"x", BasicProperties(headers=headers))
        reject(channel)
    assert channel.queue_declare("dead", passive=True).method.message_count == (2 if is_older(channel) else 1)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_letter_in_a_stream_has_its_expiration_back(kind: str) -> None:
    channel = Broker().connect().channel()
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("r", arguments={**DEAD, "x-dead-letter-routing-key": "s"})
    arguments = {"x-queue-type": kind, **DEAD, "x-dead-letter-routing-key": "r"}
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.basic_publish("", "q", b"x", BasicProperties(expiration="050"))
    channel.connection.broker.clock.advance(1)
    reject(channel, "r")
    channel.basic_qos(prefetch_count=1)
    seen: list[BasicProperties] = []
    channel.basic_consume(
        "s",
        lambda _channel, _method, properties, _body: seen.append(properties),
        arguments={"x-stream-offset": "first"},
    )
    channel.connection.broker.run()
    assert [properties.expiration for properties in seen] == ["50"]


def test_letters_overtake_other_work_and_leave_it_in_order(channel: Channel) -> None:
    node = channel.connection.broker.node
    channel.queue_declare("q", arguments=DEAD)
    seen: list[str] = []
    node.later(seen.append, "first")
    bury(node.vhosts["/"].queues["q"], ("", "q", b"m", None, None), "rejected")
    node.later(seen.append, "second")
    let_letters_overtake(node)
    assert (seen, node.vhosts["/"].queues["dead"].ready_count) == ([], 1)
    node.drain()
    assert seen == ["first", "second"]
