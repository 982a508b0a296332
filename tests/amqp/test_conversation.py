"""What a client may say when, and what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from mockbroker.amqp.conversation import CLOSED, CLOSING, RUNNING, Conversation
from mockbroker.amqp.methods import CONTENT_METHODS, METHODS
from mockbroker.clock import SimClock
from mockbroker.core.node import Node
from mockbroker.errors import HardError
from mockbroker.rules import RULES

ALL_CAPABILITIES = {"consumer_cancel_notify": True, "connection.blocked": True}
PUBLISH = {"exchange": "", "routing_key": "q", "mandatory": False, "immediate": False}
QUEUE = {
    "queue": "q",
    "passive": False,
    "durable": False,
    "exclusive": False,
    "auto_delete": False,
    "no_wait": False,
    "arguments": {},
}
CONSUME = {
    "queue": "q",
    "consumer_tag": "c",
    "no_local": False,
    "no_ack": True,
    "exclusive": False,
    "no_wait": False,
    "arguments": {},
}
ABSENT = {"queue": "absent", "no_ack": False}
UNIMPLEMENTED = (503, "COMMAND_INVALID - unimplemented method")
NOT_OPEN = (504, "CHANNEL_ERROR - expected 'channel.open'")
OPEN_TWICE = (504, "CHANNEL_ERROR - second 'channel.open' seen")
NOT_NOW = (504, "CHANNEL_ERROR - unexpected method in connection state running")


class Talk:
    """A conversation, and what its client was sent."""

    def __init__(self, node: Node, capabilities: dict[str, Any] | None = None) -> None:
        self.node = node
        self.sent: list[tuple[int, str, dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.hung_up = 0
        self.conversation = Conversation(node, self._send, self._hang_up)
        user = node.authenticate("guest", "guest", "127.0.0.1")
        properties = {} if capabilities is None else {"capabilities": capabilities}
        self.conversation.open(user, "/", properties, peer_host="127.0.0.1")

    def _send(
        self,
        channel_number: int,
        method_name: str,
        fields: dict[str, Any],
        properties: dict[str, Any] | None = None,
        body: bytes | None = None,
    ) -> None:
        self.sent.append((channel_number, method_name, fields))
        if body is not None:
            self.bodies.append(body)

    def _hang_up(self) -> None:
        self.hung_up += 1

    def say(self, channel_number: int, method_name: str, fields: dict[str, Any] | None = None) -> list[Any]:
        """Send a method; return what came back as (channel, method)."""
        del self.sent[:]
        self.conversation.handle(channel_number, method_name, fields or {})
        return self.heard

    def publish(self, channel_number: int, body: bytes) -> list[Any]:
        del self.sent[:]
        self.conversation.handle(channel_number, "basic.publish", PUBLISH, None, body)
        return self.heard

    @property
    def heard(self) -> list[tuple[int, str]]:
        return [(channel_number, name) for channel_number, name, _ in self.sent]

    @property
    def last_close(self) -> tuple[Any, ...]:
        """Code, text, and the class and method to blame, of the last close."""
        fields = next(fields for _, name, fields in reversed(self.sent) if name.endswith(".close"))
        return fields["reply_code"], fields["reply_text"], fields["class_id"], fields["method_id"]


@pytest.fixture
def node() -> Node:
    return Node(RULES["rabbitmq-4.0"], SimClock())


@pytest.fixture
def talk(node: Node) -> Talk:
    talk = Talk(node, ALL_CAPABILITIES)
    talk.say(1, "channel.open")
    return talk


def blame(text: tuple[int, str], method_name: str) -> tuple[Any, ...]:
    return *text, *METHODS[method_name][1:3]


def test_each_method_has_its_own_numbers() -> None:
    numbers = {(method.class_id, method.method_id) for method in METHODS.values()}
    assert len(numbers) == len(METHODS)
    assert set(METHODS) > CONTENT_METHODS
    assert METHODS["exchange.unbind-ok"][1:3] == (40, 51)
    assert METHODS["basic.qos"].fields == (
        ("prefetch_size", "long"),
        ("prefetch_count", "short"),
        ("global", "bit"),
    )


def test_channel_opens_and_closes(talk: Talk) -> None:
    assert talk.say(7, "channel.open") == [(7, "channel.open-ok")]
    assert talk.say(7, "channel.close") == [(7, "channel.close-ok")]
    assert talk.say(7, "channel.open") == [(7, "channel.open-ok")]


@pytest.mark.parametrize("method_name", ["channel.close", "channel.close-ok", "channel.flow-ok", "tx.commit"])
def test_channel_that_is_not_open(talk: Talk, method_name: str) -> None:
    assert talk.say(3, method_name) == [(0, "connection.close")]
    assert talk.last_close == blame(NOT_OPEN, method_name)
    assert talk.conversation.state == CLOSING


@pytest.mark.parametrize(
    "method_name",
    ["queue.bind", "queue.unbind", "queue.purge", "queue.delete", "basic.consume", "basic.get"],
)
def test_a_queue_without_a_name_is_looked_up_on_a_channel_that_is_not_open(
    talk: Talk, method_name: str
) -> None:
    assert talk.say(3, method_name, {"queue": ""}) == [(3, "channel.close")]
    assert talk.last_close == blame((404, "NOT_FOUND - no previously declared queue"), method_name)
    assert talk.say(3, method_name, {"queue": ""}) == []
    assert talk.say(3, "channel.close-ok") == []
    assert talk.say(3, "channel.open") == [(3, "channel.open-ok")]
    assert talk.say(4, method_name, {"queue": "q"}) == [(0, "connection.close")]
    assert talk.last_close == blame(NOT_OPEN, method_name)


@pytest.mark.parametrize("method_name", ["channel.open", "channel.close", "basic.get", "tx.select"])
def test_any_method_may_be_one_channel_too_many(talk: Talk, method_name: str) -> None:
    talk.node.set_user_limit("guest", "max-channels", 1)
    assert talk.say(3, method_name, {"queue": ""}) == [(0, "connection.close")]
    text = "number of channels opened for user 'rabbit@localhost' has reached the maximum allowed user limit"
    assert talk.last_close == (530, f"NOT_ALLOWED - {text} of (1)", 0, 0)


def test_channel_that_was_closed_by_the_client_is_not_open(talk: Talk) -> None:
    talk.say(1, "channel.close")
    assert talk.publish(1, b"late") == [(0, "connection.close")]
    assert talk.last_close == blame(NOT_OPEN, "basic.publish")


def test_channel_open_twice(talk: Talk) -> None:
    assert talk.say(1, "channel.open") == [(0, "connection.close")]
    assert talk.last_close == blame(OPEN_TWICE, "channel.open")


@pytest.mark.parametrize(
    "method_name",
    ["basic.get-empty", "channel.flow-ok", "channel.close-ok", "queue.declare-ok", "connection.close"],
)
def test_what_a_client_must_not_send(talk: Talk, method_name: str) -> None:
    assert talk.say(1, method_name) == [(0, "connection.close")]
    assert talk.last_close == blame(UNIMPLEMENTED, method_name)


@pytest.mark.parametrize(
    "method_name",
    ["channel.open", "queue.declare", "connection.open", "connection.close-ok", "connection.start"],
)
def test_what_has_no_place_on_channel_zero(talk: Talk, method_name: str) -> None:
    assert talk.say(0, method_name) == [(0, "connection.close")]
    assert talk.last_close == blame(NOT_NOW, method_name)


def test_new_secret_is_accepted(talk: Talk) -> None:
    fields = {"new_secret": "new", "reason": "rotation"}
    assert talk.say(0, "connection.update-secret", fields) == [(0, "connection.update-secret-ok")]
    assert talk.conversation.state == RUNNING


def test_reply_with_fields(talk: Talk) -> None:
    assert talk.say(1, "queue.declare", QUEUE) == [(1, "queue.declare-ok")]
    assert talk.sent[0][2] == {"queue": "q", "message_count": 0, "consumer_count": 0}


def test_no_wait_has_no_reply(talk: Talk) -> None:
    assert talk.say(1, "queue.declare", QUEUE | {"no_wait": True}) == []
    assert talk.say(1, "queue.declare", QUEUE | {"passive": True}) == [(1, "queue.declare-ok")]


def test_global_is_a_field_like_others(talk: Talk) -> None:
    fields = {"prefetch_size": 0, "prefetch_count": 1, "global": True}
    assert talk.say(1, "basic.qos", fields) == [(1, "basic.qos-ok")]


def test_reply_comes_before_what_it_causes(talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    talk.publish(1, b"m1")
    assert talk.say(1, "basic.consume", CONSUME) == [(1, "basic.consume-ok"), (1, "basic.deliver")]
    assert talk.bodies == [b"m1"]


def test_get(talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    talk.publish(1, b"m1")
    assert talk.say(1, "basic.get", {"queue": "q", "no_ack": True}) == [(1, "basic.get-ok")]
    assert talk.sent[0][2] == {
        "delivery_tag": 1,
        "redelivered": False,
        "exchange": "",
        "routing_key": "q",
        "message_count": 0,
    }
    assert talk.say(1, "basic.get", {"queue": "q", "no_ack": True}) == [(1, "basic.get-empty")]


def test_channel_error_is_told_before_its_consequences(node: Node, talk: Talk) -> None:
    other = Talk(node, ALL_CAPABILITIES)
    other.say(1, "channel.open")
    talk.say(1, "queue.declare", QUEUE)
    talk.publish(1, b"m1")
    talk.say(1, "basic.get", {"queue": "q", "no_ack": False})
    other.say(1, "basic.consume", CONSUME)
    del other.sent[:]
    assert talk.say(1, "basic.get", ABSENT) == [(1, "channel.close")]
    assert talk.last_close == (404, "NOT_FOUND - no queue 'absent' in vhost '/'", 60, 70)
    assert other.heard == [(1, "basic.deliver")]
    assert talk.conversation.state == RUNNING


def test_methods_on_a_closing_channel_mean_nothing(talk: Talk) -> None:
    talk.say(1, "basic.get", ABSENT)
    assert talk.say(1, "queue.declare", QUEUE) == []
    assert talk.say(1, "basic.get-empty") == []
    assert talk.publish(1, b"m1") == []
    assert talk.say(1, "channel.close") == [(1, "channel.close-ok")]
    assert talk.say(1, "channel.close-ok") == []
    assert talk.say(1, "channel.open") == [(1, "channel.open-ok")]
    assert talk.say(1, "queue.declare", QUEUE | {"passive": True}) == [(1, "channel.close")]


def test_closing_channel_cannot_be_opened(talk: Talk) -> None:
    talk.say(1, "basic.get", ABSENT)
    assert talk.say(1, "channel.open") == [(0, "connection.close")]
    assert talk.last_close == blame(OPEN_TWICE, "channel.open")


def test_connection_closed_by_the_client(talk: Talk) -> None:
    assert talk.say(0, "connection.close") == [(0, "connection.close-ok")]
    assert (talk.conversation.state, talk.hung_up) == (CLOSED, 1)
    assert talk.say(1, "queue.declare", QUEUE) == []
    assert talk.say(0, "connection.close") == []


def test_closing_connection_waits_for_close_ok(talk: Talk) -> None:
    talk.say(1, "channel.open")
    assert talk.say(1, "queue.declare", QUEUE) == []
    assert talk.say(0, "connection.update-secret") == []
    assert talk.say(0, "connection.close") == [(0, "connection.close-ok")]
    assert talk.hung_up == 0
    assert talk.say(0, "connection.close-ok") == []
    assert (talk.conversation.state, talk.hung_up) == (CLOSED, 1)


def test_lost_client_gives_back_what_it_had(node: Node, talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    talk.publish(1, b"m1")
    talk.say(1, "basic.get", {"queue": "q", "no_ack": False})
    talk.conversation.lost()
    assert talk.conversation.state == CLOSED
    assert node.connections == []
    other = Talk(node)
    other.say(1, "channel.open")
    other.say(1, "basic.get", {"queue": "q", "no_ack": True})
    assert other.sent[0][2]["redelivered"] is True


def test_losing_a_client_twice_changes_nothing(talk: Talk) -> None:
    talk.conversation.lost()
    talk.conversation.lost()
    assert talk.conversation.state == CLOSED


@pytest.mark.parametrize(
    ("capabilities", "told"),
    [
        (ALL_CAPABILITIES, True),
        ({"consumer_cancel_notify": False}, False),
        ({}, False),
        (None, False),
        ("all of them", False),
    ],
)
def test_cancel_is_told_to_those_who_understand_it(node: Node, capabilities: Any, told: bool) -> None:
    talk = Talk(node, capabilities)
    talk.say(1, "channel.open")
    talk.say(2, "channel.open")
    talk.say(1, "queue.declare", QUEUE)
    talk.say(1, "basic.consume", CONSUME)
    talk.say(2, "queue.delete", {"queue": "q", "if_unused": False, "if_empty": False, "no_wait": False})
    assert ((1, "basic.cancel") in talk.heard) is told


def test_stop_of_the_broker_is_told(node: Node, talk: Talk) -> None:
    del talk.sent[:]
    node.stop()
    assert talk.heard == [(0, "connection.close")]
    assert talk.last_close == (
        320,
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        0,
        0,
    )
    talk.say(0, "connection.close-ok")
    assert talk.conversation.state == CLOSED


def test_crash_of_the_broker_is_silent(node: Node, talk: Talk) -> None:
    del talk.sent[:]
    node.lose_power()
    assert talk.heard == []
    assert (talk.conversation.state, talk.hung_up) == (CLOSED, 1)


def test_unknown_vhost_is_raised(node: Node) -> None:
    conversation = Conversation(node, lambda *_: None, lambda: None)
    user = node.authenticate("guest", "guest", "127.0.0.1")
    with pytest.raises(HardError, match="vhost nowhere not found"):
        conversation.open(user, "nowhere", {}, peer_host="127.0.0.1")
    assert node.connections == []


def test_blocked_client_is_taken_at_its_word_later(node: Node, talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    node.set_alarm("memory")
    assert talk.publish(1, b"m1") == [(0, "connection.blocked")]
    assert talk.sent[0][2] == {"reason": "low on memory"}
    assert talk.say(1, "basic.get", {"queue": "q", "no_ack": True}) == []
    assert talk.conversation.is_held_back
    node.clear_alarm("memory")
    assert talk.heard == [(0, "connection.unblocked"), (1, "basic.get-ok")]
    assert not talk.conversation.is_held_back


def test_who_does_not_publish_is_not_blocked(node: Node, talk: Talk) -> None:
    node.set_alarm("disk")
    assert talk.say(1, "queue.declare", QUEUE) == [(1, "queue.declare-ok")]
    node.clear_alarm("disk")
    assert talk.heard == [(1, "queue.declare-ok")]


def test_blocked_client_may_not_be_told(node: Node) -> None:
    talk = Talk(node)
    talk.say(1, "channel.open")
    node.set_alarm("disk")
    assert talk.publish(1, b"m1") == []
    assert talk.conversation.is_held_back
    node.clear_alarm("disk")
    assert talk.heard == []
    assert not talk.conversation.is_held_back


def test_next_alarm_holds_back_what_is_left(node: Node, talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    talk.say(1, "basic.consume", CONSUME)
    node.set_alarm("memory")
    talk.publish(1, b"m1")
    talk.publish(1, b"m2")
    node.clear_alarm("memory")
    node.set_alarm("disk")
    assert talk.publish(1, b"m3") == [(0, "connection.blocked")]
    assert talk.bodies == [b"m1", b"m2"]


def test_blocked_client_that_is_lost_is_missed_later(node: Node, talk: Talk) -> None:
    talk.say(1, "queue.declare", QUEUE)
    node.set_alarm("memory")
    talk.publish(1, b"m1")
    talk.conversation.lost()
    assert len(node.connections) == 1
    node.clear_alarm("memory")
    assert node.connections == []
    assert talk.conversation.state == CLOSED
    assert node.vhost("/").queues["q"].ready_count == 1


def test_limit_on_channels_is_no_methods_fault(node: Node, talk: Talk) -> None:
    node.set_user_limit("guest", "max-channels", 1)
    assert talk.say(2, "channel.open") == [(0, "connection.close")]
    assert talk.last_close[0] == 530
    assert talk.last_close[2:] == (0, 0)


def test_error_below_the_methods(talk: Talk) -> None:
    del talk.sent[:]
    talk.conversation.refuse(HardError("FRAME_ERROR", "cannot read this"))
    assert talk.last_close == (501, "FRAME_ERROR - cannot read this", 0, 0)
    assert talk.conversation.state == CLOSING
