"""Replays a scenario in-process: the core's operations, in virtual time, one fresh broker for each scenario.

Owns: the clients of a scenario and what each step means for the broker.
Refuses to know: what is right. It gives a transcript; who compares it is another matter.

The clients speak through `Conversation`, as programs behind a socket do, so no-wait forms, typed values and
clashes of names are expressible. Frames, bytes and options of the handshake are not: see `needs_wire`.

Read next: ``transcript.py``, ``mockbroker/amqp/conversation.py``, FORMAT.md.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Collection
from typing import Any

from mockbroker.amqp.conversation import Conversation
from mockbroker.amqp.methods import METHODS
from mockbroker.clock import SimClock
from mockbroker.core.access import Permissions
from mockbroker.core.node import Node
from mockbroker.errors import AMQPError, HardError, PolicyError, UnreadablePolicyError
from mockbroker.rules import RULES

from .transcript import (
    Event,
    Scenario,
    Seen,
    Step,
    Transcript,
    decode_body,
    decode_properties,
    decode_value,
    line,
    show_body,
    show_properties,
)

RESTART_S = 10.0
"""Virtual seconds that a restart or a kill takes, as FORMAT.md says."""

CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}

_SETTINGS = {
    "consumer_timeout_ms": "consumer_timeout_ms",
    "max_message_size_bytes": "max_message_bytes",
    "dead_letter_retry_ms": "dead_letter_retry_ms",
    "plugins": "plugins",
}
"""Keys of a scenario that stand for a setting of the server -> the node's name for it."""
_NO_FIELDS = {"op", "at", "body", "properties", "settle"}
_EMPTY: dict[str, Any] = {"bit": False, "shortstr": "", "longstr": "", "table": {}}


def replay(scenario: Scenario, label: str, *, vhost: str = "/") -> list[Seen]:
    """Run a scenario under the rules of `label`; return its transcript, one `Seen` for each step.

    The broker's invariants are checked at the end. What goes wrong inside the broker is raised, with a note
    that names the step.
    """
    run = Replay(scenario, label, vhost=vhost)
    seen = []
    for index, step in enumerate(scenario["steps"]):
        try:
            seen.append(run.step(step))
        except Exception as error:
            error.add_note(f"in step {index}: {line(step)}")
            raise
    run.node.check()
    return seen


class _Client:
    """One connection of a scenario. It answers the broker's closes, once the broker has finished talking."""

    def __init__(self, name: str, transcript: Transcript) -> None:
        self.name = name
        self.is_alive = True
        self._transcript = transcript
        self._unanswered: list[tuple[int, str]] = []
        self.conversation: Conversation

    def send(
        self,
        channel_number: int,
        method_name: str,
        fields: dict[str, Any],
        properties: dict[str, Any] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Take what the broker sends, while somebody is there to take it."""
        if not self.is_alive:
            return
        event: Event = {"ev": method_name, **{name: _as_read(value) for name, value in fields.items()}}
        if body is not None:
            event["properties"] = show_properties(properties)
            event["body"] = show_body(body)
        self._transcript.arrived(self.name, channel_number, event)
        if method_name in ("channel.close", "connection.close"):
            self._unanswered.append((channel_number, f"{method_name}-ok"))
        elif method_name == "connection.close-ok":
            self.is_alive = False

    def hang_up(self) -> None:
        """Take note that the broker ends the link."""
        if self.is_alive:
            self.is_alive = False
            self._transcript.arrived(self.name, 0, {"ev": "closed"})

    def answer(self) -> None:
        """Answer what the broker closed."""
        while self._unanswered:
            channel_number, method_name = self._unanswered.pop(0)
            self.conversation.handle(channel_number, method_name, {})


def _as_read(value: Any) -> Any:
    """A field as a client reads it: octets of a string that are not UTF-8 are replaced."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value


class Replay:
    """A scenario in progress, in-process.

    `scenario` gives the broker's settings, `vhost` the virtual host that it is about; steps come one by one.
    """

    def __init__(self, scenario: Scenario, label: str, *, vhost: str = "/") -> None:
        self._clock = SimClock()
        settings = {name: scenario[key] for key, name in _SETTINGS.items() if key in scenario}
        self.node = Node(RULES[label], self._clock, **settings)
        self.node.add_vhost(vhost)
        self.node.user("guest").permissions[vhost] = Permissions()
        self._vhost = vhost
        self._transcript = Transcript(vhost, self.node.name)
        self._clients: dict[str, _Client] = {}
        self._clock.add_server(self._settle)

    def step(self, step: Step) -> Seen:
        """Perform one step and return what the clients saw."""
        perform = _STEPS.get(step["op"], Replay._method)
        perform(self, step)
        self._settle()
        return self._transcript.end_step()

    def _settle(self) -> None:
        """Let the broker and the clients finish what belongs to this instant."""
        self.node.drain()
        self.node.input_drained()
        for client in self._clients.values():
            client.answer()

    def _note(self, key: str, event: str, **fields: Any) -> None:
        self._transcript.note(key, {"ev": event, **fields})

    # Connections

    def _connect(self, step: Step) -> None:
        name = step["conn"]
        client = _Client(name, self._transcript)
        client.conversation = Conversation(self.node, client.send, client.hang_up)
        properties: dict[str, Any] = {"product": "scenario", "capabilities": CAPABILITIES}
        properties |= decode_value(step.get("client_properties", {}))
        try:
            user = self.node.authenticate(
                step.get("user", "guest"), step.get("password", "guest"), "127.0.0.1"
            )
        except HardError as error:
            if properties["capabilities"].get("authentication_failure_close"):
                self._refuse(name, error, "")
            else:
                self._note(name, "connect-refused", by="closed")
            return
        try:
            client.conversation.open(user, step.get("vhost", self._vhost), properties, peer_host="127.0.0.1")
        except HardError as error:
            self._refuse(name, error, "connection.open")
            return
        self._clients[name] = client
        self._note(name, "connected")

    def _refuse(self, name: str, error: AMQPError, method_name: str) -> None:
        class_id, method_id = METHODS[method_name][1:3] if method_name else (0, 0)
        self._note(
            name,
            "connect-refused",
            by="connection.close",
            reply_code=error.reply_code,
            reply_text=error.reply_text,
            class_id=class_id,
            method_id=method_id,
        )

    def _close(self, step: Step) -> None:
        if client := self._client(step["conn"]):
            self._transcript.connection_ends(client.name)
            fields = {"reply_code": 200, "reply_text": "bye", "class_id": 0, "method_id": 0}
            client.conversation.handle(0, "connection.close", fields)

    def _drop(self, step: Step) -> None:
        client = self._clients.pop(step["conn"], None)
        self._transcript.connection_ends(step["conn"])
        if client is not None:
            client.is_alive = False
            client.conversation.lost()

    def _client(self, at: str) -> _Client | None:
        """Return the client of a channel; note in the transcript when its connection is gone."""
        name = at.partition(".")[0]
        client = self._clients.get(name)
        if client is not None and client.is_alive:
            return client
        self._note(name, "not-connected")
        return None

    # Time and the server

    def _wait(self, step: Step) -> None:
        self._clock.advance(float(step["seconds"]))

    def _restart(self, step: Step) -> None:
        self.node.stop()
        self._settle()
        self._clock.advance(RESTART_S)
        self.node.start()

    def _kill(self, step: Step) -> None:
        self.node.lose_power()
        self._clock.advance(RESTART_S)
        self.node.start()

    def _administer(self, change: Callable[..., object], *args: Any, **options: Any) -> None:
        try:
            change(*args, **options)
        except UnreadablePolicyError:
            self._note("api", "refused", status=500, reason=None)
        except PolicyError as error:
            reason = error.reason
            if change == self.node.set_policy and not options.get("operator"):
                reason = html.escape(reason, quote=False)  # as that page of the management API does
            self._note("api", "refused", status=400, reason=reason)
        except ValueError:
            # The node's word for a thing that is not there.
            self._note("api", "refused", status=404, reason="Not Found")

    def _set_policy(self, step: Step) -> None:
        self._administer(
            self.node.set_policy,
            self._vhost,
            step["name"],
            step["pattern"],
            step["definition"],
            priority=step.get("priority", 0),
            apply_to=step.get("apply_to", "all"),
            operator=step["op"].startswith("operator-"),
        )

    def _delete_policy(self, step: Step) -> None:
        operator = step["op"].startswith("operator-")
        self._administer(self.node.delete_policy, self._vhost, step["name"], operator=operator)

    def _set_user(self, step: Step) -> None:
        tags = step.get("tags", ())
        tags = tags.split(",") if isinstance(tags, str) else tags
        self._administer(
            self.node.set_user, step["name"], step["password"], tuple(tag for tag in tags if tag)
        )

    def _delete_user(self, step: Step) -> None:
        self._administer(self.node.delete_user, step["name"])

    def _set_permissions(self, step: Step) -> None:
        patterns = (step["configure"], step["write"], step["read"])
        self._administer(self.node.set_permissions, step["user"], self._vhost, *patterns)

    def _clear_permissions(self, step: Step) -> None:
        is_set = self._vhost in self._permissions_of(step["user"], "permissions")
        self._administer(self._clear_if, is_set, self.node.clear_permissions, step["user"])

    def _set_topic_permissions(self, step: Step) -> None:
        patterns = (step["write"], step["read"])
        self._administer(
            self.node.set_topic_permissions, step["user"], self._vhost, step["exchange"], *patterns
        )

    def _clear_topic_permissions(self, step: Step) -> None:
        is_set = any(
            vhost == self._vhost for vhost, _ in self._permissions_of(step["user"], "topic_permissions")
        )
        self._administer(self._clear_if, is_set, self.node.clear_topic_permissions, step["user"])

    def _permissions_of(self, user: str, kind: str) -> Collection[Any]:
        known = self.node.users.get(user)
        return () if known is None else getattr(known, kind)

    def _clear_if(self, is_set: bool, change: Callable[[str, str], object], user: str) -> None:
        """Clear what is set only, as the management API does: the node itself does not mind."""
        if not is_set:
            raise ValueError(f"the user {user!r} has nothing to clear in the virtual host {self._vhost!r}")
        change(user, self._vhost)

    def _set_vhost_limit(self, step: Step) -> None:
        self._administer(self.node.set_vhost_limit, self._vhost, step["name"], step["value"])

    def _clear_vhost_limit(self, step: Step) -> None:
        self._administer(self.node.clear_vhost_limit, self._vhost, step["name"])

    def _set_user_limit(self, step: Step) -> None:
        self._administer(self.node.set_user_limit, step["user"], step["name"], step["value"])

    def _clear_user_limit(self, step: Step) -> None:
        self._administer(self.node.clear_user_limit, step["user"], step["name"])

    def _set_vhost(self, step: Step) -> None:
        self.node.vhost(self._vhost).default_queue_type = step["default_queue_type"]

    def _set_alarm(self, step: Step) -> None:
        self.node.set_alarm(step["resource"])

    def _clear_alarm(self, step: Step) -> None:
        self.node.clear_alarm(step["resource"])

    # Methods

    def _method(self, step: Step) -> None:
        if step["op"] not in METHODS:
            raise ValueError(f"{step['op']!r} is no step that can be replayed in-process")
        op, at = step["op"], step["at"]
        client = self._client(at)
        if client is None:
            return
        given = {name: self._resolved(value) for name, value in step.items() if name not in _NO_FIELDS}
        kinds = {name: kind for name, kind in METHODS[op].fields if not name.startswith("reserved_")}
        if unknown := given.keys() - kinds.keys():
            raise ValueError(f"{op} has no field {', '.join(sorted(unknown))}")
        fields = {name: _EMPTY.get(kind, 0) for name, kind in kinds.items()} | given
        number = int(at.partition(".")[2] or 0)
        if op == "basic.publish":
            self._transcript.publishes(at)
            properties = decode_properties(self._transcript.names.resolved(step.get("properties", {})))
            client.conversation.handle(number, op, fields, properties, decode_body(step.get("body", "")))
            return
        if op == "confirm.select" and fields["no_wait"]:
            self._transcript.confirms_begin(at)
        client.conversation.handle(number, op, fields)

    def _resolved(self, value: Any) -> Any:
        return decode_value(self._transcript.names.resolved(value))


_STEPS: dict[str, Callable[[Replay, Step], None]] = {
    "connect": Replay._connect,
    "close": Replay._close,
    "drop": Replay._drop,
    "wait": Replay._wait,
    "restart": Replay._restart,
    "kill": Replay._kill,
    "policy.set": Replay._set_policy,
    "policy.delete": Replay._delete_policy,
    "operator-policy.set": Replay._set_policy,
    "operator-policy.delete": Replay._delete_policy,
    "user.set": Replay._set_user,
    "user.delete": Replay._delete_user,
    "permissions.set": Replay._set_permissions,
    "permissions.clear": Replay._clear_permissions,
    "topic-permissions.set": Replay._set_topic_permissions,
    "topic-permissions.clear": Replay._clear_topic_permissions,
    "vhost-limit.set": Replay._set_vhost_limit,
    "vhost-limit.clear": Replay._clear_vhost_limit,
    "user-limit.set": Replay._set_user_limit,
    "user-limit.clear": Replay._clear_user_limit,
    "vhost.set": Replay._set_vhost,
    "alarm.set": Replay._set_alarm,
    "alarm.clear": Replay._clear_alarm,
}
"""The steps that are no methods of AMQP."""
