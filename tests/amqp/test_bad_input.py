"""Every kind of wrong input gets the answer that real servers gave, however its bytes are cut."""

from __future__ import annotations

import json

import pytest

from mockbroker.amqp.session import Session
from mockbroker.clock import SimClock
from mockbroker.core.node import Node
from mockbroker.rules import RULES
from tests.amqp.bad_input import ANSWERS, CASES, VHOST, shown
from tests.amqp.raw_client import Parser

EXPECTED = json.loads(ANSWERS.read_text())


class Peer:
    """A client in memory, that answers closes and notes the end of the link."""

    def __init__(self, label):
        self.clock = SimClock()
        self.node = Node(RULES[label], self.clock)
        self.node.add_vhost(VHOST)
        self.node.users["guest"].permissions[VHOST] = self.node.users["guest"].permissions["/"]
        self.outbox = b""
        self.parser = Parser(self.say)
        self.session = Session(self.node, self.parser.feed, hang_up=self.hung_up)

    def say(self, data):
        self.outbox += data

    def hung_up(self):
        self.parser.events.append((0, {"ev": "closed"}))

    def send(self, data, cut):
        for start in range(0, len(data), cut):
            self.session.receive(data[start : start + cut])
        while self.outbox:
            answer, self.outbox = self.outbox, b""
            self.session.receive(answer)


@pytest.mark.parametrize("label", RULES)
@pytest.mark.parametrize("name", CASES)
def test_answer(name, label):
    peer = Peer(label)
    peer.send(CASES[name], len(CASES[name]))
    peer.clock.advance(3)
    assert shown(peer.parser.events) == EXPECTED[label][name]
    peer.session.eof()
    peer.node.check()
    assert not peer.node.connections


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name]) < 2000])
def test_the_cut_of_the_bytes_makes_no_difference(name, cut):
    peer = Peer("rabbitmq-4.0")
    peer.send(CASES[name], cut)
    peer.clock.advance(3)
    assert shown(peer.parser.events) == EXPECTED["rabbitmq-4.0"][name]
