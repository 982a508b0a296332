"""A client that sends whatever bytes it is given, and shows what comes back, with a codec that is not ours.

It counts octets both ways, so that a test can wait for the exact moment at which everything has been read.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from tests.conformance.live import wire

HEADER = b"AMQP\x00\x00\x09\x01"
CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
WITH_CONTENT = {"basic.deliver", "basic.return", "basic.get-ok"}
PATIENCE_S = 10.0

Event = dict[str, Any]


def method(channel_number: int, name: str, **fields: Any) -> bytes:
    """One method frame."""
    return wire.frame(wire.FRAME_METHOD, channel_number, wire.encode_method(name, fields))


def message(channel_number: int, fields: dict[str, Any], properties: dict[str, Any], body: bytes) -> bytes:
    """The frames of basic.publish."""
    head = wire.frame(wire.FRAME_METHOD, channel_number, wire.encode_method("basic.publish", fields))
    return head + wire.content_frames(channel_number, properties, body, 131072)


def start_ok(
    user: str = "guest",
    password: str = "guest",
    mechanism: str = "PLAIN",
    client_properties: dict[str, Any] | None = None,
) -> bytes:
    """The client's answer to connection.start."""
    login = wire.encode_field("table", {"LOGIN": user, "PASSWORD": password})[4:]
    return method(
        0,
        "connection.start-ok",
        client_properties={"product": "raw", "capabilities": CAPABILITIES} | (client_properties or {}),
        mechanism=mechanism,
        response=login if mechanism == "AMQPLAIN" else f"\0{user}\0{password}",
        locale="en_US",
    )


def tune_ok(channel_max: int = 2047, frame_max: int = 131072, heartbeat: int = 0) -> bytes:
    """The client's answer to connection.tune."""
    return method(0, "connection.tune-ok", channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat)


def handshake(vhost: str = "/") -> bytes:
    """All that a client says until its connection is open; the server need not be waited for."""
    return HEADER + start_ok() + tune_ok() + method(0, "connection.open", virtual_host=vhost)


class Parser:
    """Turns a server's bytes into events: (channel, event). It answers closes when `send` is given."""

    def __init__(self, send: Any = None) -> None:
        self.events: list[tuple[int, Event]] = []
        self.is_closing = False
        self._send = send
        self._unread = b""
        self._contents: dict[int, list[Any]] = {}

    def feed(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._unread += data
        while len(self._unread) >= 8:
            if self._unread.startswith(b"AMQP"):
                self.events.append((0, {"ev": "protocol-header", "hex": self._unread[:8].hex()}))
                self._unread = self._unread[8:]
                continue
            kind, number = self._unread[0], int.from_bytes(self._unread[1:3])
            end = 7 + int.from_bytes(self._unread[3:7])
            if len(self._unread) <= end:
                return
            assert self._unread[end] == 0xCE, "the server's frame does not end"
            payload, self._unread = self._unread[7:end], self._unread[end + 1 :]
            if kind == wire.FRAME_METHOD:
                self._method(number, wire.decode_method(payload))
            elif kind == 8:
                self.events.append((number, {"ev": "heartbeat"}))
            else:
                self._content(number, kind, payload)

    def _method(self, number: int, event: Event) -> None:
        if event["ev"] in WITH_CONTENT:
            self._contents[number] = [event, None, b""]
            return
        self.events.append((number, event))
        if event["ev"] in ("channel.close", "connection.close"):
            self.is_closing |= event["ev"] == "connection.close"
            self._contents.pop(number, None)
            if self._send is not None:
                self._send(method(number, event["ev"] + "-ok"))

    def _content(self, number: int, kind: int, payload: bytes) -> None:
        content = self._contents[number]
        if kind == wire.FRAME_HEADER:
            content[1], content[0]["properties"] = wire.decode_header(payload)
        else:
            content[2] += payload
        if len(content[2]) == content[1]:
            del self._contents[number]
            content[0]["body"] = wire.show_body(content[2])
            self.events.append((number, content[0]))


class RawClient:
    """A TCP connection to a server."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.socket.getsockname()[1]
        self.parser = Parser(self.send)
        self.is_alive = True
        self.octets_sent = 0
        self.octets_read = 0

    def send(self, data: bytes) -> None:
        """Send bytes as they are; a server that is gone is no error."""
        try:
            self.socket.sendall(data)
            self.octets_sent += len(data)
        except OSError:
            self._lost()

    def read(self, timeout_s: float = 0.0) -> bool:
        """Take what has come, waiting up to `timeout_s` for it; return whether anything has."""
        if not self.is_alive or not select.select([self.socket], [], [], timeout_s)[0]:
            return False
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            data = b""
        if data:
            self.octets_read += len(data)
            self.parser.feed(data)
            if any(event["ev"] == "connection.close-ok" for _, event in self.parser.events[-1:]):
                self.drop()
        else:
            self._lost()
        return True

    def fileno(self) -> int:
        """For `select`."""
        return self.socket.fileno()

    def drop(self) -> None:
        """Close the socket without a word."""
        self.is_alive = False
        self.socket.close()

    def _lost(self) -> None:
        if self.is_alive:
            self.drop()
            self.parser.events.append((0, {"ev": "closed"}))

    def take(self) -> list[tuple[int, Event]]:
        """Return the events so far, and forget them."""
        events, self.parser.events = self.parser.events, []
        return events

    def wait_for(self, name: str) -> Event:
        """Read until an event of this name comes; return it. What came before is forgotten."""
        while True:
            for place, (_, event) in enumerate(self.parser.events):
                if event["ev"] == name:
                    del self.parser.events[: place + 1]
                    return event
            assert self.is_alive, f"{name} never came: {self.parser.events}"
            assert self.read(PATIENCE_S), f"no {name} in {PATIENCE_S} s: {self.parser.events}"
