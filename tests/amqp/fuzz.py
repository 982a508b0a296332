"""Mutated frames: nothing that comes in crashes a session, harms another connection or breaks an invariant.

``python -m tests.amqp.fuzz --frames 1000000 --seed 1`` runs as many frames as it is told to; the test beside
it runs a few. A failure prints the seed of its round, and ``--seed SEED --rounds 1`` repeats it.
"""

from __future__ import annotations

import argparse
import logging
import random
import struct
import sys

from mockbroker.amqp.session import Session
from mockbroker.clock import SimClock
from mockbroker.core.node import Node
from mockbroker.rules import RULES
from tests.amqp.raw_client import HEADER, Parser, handshake, message, method, start_ok, tune_ok
from tests.conformance.live import wire

NAMES = ["", "q", "r", "amq.direct", "amq.topic", "e", "é", "x" * 255]
ARGUMENTS = [
    {},
    {"x-message-ttl": 5},
    {"x-max-length": 2, "x-overflow": "reject-publish"},
    {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "r"},
    {"x-expires": 10},
    {"x-max-priority": 3},
    {"nested": {"list": [1, None, 1.5, "s", {"deep": [True]}]}},
]
KINDS = {"octet": 255, "short": 65535, "long": 2**32 - 1, "longlong": 2**64 - 1}


class Failure(Exception):
    """A fault that the fuzzing found."""


class Client:
    """A session and its client, in memory."""

    def __init__(self, node: Node) -> None:
        self.answers = b""
        self.parser = Parser(self.answer)
        self.session = Session(node, self.parser.feed)

    def answer(self, data: bytes) -> None:
        self.answers += data

    def send(self, data: bytes) -> None:
        self.session.receive(data)
        answers, self.answers = self.answers, b""
        if answers:
            self.session.receive(answers)


def any_field(rng: random.Random, kind: str) -> object:
    if kind == "bit":
        return rng.random() < 0.3
    if kind in KINDS:
        return rng.choice([0, 1, 2, 3, KINDS[kind]])
    if kind == "table":
        return rng.choice(ARGUMENTS)
    return rng.choice(NAMES)


def any_frame(rng: random.Random) -> bytes:
    """One well-formed method, with its content if it is a publish, on some channel."""
    number = rng.choice([0, 1, 1, 1, 1, 2, 2, 3, 65535])
    if rng.random() < 0.3:
        fields = {"exchange": rng.choice(["", "", "amq.topic", "e"]), "routing_key": rng.choice(NAMES)}
        properties = rng.choice(
            [{}, {"delivery_mode": 2}, {"expiration": "3"}, {"headers": rng.choice(ARGUMENTS)}]
        )
        return message(number, fields, properties, bytes(rng.choice([0, 1, 300])))
    name = rng.choice(USUAL) if rng.random() < 0.9 else rng.choice(METHODS)
    fields = {field: any_field(rng, kind) for field, kind in wire.METHODS[name].fields}
    return method(number, name, **fields)


METHODS = list(wire.METHODS)
USUAL = [
    name for name in METHODS if not name.startswith("connection") and not name.endswith(("-ok", "close"))
]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The same octets with something wrong, or nothing."""
    kind = rng.randrange(9)
    place = rng.randrange(len(data))
    if kind == 0:
        return data[:place] + bytes((rng.randrange(256),)) + data[place + 1 :]
    if kind == 1:
        return data[:place] + bytes((data[place] ^ 1 << rng.randrange(8),)) + data[place + 1 :]
    if kind == 2:
        return data[:place] + data[place + rng.randrange(1, 9) :]
    if kind == 3:
        return data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:]
    if kind == 4:
        return data[:3] + struct.pack(">I", rng.choice([0, 1, 7, 4096, 131072, 2**31])) + data[7:]
    if kind == 5:
        return data[:place]
    if kind == 6:
        return data + data
    return data


def play_round(seed: int) -> int:
    """One broker, a client that misbehaves and one that does not; return how many frames were sent.

    Raises `Failure` when the broker or the other client came to harm.
    """
    rng = random.Random(seed)
    clock = SimClock()
    node = Node(RULES[rng.choice(list(RULES))], clock, seed=seed)
    witness = Client(node)
    witness.send(
        handshake() + method(1, "channel.open") + method(1, "queue.declare", queue="witness", exclusive=True)
    )
    sent = 0
    clients = []
    for _ in range(8):
        bad = Client(node)
        clients.append(bad)
        if rng.random() < 0.2:
            opening = [HEADER, start_ok(), tune_ok(), method(0, "connection.open", virtual_host="/")]
            place = rng.randrange(4)
            opening[place] = mutated(rng, opening[place])
            bad.send(b"".join(opening))
        else:
            bad.send(handshake())
        bad.send(method(1, "channel.open") + method(2, "channel.open"))
        while not bad.session.is_over and sent < 2000:
            frames = b"".join(any_frame(rng) for _ in range(rng.randrange(1, 6)))
            data = mutated(rng, frames) if rng.random() < 0.2 else frames
            cut = rng.choice([len(data) or 1, 1 + len(data) // 2, 13])
            for start in range(0, len(data), cut):
                bad.send(data[start : start + cut])
            sent += 1
            if rng.random() < 0.1:
                clock.advance(rng.choice([0.001, 0.01, 4]))
            if rng.random() < 0.02 or bad.session.connection is None or not bad.session.connection.is_open:
                break
        if rng.random() < 0.5:
            bad.session.eof()
        check_witness(witness, node)
    clock.advance(100)
    for bad in clients:
        bad.session.eof()
    check_witness(witness, node)
    if [connection for connection in node.connections if connection is not witness.session.connection]:
        raise Failure("a connection outlives its client")
    return sent


def check_witness(witness: Client, node: Node) -> None:
    """The other client publishes and gets as if nothing had happened, and the broker's invariants hold."""
    witness.parser.events.clear()
    witness.send(
        message(1, {"routing_key": "witness"}, {}, b"w")
        + method(1, "basic.get", queue="witness", no_ack=True)
    )
    events = [event["ev"] for _, event in witness.parser.events if event["ev"] != "heartbeat"]
    if events != ["basic.get-ok"]:
        raise Failure(f"the other connection saw {witness.parser.events}")
    node.check()


class Alarm(logging.Handler):
    """Turns what a session logs about its own faults into a failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        formatter = logging.Formatter()
        self.faults.append(
            formatter.formatException(record.exc_info) if record.exc_info else record.getMessage()
        )


def run(seed: int, *, frames: int = sys.maxsize, rounds: int = sys.maxsize) -> int:
    """Play rounds until so many frames were sent or so many rounds played; return the number of frames.

    Raises `Failure` that names the seed of the round.
    """
    log = logging.getLogger("mockbroker.amqp.session")
    alarm = Alarm()
    log.addHandler(alarm)
    propagate, log.propagate = log.propagate, False
    sent = 0
    try:
        while sent < frames and rounds > 0:
            try:
                sent += play_round(seed)
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
            if alarm.faults:
                raise Failure(f"seed {seed}: {alarm.faults[0]}")
            seed += 1
            rounds -= 1
    finally:
        log.removeHandler(alarm)
        log.propagate = propagate
    return sent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=sys.maxsize)
    options = parser.parse_args()
    count = run(options.seed, frames=options.frames, rounds=options.rounds)
    sys.stdout.write(f"{count} pieces of input, nothing found\n")
