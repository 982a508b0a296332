"""What goes on: overview, node, connections, channels, consumers, health, and ctl for other terminals.

Owns: the paths that only look, the closing of a connection, and ``/api/mockbroker``, which RabbitMQ does not
have.
Refuses to know: what is declared (``http_topology.py``) and who may do what (``http_access.py``).

Source: RabbitMQ documentation, "Management HTTP API", "Health Checks"; the answers of RabbitMQ 3.10.8 and
4.0.5.

Read next: ``http_requests.py``, ``listings.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mockbroker.admin import columns
from mockbroker.admin.definitions import message_totals
from mockbroker.admin.http_requests import (
    NODE_NAME,
    HttpError,
    Page,
    Request,
    Route,
    Row,
    bad_request,
    not_found,
)
from mockbroker.admin.http_topology import connection_details, consumer_rows
from mockbroker.core.exchanges.types import PLUGINS

if TYPE_CHECKING:
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection

_RATES_MODE = "basic"
"""Figures of queues, channels and exchanges, and none of what goes from one of them to another."""
_CONNECTION_COLUMNS = (
    "name",
    "host",
    "port",
    "peer_host",
    "peer_port",
    "user",
    "vhost",
    "channels",
    "client_properties",
    "connected_at",
    "state",
)
_CHANNEL_COLUMNS = (
    "name",
    "number",
    "user",
    "vhost",
    "transactional",
    "confirm",
    "consumer_count",
    "messages_unacknowledged",
    "messages_unconfirmed",
    "messages_uncommitted",
    "acks_uncommitted",
    "prefetch_count",
)


_OF_THE_SPECIFICATION = ("direct", "fanout", "headers", "topic")


def _exchange_types(request: Request) -> list[Row]:
    text = "AMQP {} exchange, as per the AMQP specification"
    return [
        {
            "name": name,
            "description": text.format(name) if name in _OF_THE_SPECIFICATION else "",
            "enabled": True,
        }
        for name in request.node.exchange_types
    ]


def overview(request: Request) -> Row:
    """The whole broker in numbers, as far as the user may see it."""
    node = request.node
    hosts = request.visible_vhosts()
    queues = [queue for host in hosts for queue in host.queues.values()]
    connections = _connections(request)
    version = node.rules.version
    names = [host.name for host in hosts]
    object_totals = {
        "channels": sum(len(connection.channels) for connection in connections),
        "connections": len(connections),
        "exchanges": sum(len(host.exchanges) for host in hosts),
        "queues": len(queues),
    }
    row: Row = {
        "management_version": version,
        "rates_mode": _RATES_MODE,
        "exchange_types": _exchange_types(request),
        "product_version": version,
        "product_name": "RabbitMQ",
        "rabbitmq_version": version,
        "cluster_name": NODE_NAME,
        "disable_stats": False,
        "enable_queue_totals": False,
        "message_stats": request.statistics.of_vhosts(names, request.now_ns),
        "churn_rates": request.statistics.churn_rates(request.now_ns),
        "queue_totals": {
            **message_totals(node, queues),
            **request.statistics.length_details(request.now_ns, names),
        },
        "object_totals": object_totals,
    }
    if not request.has_tag("monitoring"):
        return row
    object_totals["consumers"] = sum(len(queue.ring) for queue in queues)
    context = {"node": NODE_NAME, "description": "RabbitMQ Management", "path": "/"}
    context |= {"ip": request.endpoint.host, "port": str(_http_port(request))}
    return row | {"node": NODE_NAME, "listeners": _listeners(request), "contexts": [context]}


def _http_port(request: Request) -> int:
    url = request.endpoint.management_url
    return int(url.rpartition(":")[2]) if url is not None else 0


def _listeners(request: Request) -> list[Row]:
    ports = {"amqp": request.endpoint.port, "http": _http_port(request)}
    return [
        {"node": NODE_NAME, "protocol": protocol, "ip_address": request.endpoint.host, "port": port}
        for protocol, port in ports.items()
    ]


def _plugins(request: Request) -> list[str]:
    return [plugin for plugin, kind in PLUGINS.items() if kind in request.node.exchange_types]


def nodes(request: Request) -> list[Row]:
    """The one node."""
    node = request.node
    return [
        {
            "name": NODE_NAME,
            "type": "disc",
            "running": node.is_running,
            "uptime": node.clock.now_ns // 1_000_000,
            "mem_alarm": "memory" in node.alarms,
            "disk_free_alarm": "disk" in node.alarms,
            "exchange_types": _exchange_types(request),
            "auth_mechanisms": [{"name": name, "enabled": True} for name in node.rules.mechanisms],
            "enabled_plugins": ["rabbitmq_management", *_plugins(request)],
            "partitions": [],
            "rates_mode": _RATES_MODE,
            **request.statistics.churn_rates(request.now_ns),
        }
    ]


def show_node(request: Request, name: str) -> Row:
    """The node by its name."""
    if name != NODE_NAME:
        raise not_found()
    return nodes(request)[0]


def cluster_name(request: Request) -> Row:
    """The name of the cluster that the node would be."""
    return {"name": NODE_NAME}


def version(request: Request) -> str:
    """The version that the rules are of."""
    return request.node.rules.version


def extensions(request: Request) -> list[Row]:
    """There are no plugins."""
    return []


# Connections and channels


def _sees(request: Request, connection: BrokerConnection) -> bool:
    return request.has_tag("monitoring") or connection.user is request.user


def _not_yours() -> HttpError:
    return HttpError(401, "not_authorised", "User not authorised to access object")


def _connections(request: Request) -> list[BrokerConnection]:
    return [connection for connection in request.node.connections if _sees(request, connection)]


def _connection_row(request: Request, connection: BrokerConnection) -> Row:
    row = {name: columns.CONNECTION.columns[name](connection) for name in _CONNECTION_COLUMNS}
    row |= {"node": NODE_NAME, "type": "network", "protocol": "AMQP 0-9-1", "ssl": False}
    row["user_who_performed_action"] = row["user"]
    provided_name = connection.client_properties.get("connection_name")
    if provided_name is not None:
        row["user_provided_name"] = provided_name
    for link in request.endpoint.links:
        if link.session.connection is connection:
            session = link.session
            row |= {
                "auth_mechanism": session.handshake.mechanism,
                "channel_max": session.handshake.channel_max,
                "frame_max": session.handshake.frame_max_bytes,
                "timeout": session.handshake.heartbeat_s,
                "recv_oct": session.octets_in,
                "send_oct": session.octets_out,
                "send_pend": link.waiting_bytes,
            }
    return row


def list_connections(request: Request, *vhosts: str) -> Page:
    """The connections of one virtual host, or all that the user may see."""
    for name in vhosts:
        request.vhost(name)
    return Page(
        [
            _connection_row(request, connection)
            for connection in _connections(request)
            if not vhosts or connection.vhost.name in vhosts
        ],
        pages=True,
    )


def _connections_of(request: Request, username: str) -> list[BrokerConnection]:
    if username != request.user.name and not request.has_tag("monitoring"):
        raise _not_yours()
    return [each for each in request.node.connections if each.user.name == username]


def connections_of(request: Request, username: str) -> Page:
    """The connections of a user, in brief."""
    return Page(
        [
            {"name": each.name, "vhost": each.vhost.name, "user": username, "node": NODE_NAME}
            for each in _connections_of(request, username)
        ]
    )


def _connection(request: Request, name: str) -> BrokerConnection:
    for connection in request.node.connections:
        if connection.name == name:
            if not _sees(request, connection):
                raise _not_yours()
            return connection
    raise not_found()


def show_connection(request: Request, name: str) -> Row:
    """One connection."""
    return _connection_row(request, _connection(request, name))


def close_connection(request: Request, name: str) -> None:
    """Close a connection: its client is told 320."""
    reason = request.reason or "Closed via management plugin"
    request.node.force_close(_connection(request, name), reason)


def close_connections_of(request: Request, username: str) -> None:
    """Close all connections of a user."""
    reason = request.reason or "Closed via management plugin"
    for connection in _connections_of(request, username):
        request.node.force_close(connection, reason)


def _channel_row(request: Request, channel: BrokerChannel) -> Row:
    connection = channel.connection
    row = {name: columns.CHANNEL.columns[name](channel) for name in _CHANNEL_COLUMNS}
    row |= {"node": NODE_NAME, "state": "running", "user_who_performed_action": connection.user.name}
    row["connection_details"] = connection_details(connection)
    message_stats = request.statistics.of_channel(connection.name, channel.number, request.now_ns)
    return row | {"message_stats": message_stats} if message_stats else row


def _channels(request: Request, connections: list[BrokerConnection]) -> Page:
    channels = [channel for each in connections for _, channel in sorted(each.channels.items())]
    return Page([_channel_row(request, channel) for channel in channels], pages=True)


def list_channels(request: Request) -> Page:
    """The channels that the user may see."""
    return _channels(request, _connections(request))


def channels_in(request: Request, vhost: str) -> Page:
    """The channels in a virtual host."""
    host = request.vhost(vhost)
    return _channels(request, [each for each in _connections(request) if each.vhost is host])


def channels_of(request: Request, name: str) -> Page:
    """The channels of a connection."""
    return _channels(request, [_connection(request, name)])


def show_channel(request: Request, name: str) -> Row:
    """One channel, with its consumers."""
    for connection in request.node.connections:
        for channel in connection.channels.values():
            if columns.CHANNEL.columns["name"](channel) != name:
                continue
            if not _sees(request, connection):
                raise _not_yours()
            consumers = consumer_rows(request.node, channel.vhost)
            own = [each for each in consumers if each["channel_details"]["name"] == name]
            row = _channel_row(request, channel)
            return {**row, "consumer_details": own, "deliveries": [], "publishes": []}
    raise not_found()


def list_consumers(request: Request, *vhosts: str) -> Page:
    """The consumers in one virtual host, or in all: everybody's for who monitors, else the user's own."""
    hosts = [request.vhost(name, "monitoring") for name in vhosts] or request.visible_vhosts()
    sees_all = request.has_tag("monitoring")
    rows = [row for host in hosts for row in consumer_rows(request.node, host)]
    return Page([row for row in rows if sees_all or row["channel_details"]["user"] == request.user.name])


# Health


_HEALTHY = {"status": "ok"}


def healthy(request: Request) -> Row:
    """A check that cannot fail here."""
    return _HEALTHY


def healthy_node(request: Request, name: str) -> Row:
    """The same, of the node by its name."""
    if name != NODE_NAME:
        raise not_found()
    return _HEALTHY


_TIME_UNITS = ("days", "weeks", "months", "years")


def check_certificates(request: Request, within: str, unit: str) -> Row:
    """Whether a certificate expires soon; there are none."""
    if not within.isdecimal():
        raise bad_request("Invalid expiration value.")
    if unit not in _TIME_UNITS:
        units = ", ".join(_TIME_UNITS)
        raise bad_request(f"Time unit not recognised. Supported units: {units}.")
    return _HEALTHY


def check_alarms(request: Request) -> Any:
    """Whether the broker is low on nothing."""
    alarms = [{"node": NODE_NAME, "resource": resource} for resource in request.node.alarms]
    if alarms:
        return (
            503,
            {"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": alarms},
            {},
        )
    return _HEALTHY


def check_port(request: Request, port: str) -> Any:
    """Whether something listens on a port."""
    if not port.isdecimal():
        raise bad_request("Invalid port")
    ports = [listener["port"] for listener in _listeners(request)]
    if int(port) in ports:
        return {"status": "ok", "port": int(port)}
    return 503, {"status": "failed", "reason": "No active listener", "missing": int(port), "ports": ports}, {}


_PROTOCOLS = {"amqp": "amqp", "amqp091": "amqp", "amqp0.9.1": "amqp", "http": "http"}


def check_protocol(request: Request, protocol: str) -> Any:
    """Whether something speaks a protocol."""
    spoken = _PROTOCOLS.get(protocol.lower())
    if spoken is not None:
        return {"status": "ok", "protocol": spoken}
    body = {
        "status": "failed",
        "reason": "No active listener",
        "missing": protocol,
        "protocols": ["http", "amqp"],
    }
    return 503, body, {}


def quorum_critical(request: Request) -> Row:
    """A single node is never short of others."""
    return {"status": "ok", "reason": "single node cluster"}


def aliveness_test(request: Request, vhost: str) -> Row:
    """Declare a queue, publish to it and get the message back."""
    with request.channel(vhost) as channel:
        channel.queue_declare(
            queue="aliveness-test",
            passive=False,
            durable=False,
            exclusive=False,
            auto_delete=False,
            arguments={},
        )
        channel.basic_publish(exchange="", routing_key="aliveness-test", body=b"test_message")
        channel.basic_get(queue="aliveness-test", no_ack=True)
    return _HEALTHY


# Beyond RabbitMQ


def ctl(request: Request) -> Row | tuple[int, Row, dict[str, str]]:
    """Run a rabbitmqctl command and return its text; ``stop`` asks the program that serves to stop.

    What rabbitmqctl refuses is refused with 400, and with its exit status.
    """
    from mockbroker.admin.ctl import CtlError, run  # noqa: PLC0415 - only this path needs it

    command = str(request.body("command")["command"])
    if command.strip() == "stop":
        if request.endpoint.on_stop is None:
            raise bad_request("this broker is stopped by the program that it runs in")
        request.endpoint.on_stop()
        return {"output": ""}
    try:
        return {"output": run(request.broker, command)}
    except CtlError as error:
        refusal = {"error": "bad_request", "reason": str(error), "exit_status": error.exit_status}
        return 400, refusal, {}


_ADMIN = "administrator"

ROUTES = (
    Route("GET", "overview", overview),
    Route("GET", "cluster-name", cluster_name),
    Route("GET", "version", version, rules=("rabbitmq-4.0",)),
    Route("GET", "extensions", extensions),
    Route("GET", "nodes", nodes, "monitoring"),
    Route("GET", "nodes/*", show_node, "monitoring"),
    Route("GET", "connections", list_connections),
    Route("GET", "connections/*", show_connection),
    Route("DELETE", "connections/*", close_connection),
    Route("GET", "connections/*/channels", channels_of),
    Route("GET", "connections/username/*", connections_of),
    Route("DELETE", "connections/username/*", close_connections_of),
    Route("GET", "vhosts/*/connections", list_connections),
    Route("GET", "vhosts/*/channels", channels_in),
    Route("GET", "channels", list_channels),
    Route("GET", "channels/*", show_channel),
    Route("GET", "consumers", list_consumers),
    Route("GET", "consumers/*", list_consumers),
    Route("GET", "aliveness-test/*", aliveness_test),
    Route("GET", "healthchecks/node", healthy),
    Route("GET", "healthchecks/node/*", healthy_node),
    Route("GET", "health/checks/alarms", check_alarms),
    Route("GET", "health/checks/local-alarms", check_alarms),
    Route("GET", "health/checks/certificate-expiration/*/*", check_certificates),
    Route("GET", "health/checks/port-listener/*", check_port),
    Route("GET", "health/checks/protocol-listener/*", check_protocol),
    Route("GET", "health/checks/virtual-hosts", healthy),
    Route("GET", "health/checks/node-is-quorum-critical", quorum_critical),
    Route("GET", "health/checks/node-is-mirror-sync-critical", quorum_critical, rules=("rabbitmq-3.10",)),
    Route("POST", "mockbroker/ctl", ctl, _ADMIN),
)
