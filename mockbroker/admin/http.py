"""The management HTTP API beside an endpoint: tools look at a broker and set it up as they do RabbitMQ.

Owns: the server and its threads, who may call, the way from a path to what it names, JSON in and out.
Refuses to know: what each path means (the ``http_*.py`` files beside this one have the tables of paths).

Each request is served under the broker's lock, in a thread of its own. Paths, fields and status codes are
RabbitMQ's; what a broker without processes and disks cannot say is left out.

Source: RabbitMQ documentation, "Management HTTP API"; the answers of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``http_requests.py``, ``http_topology.py``, ``http_access.py``, ``http_status.py``.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mockbroker.admin import http_access, http_definitions, http_settings, http_status, http_topology
from mockbroker.admin.http_requests import (
    MANNERS,
    HttpError,
    Page,
    Request,
    Route,
    not_found,
    with_columns,
)
from mockbroker.admin.http_statistics import Statistics

if TYPE_CHECKING:
    from mockbroker.amqp.endpoint import Endpoint
    from mockbroker.core.access import User

_log = logging.getLogger(__name__)

ROUTES = (
    *http_status.ROUTES,
    *http_access.ROUTES,
    *http_topology.ROUTES,
    *http_definitions.ROUTES,
    *http_settings.ROUTES,
)
_MANAGEMENT_TAGS = ("administrator", "monitoring", "policymaker", "management")
_LONGEST_BODY_BYTES = 16 * 1024 * 1024


class ManagementServer:
    """The management API of one endpoint's broker, on a listening socket, until `close`."""

    def __init__(self, endpoint: Endpoint, listener: socket.socket) -> None:
        with endpoint.lock:
            self._statistics = Statistics(endpoint.broker.node)
        self._server = _Server(endpoint, listener, self._statistics)
        self.host, self.port = listener.getsockname()[:2]
        name = f"mockbroker-management-{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name=name, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the API is, without ``/api``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """Close the port, and count no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._statistics.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, endpoint: Endpoint, listener: socket.socket, statistics: Statistics) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.endpoint = endpoint
        self.statistics = statistics

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone in the middle of a request is no news."""
        _log.debug("request of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "mockbroker"
    sys_version = ""
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are logged like all else."""
        _log.debug("%s %s", self.address_string(), format % args)

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = do_GET

    def _serve(self) -> None:
        headers: dict[str, str] = {}
        try:
            status, answer, headers = self._answer()
        except HttpError as error:
            status, answer = error.status, error.body
            headers = error.headers
        except Exception:
            _log.exception("%s %s failed", self.command, self.path)
            status, answer = 500, {"error": "internal_server_error", "reason": "see the log"}
        body = b"" if answer is None else json.dumps(answer, default=_plain, separators=(",", ":")).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("vary", "accept, accept-encoding, origin")
        if body:
            self.send_header("cache-control", "no-cache")
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self) -> tuple[int, Any, dict[str, str]]:
        body = self._body()
        parts = urlsplit(self.path)
        segments = tuple(unquote(part, errors="surrogateescape") for part in parts.path.split("/")[1:])
        if segments[:1] != ("api",):
            raise not_found()
        route, names = self._route(tuple(segment for segment in segments[1:] if segment))
        endpoint = self.server.endpoint
        with endpoint.lock:
            request = Request(
                endpoint=endpoint,
                statistics=self.server.statistics,
                method=self.command,
                path_head=segments[1],
                reason=self.headers.get("x-reason"),
                user=self._user(endpoint.broker.node.users),
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                raw_body=body,
            )
            request.require_tag(route.tag)
            if route.needs_json_type and not (self.headers.get_content_type() == "application/json"):
                raise HttpError(415, "", "")
            try:
                answer = route.handler(request, *names)
            finally:
                endpoint.broker.node.drain()
                endpoint.broker.node.input_drained()
        if isinstance(answer, Page):
            return 200, answer.body(request.query), {}
        if isinstance(answer, tuple):
            return answer
        if isinstance(answer, dict) and route.method == "GET":
            return 200, with_columns(answer, request.query), {}
        return (204, None, {}) if answer is None else (200, answer, {})

    def _body(self) -> bytes:
        try:
            length = int(self.headers.get("content-length") or 0)
        except ValueError:
            raise HttpError(400, "bad_request", "content-length is no number") from None
        if not 0 <= length <= _LONGEST_BODY_BYTES:
            self.close_connection = True
            raise HttpError(413, "payload_too_large", f"a body has at most {_LONGEST_BODY_BYTES} octets")
        return self.rfile.read(length)

    def _route(self, segments: tuple[str, ...]) -> tuple[Route, list[str]]:
        allowed = []
        command = "GET" if self.command == "HEAD" else self.command
        rules = self.server.endpoint.broker.node.rules.name
        for route in ROUTES:
            names = route.match(segments)
            if names is None or rules not in (route.rules or (rules,)):
                continue
            if route.method == command:
                return route, names
            allowed.append(route.method)
        if not allowed:
            raise not_found()
        methods = ["HEAD", *allowed, "OPTIONS"] if "GET" in allowed else [*allowed, "OPTIONS"]
        headers = {"allow": ", ".join(dict.fromkeys(methods))}
        raise HttpError(200 if command == "OPTIONS" else 405, "", "", headers=headers)

    def _user(self, users: dict[str, User]) -> User:
        given = self.headers.get("authorization")
        challenge = {"www-authenticate": 'Basic realm="RabbitMQ Management"'}
        if given is None:
            raise HttpError(401, "", "", headers=challenge)
        scheme, _, token = given.partition(" ")
        name = password = ""
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise HttpError(400, "", "") from None
        user = users.get(name)
        if user is None or user.password is None or user.password != password:
            self.server.statistics.logins[False] += 1
            manners = MANNERS[self.server.endpoint.broker.node.rules.name]
            headers = challenge if manners.challenges_again else {}
            raise HttpError(401, "not_authorized", manners.login_refused, headers=headers)
        self.server.statistics.logins[True] += 1
        if not any(tag in user.tags for tag in _MANAGEMENT_TAGS):
            raise HttpError(401, "not_authorised", "Not management user")
        return user


def _plain(value: Any) -> Any:
    """Bytes of a message or a table as text: JSON has no others."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{value!r} cannot be shown as JSON")
