"""A real RabbitMQ for the tests that only use a URL: a virtual host for each, gone afterwards.

Owns: the calls of the management API. Refuses to know: pytest.
Source: RabbitMQ's management HTTP API, ``/api/overview``, ``/api/vhosts``, ``/api/permissions``.

Read next: ``plugin.py``.
"""

from __future__ import annotations

import base64
import json
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANAGEMENT_OFFSET = 10_000
"""The management API's usual port is that much above the AMQP port."""
_PATIENCE_S = 30


class LiveServer:
    """A server at an AMQP URL such as ``amqp://guest:guest@127.0.0.1:5672``.

    Its management API is looked for at the AMQP port + 10000, or at `management_url`. Raises ValueError for a
    URL that is none, ConnectionError when the API does not answer.
    """

    def __init__(self, url: str, management_url: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "amqp" or not parts.hostname:
            raise ValueError(f"a live server is given as amqp://user:password@host:port, not {url!r}")
        self._user = unquote(parts.username or "guest")
        self._password = unquote(parts.password or "guest")
        self._host, self._port = parts.hostname, parts.port or 5672
        default = f"http://{self._host}:{self._port + _MANAGEMENT_OFFSET}"
        self._api = (management_url or default).rstrip("/") + "/api"
        self.version: str = self._call("GET", "/overview")["rabbitmq_version"]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = Request(
            self._api + path, None if body is None else json.dumps(body).encode(), method=method
        )
        login = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=_PATIENCE_S) as answer:
                text = answer.read()
        except HTTPError as error:
            with error:
                reason = error.read().decode(errors="replace")
            raise ConnectionError(f"{method} {self._api}{path}: {error.code} {reason}") from None
        except (URLError, OSError) as error:
            raise ConnectionError(f"no management API at {self._api}: {error}") from None
        return json.loads(text) if text else None

    def has_rules(self, version: str) -> bool:
        """Whether the server is of the same series as `version`: 4.0.5 and 4.0.1 are."""
        return self.version.split(".")[:2] == version.split(".")[:2]

    @contextmanager
    def vhost(
        self, definitions: dict[str, Any] | None = None, consumer_timeout_ms: int | None = None
    ) -> Iterator[str]:
        """Make a virtual host and yield the URL in it; it is deleted afterwards, whatever was left there."""
        name = f"mockbroker-{secrets.token_hex(8)}"
        path = f"/vhosts/{name}"
        self._call("PUT", path, {})
        try:
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            self._call("PUT", f"/permissions/{name}/{quote(self._user, safe='')}", everything)
            if definitions is not None:
                self._call("POST", f"/definitions/{name}", definitions)
            if consumer_timeout_ms is not None:
                policy = {
                    "pattern": "",
                    "apply-to": "queues",
                    "definition": {"consumer-timeout": consumer_timeout_ms},
                }
                self._call("PUT", f"/policies/{name}/consumer-timeout", policy)
            user, password = quote(self._user, safe=""), quote(self._password, safe="")
            yield f"amqp://{user}:{password}@{self._host}:{self._port}/{name}"
        finally:
            self._call("DELETE", path)
