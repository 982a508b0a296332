"""The server under the scenarios: its management API, `rabbitmqctl`, and how to stop and start it.

Owns what a scenario asks of the server beside AMQP, and putting it back afterwards. It knows no AMQP.
Next: `runner.py` (who asks), `../FORMAT.md` (the steps).
"""

import base64
import contextlib
import json
import shlex
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..transcript import Step

Request = tuple[str, tuple[str, ...], Mapping[str, Any] | None]

CONTROL_OPS = {"restart", "kill"}
ALARM_OPS = {"alarm.set", "alarm.clear"}
# Scenario keys that change a setting of the whole server while the scenario runs -> the setting's name there.
SETTINGS = {
    "consumer_timeout_ms": "consumer_timeout",
    "channel_tick_interval_ms": "channel_tick_interval",
    "max_message_size_bytes": "max_message_size",
    "dead_letter_retry_ms": "dead_letter_worker_publisher_confirm_timeout",
}
_HTTP_TIMEOUT_S = 30
_CTL_TIMEOUT_S = 60


class UnsupportedError(Exception):
    """The target cannot run the scenario: it lacks a ctl, a control command or a plugin."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where scenarios run.

    `url` is amqp://user:password@host:port; `api` is the base URL of the management API, with the same user;
    `ctl` is the rabbitmqctl command of the server's node; `control` is a command that restarts or kills the
    server, with `{action}` for which. The last two are needed only by scenarios that use them.
    """

    url: str
    api: str
    ctl: str | None = None
    control: str | None = None

    @cached_property
    def plugins(self) -> frozenset[str]:
        """The plugins that are enabled on the server's node."""
        return frozenset(self.request("GET", ("nodes", self.node))[1]["enabled_plugins"])

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of AMQP."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname or "localhost", parts.port or 5672

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password."""
        parts = urllib.parse.urlsplit(self.url)
        return urllib.parse.unquote(parts.username or "guest"), urllib.parse.unquote(
            parts.password or "guest"
        )

    @cached_property
    def node(self) -> str:
        """The name of the server's Erlang node; some texts contain it."""
        return str(self.request("GET", ("overview",))[1]["node"])

    def check_can_run(self, scenario: Mapping[str, Any]) -> None:
        """Raises `UnsupportedError` when the scenario needs a command or plugin that the target lacks."""
        ops = {step["op"] for step in scenario["steps"]}
        if ops & CONTROL_OPS and not self.control:
            raise UnsupportedError("the target has no control command")
        if changes_server(scenario) and not self.ctl:
            raise UnsupportedError("the target has no ctl command")
        if missing := [name for name in scenario.get("plugins", ()) if name not in self.plugins]:
            raise UnsupportedError(f"the target has no plugin {', '.join(missing)}")

    def request(
        self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Call the management API; returns the status and the answer as JSON, or as text when it is none."""
        url = "/".join([self.api.rstrip("/"), "api", *(urllib.parse.quote(part, safe="") for part in path)])
        login = base64.b64encode(":".join(self.credentials).encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(call, timeout=_HTTP_TIMEOUT_S) as answer:
                return answer.status, _json_or_text(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json_or_text(error.read())

    def evaluate(self, expression: str) -> str:
        """Evaluate an Erlang expression on the server; returns what it prints. Raises when that fails."""
        assert self.ctl is not None
        done = subprocess.run(
            [*shlex.split(self.ctl), "eval", expression],
            check=True,
            capture_output=True,
            text=True,
            timeout=_CTL_TIMEOUT_S,
        )
        return done.stdout.strip()

    def run_control(self, action: str) -> None:
        """Restart or kill the server; returns when it is up again."""
        assert self.control is not None
        subprocess.run(shlex.split(self.control.replace("{action}", action)), check=True, capture_output=True)

    @contextlib.contextmanager
    def fresh_vhost(self, scenario: Mapping[str, Any]) -> Iterator[str]:
        """An empty vhost for one scenario, on a server set as it asks; afterwards all is put back."""
        vhost = f"scenario-{uuid.uuid4().hex[:12]}"
        users = {step["name"] for step in scenario["steps"] if step["op"] == "user.set"}
        alarms = {step["resource"] for step in scenario["steps"] if step["op"] in ALARM_OPS}
        settings = [f"{{{name}, {scenario[key]}}}" for key, name in SETTINGS.items() if key in scenario]
        before = self.evaluate(_swap_settings(f"[{', '.join(settings)}]")) if settings else ""
        try:
            self.request("PUT", ("vhosts", vhost), {})
            everything = dict.fromkeys(("configure", "write", "read"), ".*")
            self.request("PUT", ("permissions", vhost, self.credentials[0]), everything)
            yield vhost
        finally:
            for resource in sorted(alarms):
                self.evaluate(alarm_expression("alarm.clear", resource))
            for user in sorted(users):
                self.request("DELETE", ("users", user))
            self.request("DELETE", ("vhosts", vhost))
            if settings:
                self.evaluate(_swap_settings(before))


def _swap_settings(pairs: str) -> str:
    """Erlang that sets each of a list of {Name, Value}, and returns what they were, as such a list.

    What a server reads at its start only, it keeps as a persistent term: 4.0 does so with max_message_size.
    """
    now = "persistent_term:get(K, element(2, application:get_env(rabbit, K)))"
    put = "persistent_term:get(K, none) == none orelse persistent_term:put(K, V)"
    swap = f"begin Old = {now}, application:set_env(rabbit, K, V), {put}, {{K, Old}} end"
    return f"[{swap} || {{K, V}} <- {pairs}]."


def alarm_expression(op: str, resource: str) -> str:
    """Erlang for an alarm step: the alarm as the memory or disk monitor raises it; their limits stay."""
    alarm = f"{{resource_limit, {resource}, node()}}"
    return (
        f"rabbit_alarm:set_alarm({{{alarm}, []}})."
        if op == "alarm.set"
        else f"rabbit_alarm:clear_alarm({alarm})."
    )


def _json_or_text(raw: bytes) -> Any:
    try:
        return json.loads(raw or b"null")
    except ValueError:
        return raw.decode("utf-8", "replace")


def changes_server(scenario: Mapping[str, Any]) -> bool:
    """Whether the scenario changes more than its own vhost and users, so that no other may run beside it."""
    ops = {step["op"] for step in scenario["steps"]}
    return bool(ops & (ALARM_OPS | CONTROL_OPS) or SETTINGS.keys() & scenario.keys())


# Kind of step -> path below /api, filled from the step, and the fields that make the body of its `.set`.
_RESOURCES = {
    "policy": ("policies/{vhost}/{name}", "pattern definition priority apply-to"),
    "operator-policy": ("operator-policies/{vhost}/{name}", "pattern definition priority apply-to"),
    "user": ("users/{name}", "password tags"),
    "permissions": ("permissions/{vhost}/{user}", "configure write read"),
    "topic-permissions": ("topic-permissions/{vhost}/{user}", "exchange write read"),
    "vhost-limit": ("vhost-limits/{vhost}/{name}", "value"),
    "user-limit": ("user-limits/{user}/{name}", "value"),
    "vhost": ("vhosts/{vhost}", "default_queue_type"),
}


def management_request(step: Step, vhost: str) -> Request | None:
    """The management API's call that performs the step, or None when it is a step of another kind."""
    kind, _, verb = step["op"].rpartition(".")
    if kind not in _RESOURCES:
        return None
    template, keys = _RESOURCES[kind]
    path = tuple(part.format_map({**step, "vhost": vhost}) for part in template.split("/"))
    if verb != "set":
        return "DELETE", path, None
    fields = {key: key.replace("-", "_") for key in keys.split()}
    return "PUT", path, {key: step[field] for key, field in fields.items() if field in step}
