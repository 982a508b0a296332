"""What a channel declares, binds, purges and deletes.

Owns: the checks that stand before each such method: names, permissions, exclusiveness; and the permissions
that a channel remembers.
Refuses to know: messages and deliveries (``core/channel.py``), and how things are kept (``core/vhost.py``).
Source: AMQP 0-9-1, classes queue and exchange; recorded areas ``declare``, ``exchanges`` and ``permissions``.

Read next: ``core/vhost.py``, ``core/channel.py``.
"""

from __future__ import annotations

from mockbroker.core import arguments as args
from mockbroker.core import refusals, replies
from mockbroker.core.vhost import RESERVED_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.exchanges.base import Destination, Exchange
    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost

    Grant: TypeAlias = tuple[str, str, str]
    Routes: TypeAlias = dict[str, tuple[Queue, ...]]

REMEMBERED_PERMISSIONS = 12
"""How many granted permissions a channel remembers. Source: recorded area ``permissions``."""


def _remember(granted: dict[Grant, None], grant: Grant) -> Grant | None:
    """Keep what was granted; what was granted first is forgotten first, and returned."""
    forgotten = None
    if len(granted) >= REMEMBERED_PERMISSIONS:
        forgotten = next(iter(granted))
        del granted[forgotten]
    granted[grant] = None
    return forgotten


def _on_one_line(name: str) -> str:
    """Take carriage returns and line feeds out of a name.

    Source: recorded scenarios ``exchanges/name-line-feeds*``.
    """
    return name.replace("\r", "").replace("\n", "")


class Declarations:
    """The part of a channel that shapes the virtual host. Every method raises before it changes anything."""

    __slots__ = (
        "_granted",
        "_granted_topics",
        "_publishable",
        "_routes",
        "connection",
        "default_queue",
        "node",
        "vhost",
    )

    def __init__(self, connection: BrokerConnection) -> None:
        self.connection = connection
        self.node: Node = connection.node
        self.vhost: VHost = connection.vhost
        self.default_queue: str | None = None
        """The queue that the channel declared last: what an empty queue name means."""
        self._granted: dict[Grant, None] = {}
        self._granted_topics: dict[Grant, None] = {}
        self._publishable: dict[str, Exchange] = {}
        """The exchanges that the channel may publish to without being asked again: each has its grant."""
        self._routes: dict[str, Routes] = {}
        """Name of such an exchange -> the routes that a publish may take at once. For a topic exchange these
        are the channel's own, of keys that have their grants, too: see `_topic_route`."""

    def check_permission(self, permission: str, kind: str, name: str) -> None:
        """Refuse what the user may not do (SoftError 403); what was granted lately is not asked again."""
        grant = (permission, kind, name)
        if grant not in self._granted:
            user, vhost = self.connection.user, self.vhost.name
            if not user.may(permission, name, vhost):
                raise refusals.access_refused(self._named(permission), kind, name, vhost, user.name)
            forgotten = _remember(self._granted, grant)
            if forgotten is not None and forgotten[:2] == ("write", "exchange"):
                self._may_publish_no_more(forgotten[2])

    def check_topic(self, permission: str, exchange: str, key: str) -> None:
        """Refuse a routing key (write) or binding key (read) that the topic permission does not cover.

        A key is remembered also while there is none: one that is set later finds it granted. Source: recorded
        scenario ``permissions/topic-grant-remembered``.
        """
        grant = (permission, exchange, key)
        if grant in self._granted_topics:
            return
        user = self.connection.user
        if user.topic_permissions:
            vhost, variables = self.vhost.name, self.connection.topic_variables
            if not user.may_topic(permission, exchange, vhost, key, variables):
                raise refusals.topic_access_refused(self._named(permission), key, exchange, vhost, user.name)
        forgotten = _remember(self._granted_topics, grant)
        if forgotten is not None and forgotten[0] == "write":
            routes = self._routes.get(forgotten[1])
            if routes is not None and routes is not self._publishable[forgotten[1]].routes:
                routes.pop(forgotten[2], None)

    def _may_publish(self, exchange: Exchange) -> None:
        self._publishable[exchange.name] = exchange
        self._routes[exchange.name] = {} if exchange.type == "topic" else exchange.routes

    def _may_publish_no_more(self, name: str) -> None:
        exchange = self._publishable.pop(name, None)
        if exchange is not None:
            exchange.take_back(self)
            del self._routes[name]

    def _topic_route(self, name: str, routing_key: str) -> Sequence[Queue]:
        """Return the route that a topic exchange remembers for a key, once the user may use it.

        A channel that goes on with more keys than it can remember remembers none: counting would cost every
        publish.
        """
        exchange = self._publishable[name]
        queues = exchange.routes.get(routing_key)
        if not queues or exchange.type != "topic":
            return ()
        granted = self._granted_topics
        if (
            len(granted) >= REMEMBERED_PERMISSIONS
            and ("write", name, routing_key) not in granted
            and not self.connection.user.topic_permissions
        ):
            granted.clear()
            for each in self._publishable.values():
                each.take_back(self)
                self._routes[each.name] = each.routes
            return queues
        self.check_topic("write", name, routing_key)
        routes = self._routes[name]
        if not routes:
            exchange.lend(self, routes)
        routes[routing_key] = queues
        return queues

    def forget_publishable(self) -> None:
        """Look exchanges up anew: one is gone, or the channel is, or keys must be asked for from now on."""
        for name in list(self._publishable):
            self._may_publish_no_more(name)

    def check_granted(self) -> None:
        """Assert that what goes the short way has been granted."""
        assert self._publishable.keys() == self._routes.keys()
        for name, exchange in self._publishable.items():
            assert ("write", "exchange", name) in self._granted, f"{self!r} may not publish to {exchange!r}"
            routes = self._routes[name]
            if exchange.type == "topic" and routes is not exchange.routes:
                assert all(("write", name, key) in self._granted_topics for key in routes), (
                    f"{self!r} may not use some of {routes!r}"
                )
                assert all(routes[key] == self.vhost.find_route(exchange, (key,), None) for key in routes)

    def _named(self, permission: str) -> str:
        return permission if self.node.rules.names_refused_permission else ""

    # -- queues

    def queue_declare(
        self,
        queue: str = "",
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> replies.QueueDeclareOk:
        """Declare a queue, or look whether it is there (`passive`). An empty name lets the server choose one.

        Raises SoftError 404 (passive), 405 (locked), 406 (not equivalent, or arguments), 403 (reserved name,
        permission).
        """
        queue = _on_one_line(queue)
        fast_replies = self.node.fast_replies
        if fast_replies.is_reply_name(queue):
            reply = fast_replies.declare(queue, self)
            self.default_queue = queue
            return reply
        if passive:
            target = self.vhost.queue(queue)
            target.check_access(self.connection)
            target.lease.renew()
        else:
            target = self._declare(queue, durable and not exclusive, exclusive, auto_delete, arguments or {})
        self.default_queue = target.name
        return replies.QueueDeclareOk(target.name, target.ready_count, len(target.ring))

    def _declare(
        self, name: str, durable: bool, exclusive: bool, auto_delete: bool, arguments: dict[str, Any]
    ) -> Queue:
        if name.startswith(RESERVED_PREFIX):
            raise refusals.reserved_name("queue", name)
        if not name:
            plain = not durable or exclusive or auto_delete
            self.vhost.check_server_named(plain=plain, arguments=arguments)
            name = self.node.generate_name("amq.gen-")
        self.check_permission("configure", "queue", name)
        owner = self.connection if exclusive else None
        there = self.vhost.queues.get(name)
        if there is not None:
            self.vhost.check_same_queue(
                there, durable=durable, exclusive_to=owner, auto_delete=auto_delete, arguments=arguments
            )
            there.lease.renew()
            return there
        is_limited_early = not self.node.rules.queue_limit_is_checked_late
        if is_limited_early:
            self.node.limits.check_new_queue(self.vhost, name)
        dead_letter_exchange = args.exchange_argument(
            args.DEAD_LETTER_EXCHANGE, "queue", name, self.vhost.name, arguments
        )
        if dead_letter_exchange is not None:
            self.check_permission("read", "queue", name)
            self.check_permission("write", "exchange", dead_letter_exchange)
        return self.vhost.declare_queue(
            name,
            durable=durable,
            exclusive_to=owner,
            auto_delete=auto_delete,
            arguments=arguments,
            is_limited=not is_limited_early,
        )

    def queue_bind(
        self,
        queue: str = "",
        exchange: str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> replies.Reply:
        """Bind a queue to an exchange. Raises SoftError 404, 405, 403 (default exchange, permission), 406
        (arguments)."""
        name, exchange = _on_one_line(self._queue_name(queue)), _on_one_line(exchange)
        if not queue and not routing_key:
            routing_key = name
        source = self._binding_source("queue", name, exchange, routing_key)
        self._bind(source, exchange, self.vhost.queues.get(name), "queue", name, routing_key, arguments)
        return replies.QUEUE_BIND_OK

    def queue_unbind(
        self,
        queue: str = "",
        exchange: str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> replies.Reply:
        """Remove a binding; whatever is missing is no error, of anybody's queue.

        Raises SoftError 403, 405 (there is such a binding, of another connection's exclusive queue). Source:
        recorded scenario ``declare/exclusive-lock-unbind-bound``.
        """
        name, exchange = _on_one_line(self._queue_name(queue)), _on_one_line(exchange)
        if not queue and not routing_key:
            routing_key = name
        source = self._binding_source("queue", name, exchange, routing_key)
        target = self.vhost.queues.get(name)
        if source is not None and target is not None:
            binding = self.vhost.find_binding(source, target, routing_key, arguments or {})
            if binding is not None:
                target.check_access(self.connection)
                self.vhost.unbind(binding)
        return replies.QUEUE_UNBIND_OK

    def _binding_source(self, kind: str, destination: str, source: str, routing_key: str) -> Exchange | None:
        """Check a binding's ends; return its source, None when it is not there."""
        self.check_permission("write", kind, destination)
        if not source or (kind == "exchange" and not destination):
            raise refusals.default_exchange()
        self.check_permission("read", "exchange", source)
        exchange = self.vhost.exchanges.get(source)
        if exchange is not None and exchange.type == "topic":
            self.check_topic("read", source, routing_key)
        return exchange

    def _bind(
        self,
        source: Exchange | None,
        source_name: str,
        destination: Destination | None,
        kind: str,
        name: str,
        routing_key: str,
        arguments: dict[str, Any] | None,
    ) -> None:
        if source is None:
            raise refusals.not_found("exchange", source_name, self.vhost.name)
        if destination is None:
            raise refusals.not_found(kind, name, self.vhost.name)
        self.vhost.bind(source, destination, routing_key, arguments or {}, asked_by=self.connection)

    def queue_purge(self, queue: str = "") -> replies.QueuePurgeOk:
        """Drop the ready messages; what is unacknowledged stays. Raises SoftError 404, 405, 403."""
        name = self._queue_name(queue)
        self.check_permission("read", "queue", name)
        return replies.QueuePurgeOk(self._accessible(name).purge())

    def queue_delete(
        self, queue: str = "", if_unused: bool = False, if_empty: bool = False
    ) -> replies.QueueDeleteOk:
        """Delete a queue; one that is not there is no error. Raises SoftError 405, 403, 406 (in use, not
        empty)."""
        name = _on_one_line(self._queue_name(queue))
        self.check_permission("configure", "queue", name)
        target = self.vhost.queues.get(name)
        if target is None:
            return replies.QueueDeleteOk(0)
        target.check_access(self.connection)
        target.check_delete(if_unused=if_unused, if_empty=if_empty)
        return replies.QueueDeleteOk(self.vhost.delete_queue(target))

    # -- exchanges

    def exchange_declare(
        self,
        exchange: str = "",
        type: str = "direct",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> replies.Reply:
        """Declare an exchange, or look whether it is there (`passive`).

        Raises SoftError 404 (passive), 406 (not equivalent), 403 (default exchange, reserved name,
        permission); an unknown type is a HardError 503 or a SoftError 406, as the rules have it. Arguments of
        a plugin's type can be a HardError 541.
        """
        exchange = _on_one_line(exchange)
        if passive:
            if not exchange:
                raise refusals.default_exchange()
            self.vhost.exchange(exchange)
            return replies.EXCHANGE_DECLARE_OK
        if type not in self.node.exchange_types:
            raise refusals.unknown_exchange_type(type, self.node.rules)
        if not exchange:
            raise refusals.default_exchange()
        arguments = arguments or {}
        self.check_permission("configure", "exchange", exchange)
        if exchange not in self.vhost.exchanges and not exchange.startswith(RESERVED_PREFIX):
            alternate = args.exchange_argument(
                args.ALTERNATE_EXCHANGE, "exchange", exchange, self.vhost.name, arguments
            )
            if alternate is not None:
                self.check_permission("read", "exchange", exchange)
                self.check_permission("write", "exchange", alternate)
        self.vhost.declare_exchange(
            exchange, type, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
        return replies.EXCHANGE_DECLARE_OK

    def exchange_delete(self, exchange: str = "", if_unused: bool = False) -> replies.Reply:
        """Delete an exchange; one that is not there is no error. Raises SoftError 403, 406 (in use)."""
        exchange = _on_one_line(exchange)
        if not exchange:
            raise refusals.default_exchange()
        if exchange.startswith(RESERVED_PREFIX):
            raise refusals.system_exchange(exchange, self.vhost.name)
        self.check_permission("configure", "exchange", exchange)
        self.vhost.delete_exchange(exchange, if_unused=if_unused)
        return replies.EXCHANGE_DELETE_OK

    def exchange_bind(
        self,
        destination: str = "",
        source: str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> replies.Reply:
        """Bind an exchange to another. Raises SoftError 404, 403, 406 (arguments)."""
        destination, source = _on_one_line(destination), _on_one_line(source)
        start = self._binding_source("exchange", destination, source, routing_key)
        end = self.vhost.exchanges.get(destination)
        self._bind(start, source, end, "exchange", destination, routing_key, arguments)
        return replies.EXCHANGE_BIND_OK

    def exchange_unbind(
        self,
        destination: str = "",
        source: str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> replies.Reply:
        """Remove a binding between exchanges; whatever is missing is no error. Raises SoftError 403."""
        destination, source = _on_one_line(destination), _on_one_line(source)
        start = self._binding_source("exchange", destination, source, routing_key)
        end = self.vhost.exchanges.get(destination)
        if start is not None and end is not None:
            binding = self.vhost.find_binding(start, end, routing_key, arguments or {})
            if binding is not None:
                self.vhost.unbind(binding)
        return replies.EXCHANGE_UNBIND_OK

    def _queue_name(self, name: str) -> str:
        """An empty name means the queue that the channel declared last. Raises SoftError 404 when there is
        none."""
        if name:
            return name
        if self.default_queue is None:
            raise refusals.no_previous_queue()
        return self.default_queue

    def _accessible(self, name: str) -> Queue:
        queue = self.vhost.queue(name)
        queue.check_access(self.connection)
        return queue
