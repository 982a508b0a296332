"""The management HTTP API beside an endpoint: tools look at a broker and set it up as they do RabbitMQ.

Owns: the server and its threads, who may call, the way from a path to what it names, JSON in and out.
Refuses to know: what each path means (the ``http_*.py`` files beside this one have the tables of paths).

Each request is served under the broker's lock, in a thread of its own. Paths, fields and status codes are
RabbitMQ's; what a broker without processes, disks and statistics cannot say is left out.

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

from mockbroker.admin import http_access, http_definitions, http_status, http_topology
from mockbroker.admin.http_requests import HttpError, Page, Request, Route, not_found

if TYPE_CHECKING:
    from mockbroker.amqp.endpoint import Endpoint
    from mockbroker.core.access import User

_log = logging.getLogger(__name__)

ROUTES = (*http_status.ROUTES, *http_access.ROUTES, *http_topology.ROUTES, *http_definitions.ROUTES)
_MANAGEMENT_TAGS = ("administrator", "monitoring", "policymaker", "management")
_LONGEST_BODY_BYTES = 16 * 1024 * 1024


class ManagementServer:
    """The management API of one endpoint's broker, on a listening socket, until `close`."""

    def __init__(self, endpoint: Endpoint, listener: socket.socket) -> None:
        self._server = _Server(endpoint, listener)
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
        """Close the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, endpoint: Endpoint, listener: socket.socket) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.endpoint = endpoint

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

    do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_GET

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
        self.send_header("cache-control", "no-cache")
        if body or status != 204:
            self.send_header("content-type", "application/json")
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
                method=self.command,
                path_head=segments[1],
                reason=self.headers.get("x-reason"),
                user=self._user(endpoint.broker.node.users),
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                raw_body=body,
            )
            if not request.has_tag(route.tag):
                raise HttpError(401, "not_authorised", f"Not {_TITLES[route.tag]} user")
            try:
                answer = route.handler(request, *names)
            finally:
                endpoint.broker.node.drain()
                endpoint.broker.node.input_drained()
        if isinstance(answer, Page):
            return 200, answer.body(request.query), {}
        if isinstance(answer, tuple):
            return answer
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
        for route in ROUTES:
            names = route.match(segments)
            if names is None:
                continue
            if route.method == command:
                return route, names
            allowed.append(route.method)
        if not allowed:
            raise not_found()
        if command == "OPTIONS":
            raise HttpError(200, "", "", headers={"allow": ", ".join(["HEAD", *allowed, "OPTIONS"])})
        raise HttpError(405, "", "", headers={"allow": ", ".join(["HEAD", *allowed, "OPTIONS"])})

    def _user(self, users: dict[str, User]) -> User:
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        try:
            name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = password = ""
        user = users.get(name)
        if scheme.lower() != "basic" or user is None or user.password is None or user.password != password:
            reason = (
                "Login failed"
                if self.server.endpoint.broker.node.rules.version.startswith("3.")
                else "Not_Authorized"
            )
            challenge = {"www-authenticate": 'Basic realm="RabbitMQ Management"'}
            raise HttpError(401, "not_authorized", reason, headers=challenge)
        if not any(tag in user.tags for tag in _MANAGEMENT_TAGS):
            raise HttpError(401, "not_authorised", "Not management user")
        return user


_TITLES = {
    "management": "management",
    "monitoring": "monitor",
    "policymaker": "policymaker",
    "administrator": "administrator",
}


def _plain(value: Any) -> Any:
    """Bytes of a message or a table as text: JSON has no others."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{value!r} cannot be shown as JSON")
