"""Runs one scenario against one server and writes down what it answered.

Owns the connections of the scenario and the waiting: when a step is over. It knows no right answers.
Next: `../transcript.py` (what is written down), `server.py` (what is asked beside AMQP), `../FORMAT.md`.
"""

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from ..transcript import Event, Seen, Step, Transcript
from . import wire
from .client import Client, RefusedError, receive
from .server import ALARM_OPS, CONTROL_OPS, Target, alarm_expression, management_request

# Silences that end a step, in seconds: FORMAT.md promises them.
_SETTLE_S = 0.04
_SETTLE_CLOSED_S = 0.1
_SETTLE_RAFT_S = 0.2
_SETTLE_MANAGEMENT_S = 0.3
# Longest waits, for a server that does not do what is waited for.
_ANSWER_S = 5.0
_ANSWER_BLOCKED_S = 0.5
_CLOSING_S = 1.0
_CONFIRM_S = 2.0
_CLOSED = {"connection.close", "connection.close-ok", "closed"}
_CONNECT_OPTIONS = ("mechanism", "client_properties", "channel_max", "frame_max", "heartbeat")
# What the server announces about its build, not about its behaviour.
_BUILD_PROPERTIES = ("cluster_name", "platform", "version", "copyright", "information")
_NOT_FIELDS = {"op", "at", "body", "properties", "settle"}


def run_scenario(scenario: Mapping[str, Any], target: Target) -> list[Seen]:
    """Run all steps in a fresh vhost of the target; returns the normalised transcript, one `Seen` per step.

    Raises `UnsupportedError` when the target lacks what the scenario needs. What the scenario made or
    changed on the server is removed or put back.
    """
    target.check_can_run(scenario)
    with target.fresh_vhost(scenario) as vhost:
        run = _Run(target, vhost, _settle_s(scenario))
        try:
            return [run.step(step) for step in scenario["steps"]]
        finally:
            run.hang_up()


def _settle_s(scenario: Mapping[str, Any]) -> float:
    text = json.dumps(scenario["steps"])
    return float(
        scenario.get("settle", _SETTLE_RAFT_S if '"quorum"' in text or '"stream"' in text else _SETTLE_S)
    )


class _Run:
    """A scenario in progress."""

    def __init__(self, target: Target, vhost: str, settle_s: float) -> None:
        self._target = target
        self._vhost = vhost
        self._settle_s = settle_s
        self._clients: dict[str, Client] = {}
        self._transcript = Transcript(vhost)
        self._open_channels: set[str] = set()
        # A round trip of channel.flow makes sure that a slow server has caught up. Its answer is not shown.
        self._probes: dict[str, int] = {}
        self._may_probe = True
        self._alarms: set[str] = set()

    def step(self, step: Step) -> Seen:
        """Perform one step and wait until it is over."""
        op: str = step["op"]
        at: str = step.get("at") or step.get("conn", "")
        settle_s = step.get("settle", self._settle_s)
        handler = self._handlers.get(op)
        answers: frozenset[str] = frozenset()
        if handler:
            handler(self, step)
        elif management_request(step, self._vhost):
            self._manage(step)
            settle_s = max(settle_s, _SETTLE_MANAGEMENT_S)
        else:
            answers = self._method(step)
        if op in ("close", "drop", "channel.close"):
            settle_s = max(settle_s, _SETTLE_CLOSED_S)
        elif op in CONTROL_OPS | ALARM_OPS:
            settle_s = max(settle_s, _SETTLE_RAFT_S)
        if op == "close":
            answers = frozenset({"connection.close-ok"})
        if answers:
            self._receive_until(
                lambda: self._is_answered(at, answers), _ANSWER_BLOCKED_S if self._alarms else _ANSWER_S
            )
        if op in ("basic.publish", "tx.commit", "wait") and not self._alarms:
            self._receive_until(lambda: not self._transcript.is_waiting_for_confirms, _CONFIRM_S)
        self._settle(at, settle_s, answered=bool(answers))
        return self._transcript.end_step()

    def hang_up(self) -> None:
        """Close what is still open."""
        for client in self._clients.values():
            client.method(0, "connection.close", {"reply_code": 200})
        self._receive_until(lambda: not any(client.is_alive for client in self._clients.values()), _CLOSING_S)
        for client in self._clients.values():
            client.drop()

    def _note(self, key: str, event: str, **fields: Any) -> None:
        self._transcript.note(key, {"ev": event, **fields})

    # Steps: what is sent

    def _connect(self, step: Step) -> None:
        name = step["conn"]
        options = {key: step[key] for key in _CONNECT_OPTIONS if key in step}
        if "protocol_header" in step:
            options["protocol_header"] = bytes.fromhex(step["protocol_header"])
        user, password = self._target.credentials
        try:
            client = Client(*self._target.address)
            client.open(
                step.get("vhost", self._vhost),
                step.get("user", user),
                step.get("password", password),
                **options,
            )
        except RefusedError as refused:
            how = refused.event.copy()
            self._note(name, "connect-refused", by=how.pop("ev"), **how)
            return
        self._clients[name] = client
        self._note(name, "connected", **(_announced(client) if step.get("show") else {}))

    def _close(self, step: Step) -> None:
        name = step["conn"]
        if client := self._client(name):
            client.method(0, "connection.close", {"reply_code": 200, "reply_text": "bye"})
            self._end(name)

    def _drop(self, step: Step) -> None:
        name = step["conn"]
        if client := self._clients.pop(name, None):
            client.drop()
        self._end(name)

    def _end(self, name: str) -> None:
        self._transcript.connection_ends(name)
        self._forget(name)

    def _wait(self, step: Step) -> None:
        deadline = time.monotonic() + step["seconds"]
        while (left_s := deadline - time.monotonic()) > 0:
            receive(self._clients.values(), left_s)

    def _control(self, step: Step) -> None:
        receive(self._clients.values(), 0.01)
        self._target.run_control(step["op"])

    def _alarm(self, step: Step) -> None:
        """A blocked connection answers no probe, so there are none from here on."""
        self._may_probe = False
        self._target.evaluate(alarm_expression(step["op"], step["resource"]))
        (self._alarms.add if step["op"] == "alarm.set" else self._alarms.discard)(step["resource"])

    def _manage(self, step: Step) -> None:
        request = management_request(step, self._vhost)
        assert request is not None
        status, answer = self._target.request(*request)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            reason = answer.get("reason", answer) if isinstance(answer, dict) else answer
            self._note("api", "refused", status=status, reason=reason)

    def _frame(self, step: Step) -> None:
        """Send one frame. A probe could fall into the middle of a message, so there are none from here on."""
        self._may_probe = False
        client = self._client(step["at"])
        if client is None:
            return
        payload = wire.payload_of(step)
        if step["op"] == "raw":
            client.send(payload)
            return
        client.frame(step["type"], _number(step["at"]), payload)

    def _method(self, step: Step) -> frozenset[str]:
        """Send a method; returns the names of the methods that answer it, none where nothing does."""
        op, at = step["op"], step["at"]
        client = self._client(at)
        if client is None:
            return frozenset()
        fields = {
            key: self._transcript.names.resolved(value)
            for key, value in step.items()
            if key not in _NOT_FIELDS
        }
        if op == "basic.publish":
            self._transcript.publishes(at)
            properties = self._transcript.names.resolved(step.get("properties", {}))
            client.publish(_number(at), fields, properties, wire.encode_body(step.get("body", "")))
            return frozenset()
        if op == "confirm.select" and fields.get("no_wait"):
            self._transcript.confirms_begin(at)
        client.method(_number(at), op, fields)
        return frozenset() if fields.get("no_wait") else wire.METHODS[op].answers

    _handlers: ClassVar[dict[str, Callable[["_Run", Step], None]]] = {
        "connect": _connect,
        "close": _close,
        "drop": _drop,
        "wait": _wait,
        "frame": _frame,
        "raw": _frame,
        **dict.fromkeys(sorted(CONTROL_OPS), _control),
        **dict.fromkeys(sorted(ALARM_OPS), _alarm),
    }

    def _client(self, at: str) -> Client | None:
        """The connection of a channel; a note in the transcript when there is none any more."""
        name = at.partition(".")[0]
        client = self._clients.get(name)
        if client is not None and client.is_alive:
            return client
        self._note(name, "not-connected")
        return None

    # Waiting: what arrives

    def _settle(self, at: str, settle_s: float, *, answered: bool) -> None:
        if not answered:
            self._probe({at})
        self._receive_silence(settle_s)
        self._receive_until(
            lambda: not any(c.is_alive and c.is_closing for c in self._clients.values()), _CLOSING_S
        )
        if self._open_channels and self._may_probe:
            self._probe(self._open_channels)
            self._receive_silence(0.01)

    def _receive_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._collect()
        while not is_done() and (left_s := deadline - time.monotonic()) > 0:
            receive(self._clients.values(), left_s)
            self._collect()

    def _receive_silence(self, settle_s: float) -> None:
        while receive(self._clients.values(), settle_s):
            pass
        self._collect()

    def _probe(self, channels: set[str]) -> None:
        self._collect()
        if not self._may_probe:
            return
        for key in sorted(channels & self._open_channels):
            self._probes[key] = self._probes.get(key, 0) + 1
            self._clients[key.partition(".")[0]].method(_number(key), "channel.flow", {"active": True})
        self._receive_until(lambda: not any(self._probes.values()), _ANSWER_S)

    def _is_answered(self, at: str, answers: frozenset[str]) -> bool:
        name = at.partition(".")[0]
        ends = {at: answers | {"channel.close"}, name: answers | _CLOSED}
        client = self._clients.get(name)
        if client is None or not client.is_alive:
            return True
        return any(event["ev"] in ends.get(key, ()) for key, event in self._transcript.has_arrived)

    def _collect(self) -> None:
        """Move what the connections received into the transcript, but for the answers to probes."""
        for name, client in self._clients.items():
            arrived, client.arrived = client.arrived, []
            for number, event in arrived:
                key = f"{name}.{number}" if number else name
                if event["ev"] == "channel.flow-ok" and self._probes.get(key):
                    self._probes[key] -= 1
                    continue
                self._follow(key, event)
                self._transcript.arrived(name, number, event)

    def _follow(self, key: str, event: Event) -> None:
        """Keep the books on open channels; name the server's node as the format does."""
        match event["ev"]:
            case "channel.open-ok":
                self._open_channels.add(key)
            case "channel.close" | "channel.close-ok" | "connection.close" | "connection.close-ok" | "closed":
                self._forget(key)
        if "reply_text" in event:
            event["reply_text"] = event["reply_text"].replace(self._target.node, "$node")

    def _forget(self, prefix: str) -> None:
        """A channel or a whole connection is gone."""
        for key in [key for key in self._open_channels if key == prefix or key.startswith(prefix + ".")]:
            self._open_channels.discard(key)
            self._probes.pop(key, None)


def _number(at: str) -> int:
    return int(at.partition(".")[2] or 0)


def _announced(client: Client) -> Event:
    """What the server said of itself in the handshake, without its build."""
    server = client.announced
    properties = {
        key: value for key, value in server["server_properties"].items() if key not in _BUILD_PROPERTIES
    }
    return {
        **server,
        "server_properties": properties,
        "mechanisms": " ".join(sorted(server["mechanisms"].split())),
    }
