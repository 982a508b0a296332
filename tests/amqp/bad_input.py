"""Input that no well-behaved client sends, and the recorder of what real servers answer to it.

``bad_input.json`` holds the answers. To record them again, or after adding a case::

    python -m tests.amqp.bad_input rabbitmq-4.0=127.0.0.1:5672 rabbitmq-3.10=127.0.0.1:5673

Each server needs its management API at its port + 10000, and the user guest. Every case gets a virtual host
of its own.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.amqp.raw_client import HEADER, RawClient, handshake, method, start_ok, tune_ok
from tests.conformance.live import wire

ANSWERS = Path(__file__).with_name("bad_input.json")
VHOST = "bad-input"

Event = dict[str, Any]


def frame(kind: int, number: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    return struct.pack(">BHI", kind, number, len(payload)) + payload + end


def table(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def declare(arguments: bytes) -> bytes:
    return frame(1, 1, bytes.fromhex("0032000a0000") + b"\x01q\0" + table(arguments))


def header(body_bytes: int, properties: bytes, class_id: int = 60, weight: int = 0) -> bytes:
    return frame(2, 1, struct.pack(">HHQ", class_id, weight, body_bytes) + properties)


def log_in(**fields: Any) -> bytes:
    given = {
        "client_properties": {"capabilities": {"authentication_failure_close": True}},
        "mechanism": "PLAIN",
        "response": "\0guest\0guest",
        "locale": "en_US",
    }
    return HEADER + method(0, "connection.start-ok", **(given | fields))


def amqplain(**entries: Any) -> bytes:
    return log_in(mechanism="AMQPLAIN", response=wire.encode_field("table", entries)[4:])


OPEN = method(1, "channel.open")
QUEUE = method(1, "queue.declare", queue="q")
GET = method(1, "basic.get", queue="q")
PUBLISH = method(1, "basic.publish", routing_key="q")
NONE = b"\0\0"
TO_TUNE = HEADER + start_ok()
TO_OPEN = TO_TUNE + tune_ok()
OPEN_VHOST = method(0, "connection.open", virtual_host=VHOST)
DECLARE_OK = wire.encode_method("queue.declare", {"queue": "q"})

# After the protocol header, or instead of it.
IN_HANDSHAKE: dict[str, bytes] = {
    "header 0-9-0": b"AMQP\0\0\x09\0",
    "header 0-10": b"AMQP\0\0\x0a\0",
    "header 0-8": b"AMQP\0\0\x08\0",
    "header 1.0": b"AMQP\0\1\0\0",
    "header of HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "header of TLS": bytes.fromhex("16030100f8010000f4"),
    "channel method in starting": HEADER + OPEN,
    "tune-ok in starting": HEADER + tune_ok(),
    "open in starting": HEADER + OPEN_VHOST,
    "close in starting": HEADER + method(0, "connection.close", reply_code=200),
    "close-ok in starting": HEADER + method(0, "connection.close-ok"),
    "heartbeat in starting": HEADER + frame(8, 0, b"") + start_ok() + tune_ok() + OPEN_VHOST,
    "garbage in starting": HEADER + b"\xff" * 20,
    "bad end in starting": HEADER + frame(1, 0, b"\0\x0a\0\x0b", b"\0"),
    "too large in starting": HEADER + struct.pack(">BHI", 1, 0, 4097) + b"x" * 10,
    "unknown frame in starting": HEADER + frame(4, 0, b"x"),
    "short method in starting": HEADER + frame(1, 0, b"\0\x0a\0\x0b\0"),
    "bad table in starting": HEADER
    + frame(1, 0, b"\0\x0a\0\x0b" + table(b"\1aZ\0") + b"\5PLAIN" + table(b"x") + b"\5en_US"),
    "empty PLAIN": log_in(response=""),
    "PLAIN without NUL": log_in(response="guest"),
    "PLAIN with one NUL": log_in(response="\0guest"),
    "PLAIN with another identity": log_in(response="x\0guest\0guest"),
    "PLAIN with four parts": log_in(response="\0guest\0guest\0x"),
    "empty AMQPLAIN": log_in(mechanism="AMQPLAIN", response=""),
    "AMQPLAIN without LOGIN": amqplain(PASSWORD="guest"),
    "AMQPLAIN with a number": amqplain(LOGIN=5, PASSWORD="guest"),
    "AMQPLAIN garbage": log_in(mechanism="AMQPLAIN", response=b"\xff\xff"),
    "ANONYMOUS": log_in(mechanism="ANONYMOUS", response="x") + tune_ok() + OPEN_VHOST,
    "mechanism in lower case": log_in(mechanism="plain"),
    "unknown user": log_in(response="\0nobody\0x"),
    "unknown user, not told": log_in(client_properties={}, response="\0nobody\0x"),
    "capabilities that are no table": log_in(client_properties={"capabilities": "x"}, response="\0nobody\0x"),
    "unknown locale": log_in(locale="fr_FR") + tune_ok() + OPEN_VHOST,
    "open in tuning": TO_TUNE + OPEN_VHOST,
    "start-ok in tuning": TO_TUNE + start_ok(),
    "frame_max 100": TO_TUNE + tune_ok(frame_max=100),
    "frame_max 4095": TO_TUNE + tune_ok(frame_max=4095),
    "frame_max 4096": TO_TUNE + tune_ok(frame_max=4096) + OPEN_VHOST,
    "frame_max 0": TO_TUNE + tune_ok(frame_max=0),
    "channel method in tuning": TO_TUNE + OPEN,
    "close in tuning": TO_TUNE + method(0, "connection.close", reply_code=200),
    "tune-ok in opening": TO_OPEN + tune_ok(),
    "channel method in opening": TO_OPEN + OPEN,
    "close in opening": TO_OPEN + method(0, "connection.close", reply_code=200),
    "unknown method in opening": TO_OPEN + frame(1, 0, b"\0\xff\0\x0a"),
    "short open": TO_OPEN + frame(1, 0, b"\0\x0a\0\x28"),
    "bad UTF-8 in open": TO_OPEN + frame(1, 0, b"\0\x0a\0\x28\2\xff\xfe\0\0"),
    "unknown frame in opening": TO_OPEN + frame(9, 0, b"ab"),
    "body in opening": TO_OPEN + frame(3, 0, b"ab"),
    "too large in opening": TO_OPEN + struct.pack(">BHI", 1, 0, 200000) + b"x" * 10,
    "three channels of two": TO_TUNE
    + tune_ok(channel_max=2)
    + OPEN_VHOST
    + b"".join(method(number, "channel.open") for number in (1, 2, 3)),
    "header on a third channel of two": TO_TUNE
    + tune_ok(channel_max=2)
    + OPEN_VHOST
    + b"".join(method(number, "channel.open") for number in (1, 2))
    + frame(2, 3, struct.pack(">HHQ", 60, 0, 0) + NONE),
}

# On an open connection.
AFTER_OPEN: dict[str, bytes] = {
    "bad UTF-8 in a short string": OPEN
    + frame(1, 1, bytes.fromhex("0032000a0000") + b"\2\xff\xfe\0" + table(b"")),
    "bad UTF-8 in a table's key": OPEN + declare(b"\2\xff\xfeI\0\0\0\1"),
    "bad UTF-8 in a long string": OPEN + declare(b"\1aS\0\0\0\2\xff\xfe"),
    "type L": OPEN + declare(b"\1aL" + bytes(8)),
    "unknown type": OPEN + declare(b"\1aZ"),
    "value cut off": OPEN + declare(b"\1aI\0\0"),
    "table longer than the frame": OPEN + frame(1, 1, bytes.fromhex("0032000a0000") + b"\1q\0\0\0\0\x50"),
    "fields cut off": OPEN + frame(1, 1, bytes.fromhex("0032000a00")),
    "octets after the fields": OPEN + frame(1, 1, DECLARE_OK + b"xyz"),
    "many octets after the fields": OPEN + frame(1, 1, bytes.fromhex("003c0050") + b"\xff" * 90),
    "ack without its bit": OPEN + frame(1, 1, bytes.fromhex("003c0050") + bytes(8)),
    "unknown bits": OPEN + frame(1, 1, bytes.fromhex("0032000a0000") + b"\1q\xe0" + table(b"")),
    "unknown method": OPEN + frame(1, 1, bytes.fromhex("00320063")),
    "unknown class on channel 0": frame(1, 0, bytes.fromhex("00ff000a")),
    "unknown class on a channel that is not open": frame(1, 1, bytes.fromhex("00ff000a")),
    "method of three octets": OPEN + frame(1, 1, b"\0\x32\0"),
    "frame type 4": OPEN + frame(4, 1, b""),
    "frame type 4, long": OPEN + frame(4, 1, b"abcdefghijklmnopqrstuvwxyz"),
    "frame type 100, numbers on two lines": OPEN + frame(100, 1, b"\x80" * 16),
    "frame type 9 on channel 0": frame(9, 0, b"\1\2"),
    "heartbeat on a channel": OPEN + frame(8, 1, b""),
    "heartbeat with a payload": frame(8, 0, b"abc"),
    "body on channel 0": frame(3, 0, b"abc"),
    "long body on channel 0": frame(3, 0, b"a" * 20),
    "body that is Latin-1": frame(3, 0, b"h\xe9llo\xa0"),
    "body that is UTF-8": frame(3, 0, "héllo".encode()),
    "body with escapes": frame(3, 0, b'a"b\\c\n\t\x1b'),
    "body with DEL": frame(3, 0, b'a"b\\c\n\t\x1b\x7f'),
    "body of 14 three-digit numbers": frame(3, 0, b"\x80" * 14),
    "body of 15 three-digit numbers": frame(3, 0, b"\x80" * 15),
    "numbers up to the last column": frame(3, 0, b"\x80" * 12 + b"\1\1\1\x10"),
    "numbers beyond the last column": frame(3, 0, b"\x80" * 12 + b"\1\1\x10\x10"),
    "header on channel 0": frame(2, 0, struct.pack(">HHQH", 60, 0, 3, 0)),
    "body without a method": OPEN + frame(3, 1, b"abc"),
    "body instead of a header": OPEN + PUBLISH + frame(3, 1, b"abc"),
    "header of another class": OPEN + PUBLISH + header(3, NONE, class_id=50),
    "header with a weight": OPEN + PUBLISH + header(3, NONE, weight=1),
    "header that announces 2**63 octets": OPEN + PUBLISH + header(2**63, NONE),
    "header cut off": OPEN + PUBLISH + frame(2, 1, struct.pack(">HHQ", 60, 0, 3)[:11]),
    "header without flags": OPEN + PUBLISH + frame(2, 1, struct.pack(">HHQ", 60, 0, 0)),
    "second header": OPEN + PUBLISH + header(3, NONE) + header(3, NONE),
    "property cut off": OPEN + QUEUE + PUBLISH + header(0, b"\x80\0\5ab"),
    "octets after the properties": OPEN + QUEUE + PUBLISH + header(0, b"\x80\0\2abXYZ"),
    "bad UTF-8 in a property": OPEN + QUEUE + PUBLISH + header(0, b"\x80\0\2\xff\xfe") + GET,
    "unused property flag": OPEN + QUEUE + PUBLISH + header(0, b"\0\2") + GET,
    "more property flags": OPEN + QUEUE + PUBLISH + header(0, b"\0\1\0\0"),
    "bad table in the properties": OPEN + QUEUE + PUBLISH + header(0, b"\x20\0" + table(b"\1aZ")),
    "body too long": OPEN + QUEUE + PUBLISH + header(3, NONE) + frame(3, 1, b"abcdef") + QUEUE,
    "empty body frame": OPEN
    + QUEUE
    + PUBLISH
    + header(3, NONE)
    + frame(3, 1, b"")
    + frame(3, 1, b"abc")
    + GET,
    "message on a channel that is not open": PUBLISH + header(3, NONE) + frame(3, 1, b"abc"),
    "header on a channel that is not open": header(3, NONE),
    "fields cut off on a channel that is not open": frame(1, 1, bytes.fromhex("0032000a00")),
    "frame too large": OPEN + struct.pack(">BHI", 3, 1, 131073) + b"x",
    "frame as large as it may be": OPEN
    + QUEUE
    + PUBLISH
    + header(131072, NONE)
    + frame(3, 1, b"x" * 131072)
    + GET,
    "bad end of a method": OPEN + frame(1, 1, DECLARE_OK, b"\0"),
    "bad end, text": OPEN + frame(1, 1, b"a" * 16, b"\xff"),
    "bad end, pair on one line": OPEN + frame(1, 1, b"\1" * 12, b"\0"),
    "bad end, pair on two lines": OPEN + frame(1, 1, b"\1" * 13, b"\0"),
    "bad end, long": OPEN + frame(1, 1, b"\0\x32" + b"\x80" * 18, b"\0"),
    "second protocol header": OPEN + HEADER,
    "server's method": OPEN + method(1, "queue.declare-ok", queue="q"),
    "connection.close-ok on a channel": OPEN + method(1, "connection.close-ok"),
    "connection.close on a channel": OPEN + method(1, "connection.close"),
    "start-ok in running": method(0, "connection.start-ok", mechanism="PLAIN", response="x"),
    "secure-ok in running": method(0, "connection.secure-ok", response="x"),
    "server's start in running": method(0, "connection.start", mechanisms="a", locales="b"),
    "basic.qos on channel 0": method(0, "basic.qos"),
    "basic.publish on channel 0": method(0, "basic.publish"),
    "channel.open on channel 0": method(0, "channel.open"),
    "fields cut off on channel 0": frame(1, 0, bytes.fromhex("000a0032") + b"\0"),
    "bad UTF-8 on channel 0": frame(1, 0, bytes.fromhex("000a0032") + b"\0\xc8\2\xff\xfe" + bytes(4)),
    "update-secret": method(0, "connection.update-secret", new_secret="guest", reason="r"),
}

CASES = IN_HANDSHAKE | {name: handshake(VHOST) + data for name, data in AFTER_OPEN.items()}
_UNINTERESTING = ("connection.start", "connection.tune")


def shown(events: list[tuple[int, Event]]) -> list[Any]:
    """The events of a case as they are kept: with the virtual host's name as ``/``."""
    kept = [[number, event] for number, event in events if event["ev"] not in _UNINTERESTING]
    text = json.dumps(kept).replace(VHOST, "/")
    return list(json.loads(text))


def _pieces(data: bytes) -> Iterator[bytes]:
    """The protocol header, then frame by frame, as far as there are frames; then the rest."""
    end = 8
    while data:
        yield data[:end]
        data = data[end:]
        end = 8 + int.from_bytes(data[3:7]) if len(data) >= 7 else len(data)


def _record_one(host: str, port: int, data: bytes) -> list[Any]:
    client = RawClient(host, port)
    for piece in _pieces(data):
        # A server whose parser dies of a frame may not have sent yet what it answered to the one before.
        client.send(piece)
        client.read(0.02)
    deadline = time.monotonic() + 4.5
    while client.is_alive and time.monotonic() < deadline:
        client.read(0.1)
    client.drop()
    return shown(client.take())


def _request(host: str, port: int, verb: str, path: str, body: object = None) -> None:
    token = base64.b64encode(b"guest:guest").decode()
    request = urllib.request.Request(
        f"http://{host}:{port + 10000}/api/{path}",
        method=verb,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"authorization": f"Basic {token}", "content-type": "application/json"},
    )
    urllib.request.urlopen(request).close()


def _record(host: str, port: int) -> dict[str, list[Any]]:
    """Ask one server; cases run side by side, as some servers take three seconds to close a socket."""

    def ask(numbered: tuple[int, str]) -> list[Any]:
        number, name = numbered
        vhost = f"bad-in{number:03}"  # as long as VHOST: lengths stand in the frames
        everything = dict.fromkeys(("configure", "write", "read"), ".*")
        _request(host, port, "PUT", f"vhosts/{vhost}", {})
        _request(host, port, "PUT", f"permissions/{vhost}/guest", everything)
        answer = _record_one(host, port, CASES[name].replace(VHOST.encode(), vhost.encode()))
        _request(host, port, "DELETE", f"vhosts/{vhost}")
        return list(json.loads(json.dumps(answer).replace(vhost, "/")))

    with ThreadPoolExecutor(12) as pool:
        return dict(zip(CASES, pool.map(ask, enumerate(CASES)), strict=True))


def main(servers: list[str]) -> None:
    """Record the answers of each server, given as LABEL=HOST:PORT."""
    recorded = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
    for server in servers:
        label, _, address = server.partition("=")
        host, _, port = address.partition(":")
        recorded[label] = _record(host, int(port))
    rows = []
    for label, answers in recorded.items():
        lines = ",\n".join(
            f"    {json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items()
        )
        rows.append(f"  {json.dumps(label)}: {{\n{lines}\n  }}")
    ANSWERS.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
