"""Requests of the management API: what came, what is answered, and the errors between.

Owns: the shape of routes and requests, the checks that all of them share, pages of long lists.
Refuses to know: sockets (``http.py``), and what any path means.

Read next: ``http.py``, ``http_topology.py``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mockbroker.core.node import Node
from mockbroker.errors import AMQPError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mockbroker.amqp.endpoint import Endpoint
    from mockbroker.broker import Broker
    from mockbroker.core.access import User
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.vhost import VHost

Row = dict[str, Any]

_SEES_ALL = ("administrator", "monitoring")
_IMPLIED = {
    "management": ("management", "policymaker", "monitoring", "administrator"),
    "policymaker": ("policymaker", "administrator"),
    "monitoring": ("monitoring", "administrator"),
    "administrator": ("administrator",),
}
"""Tag that a path asks for -> the tags that have it. Source: RabbitMQ documentation, "Management Plugin"."""

_LINE = 80
_LARGEST_PAGE = 500


class HttpError(Exception):
    """A request that is refused: status, RabbitMQ's name for the error, and the reason."""

    def __init__(self, status: int, error: str, reason: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, error, reason)
        self.status = status
        self.body = {"error": error, "reason": reason} if error else None
        self.headers = headers or {}


def not_found() -> HttpError:
    """404 for a path, or for something that is not there."""
    return HttpError(404, "Object Not Found", "Not Found")


def bad_request(reason: Any) -> HttpError:
    """400."""
    return HttpError(400, "bad_request", reason)


class Route(NamedTuple):
    """A method on a path pattern (``*`` stands for any one segment), who may call it, and what serves it.

    The handler returns None (204), something for JSON (200), a `Page`, or a tuple of status, JSON and
    headers.
    """

    method: str
    pattern: str
    handler: Callable[..., Any]
    tag: str = "management"

    def match(self, segments: tuple[str, ...]) -> list[str] | None:
        """Return what the stars stand for, or None when the path is another."""
        pattern = self.pattern.split("/")
        if len(pattern) != len(segments):
            return None
        pairs = list(zip(pattern, segments, strict=True))
        if all(part in ("*", segment) for part, segment in pairs):
            return [segment for part, segment in pairs if part == "*"]
        return None


class Request:
    """One request, of a user who may use the API."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        method: str,
        path_head: str,
        user: User,
        query: dict[str, str],
        raw_body: bytes,
        reason: str | None,
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.path_head = path_head
        self.reason = reason
        self.user = user
        self.query = query
        self.raw_body = raw_body

    @property
    def broker(self) -> Broker:
        """The broker that is looked at."""
        return self.endpoint.broker

    @property
    def node(self) -> Node:
        """Its node."""
        return self.endpoint.broker.node

    def has_tag(self, tag: str) -> bool:
        """Whether the user may do what a tag allows."""
        return any(own in _IMPLIED[tag] for own in self.user.tags)

    def body(self, *required: str) -> Row:
        """Return the JSON object that was sent; no body at all is an empty one.

        Raises HttpError 400 for what is no object, or lacks one of the `required` keys.
        """
        try:
            body = json.loads(self.raw_body or b"{}")
        except ValueError:
            raise bad_request("not_json") from None
        if not isinstance(body, dict):
            raise bad_request("not_json")
        missing = [f"{{key_missing,{key}}}" for key in required if key not in body]
        if missing:
            text = ",".join(missing)
            raise bad_request(f"[{text}]" if len(text) + 2 < _LINE - 1 else "[" + ",\n ".join(missing) + "]")
        return body

    def visible_vhosts(self) -> list[VHost]:
        """Return the virtual hosts that the user may see, by name."""
        hosts = self.node.vhosts
        sees_all = any(tag in self.user.tags for tag in _SEES_ALL)
        return [hosts[name] for name in sorted(hosts) if sees_all or name in self.user.permissions]

    def vhost(self, name: str) -> VHost:
        """Return the virtual host of this name.

        Raises HttpError 404 when there is none, 401 when the user has no permissions in it.
        """
        if name not in self.node.vhosts:
            raise (
                not_found()
                if self.method in ("GET", "HEAD")
                else HttpError(404, "not_found", "vhost_not_found")
            )
        if name not in self.user.permissions and not self.has_tag("monitoring"):
            raise HttpError(401, "not_authorised", "User not authorised to access virtual host")
        return self.node.vhosts[name]

    def channel(self, vhost: str) -> AbstractContextManager[BrokerChannel]:
        """Return a channel of the user's own, to do what a client could do; see `DirectChannel`."""
        self.vhost(vhost)
        return DirectChannel(self.node, self.user, vhost)


class DirectChannel:
    """A channel for one request. What the broker refuses on it becomes an HttpError."""

    def __init__(self, node: Node, user: User, vhost: str) -> None:
        self.returned: list[int] = []
        self._node = node
        self._user = user
        self._vhost = vhost

    def __enter__(self) -> BrokerChannel:
        try:
            self._connection = self._node.open_connection(
                _Nobody(), self._user, self._vhost, {"product": "management"}, name="management"
            )
        except AMQPError as error:
            raise refusal(error) from None
        return self._connection.open_channel(1, _Listener(self.returned))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._connection.close()
        if isinstance(error, AMQPError):
            raise refusal(error) from None


def refusal(error: AMQPError) -> HttpError:
    """Return what the API answers when the broker refuses an operation."""
    name, _, text = error.reply_text.partition(" - ")
    if name == "ACCESS_REFUSED":
        return HttpError(401, "not_authorised", "Access refused.")
    if name == "NOT_FOUND":
        return HttpError(404, "not_found", text)
    return bad_request(text)


class _Nobody:
    """The link of a connection that lasts for one request: nothing comes unasked."""

    def connection_closed(self, error: AMQPError) -> None:
        """The request ends soon anyway."""

    def link_lost(self) -> None:
        """The same."""

    def blocked(self, reason: str) -> None:
        """The API's publishes are not held up."""

    def unblocked(self) -> None:
        """The same."""


class _Listener:
    """The client's end of such a channel: it notes which messages were returned."""

    def __init__(self, returned: list[int]) -> None:
        self._returned = returned

    def returned(self, reply_code: int, reply_text: str, message: Any) -> None:
        """basic.return: nothing took the message."""
        self._returned.append(reply_code)

    def deliver(self, delivery: Any) -> None:
        """There are no consumers."""

    def deliver_run(self, consumer: Any, first_tag: int, messages: Any) -> None:
        """There are no consumers."""

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """There are no confirms."""

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        """There are no confirms."""

    def consumer_cancelled(self, consumer_tag: str) -> None:
        """There are no consumers."""

    def closed(self, error: AMQPError) -> None:
        """Nothing waits long enough."""


class Page:
    """A list of rows that may be long: sorted, filtered, cut into pages and columns as the query asks.

    Source: RabbitMQ documentation, "Management HTTP API", "Pagination", "Sorting", "Column selection".
    """

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def body(self, query: dict[str, str]) -> Any:
        """Return the rows for this query. Raises HttpError 400 for a page or pattern without sense."""
        rows = self._sorted(query)
        if "page" not in query:
            return [_with_columns(row, query) for row in rows]
        number, size = _number(query, "page", 1), _number(query, "page_size", 100)
        if size > _LARGEST_PAGE:
            raise bad_request(f"page_size must be at most {_LARGEST_PAGE}")
        found = list(self._filtered(rows, query))
        items = [_with_columns(row, query) for row in found[(number - 1) * size : number * size]]
        return {
            "filtered_count": len(found),
            "item_count": len(items),
            "items": items,
            "page": number,
            "page_count": -(-len(found) // size) or 1,
            "page_size": size,
            "total_count": len(rows),
        }

    def _sorted(self, query: dict[str, str]) -> list[Row]:
        if "sort" not in query:
            return self._rows
        column = query["sort"]
        is_reverse = query.get("sort_reverse") == "true"
        return sorted(self._rows, key=lambda row: _sortable(_column(row, column)), reverse=is_reverse)

    @staticmethod
    def _filtered(rows: list[Row], query: dict[str, str]) -> Iterator[Row]:
        name = query.get("name", "")
        pattern = name if query.get("use_regex") == "true" else re.escape(name)
        try:
            matches = re.compile(pattern, re.IGNORECASE).search
        except re.error as error:
            raise bad_request(f"name is no regular expression: {error}") from None
        return (row for row in rows if matches(str(row.get("name", ""))))


def _number(query: dict[str, str], key: str, default: int) -> int:
    text = query.get(key, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise bad_request(f"{key} must be a number from 1, not {text!r}")
    return int(text)


def _column(row: Row, column: str) -> Any:
    """Return what a column holds; ``a.b`` is b in the object a."""
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _sortable(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool | int | float):
        return (1, value)
    return (0, "") if value is None else (2, str(value))


def _with_columns(row: Row, query: dict[str, str]) -> Row:
    if "columns" not in query:
        return row
    wanted = query["columns"].split(",")
    return {column: value for column in wanted if (value := _column(row, column)) is not None}


def flag(body: Row, key: str) -> bool:
    """Return a boolean of a request's body, which clients also send as text; false when it is not there.

    Raises HttpError 400 for anything else.
    """
    value = body.get(key, False)
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise bad_request(["not_boolean", value])
    return value
