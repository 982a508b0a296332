"""Ports, slow readers, clients that vanish, and the end of an endpoint."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from mockbroker import Broker
from mockbroker.amqp.endpoint import HIGH_BYTES, Endpoint, is_loopback
from tests.amqp.raw_client import HEADER, RawClient, handshake, message, method

PATIENCE_S = 10


def connected(endpoint):
    client = RawClient(endpoint.host, endpoint.port)
    client.send(handshake() + method(1, "channel.open"))
    client.wait_for("channel.open-ok")
    return client


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_many_endpoints_side_by_side():
    with Broker() as one, Broker() as other, one.listen() as a, one.listen() as b, other.listen() as c:
        assert len({a.port, b.port, c.port}) == 3
        client = connected(a)
        client.send(method(1, "queue.declare", queue="q"))
        client.wait_for("queue.declare-ok")
        assert one.list_queues("name") == [{"name": "q"}]
        assert other.list_queues("name") == []
        client.drop()


def test_a_port_in_use_is_named(endpoint, broker):
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{endpoint.port}: the port is in use"):
        broker.listen(port=endpoint.port)
    with pytest.raises(OSError, match="the port is in use"):
        broker.listen(management=True, management_port=endpoint.port)


def test_another_host_must_be_asked_for(broker):
    with pytest.raises(ValueError, match=r"'0\.0\.0\.0'.*allow_remote"):
        broker.listen("0.0.0.0")
    with broker.listen("0.0.0.0", allow_remote=True) as endpoint:
        connected(SimpleNamespace(host="127.0.0.1", port=endpoint.port)).drop()


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.2", True), ("::1", True), ("10.0.0.1", False), ("x", False)]
)
def test_which_hosts_are_our_own(host, expected):
    assert is_loopback(host) is expected


def test_close_tells_the_clients_and_frees_the_port(broker):
    endpoint = broker.listen()
    client = connected(endpoint)
    half_open = RawClient(endpoint.host, endpoint.port)
    half_open.send(HEADER)
    half_open.wait_for("connection.start")
    endpoint.close()
    endpoint.close()
    event = client.wait_for("connection.close")
    assert event["reply_code"] == 320
    assert (
        event["reply_text"] == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    )
    half_open.wait_for("closed")
    client.drop()
    assert broker.list_connections() == []
    with broker.listen(port=endpoint.port):
        pass


def test_a_closed_endpoint_gives_the_broker_back_to_its_thread(broker):
    broker.listen().close()
    assert broker.lock is None
    broker.connect().channel().queue_declare("q")


def test_a_client_that_vanishes_at_any_byte_harms_nobody(endpoint, broker):
    words = handshake() + method(1, "channel.open") + method(1, "queue.declare", queue="q")
    words += message(1, {"routing_key": "q"}, {}, b"x" * 20)
    for end in range(0, len(words), 7):
        client = RawClient(endpoint.host, endpoint.port)
        client.send(words[:end])
        client.drop()
    eventually(lambda: not endpoint.links)
    assert broker.list_connections() == []
    connected(endpoint).drop()


def test_hundreds_of_half_open_connections(endpoint):
    idle = [socket.create_connection((endpoint.host, endpoint.port)) for _ in range(300)]
    connected(endpoint).drop()
    eventually(lambda: len(endpoint.links) == 300)
    for sock in idle:
        sock.close()
    eventually(lambda: not endpoint.links)


def test_a_slow_reader_does_not_make_buffers_grow_nor_stall_others(endpoint, broker):
    body = b"x" * 10_000
    slow = connected(endpoint)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    slow.send(method(1, "queue.declare", queue="q") + method(1, "basic.consume", queue="q", no_ack=True))
    slow.wait_for("basic.consume-ok")
    other = connected(endpoint)
    for _ in range(2000):
        other.send(message(1, {"routing_key": "q"}, {}, body))
    other.send(method(1, "queue.declare", queue="other"))
    other.wait_for("queue.declare-ok")
    (link,) = [link for link in endpoint.links if link.peer_port == slow.port]
    assert link.waiting_bytes < HIGH_BYTES + len(body) + 1000
    assert link.session.is_holding
    for _ in range(2000):
        assert slow.wait_for("basic.deliver")["delivery_tag"] == _ + 1
    assert not link.session.is_holding
    slow.drop()
    other.drop()


def test_a_client_that_asks_and_does_not_read_is_read_no_more(endpoint):
    greedy = connected(endpoint)
    greedy.send(method(1, "queue.declare", queue="q") + message(1, {"routing_key": "q"}, {}, b"x" * 100_000))
    greedy.wait_for("queue.declare-ok")
    question = method(1, "basic.get", queue="q") + method(1, "basic.nack", requeue=True, multiple=True)
    greedy.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        greedy.socket.sendall(question * 1_000_000)
    (link,) = endpoint.links
    assert link.session.held_octets < 64 * 1024 * 1024
    other = connected(endpoint)
    other.drop()
    greedy.drop()


def test_a_message_larger_than_all_buffers(endpoint):
    client = connected(endpoint)
    body = b"x" * (5 * 1024 * 1024)
    sender = threading.Thread(
        target=client.send,
        args=(method(1, "queue.declare", queue="q") + message(1, {"routing_key": "q"}, {}, body),),
    )
    sender.start()
    client.wait_for("queue.declare-ok")
    sender.join()
    client.send(method(1, "basic.get", queue="q", no_ack=True))
    assert client.wait_for("basic.get-ok")["body"] == {"$repeat": ["x", len(body)]}
    client.drop()


def test_a_broker_that_is_down_takes_no_connections():
    broker = Broker()
    with broker.listen() as endpoint:
        broker.node.stop()
        client = RawClient(endpoint.host, endpoint.port)
        client.send(HEADER)
        client.wait_for("closed")
        broker.node.start()
        connected(endpoint).drop()


def test_a_timer_of_a_broker_on_the_wall_clock_fires_by_itself(endpoint, broker):
    client = connected(endpoint)
    client.send(method(1, "queue.declare", queue="q", arguments={"x-expires": 50}))
    client.wait_for("queue.declare-ok")
    eventually(lambda: not broker.list_queues("name"))
    client.drop()


def test_without_pamqp_the_extra_is_named():
    program = (
        "import sys; sys.modules['pamqp'] = None\n"
        "from mockbroker import Broker\n"
        "try: Broker().listen()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "the AMQP endpoint needs pamqp: pip install 'mockbroker[amqp]'\n"


def test_an_endpoint_is_ready_quickly(broker):
    best_s = 1.0
    for _ in range(3):
        begin = time.perf_counter()
        endpoint = Endpoint(broker)
        connected(endpoint).drop()
        endpoint.close()
        best_s = min(best_s, time.perf_counter() - begin)
    assert best_s < 0.5  # a few milliseconds where nothing else runs


def test_clients_wait_in_line_while_there_are_too_many_open_files(endpoint, monkeypatch):
    accept = endpoint._listener.accept
    refusals = [OSError(24, "Too many open files")] * 2

    def accept_or_fail():
        if refusals:
            raise refusals.pop()
        return accept()

    monkeypatch.setattr(endpoint, "_listener", _Wrapped(endpoint._listener, accept_or_fail))
    connected(endpoint).drop()
    assert not refusals


class _Wrapped:
    """A socket with another way to accept."""

    def __init__(self, sock, accept):
        self._socket = sock
        self.accept = accept

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()
