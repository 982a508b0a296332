"""Replays a scenario over real sockets, in virtual time.

The steps are those of the in-process replayer; its clients are raw connections to an endpoint here. A step is
over when the endpoint has read every octet that was sent, the clients have read every octet that was written,
and sockets that end have ended. Both sides count, so nothing is guessed from silence.
"""

from __future__ import annotations

import select
import threading
import time
from types import SimpleNamespace
from typing import Any

from mockbroker.amqp.endpoint import Endpoint, Link
from tests.amqp import raw_client
from tests.amqp.raw_client import RawClient
from tests.conformance.live import wire
from tests.conformance.replay import _STEPS, RESTART_S, Replay
from tests.conformance.transcript import Scenario, Seen, Step, line

NOT_FIELDS = {"op", "at", "body", "properties", "settle"}
LOGIN_OPTIONS = ("user", "password", "mechanism", "client_properties")
LIMITS = ("channel_max", "frame_max", "heartbeat")
BUILD_PROPERTIES = ("cluster_name", "platform", "version", "copyright", "information")
STUCK_S = 10.0
"""A step that is not over by then hangs."""
GLANCE_S = 0.0003
"""How long to wait for bytes before counting again; while this thread waits, the endpoint's runs."""


def replay(scenario: Scenario, label: str) -> list[Seen]:
    """Run a scenario over sockets under the rules of `label`; return its transcript."""
    run = WireReplay(scenario, label)
    seen = []
    try:
        for index, step in enumerate(scenario["steps"]):
            try:
                seen.append(run.step(step))
            except Exception as error:
                error.add_note(f"in step {index}: {line(step)}")
                raise
        run.node.check()
    finally:
        run.close()
    return seen


class WireReplay(Replay):
    """A scenario in progress, over sockets."""

    def __init__(self, scenario: Scenario, label: str) -> None:
        super().__init__(scenario, label)
        self._lock = threading.RLock()
        broker: Any = SimpleNamespace(
            node=self.node, clock=self._clock, share=lambda: self._lock, unshare=lambda: None
        )
        self._endpoint = Endpoint(broker)
        self._connections: dict[str, RawClient] = {}

    def close(self) -> None:
        """Drop the clients, close the endpoint."""
        for client in self._connections.values():
            client.drop()
        self._endpoint.close(grace_s=0)

    def step(self, step: Step) -> Seen:
        op = step["op"]
        if op in _OWN_STEPS:
            _OWN_STEPS[op](self, step)
        elif op in _STEPS:
            with self._lock:
                _STEPS[op](self, step)
        else:
            self._send_method(step)
        self._await_quiet()
        return self._transcript.end_step()

    # The clients

    def _connect_client(self, step: Step) -> None:
        name = step["conn"]
        client = self._connections[name] = RawClient(self._endpoint.host, self._endpoint.port)
        options = {key: step[key] for key in LOGIN_OPTIONS if key in step}
        limits = {key: step[key] for key in LIMITS if key in step}
        client.send(
            bytes.fromhex(step["protocol_header"]) if "protocol_header" in step else raw_client.HEADER
        )
        client.send(raw_client.start_ok(**options) + raw_client.tune_ok(**limits))
        client.send(raw_client.method(0, "connection.open", virtual_host=step.get("vhost", "/")))
        self._await_quiet(into_transcript=False)
        events = [event for _, event in client.take()]
        if events and events[-1]["ev"] == "connection.open-ok":
            self._note(name, "connected", **(_announced(events) if step.get("show") else {}))
            return
        del self._connections[name]
        client.drop()
        how = next(event for event in events if event["ev"] not in ("connection.start", "connection.tune"))
        self._note(name, "connect-refused", by=how.pop("ev"), **how)

    def _close_client(self, step: Step) -> None:
        if client := self._living(step["conn"]):
            self._transcript.connection_ends(step["conn"])
            client.send(raw_client.method(0, "connection.close", reply_code=200, reply_text="bye"))

    def _drop_client(self, step: Step) -> None:
        client = self._connections.pop(step["conn"], None)
        self._transcript.connection_ends(step["conn"])
        if client is not None:
            client.drop()

    def _living(self, at: str) -> RawClient | None:
        name = at.partition(".")[0]
        client = self._connections.get(name)
        if client is not None and client.is_alive:
            return client
        self._note(name, "not-connected")
        return None

    def _send_method(self, step: Step) -> None:
        op, at = step["op"], step["at"]
        client = self._living(at)
        if client is None:
            return
        number = int(at.partition(".")[2] or 0)
        names = self._transcript.names
        fields = {name: names.resolved(value) for name, value in step.items() if name not in NOT_FIELDS}
        if op == "basic.publish":
            self._transcript.publishes(at)
            properties = names.resolved(step.get("properties", {}))
            body = wire.encode_body(step.get("body", ""))
            client.send(raw_client.message(number, fields, properties, body))
            return
        if op == "confirm.select" and fields.get("no_wait"):
            self._transcript.confirms_begin(at)
        client.send(raw_client.method(number, op, **fields))

    def _send_frame(self, step: Step) -> None:
        client = self._living(step["at"])
        if client is None:
            return
        payload = wire.payload_of(step)
        if step["op"] == "raw":
            client.send(payload)
            return
        client.send(wire.frame(step["type"], int(step["at"].partition(".")[2] or 0), payload))

    # Time and the server

    def _wait_virtually(self, step: Step) -> None:
        self._let_pass(float(step["seconds"]))

    def _restart_node(self, step: Step) -> None:
        with self._lock:
            (self.node.stop if step["op"] == "restart" else self.node.lose_power)()
        self._await_quiet()
        self._let_pass(RESTART_S)
        with self._lock:
            self.node.start()

    def _let_pass(self, seconds: float) -> None:
        """Let time pass instant by instant, with the clients in time at each."""
        end_ns = self._clock.now_ns + round(seconds * 1e9)
        while (due_ns := self._clock.next_due_ns()) is not None and due_ns <= end_ns:
            with self._lock:
                self._clock.advance_to_ns(due_ns)
            self._await_quiet()
        with self._lock:
            self._clock.advance_to_ns(end_ns)

    # Waiting

    def _await_quiet(self, *, into_transcript: bool = True) -> None:
        deadline = time.monotonic() + STUCK_S
        while not self._is_quiet():
            assert time.monotonic() < deadline, f"no end: {self._endpoint.links}"
            alive = [client for client in self._connections.values() if client.is_alive]
            for client in select.select(alive, [], [], GLANCE_S)[0]:
                client.read()
        if into_transcript:
            for name, client in self._connections.items():
                for number, event in client.take():
                    self._transcript.arrived(name, number, event)

    def _is_quiet(self) -> bool:
        with self._lock:
            links = {link.peer_port: link for link in self._endpoint.links}
            alive = {client.port: client for client in self._connections.values() if client.is_alive}
            return alive.keys() <= links.keys() and all(
                self._is_even(link, alive.get(port)) for port, link in links.items()
            )

    @staticmethod
    def _is_even(link: Link, client: RawClient | None) -> bool:
        """Whether both sides of a link have read what the other has sent."""
        session = link.session
        if client is None:
            return session.is_full  # a client that an alarm blocks is not read: it is not missed yet
        has_read = session.is_full or session.octets_in == client.octets_sent
        is_read = not link.waiting_bytes and session.octets_out == client.octets_read
        return has_read and is_read and not link.is_ending


def _announced(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the server said of itself in the handshake, without its build."""
    start, tune = events[:2]
    properties = {
        key: value for key, value in start["server_properties"].items() if key not in BUILD_PROPERTIES
    }
    return {
        "server_properties": properties,
        "mechanisms": " ".join(sorted(start["mechanisms"].split())),
        "locales": start["locales"],
        "tune": {key: tune[key] for key in ("channel_max", "frame_max", "heartbeat")},
    }


_OWN_STEPS = {
    "connect": WireReplay._connect_client,
    "close": WireReplay._close_client,
    "drop": WireReplay._drop_client,
    "frame": WireReplay._send_frame,
    "raw": WireReplay._send_frame,
    "wait": WireReplay._wait_virtually,
    "restart": WireReplay._restart_node,
    "kill": WireReplay._restart_node,
}
