"""A raw AMQP 0-9-1 connection that hides nothing: whatever the server sends becomes an event in `arrived`.

It lets any method be sent on any channel in any state. The only things that it does on its own are the
handshake, the answers to channel.close and connection.close, and putting content frames together. It has no
heartbeats.
Next: `wire.py` (bytes), `runner.py` (who drives it).
"""

import select
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..transcript import Event
from . import wire

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
_WITH_CONTENT = {"basic.deliver", "basic.return", "basic.get-ok"}
_ENDS = {"connection.close", "protocol-header", "closed"}
_TIMEOUT_S = 10.0
_READ_BYTES = 1 << 20
_FRAME_OVERHEAD_BYTES = 8


class RefusedError(Exception):
    """The server did not let the client in; `event` says how."""

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.event = event


class _Content:
    """A message on its way in."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.body_bytes: int | None = None
        self.body = bytearray()

    def add(self, kind: int, payload: bytes) -> bool:
        """Take a header or body frame; true when the message is whole."""
        if kind == wire.FRAME_HEADER:
            self.body_bytes, self.event["properties"] = wire.decode_header(payload)
        else:
            self.body += payload
        return self.body_bytes is not None and len(self.body) >= self.body_bytes


class Client:
    """One TCP connection to a server; `open` does the handshake."""

    def __init__(self, host: str, port: int) -> None:
        self.arrived: list[tuple[int, Event]] = []
        self.is_alive = True
        self.is_closing = False  # the server has sent connection.close
        self.announced: Event = {}  # what connection.start and connection.tune said
        self._frame_max = 131072
        self._unread = bytearray()
        self._contents: dict[int, _Content] = {}
        self._socket = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def open(
        self,
        vhost: str,
        user: str,
        password: str,
        *,
        mechanism: str = "PLAIN",
        client_properties: Mapping[str, Any] | None = None,
        protocol_header: bytes = PROTOCOL_HEADER,
        channel_max: int = 2047,
        frame_max: int = 131072,
        heartbeat: int = 0,
    ) -> None:
        """The handshake, up to open-ok. Raises `RefusedError` when the server ends it."""
        self.send(protocol_header)
        start = self._expect("connection.start")
        login = wire.encode_field("table", {"LOGIN": user, "PASSWORD": password})[4:]
        self.method(
            0,
            "connection.start-ok",
            {
                "client_properties": {"product": "scenario", "capabilities": CAPABILITIES}
                | dict(client_properties or {}),
                "mechanism": mechanism,
                "response": login if mechanism == "AMQPLAIN" else f"\0{user}\0{password}",
                "locale": "en_US",
            },
        )
        tune = self._expect("connection.tune")
        for answer in (start, tune):
            del answer["ev"]
        self.announced = {key: start[key] for key in ("server_properties", "mechanisms", "locales")} | {
            "tune": tune
        }
        self._frame_max = frame_max or self._frame_max
        self.method(
            0,
            "connection.tune-ok",
            {"channel_max": channel_max, "frame_max": frame_max, "heartbeat": heartbeat},
        )
        self.method(0, "connection.open", {"virtual_host": vhost})
        self._expect("connection.open-ok")

    def _expect(self, name: str) -> Event:
        deadline = time.monotonic() + _TIMEOUT_S
        while (left_s := deadline - time.monotonic()) > 0:
            receive([self], left_s)
            while self.arrived:
                _, event = self.arrived.pop(0)
                if event["ev"] == name:
                    return event
                if event["ev"] in _ENDS:
                    self.drop()
                    raise RefusedError(event)
        self.drop()
        raise RefusedError({"ev": "timeout", "waiting_for": name})

    def send(self, data: bytes) -> None:
        """Bytes as they are; nothing happens when the connection is gone."""
        if not self.is_alive:
            return
        try:
            self._socket.sendall(data)
        except OSError:
            self._lost()

    def frame(self, kind: int, channel: int, payload: bytes) -> None:
        """One frame."""
        self.send(wire.frame(kind, channel, payload))

    def method(self, channel: int, name: str, fields: Mapping[str, Any] | None = None) -> None:
        """One method without content."""
        self.frame(wire.FRAME_METHOD, channel, wire.encode_method(name, fields or {}))

    def publish(
        self, channel: int, fields: Mapping[str, Any], properties: Mapping[str, Any], body: bytes
    ) -> None:
        """A whole basic.publish."""
        method = wire.frame(wire.FRAME_METHOD, channel, wire.encode_method("basic.publish", fields))
        self.send(method + wire.content_frames(channel, properties, body, self._frame_max))

    def drop(self) -> None:
        """Close the socket without a word."""
        self.is_alive = False
        self._socket.close()

    def _lost(self) -> None:
        self.drop()
        self.arrived.append((0, {"ev": "closed"}))

    def read(self) -> None:
        """Take what has come in; the socket must be readable."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._unread += data
        while self.is_alive and self._next_frame():
            pass

    def _next_frame(self) -> bool:
        unread = self._unread
        if len(unread) < _FRAME_OVERHEAD_BYTES:
            return False
        if unread.startswith(b"AMQP"):  # a server's answer to a protocol header that it does not speak
            self.arrived.append((0, {"ev": "protocol-header", "hex": bytes(unread[:8]).hex()}))
            del unread[:8]
            return True
        kind, channel, size = struct.unpack(">BHI", unread[:7])
        if len(unread) < size + _FRAME_OVERHEAD_BYTES:
            return False
        payload = bytes(unread[7 : 7 + size])
        del unread[: size + _FRAME_OVERHEAD_BYTES]
        if kind == wire.FRAME_METHOD:
            self._method_arrived(channel, wire.decode_method(payload))
        elif channel in self._contents and self._contents[channel].add(kind, payload):
            content = self._contents.pop(channel)
            content.event["body"] = wire.show_body(bytes(content.body))
            self.arrived.append((channel, content.event))
        return True

    def _method_arrived(self, channel: int, event: Event) -> None:
        name = event["ev"]
        if name in _WITH_CONTENT:
            self._contents[channel] = _Content(event)
            return
        self.arrived.append((channel, event))
        if name == "channel.close":
            self._contents.pop(channel, None)
            self.method(channel, "channel.close-ok")
        elif name == "connection.close":
            self.is_closing = True
            self.method(0, "connection.close-ok")
        elif name == "connection.close-ok":
            self.drop()


def receive(clients: Iterable[Client], timeout_s: float) -> bool:
    """Read from whichever clients have something, waiting up to `timeout_s`; true when any had."""
    alive = [client for client in clients if client.is_alive]
    if not alive:
        time.sleep(timeout_s)
        return False
    readable, _, _ = select.select(alive, [], [], timeout_s)
    for client in readable:
        client.read()
    return bool(readable)
