"""The session's own affairs: heartbeats, time-outs, closing, fragments, slow readers. No sockets."""

from __future__ import annotations

import logging

import pytest

from mockbroker.amqp.frames import FRAME_HEAD, HEARTBEAT_FRAME, METHOD, encode_method
from mockbroker.amqp.session import Session
from mockbroker.clock import SimClock
from mockbroker.core.channel import BrokerChannel
from mockbroker.core.node import Node
from mockbroker.errors import HardError
from mockbroker.rules import RULES
from tests.amqp.raw_client import HEADER, Parser, handshake, message, method, start_ok, tune_ok

OPEN = method(0, "connection.open", virtual_host="/")


class Client:
    """A client in memory; it answers closes unless it is told not to."""

    def __init__(self, *, rules="rabbitmq-4.0", answers=True, **session):
        self.clock = SimClock()
        self.node = Node(RULES[rules], self.clock)
        self.parser = Parser(self.answer if answers else None)
        self.written = []
        self.is_hung_up = False
        self.answers = b""
        self.session = Session(self.node, self.take, hang_up=self.hung_up, **session)

    def answer(self, data):
        self.answers += data

    def take(self, data):
        self.written.append(data)
        self.parser.feed(data)

    def hung_up(self):
        assert not self.is_hung_up
        self.is_hung_up = True

    def say(self, data):
        self.session.receive(data)
        answers, self.answers = self.answers, b""
        if answers:
            self.session.receive(answers)

    def heard(self):
        names = [event["ev"] for _, event in self.parser.events]
        self.parser.events.clear()
        return names


def opened(*, heartbeat=0, frame_max=131072, **options):
    client = Client(**options)
    client.say(HEADER + start_ok() + tune_ok(heartbeat=heartbeat, frame_max=frame_max) + OPEN)
    client.say(method(1, "channel.open"))
    assert client.heard() == ["connection.start", "connection.tune", "connection.open-ok", "channel.open-ok"]
    return client


class TestHeartbeats:
    def test_one_is_sent_in_each_interval_of_silence(self):
        client = opened(heartbeat=10)
        client.written.clear()
        for _ in range(6):
            client.clock.advance(10)
            client.say(HEARTBEAT_FRAME)
        assert client.written == [HEARTBEAT_FRAME] * 6

    def test_traffic_takes_their_place(self):
        client = opened(heartbeat=10)
        for _ in range(20):
            client.clock.advance(4)
            client.say(method(1, "basic.qos"))
        assert client.heard() == ["basic.qos-ok"] * 20

    def test_a_silent_client_is_dropped_after_two_to_three_intervals(self):
        client = opened(heartbeat=10)
        client.say(method(1, "queue.declare", queue="q", exclusive=True))
        client.clock.advance(20)
        assert not client.is_hung_up
        client.clock.advance(10)
        assert client.is_hung_up
        assert not client.node.connections
        client.node.check()

    def test_zero_means_none(self):
        client = opened(heartbeat=0)
        client.clock.advance(10_000)
        assert client.heard() == []
        assert not client.is_hung_up

    def test_they_follow_their_own_clock(self):
        clock = SimClock()
        client = opened(heartbeat=10, clock=clock)
        client.clock.advance(10_000)
        assert client.heard() == []
        clock.advance(30)
        assert client.is_hung_up

    def test_a_client_that_an_alarm_blocks_is_not_dropped(self):
        client = opened(heartbeat=10)
        client.node.set_alarm("memory")
        client.say(message(1, {"routing_key": "q"}, {}, b"x"))
        assert client.session.is_full
        client.clock.advance(100)
        assert not client.is_hung_up
        client.node.clear_alarm("memory")
        assert not client.session.is_full


class TestTimeOuts:
    @pytest.mark.parametrize("said", [b"", HEADER, HEADER + start_ok(), HEADER + start_ok() + tune_ok()])
    def test_a_handshake_has_ten_seconds(self, said):
        client = Client()
        client.say(said)
        client.clock.advance(9)
        assert not client.is_hung_up
        client.clock.advance(1)
        assert client.is_hung_up

    @pytest.mark.parametrize(("heartbeat", "seconds"), [(0, 30), (60, 30), (5, 5)])
    def test_close_ok_has_thirty_seconds_or_a_heartbeat(self, heartbeat, seconds):
        client = opened(answers=False, heartbeat=heartbeat)
        client.session.shut_down()
        assert client.heard() == ["connection.close"]
        client.clock.advance(seconds - 1)
        assert not client.is_hung_up
        client.clock.advance(1)
        assert client.is_hung_up


class TestClosing:
    def test_frames_of_a_channel_that_is_being_closed_are_ignored_until_close_ok(self):
        client = opened(answers=False)
        client.say(method(1, "queue.declare", queue="nope", passive=True))
        client.say(method(1, "queue.declare", queue="q") + message(1, {"routing_key": "q"}, {}, b"x"))
        assert client.heard() == ["channel.close"]
        client.say(
            method(1, "channel.close-ok") + method(1, "channel.open") + method(1, "queue.declare", queue="r")
        )
        assert client.heard() == ["channel.open-ok", "queue.declare-ok"]
        assert list(client.node.vhosts["/"].queues) == ["r"]

    def test_frames_after_connection_close_are_ignored_until_close_ok(self):
        client = opened(answers=False)
        client.say(method(1, "channel.open"))
        client.say(method(1, "queue.declare", queue="q") + b"\x01\0\x01\0\0\0\x01\0\xce")
        assert client.heard() == ["connection.close"]
        client.say(method(0, "connection.close") + method(0, "connection.close-ok"))
        assert client.heard() == ["connection.close-ok"]
        assert client.is_hung_up

    def test_the_client_closes(self):
        client = opened()
        client.say(method(0, "connection.close", reply_code=200))
        assert client.heard() == ["connection.close-ok"]
        assert client.is_hung_up
        client.say(method(1, "basic.qos"))
        assert client.heard() == []

    def test_the_client_vanishes(self):
        client = opened()
        client.say(method(1, "queue.declare", queue="q", exclusive=True))
        client.session.eof()
        client.session.eof()
        assert not client.node.vhosts["/"].queues

    def test_a_long_reply_text_fits(self):
        client = opened()
        client.say(method(1, "queue.declare", queue="q" * 255, passive=True))
        ((_, event),) = client.parser.events
        assert event["reply_text"].endswith("...")
        assert len(event["reply_text"]) == 255

    def test_a_fault_of_our_own_costs_one_connection(self, monkeypatch, caplog):
        client = opened()
        monkeypatch.setattr(BrokerChannel, "basic_qos", lambda *_, **__: 1 / 0)
        with caplog.at_level(logging.ERROR):
            client.say(method(1, "basic.qos"))
        assert "ZeroDivisionError" in caplog.text
        ((_, event),) = client.parser.events
        assert event["reply_code"] == 541
        assert client.is_hung_up

    def test_not_even_a_fault_in_the_goodbye_comes_out(self, monkeypatch, caplog):
        client = opened()
        monkeypatch.setattr(type(client.node), "drain", lambda node: 1 / 0)
        with caplog.at_level(logging.ERROR):
            client.session.receive(method(1, "basic.qos"))
        assert client.is_hung_up


class TestContent:
    def test_bodies_are_cut_to_the_agreed_size(self):
        client = opened(frame_max=4096)
        body = bytes(range(256)) * 40
        client.say(
            method(1, "queue.declare", queue="q")
            + message(1, {"routing_key": "q"}, {"priority": 1}, body[:4000])
        )
        client.say(method(1, "basic.publish", routing_key="q"))
        for data in client.written:
            assert len(data) <= 4096
        client.say(b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0" + len(body).to_bytes(8) + b"\0\0\xce")
        for start in range(0, len(body), 4088):
            chunk = body[start : start + 4088]
            client.say(b"\x03\0\x01" + len(chunk).to_bytes(4) + chunk + b"\xce")
        client.written.clear()
        client.say(method(1, "basic.get", queue="q") * 2)
        sizes = [int.from_bytes(data[3:7]) for data in frames_of(b"".join(client.written)) if data[0] == 3]
        assert sizes == [4000, 4088, 4088, 10240 - 2 * 4088]

    def test_messages_of_two_channels_may_be_mixed(self):
        client = opened()
        client.say(method(2, "channel.open") + method(1, "queue.declare", queue="q"))
        one, two = message(1, {"routing_key": "q"}, {}, b"one"), message(2, {"routing_key": "q"}, {}, b"two")
        for first, second in zip(frames_of(one), frames_of(two), strict=True):
            client.say(first + second)
        client.heard()
        client.say(method(1, "basic.get", queue="q", no_ack=True) * 2)
        assert [event["body"] for _, event in client.parser.events] == ["one", "two"]


def frames_of(data):
    found = []
    while data:
        end = 8 + int.from_bytes(data[3:7])
        found.append(data[:end])
        data = data[end:]
    return found


class TestSlowReaders:
    def test_deliveries_wait_as_messages_and_everything_keeps_its_order(self):
        client = opened()
        client.say(method(1, "queue.declare", queue="q") + method(1, "basic.consume", queue="q", no_ack=True))
        client.session.pause_writing()
        client.heard()
        for number in range(3):
            client.say(message(1, {"routing_key": "q"}, {}, b"%d" % number))
        client.say(method(1, "basic.qos"))
        assert client.heard() == []
        assert client.session.is_holding
        client.session.resume_writing()
        assert client.heard() == ["basic.deliver"] * 3 + ["basic.qos-ok"]
        assert not client.session.is_holding

    def test_a_run_stops_where_writing_is_paused_again(self):
        client = opened()
        client.say(method(1, "queue.declare", queue="q"))
        for number in range(5):
            client.say(message(1, {"routing_key": "q"}, {}, b"%d" % number))
        take = client.take

        def take_one(data):
            take(data)
            client.session.pause_writing()

        client.session._write = take_one
        client.say(method(1, "basic.consume", queue="q", no_ack=True))
        client.heard()
        for number in range(5):
            client.session.resume_writing()
            assert [event["body"] for _, event in client.parser.events] == [str(number)]
            client.parser.events.clear()


class TestServerProperties:
    @pytest.mark.parametrize(("rules", "version"), [("rabbitmq-3.10", "3.10.8"), ("rabbitmq-4.0", "4.0.5")])
    def test_product_and_version_are_those_of_the_rules(self, rules, version):
        client = Client(rules=rules)
        client.say(HEADER)
        ((_, start),) = client.parser.events
        properties = start["server_properties"]
        assert (properties["product"], properties["version"]) == ("RabbitMQ", version)


def test_octets_that_are_no_text_are_quoted_as_they_are():
    """Found by fuzzing: RabbitMQ 3.10 puts them into its text unchanged."""
    client = opened(rules="rabbitmq-3.10")
    client.say(b"\x03\0\0\0\0\0\x10" + b"\xce" * 16 + b"\xce")
    assert b'octets = <<"' + b"\xce" * 16 + b'">>' in client.written[-1]


def test_update_secret():
    client = opened()
    client.say(method(0, "connection.update-secret", new_secret="x", reason="y"))
    assert client.heard() == ["connection.update-secret-ok"]


def method_frame(payload):
    return FRAME_HEAD.pack(METHOD, 1, len(payload)) + payload + b"\xce"


def closing(client):
    """What connection.close says: code, class and method."""
    ((_, event),) = client.parser.events
    return event["reply_code"], event["class_id"], event["method_id"]


def test_access_request_is_answered_always():
    client = opened()
    client.say(method_frame(encode_method("access.request", {"realm": "/data", "active": True})))
    assert client.written[-1] == method_frame(bytes.fromhex("001e000b0001"))
    client.parser.events.clear()
    client.say(method_frame(bytes.fromhex("001e000a")))
    assert closing(client) == (501, 30, 10)


class TestContentMethodsOfTheServer:
    @pytest.mark.parametrize(
        ("name", "number"), [("basic.return", 50), ("basic.deliver", 60), ("basic.get-ok", 71)]
    )
    def test_are_refused_when_their_content_is_there(self, name, number):
        client = opened()
        publish = method(1, "basic.publish")
        content = message(1, {}, {}, b"x")[len(publish) :]
        client.say(method(1, name) + content[:-1])
        assert client.heard() == []
        client.say(content[-1:])
        assert closing(client) == (503, 60, number)

    def test_suffer_no_other_frame_in_between(self):
        client = opened()
        client.say(method(1, "basic.deliver") + method(1, "basic.qos"))
        assert closing(client) == (505, 60, 60)

    def test_are_passed_over_on_a_channel_that_is_closing(self):
        client = opened(answers=False)
        client.say(method(1, "queue.declare", queue="absent", passive=True))
        deliver = method(1, "basic.deliver") + message(1, {}, {}, b"x")[len(method(1, "basic.publish")) :]
        client.say(deliver + method(1, "channel.close-ok") + method(1, "channel.open"))
        client.say(message(1, {"routing_key": "q"}, {}, b"x") + method(1, "basic.qos"))
        assert client.heard() == ["channel.close", "channel.open-ok", "basic.qos-ok"]


@pytest.mark.parametrize("name", ["basic.credit", "basic.credit-ok", "basic.credit-drained"])
def test_methods_for_credit_are_known_and_refused(name):
    client = opened()
    payload = encode_method(name, {})
    client.say(method_frame(payload))
    assert closing(client) == (503, 60, int.from_bytes(payload[2:4], "big"))
    client = opened()
    client.say(method_frame(payload + b"x"))
    assert closing(client)[0] == 501


def test_a_loopback_user_from_afar_is_refused():
    client = Client(peer_host="10.0.0.9")
    client.say(handshake())
    assert client.heard() == ["connection.start", "connection.close"]
    assert client.is_hung_up


def test_shut_down_in_the_handshake_hangs_up():
    client = Client()
    client.say(HEADER)
    client.session.shut_down()
    assert client.is_hung_up


def test_a_forced_close_is_told():
    client = opened()
    (connection,) = client.node.connections
    client.node.force_close(connection, "because")
    ((_, event),) = client.parser.events
    assert event["reply_text"] == "CONNECTION_FORCED - because"
    assert isinstance(HardError("CONNECTION_FORCED", "because").reply_text, str)
