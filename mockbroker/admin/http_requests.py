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
from mockbroker.errors import AMQPError, HardError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockbroker.admin.http_statistics import Statistics
    from mockbroker.amqp.endpoint import Endpoint
    from mockbroker.broker import Broker
    from mockbroker.core.access import User
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.vhost import VHost

Row = dict[str, Any]

_IMPLIED = {
    "management": ("management", "policymaker", "monitoring", "administrator"),
    "policymaker": ("policymaker", "administrator"),
    "monitoring": ("monitoring", "administrator"),
    "administrator": ("administrator",),
}
"""Tag that a path asks for -> the tags that have it. Source: RabbitMQ documentation, "Management Plugin"."""

NODE_NAME = "rabbit@localhost"
"""What stands for the Erlang node's name: a simulated server has one name everywhere."""

_REFUSALS = {
    "management": "Not management user",
    "policymaker": "User not authorised to access object",
    "monitoring": "Not monitor user",
    "administrator": "Not administrator user",
}
"""Tag -> what somebody without it is told."""

_LINE = 80
_LARGEST_PAGE = 500
_DEFAULT_PAGE = 100


class Manners(NamedTuple):
    """In what the management API of one RabbitMQ differs from another's."""

    login_refused: str
    challenges_again: bool
    """Whether a wrong password is answered with a challenge, as no password is."""
    missing_is_quoted: bool
    """Publishing and getting tell of a missing exchange or queue what AMQP would have told."""
    bulk_delete_checks_names: bool
    has_mirrors: bool
    lists_nulls: bool
    """Whether a list of queues says null of what a queue has not, as the page of one queue does."""
    tells_figures: bool
    """Whether the figures are told that only quorum queues have."""
    quorum_active_consumer: str
    """Under which name a quorum queue tells its single active consumer."""
    users_have_pages: bool
    tells_internal_users: bool
    flags_tag: str
    """Who may see the feature flags."""
    authentication: Row
    """What ``/api/auth`` says."""


MANNERS = {
    "rabbitmq-3.10": Manners(
        login_refused="Login failed",
        challenges_again=True,
        missing_is_quoted=True,
        bulk_delete_checks_names=True,
        has_mirrors=True,
        lists_nulls=True,
        tells_figures=False,
        quorum_active_consumer="single_active_consumer_ctag",
        users_have_pages=False,
        tells_internal_users=False,
        flags_tag="administrator",
        authentication={"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""},
    ),
    "rabbitmq-4.0": Manners(
        login_refused="Not_Authorized",
        challenges_again=False,
        missing_is_quoted=False,
        bulk_delete_checks_names=False,
        has_mirrors=False,
        lists_nulls=False,
        tells_figures=True,
        quorum_active_consumer="single_active_consumer_tag",
        users_have_pages=True,
        tells_internal_users=True,
        flags_tag="management",
        authentication={"oauth_enabled": False},
    ),
}
"""Name of the rules -> their API."""


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
    headers. A few paths take a body only when its content type says that it is JSON; some belong to some
    `rules` only, which are named then.
    """

    method: str
    pattern: str
    handler: Callable[..., Any]
    tag: str = "management"
    needs_json_type: bool = False
    rules: tuple[str, ...] = ()

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
        statistics: Statistics,
        method: str,
        path_head: str,
        user: User,
        query: dict[str, str],
        raw_body: bytes,
        reason: str | None,
    ) -> None:
        self.endpoint = endpoint
        self.statistics = statistics
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

    @property
    def manners(self) -> Manners:
        """In what this version's API differs."""
        return MANNERS[self.node.rules.name]

    def has_tag(self, tag: str) -> bool:
        """Whether the user may do what a tag allows."""
        return any(own in _IMPLIED[tag] for own in self.user.tags)

    def require_tag(self, tag: str) -> None:
        """Raise HttpError 401 unless the user may do what a tag allows."""
        if not self.has_tag(tag):
            raise HttpError(401, "not_authorised", _REFUSALS[tag])

    def body(self, *required: str) -> Row:
        """Return the JSON object that was sent; no body at all is an empty one, and so is null.

        Raises HttpError 400 for what is no object, or lacks one of the `required` keys.
        """
        try:
            body = json.loads(self.raw_body or b"{}")
        except ValueError:
            raise bad_request("not_json") from None
        if body is None:
            body = {}
        if isinstance(body, str):
            raise bad_request(
                "invalid payload: the request body JSON-decoded to a string. "
                "Is the input doubly-JSON-encoded?"
            )
        if not isinstance(body, dict):
            raise bad_request("not_json")
        missing = [f"{{key_missing,{key}}}" for key in required if key not in body]
        if missing:
            text = ",".join(missing)
            raise bad_request(f"[{text}]" if len(text) + 2 < _LINE - 1 else "[" + ",\n ".join(missing) + "]")
        return body

    @property
    def now_ns(self) -> int:
        """The broker's time."""
        return self.node.clock.now_ns

    def vhosts(self, tag: str) -> list[VHost]:
        """Return the virtual hosts that the user may enter, by name; with `tag`, all there are."""
        hosts = self.node.vhosts
        sees_all = self.has_tag(tag)
        return [hosts[name] for name in sorted(hosts) if sees_all or name in self.user.permissions]

    def visible_vhosts(self) -> list[VHost]:
        """Return the virtual hosts of which the user may see that they are there, by name."""
        return self.vhosts("monitoring")

    def open_vhosts(self, *names: str) -> list[VHost]:
        """Return those in which the user may see what there is, by name; with `names` these."""
        return [self.vhost(name) for name in names] or self.vhosts("administrator")

    def vhost(self, name: str, tag: str = "administrator") -> VHost:
        """Return the virtual host of this name.

        Raises HttpError 404 when there is none, 401 when the user has neither permissions in it nor `tag`.
        """
        if name not in self.node.vhosts:
            is_change = self.method in ("PUT", "POST")
            raise HttpError(404, "not_found", "vhost_not_found") if is_change else not_found()
        if name not in self.user.permissions and not self.has_tag(tag):
            raise HttpError(401, "not_authorised", "User not authorised to access virtual host")
        return self.node.vhosts[name]

    def channel(self, vhost: str) -> DirectChannel:
        """Return a channel of the user's own, to do what a client could do; see `DirectChannel`."""
        self.vhost(vhost)
        return DirectChannel(self.node, self.user, vhost)


class DirectChannel:
    """A channel for one request. What the broker refuses on it becomes an HttpError."""

    def __init__(self, node: Node, user: User, vhost: str) -> None:
        self.returned: list[int] = []
        self.refused: list[int] = []
        self._node = node
        self._user = user
        self._vhost = vhost

    def __enter__(self) -> BrokerChannel:
        try:
            self._connection = self._node.open_connection(
                _Nobody(), self._user, self._vhost, {"product": "management"}, name="management"
            )
        except AMQPError:
            raise _ACCESS_REFUSED from None
        return self._connection.open_channel(1, _Listener(self.returned, self.refused))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._connection.close()
        if isinstance(error, AMQPError):
            raise refusal(error) from None


_ACCESS_REFUSED = HttpError(401, "not_authorised", "Access refused.")


def refused_message(error: AMQPError) -> HttpError:
    """Return what the API answers when the broker refuses to take or to give a message: code and text."""
    text = error.reply_text
    if isinstance(error, HardError):
        text = text.partition(" - ")[2] or text
    return bad_request(f"{error.reply_code} {text}")


def refusal(error: AMQPError) -> HttpError:
    """Return what the API answers when the broker refuses an operation."""
    name, _, text = error.reply_text.partition(" - ")
    if name == "ACCESS_REFUSED":
        return _ACCESS_REFUSED
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
    """The client's end of such a channel: it notes which messages were returned, and which refused."""

    def __init__(self, returned: list[int], refused: list[int]) -> None:
        self._returned = returned
        self._refused = refused

    def returned(self, reply_code: int, reply_text: str, message: Any) -> None:
        """basic.return: nothing took the message."""
        self._returned.append(reply_code)

    def deliver(self, delivery: Any) -> None:
        """There are no consumers."""

    def deliver_run(self, consumer: Any, first_tag: int, messages: Any) -> None:
        """There are no consumers."""

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """A message is safe: what else there is to say was said before."""

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        """A queue refused a message."""
        self._refused.append(delivery_tag)

    def consumer_cancelled(self, consumer_tag: str) -> None:
        """There are no consumers."""

    def closed(self, error: AMQPError) -> None:
        """Nothing waits long enough."""


class Page:
    """A list of rows that may be long: sorted, cut into pages and columns as the query asks.

    A list with `pages` can be asked for one page of the rows whose name fits; the other lists answer whole.

    Source: RabbitMQ documentation, "Management HTTP API", "Pagination", "Sorting", "Column selection".
    """

    def __init__(self, rows: list[Row], *, pages: bool = False) -> None:
        self._rows = rows
        self._pages = pages

    def body(self, query: dict[str, str]) -> Any:
        """Return the rows for this query. Raises HttpError 400 for a page or pattern without sense."""
        rows = self._sorted(query)
        if not self._pages or "page" not in query:
            return [with_columns(row, query) for row in rows]
        number, size = _asked_page(query)
        found = list(self._filtered(rows, query))
        if (number - 1) * size >= len(found) and number > 1:
            reason = f"Page out of range, page: {number} page size: {size}, len: {len(found)}"
            raise HttpError(400, "page_out_of_range", reason)
        items = [with_columns(row, query) for row in found[(number - 1) * size : number * size]]
        return {
            "filtered_count": len(found),
            "item_count": len(items),
            "items": items,
            "page": number,
            "page_count": -(-len(found) // size),
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
        except re.error:
            raise bad_request("Pagination parameters are invalid") from None
        return (row for row in rows if matches(str(row.get("name", ""))))


def _asked_page(query: dict[str, str]) -> tuple[int, int]:
    """Return the number and the size of the page that is asked for. Raises HttpError 400."""
    texts = query["page"], query.get("page_size", str(_DEFAULT_PAGE))
    if not all(text.isdecimal() for text in texts):
        raise bad_request("Pagination parameters are invalid")
    number, size = map(int, texts)
    if number < 1 or not 1 <= size <= _LARGEST_PAGE:
        shown = size if "page_size" in query else "undefined"
        reason = f"Invalid pagination parameters: page number {number}, page size {shown}"
        raise HttpError(400, "invalid_pagination_parameters", reason)
    return number, size


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


def with_columns(row: Row, query: dict[str, str]) -> Any:
    """Return what the query's ``columns`` select of a row, all without them; ``a.b`` is shown as b in a.

    RabbitMQ differs from what one would expect: a row of which nothing is left is an empty list.
    """
    if "columns" not in query:
        return row
    chosen: Row = {}
    for column in query["columns"].split(","):
        *outer, last = column.split(".")
        source, place = row, chosen
        for part in outer:
            inner = source.get(part)
            if not isinstance(inner, dict):
                break
            source, place = inner, place.setdefault(part, {})
        else:
            if last in source:
                place[last] = source[last]
    return chosen or []


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
