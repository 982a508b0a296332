"""Exchanges, queues and bindings over HTTP, and single messages in and out.

Owns: the paths below ``/api/exchanges``, ``/api/queues`` and ``/api/bindings``, and what their objects show.
Refuses to know: the rules of declaring, binding and publishing: it asks the broker as a client would.

Source: RabbitMQ documentation, "Management HTTP API"; the answers of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``http_requests.py``, ``listings.py``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from mockbroker.admin import columns, listings
from mockbroker.admin.columns import EXCHANGE, choose
from mockbroker.admin.definitions import table
from mockbroker.admin.http_requests import (
    NODE_NAME,
    HttpError,
    Page,
    Request,
    Route,
    Row,
    bad_request,
    flag,
    not_found,
    refused_message,
)
from mockbroker.errors import AMQPError, HardError, SoftError
from mockbroker.message import PROPERTY_NAMES, GetOk
from mockbroker.terms import table_identity
from mockbroker.values import octets

if TYPE_CHECKING:
    from mockbroker.admin.columns import QueueState
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.exchanges.base import Exchange
    from mockbroker.core.vhost import VHost

_DEFAULT_EXCHANGE = "amq.default"
_IDENTITY_COLUMNS = ("name", "durable", "auto_delete", "arguments", "state", "type")
_LENGTH_COLUMNS = ("messages", "messages_ready", "messages_unacknowledged")
_QUEUE_COLUMNS = (
    *_IDENTITY_COLUMNS,
    *_LENGTH_COLUMNS,
    "effective_policy_definition",
    "consumers",
)
_CLASSIC_COLUMNS = (
    "message_bytes",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "message_bytes_persistent",
    "messages_persistent",
    "head_message_timestamp",
)
_EXCHANGE_COLUMNS = ("name", "type", "durable", "auto_delete", "internal", "arguments", "policy")


# Exchanges


def _exchange_row(request: Request, vhost: VHost, row: Row) -> Row:
    if not row["policy"]:
        del row["policy"]
    message_stats = request.statistics.of_exchange(vhost.name, row["name"], request.now_ns)
    if message_stats:
        row["message_stats"] = message_stats
    return {
        **row,
        "vhost": vhost.name,
        "user_who_performed_action": "rmq-internal" if vhost.name == "/" else "guest",
    }


def list_exchanges(request: Request, *vhosts: str) -> Page:
    """The exchanges of one virtual host, or of all that the user may see."""
    hosts = request.open_vhosts(*vhosts)
    return Page(
        [
            _exchange_row(request, host, row)
            for host in hosts
            for row in listings.list_exchanges(request.node, host.name, _EXCHANGE_COLUMNS)
        ],
        pages=True,
    )


def _exchange(request: Request, vhost: str, name: str) -> Exchange:
    exchanges = request.vhost(vhost).exchanges
    exchange = exchanges.get("" if name == _DEFAULT_EXCHANGE else name)
    if exchange is None:
        raise not_found()
    return exchange


def show_exchange(request: Request, vhost: str, name: str) -> Row:
    """One exchange."""
    exchange = _exchange(request, vhost, name)
    row = choose(EXCHANGE, _EXCHANGE_COLUMNS, request.node).row(exchange)
    return {**_exchange_row(request, exchange.vhost, row), "incoming": [], "outgoing": []}


def declare_exchange(request: Request, vhost: str, name: str) -> Any:
    """Declare an exchange: 201 for a new one, 204 for one that is there and equal."""
    body = request.body()
    is_new = name not in request.vhost(vhost).exchanges
    kind = body.get("type", "direct")
    if kind not in request.node.exchange_types:
        raise bad_request(f"invalid exchange type '{kind}'")
    with request.channel(vhost) as channel:
        channel.exchange_declare(
            exchange=name,
            type=kind,
            passive=False,
            durable=flag(body, "durable"),
            auto_delete=flag(body, "auto_delete"),
            internal=flag(body, "internal"),
            arguments=_arguments(body),
        )
    return _created(is_new)


def delete_exchange(request: Request, vhost: str, name: str) -> None:
    """Delete an exchange."""
    exchange = _exchange(request, vhost, name)
    with request.channel(vhost) as channel:
        channel.exchange_delete(exchange=exchange.name, if_unused=request.query.get("if-unused") == "true")


def publish(request: Request, vhost: str, name: str) -> Row:
    """Publish a message; say whether it was routed."""
    body = request.body("properties", "routing_key", "payload", "payload_encoding")
    payload = _payload(body["payload"], body["payload_encoding"])
    exchange = "" if name == _DEFAULT_EXCHANGE else name
    is_there = exchange in request.vhost(vhost).exchanges
    if not is_there and not request.manners.missing_is_quoted:
        raise HttpError(404, "not_found", "exchange_not_found")
    direct = request.channel(vhost)
    with direct as channel:
        channel.confirm_select()
        try:
            channel.basic_publish(
                exchange=exchange,
                routing_key=str(body["routing_key"]),
                body=payload,
                properties=_given_properties(body["properties"]),
                mandatory=True,
            )
        except AMQPError as error:
            raise refused_message(error) from None
        request.node.drain()
        request.node.input_drained()
    if direct.refused:
        raise bad_request("rejected Unable to publish message. Check queue limits.")
    return {"routed": not direct.returned}


def _payload(text: Any, encoding: Any) -> bytes:
    if encoding not in ("string", "base64"):
        raise bad_request(["unsupported_encoding", encoding])
    if not isinstance(text, str):
        raise bad_request("payload_not_string")
    if encoding == "string":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise bad_request(["not_base64", text]) from None


_NUMBERS = {"delivery_mode", "priority", "timestamp"}


def _given_properties(given: Any) -> dict[str, Any] | None:
    """Return a message's properties; what is no property is passed over, as RabbitMQ does."""
    if not isinstance(given, dict):
        return None
    for name, value in given.items():
        if name in _NUMBERS and (not isinstance(value, int) or isinstance(value, bool)):
            raise bad_request(["not_int", name])
        if (
            name in PROPERTY_NAMES
            and name not in _NUMBERS
            and name != "headers"
            and not isinstance(value, str)
        ):
            raise bad_request(["not_string", name])
    properties = {name: given[name] for name in PROPERTY_NAMES if name in given}
    if "headers" in properties:
        properties["headers"] = _headers(properties["headers"])
    return properties or None


def _headers(given: Any) -> Row:
    """Return a table of headers; an empty list stands for an empty table, as some clients write it."""
    if given == []:
        return {}
    if not isinstance(given, dict):
        raise bad_request("headers must be an object")
    if _has_null(given):
        raise bad_request("null_not_allowed")
    headers: Row = table(given)
    return headers


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_null(each) for each in value.values())
    return value is None or (isinstance(value, list) and any(_has_null(each) for each in value))


# Queues


def _queue_row(request: Request, state: QueueState) -> Row:
    """A queue as the API shows it; the query may ask for less."""
    queue = state.queue
    vhost = queue.vhost.name
    row = _cells(state, _IDENTITY_COLUMNS)
    row |= {"exclusive": queue.exclusive_to is not None, "vhost": vhost, "node": NODE_NAME}
    if queue.type in _REPLICATED:
        row |= {"leader": NODE_NAME, "members": [NODE_NAME], "online": [NODE_NAME]}
    policies = _policies(state)
    if request.query.get("disable_stats") == "true":
        if request.query.get("enable_queue_totals") == "true":
            row |= _cells(state, _LENGTH_COLUMNS)
            row |= {"policy": policies["policy"]} if policies["policy"] else {}
        return row
    row |= policies | _cells(state, _QUEUE_COLUMNS)
    if queue.type == "classic":
        consumer = queue.consumer_in_exclusive_use
        row |= _cells(state, _CLASSIC_COLUMNS)
        row["exclusive_consumer_tag"] = consumer.tag if consumer is not None else None
        if queue.exclusive_to is not None:
            row["owner_pid_details"] = connection_details(queue.exclusive_to)
    manners = request.manners
    if queue.type == "quorum":
        row |= state.quorum_totals
    if manners.tells_figures:
        row |= queue.figures
    if queue.type in ("classic", "quorum"):
        active = queue.ring.active if queue.ring.single_active else None
        name = manners.quorum_active_consumer if queue.type == "quorum" else "single_active_consumer_tag"
        row[name] = active.tag if active is not None else None
    row |= request.statistics.length_details(request.now_ns, [vhost], queue.name)
    message_stats = request.statistics.of_queue(vhost, queue.name, request.now_ns)
    return row | {"message_stats": message_stats} if message_stats else row


_REPLICATED = ("quorum", "stream")


def _cells(state: QueueState, names: tuple[str, ...]) -> Row:
    return {name: columns.QUEUE.columns[name](state) for name in names}


def _policies(state: QueueState) -> Row:
    """The names of the policies that apply; null without one."""
    names = _cells(state, ("policy", "operator_policy"))
    return {kind: name or None for kind, name in names.items()}


def list_queues(request: Request, *vhosts: str) -> Page:
    """The queues of one virtual host, or of all that the user may see."""
    rows = _queue_rows(request, *vhosts)
    if not request.manners.lists_nulls:
        rows = [{key: value for key, value in row.items() if value is not None} for row in rows]
    return Page(rows, pages=True)


def list_queues_in_detail(request: Request) -> Page:
    """The same, with what a queue has not as null."""
    return Page(_queue_rows(request), pages=True)


def _queue_rows(request: Request, *vhosts: str) -> list[Row]:
    return [
        _queue_row(request, state)
        for host in request.open_vhosts(*vhosts)
        for state in listings.queue_states(request.node, host.name)
    ]


def show_queue(request: Request, vhost: str, name: str) -> Row:
    """One queue, with its consumers."""
    host = request.vhost(vhost)
    if name not in host.queues:
        raise not_found()
    state = next(
        each for each in listings.queue_states(request.node, vhost) if each.queue is host.queues[name]
    )
    row = _queue_row(request, state)
    if request.query.get("disable_stats") == "true":
        return row
    consumers = [row for row in consumer_rows(request.node, host) if row["queue"]["name"] == name]
    return {**row, "consumer_details": consumers, "deliveries": [], "incoming": []}


def connection_details(connection: BrokerConnection) -> Row:
    """Return a connection as other objects refer to it."""
    return {
        "name": connection.name,
        "peer_host": connection.peer_host,
        "peer_port": columns.CONNECTION.columns["peer_port"](connection),
    }


def consumer_rows(node: Any, vhost: VHost) -> list[Row]:
    """Return the consumers of a virtual host as the API shows them."""
    rows = []
    for name in sorted(vhost.queues):
        for consumer in vhost.queues[name].ring.all:
            channel = consumer.channel
            connection = channel.connection
            cells = columns.CONSUMER.columns
            rows.append(
                {
                    **{
                        column: cells[column](consumer)
                        for column in (
                            "arguments",
                            "ack_required",
                            "active",
                            "activity_status",
                            "consumer_tag",
                        )
                    },
                    "exclusive": consumer.queue.consumer_in_exclusive_use is consumer,
                    "prefetch_count": consumer.prefetch_count,
                    "channel_details": {
                        "connection_name": connection.name,
                        "name": f"{connection.name} ({channel.number})",
                        "node": NODE_NAME,
                        "number": channel.number,
                        "peer_host": connection.peer_host,
                        "peer_port": columns.CONNECTION.columns["peer_port"](connection),
                        "user": connection.user.name,
                    },
                    "queue": {"name": name, "vhost": vhost.name},
                }
            )
    return rows


def declare_queue(request: Request, vhost: str, name: str) -> Any:
    """Declare a queue: 201 for a new one, 204 for one that is there and equal."""
    body = request.body()
    node = body.get("node") or NODE_NAME
    if node != NODE_NAME:
        raise bad_request(f"Node {node} could not be contacted")
    is_new = name not in request.vhost(vhost).queues
    with request.channel(vhost) as channel:
        channel.queue_declare(
            queue=name,
            passive=False,
            durable=flag(body, "durable"),
            exclusive=False,
            auto_delete=flag(body, "auto_delete"),
            arguments=_arguments(body),
        )
    return _created(is_new)


def delete_queue(request: Request, vhost: str, name: str) -> None:
    """Delete a queue."""
    _check_queue(request, vhost, name)
    query = request.query
    with request.channel(vhost) as channel:
        channel.queue_delete(
            queue=name, if_unused=query.get("if-unused") == "true", if_empty=query.get("if-empty") == "true"
        )


def purge_queue(request: Request, vhost: str, name: str) -> None:
    """Drop a queue's ready messages."""
    _check_queue(request, vhost, name)
    with request.channel(vhost) as channel:
        channel.queue_purge(queue=name)


def _check_queue(request: Request, vhost: str, name: str) -> None:
    if name not in request.vhost(vhost).queues:
        raise not_found()


def act_on_queue(request: Request, vhost: str, name: str) -> None:
    """Synchronise a queue's mirrors, or stop doing so: there are none, so nothing is left to do."""
    action = request.body("action")["action"]
    _check_queue(request, vhost, name)
    if action not in ("sync", "cancel_sync") or not request.manners.has_mirrors:
        raise bad_request(["unknown", action])


_ACK_MODES = ("ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false")


def get_messages(request: Request, vhost: str, name: str) -> list[Row]:
    """Fetch messages; the ack mode says whether they stay in the queue. A negative count means all."""
    body = request.body("ackmode", "count", "encoding")
    encoding, mode = body["encoding"], body["ackmode"]
    if encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    if mode not in _ACK_MODES:
        raise bad_request(["unsupported_ackmode", mode])
    count = _integer(body, "count")
    truncate = _integer(body, "truncate") if body.get("truncate") is not None else None
    if name not in request.vhost(vhost).queues:
        is_quoted = request.manners.missing_is_quoted
        text = f"NOT_FOUND - no queue '{name}' in vhost '{vhost}'"
        raise HttpError(404, "not_found", text if is_quoted else "queue_not_found")
    with request.channel(vhost) as channel:
        try:
            fetched = _fetch(channel, name, count)
        except HardError as error:
            raise refused_message(error) from None
        except SoftError as error:
            raise HttpError(401, "not_authorised", error.reply_text) from None
        if fetched:
            last_tag = fetched[-1].delivery_tag
            if mode == "ack_requeue_false":
                channel.basic_ack(delivery_tag=last_tag, multiple=True)
            else:
                channel.basic_nack(delivery_tag=last_tag, multiple=True, requeue=mode.endswith("true"))
    return [_message_row(got, encoding, truncate) for got in fetched]


def _fetch(channel: BrokerChannel, queue: str, count: int) -> list[GetOk]:
    fetched: list[GetOk] = []
    while len(fetched) != count:
        got = channel.basic_get(queue=queue, no_ack=False)
        if not isinstance(got, GetOk):
            break
        fetched.append(got)
    return fetched


def _integer(body: Row, key: str) -> int:
    try:
        return int(body[key])
    except (TypeError, ValueError):
        raise bad_request(["not_integer", body[key]]) from None


def _message_row(got: GetOk, encoding: str, truncate: int | None) -> Row:
    _, _, body, properties, _ = got.message
    shown = body[:truncate] if truncate is not None else body
    try:
        if encoding == "base64":
            raise UnicodeError
        text, encoding = shown.decode(), "string"
    except UnicodeError:
        text, encoding = base64.b64encode(shown).decode(), "base64"
    return {
        "payload_bytes": len(body),
        "redelivered": got.redelivered,
        "exchange": got.exchange,
        "routing_key": got.routing_key,
        "message_count": got.message_count,
        "properties": properties or [],
        "payload": text,
        "payload_encoding": encoding,
    }


# Bindings


def binding_row(vhost: str, row: Row) -> Row:
    """Return a listed binding as the API shows it."""
    return {
        "source": row["source_name"],
        "vhost": vhost,
        "destination": row["destination_name"],
        "destination_type": row["destination_kind"],
        "routing_key": row["routing_key"],
        "arguments": row["arguments"],
        "properties_key": properties_key(row["routing_key"], row["arguments"]),
    }


def properties_key(routing_key: str, arguments: Row) -> str:
    """Return the name of a binding among those with the same ends: its key, and a hash of its arguments."""
    name = quote_plus(octets(routing_key)).replace("~", "%7E") if routing_key else "~"
    if not arguments:
        return name
    digest = hashlib.md5(repr(table_identity(arguments)).encode(), usedforsecurity=False).digest()
    return ("" if name == "~" else name) + "~" + base64.urlsafe_b64encode(digest[:4]).decode().rstrip("=")


def _bindings(request: Request, vhost: str) -> list[Row]:
    request.vhost(vhost)
    return [binding_row(vhost, row) for row in listings.list_bindings(request.node, vhost, _BINDING_COLUMNS)]


_BINDING_COLUMNS = ("source_name", "destination_name", "destination_kind", "routing_key", "arguments")
_KINDS = {"q": "queue", "e": "exchange"}


def list_bindings(request: Request, *vhosts: str) -> Page:
    """The bindings of one virtual host, or of all that the user may see."""
    hosts = request.open_vhosts(*vhosts)
    return Page([row for host in hosts for row in _bindings(request, host.name)])


def bindings_of_queue(request: Request, vhost: str, name: str) -> Page:
    """What leads to a queue."""
    wanted = ("queue", name)
    return Page(
        [row for row in _bindings(request, vhost) if (row["destination_type"], row["destination"]) == wanted]
    )


def bindings_from(request: Request, vhost: str, name: str) -> Page:
    """What leads away from an exchange."""
    source = "" if name == _DEFAULT_EXCHANGE else name
    return Page([row for row in _bindings(request, vhost) if row["source"] == source])


def bindings_to(request: Request, vhost: str, name: str) -> Page:
    """What leads to an exchange."""
    wanted = ("exchange", name)
    return Page(
        [row for row in _bindings(request, vhost) if (row["destination_type"], row["destination"]) == wanted]
    )


def _between(request: Request, vhost: str, source: str, kind: str, destination: str) -> list[Row]:
    if kind not in _KINDS:
        raise not_found()
    wanted = ("" if source == _DEFAULT_EXCHANGE else source, _KINDS[kind], destination)
    return [
        row
        for row in _bindings(request, vhost)
        if (row["source"], row["destination_type"], row["destination"]) == wanted
    ]


def bindings_between(request: Request, vhost: str, source: str, kind: str, destination: str) -> list[Row]:
    """The bindings from an exchange to a queue (``q``) or exchange (``e``)."""
    return _between(request, vhost, source, kind, destination)


def show_binding(request: Request, vhost: str, source: str, kind: str, destination: str, key: str) -> Row:
    """One of them, by its properties key."""
    for row in _between(request, vhost, source, kind, destination):
        if row["properties_key"] in (key, quote_plus(key), key.replace("%2F", "/")):
            return row
    raise not_found()


def bind(request: Request, vhost: str, source: str, kind: str, destination: str) -> Any:
    """Bind a queue or an exchange to an exchange; the answer's location names the new binding."""
    body = request.body()
    routing_key, arguments = str(body.get("routing_key", "")), _arguments(body)
    if kind not in _KINDS:
        raise not_found()
    if source == _DEFAULT_EXCHANGE:
        raise HttpError(401, "not_authorised", "Access refused.")
    with request.channel(vhost) as channel:
        if kind == "q":
            channel.queue_bind(
                queue=destination, exchange=source, routing_key=routing_key, arguments=arguments
            )
        else:
            channel.exchange_bind(
                destination=destination, source=source, routing_key=routing_key, arguments=arguments
            )
    location = f"{quote_plus(destination)}/{quote_plus(properties_key(routing_key, arguments))}"
    return 201, None, {"location": location.replace("%7E", "~")}


def unbind(request: Request, vhost: str, source: str, kind: str, destination: str, key: str) -> None:
    """Remove a binding, by its properties key."""
    row = show_binding(request, vhost, source, kind, destination, key)
    with request.channel(vhost) as channel:
        if kind == "q":
            channel.queue_unbind(
                queue=destination, exchange=source, routing_key=row["routing_key"], arguments=row["arguments"]
            )
        else:
            channel.exchange_unbind(
                destination=destination,
                source=source,
                routing_key=row["routing_key"],
                arguments=row["arguments"],
            )


def _arguments(body: Row) -> Row:
    """The arguments of a body; an empty list stands for none, as some clients write it."""
    arguments = body.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise bad_request("arguments must be an object")
    converted: Row = table(arguments)
    return converted


def _created(is_new: bool) -> Any:
    return (201, None, {}) if is_new else None


ROUTES = (
    Route("GET", "exchanges", list_exchanges),
    Route("GET", "exchanges/*", list_exchanges),
    Route("GET", "exchanges/*/*", show_exchange),
    Route("PUT", "exchanges/*/*", declare_exchange),
    Route("DELETE", "exchanges/*/*", delete_exchange),
    Route("POST", "exchanges/*/*/publish", publish),
    Route("GET", "exchanges/*/*/bindings/source", bindings_from),
    Route("GET", "exchanges/*/*/bindings/destination", bindings_to),
    Route("GET", "queues", list_queues),
    Route("GET", "queues/detailed", list_queues_in_detail, rules=("rabbitmq-4.0",)),
    Route("GET", "queues/*", list_queues),
    Route("GET", "queues/*/*", show_queue),
    Route("PUT", "queues/*/*", declare_queue),
    Route("DELETE", "queues/*/*", delete_queue),
    Route("GET", "queues/*/*/bindings", bindings_of_queue),
    Route("DELETE", "queues/*/*/contents", purge_queue),
    Route("POST", "queues/*/*/get", get_messages),
    Route("POST", "queues/*/*/actions", act_on_queue),
    Route("GET", "bindings", list_bindings),
    Route("GET", "bindings/*", list_bindings),
    Route("GET", "bindings/*/e/*/*/*", bindings_between),
    Route("POST", "bindings/*/e/*/*/*", bind),
    Route("GET", "bindings/*/e/*/*/*/*", show_binding),
    Route("DELETE", "bindings/*/e/*/*/*/*", unbind),
)
