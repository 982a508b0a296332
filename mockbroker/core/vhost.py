"""A virtual host: its exchanges, queues, bindings and policies.

Owns: the registries of one virtual host, the bindings between them, and the way from an exchange to queues.
Refuses to know: connections and channels (it is told who asks), and how a type of exchange or queue works.
Source: RabbitMQ documentation, "Virtual Hosts", "Exchange to Exchange Bindings", "Alternate Exchanges";
recorded areas ``exchanges`` and ``declare``.

Read next: ``core/exchanges/base.py``, ``core/queues/base.py``.
"""

from __future__ import annotations

from mockbroker.core import arguments as args
from mockbroker.core import refusals
from mockbroker.core.exchanges.base import Binding, Exchange
from mockbroker.core.exchanges.direct import DefaultExchange
from mockbroker.core.exchanges.types import exchange_class
from mockbroker.core.queues.dead_letter import let_letters_overtake
from mockbroker.core.queues.settings import Settings
from mockbroker.erlang_text import atom
from mockbroker.errors import AMQPError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.exchanges.base import Destination
    from mockbroker.core.exchanges.delayed_message import DelayedMessages
    from mockbroker.core.node import Node
    from mockbroker.core.policies import Policy
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Message

RESERVED_PREFIX = "amq."

PREDECLARED = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.rabbitmq.trace": "topic",
    "amq.topic": "topic",
}
"""The exchanges that every virtual host has. Source: recorded scenario
``exchanges/predeclared-redeclare-same``."""


def queue_class(arguments: dict[str, Any]) -> type[Queue]:
    """Return the class of the queue that these (checked) arguments ask for."""
    kind = args.queue_type_of(arguments)
    if kind == "quorum":
        from mockbroker.core.queues.quorum import QuorumQueue  # noqa: PLC0415 - opened when asked for

        return QuorumQueue
    if kind == "stream":
        from mockbroker.core.queues.stream import StreamQueue  # noqa: PLC0415 - opened when asked for

        return StreamQueue
    if args.MAX_PRIORITY in arguments:
        from mockbroker.core.queues.priority import PriorityQueue  # noqa: PLC0415 - opened when asked for

        return PriorityQueue
    from mockbroker.core.queues.classic import ClassicQueue  # noqa: PLC0415 - opened when asked for

    return ClassicQueue


class VHost:
    """One virtual host.

    Invariant: a binding stands in the book of its source exchange and, by destination, in `_bound_to`.
    """

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.name = name
        self.queues: dict[str, Queue] = {}
        self.default_exchange = DefaultExchange(self, "", durable=True)
        self.exchanges: dict[str, Exchange] = {"": self.default_exchange}
        self.policies: dict[str, Policy] = {}
        self.operator_policies: dict[str, Policy] = {}
        self.limits: dict[str, int] = {}
        self.default_queue_type = "classic"
        self.metadata: dict[str, Any] = {}
        self.delayed: DelayedMessages | None = None
        """What waits in exchanges that delay; made by the first of them."""
        self._bound_to: dict[Destination, dict[Binding, None]] = {}
        self._linked: dict[Exchange, None] = {}
        """Exchanges whose routes lead through other exchanges: any change may change them."""
        for exchange_name, kind in PREDECLARED.items():
            internal = exchange_name == "amq.rabbitmq.trace"  # the firehose; only the server publishes there
            self._add_exchange(exchange_name, kind, durable=True, internal=internal)

    # -- exchanges

    def _add_exchange(self, name: str, kind: str, **properties: Any) -> Exchange:
        exchange = exchange_class(kind)(self, name, **properties)
        self.exchanges[name] = exchange
        self._set_alternate(exchange)
        return exchange

    def exchange(self, name: str) -> Exchange:
        """Return the exchange of this name. Raises SoftError 404."""
        try:
            return self.exchanges[name]
        except KeyError:
            raise refusals.exchange_not_found(name, self.name, self.node.rules) from None

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: dict[str, Any],
    ) -> None:
        """Declare an exchange, or check that the one there is equivalent.

        The type must be known. Raises SoftError 406 (another property, a wrong argument), 403 (reserved
        name); a wrong argument can be a HardError 541.
        """
        there = self.exchanges.get(name)
        if there is not None:
            self._check_same_exchange(there, kind, durable, auto_delete, internal, arguments)
            return
        if name.startswith(RESERVED_PREFIX):
            raise refusals.reserved_name("exchange", name)
        args.exchange_argument(args.ALTERNATE_EXCHANGE, "exchange", name, self.name, arguments)
        exchange_class(kind).check_declaration(self, arguments)
        exchange = self._add_exchange(
            name, kind, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
        if self.node.trace is not None:
            self.node.trace.exchange_declared(exchange)

    def _check_same_exchange(
        self,
        there: Exchange,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: dict[str, Any],
    ) -> None:
        for what, received in (
            ("type", atom(kind)),
            ("durable", durable),
            ("auto_delete", auto_delete),
            ("internal", internal),
        ):
            current = atom(there.type) if what == "type" else getattr(there, what)
            if received != current:
                raise refusals.inequivalent_values(
                    what, "exchange", there.name, self.name, received, current, self.node.rules
                )
        names = (args.ALTERNATE_EXCHANGE,)
        args.check_same_arguments(
            "exchange", there.name, self.name, there.arguments, arguments, names, self.node.rules
        )

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Delete an exchange and its bindings; one that is not there is no error.

        Raises SoftError 403 for a predeclared exchange, 406 with `if_unused` while something is bound to it.
        """
        if name.startswith(RESERVED_PREFIX):
            raise refusals.system_exchange(name, self.name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.has_bindings:
            raise refusals.in_use("exchange", name, self.name)
        self._remove_exchange(exchange)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        for binding in exchange.bindings:
            exchange.unbind(binding)
            self._forget_destination(binding)
        self._unbind_destination(exchange)
        self._linked.pop(exchange, None)
        self._topology_changed(exchange)
        self.node.exchange_gone(self, exchange.name)
        if self.node.trace is not None:
            self.node.trace.exchange_deleted(exchange)

    # -- queues

    def queue(self, name: str) -> Queue:
        """Return the queue of this name. Raises SoftError 404."""
        try:
            return self.queues[name]
        except KeyError:
            raise refusals.not_found("queue", name, self.name) from None

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        exclusive_to: BrokerConnection | None,
        auto_delete: bool,
        arguments: dict[str, Any],
        is_limited: bool = False,
    ) -> Queue:
        """Make a new queue; the name must be free. Raises SoftError 406 for arguments that it cannot have;
        some are a HardError 541.

        `is_limited`: a limit on queues is looked at behind the arguments, SoftError 406 as well.
        """
        plain = not durable or exclusive_to is not None or auto_delete
        arguments = self._with_default_type(arguments, plain=plain)
        args.check_queue_arguments(name, self.name, arguments, self.node.rules)
        if is_limited:
            self.node.limits.check_new_queue(self, name)
        make = queue_class(arguments)
        make.check_declaration(
            self,
            name,
            durable=durable,
            exclusive=exclusive_to is not None,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        if self.node.rules.bad_master_locator_is_internal_error:
            args.check_master_locator(arguments)
        queue = make(
            self,
            name,
            durable=durable,
            exclusive_to=exclusive_to,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        self.queues[name] = queue
        self.default_exchange.add_queue(queue)
        self._govern(queue, self.policies_of(queue))
        if self.node.trace is not None:
            self.node.trace.queue_declared(queue)
        return queue

    def _with_default_type(self, arguments: dict[str, Any], *, plain: bool) -> dict[str, Any]:
        """Add the virtual host's default queue type: it counts for queues that every type can have."""
        default = self.default_queue_type
        if args.QUEUE_TYPE in arguments or default == "classic" or plain:
            return arguments
        if not self.node.rules.vhosts_have_default_queue_type:
            return arguments
        typed = {**arguments, args.QUEUE_TYPE: self.default_queue_type}
        return dict(sorted(typed.items())) if self.node.rules.added_queue_type_sorts_arguments else typed

    def check_server_named(self, *, plain: bool, arguments: dict[str, Any]) -> None:
        """Refuse to make a name up for a queue whose type needs one: SoftError 406, whatever else is wrong.

        A type that does not exist is a HardError 541. Source: recorded scenarios ``declare/server-named-*``.
        """
        kind = self._with_default_type(arguments, plain=plain).get(args.QUEUE_TYPE, "classic")
        if kind not in args.QUEUE_TYPES:
            raise refusals.internal_error()
        if kind != "classic":
            raise refusals.server_named_not_for(f"rabbit_{kind}_queue")

    def check_same_queue(
        self,
        queue: Queue,
        *,
        durable: bool,
        exclusive_to: BrokerConnection | None,
        auto_delete: bool,
        arguments: dict[str, Any],
    ) -> None:
        """Refuse a redeclaration that is not equivalent: SoftError 405 (exclusiveness) or 406 (anything
        else)."""
        if queue.exclusive_to is not exclusive_to:
            raise refusals.locked_queue(queue.name, self.name)
        for what, received in (("durable", durable), ("auto_delete", auto_delete)):
            current = getattr(queue, what)
            if received != current:
                raise refusals.inequivalent_values(
                    what, "queue", queue.name, self.name, received, current, self.node.rules
                )
        plain = not durable or exclusive_to is not None or auto_delete
        arguments = self._with_default_type(arguments, plain=plain)
        args.check_same_queue_arguments(queue.name, self.name, queue.arguments, arguments, self.node.rules)

    def delete_queue(self, queue: Queue, reason: str = "deleted") -> int:
        """Delete a queue with its messages and bindings; return how many messages were ready.

        Its consumers are told once the reply has gone out. Nothing is dead-lettered.
        """
        count = queue.deleted_count
        del self.queues[queue.name]
        self.default_exchange.remove_queue(queue)
        self._unbind_destination(queue)
        if self.node.trace is not None:
            self.node.trace.queue_deleted(queue, reason)
        queue.close()
        return count

    # -- bindings

    def bind(
        self,
        source: Exchange,
        destination: Destination,
        routing_key: str,
        arguments: dict[str, Any],
        *,
        asked_by: BrokerConnection | None = None,
    ) -> None:
        """Bind a queue or an exchange to an exchange; a binding that is there already stays as it is.

        Raises SoftError 406 for what the exchange type refuses, then 405 for an exclusive queue that is not
        `asked_by`'s. Source: recorded scenarios ``exchanges/bind-*-before-exclusiveness``.
        """
        source.check_binding(destination, routing_key, arguments)
        if asked_by is not None and not isinstance(destination, Exchange):
            destination.check_access(asked_by)
        binding = Binding(source, destination, routing_key, arguments)
        if not source.bind(binding):
            return
        self._bound_to.setdefault(destination, {})[binding] = None
        if isinstance(destination, Exchange):
            self._linked[source] = None
        self._topology_changed(source)
        if self.node.trace is not None:
            self.node.trace.bound(binding)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding; the last one to go takes an auto-delete source along."""
        binding.source.unbind(binding)
        self._forget_destination(binding)
        self._after_unbind(binding)

    def find_binding(
        self, source: Exchange, destination: Destination, routing_key: str, arguments: dict[str, Any]
    ) -> Binding | None:
        """Return the binding with exactly these ends, key and arguments; None where there is none."""
        wanted = Binding(source, destination, routing_key, arguments).identity
        for binding in self._bound_to.get(destination, ()):
            if binding.source is source and binding.identity == wanted:
                return binding
        return None

    def _unbind_destination(self, destination: Destination) -> None:
        for binding in list(self._bound_to.get(destination, ())):
            self.unbind(binding)

    def _forget_destination(self, binding: Binding) -> None:
        bindings = self._bound_to[binding.destination]
        del bindings[binding]
        if not bindings:
            del self._bound_to[binding.destination]

    def _after_unbind(self, binding: Binding) -> None:
        source = binding.source
        self._topology_changed(source)
        if self.node.trace is not None:
            self.node.trace.unbound(binding)
        if source.auto_delete and not source.has_bindings and self.exchanges.get(source.name) is source:
            self._remove_exchange(source)

    def bindings_to(self, destination: Destination) -> list[Binding]:
        """Return the bindings that lead to a queue or exchange."""
        return list(self._bound_to.get(destination, ()))

    # -- routing

    def _topology_changed(self, source: Exchange) -> None:
        source.forget_routes()
        for exchange in self._linked:
            exchange.forget_routes()

    def route(self, exchange: Exchange, routing_key: str, message: Message) -> tuple[Queue, ...]:
        """Return the queues for a message with one routing key, from memory where that is possible."""
        queues = exchange.routes.get(routing_key)
        if queues is None:
            queues = self.find_route(exchange, (routing_key,), message)
            if exchange.routes_by_key and (exchange not in self._linked or self._keys_decide(exchange)):
                exchange.remember(routing_key, queues)
        return queues

    def _keys_decide(self, exchange: Exchange) -> bool:
        """Whether routing keys alone decide everywhere that messages of this exchange may come to."""
        seen = {exchange: None}
        work = [exchange]
        for each in work:
            if not each.routes_by_key:
                return False
            following = [b.destination for b in each.bindings if isinstance(b.destination, Exchange)]
            if each.alternate is not None and each.alternate in self.exchanges:
                following.append(self.exchanges[each.alternate])
            for destination in following:
                if destination not in seen:
                    seen[destination] = None
                    work.append(destination)
        return True

    def find_route(
        self, exchange: Exchange, routing_keys: Sequence[str], message: Message | None
    ) -> tuple[Queue, ...]:
        """Return the queues for a message, each once, in the order in which they get it. `message` may be
        None where the keys decide.

        Raises HardError 541 for what an exchange of a plugin's type cannot read.

        Exchanges are followed through their bindings; one that finds nothing passes the message to its
        alternate exchange. An exchange that is reached twice is asked once.
        """
        queues: dict[str, Queue] = {}
        seen = {exchange.name}
        work = [exchange]
        for each in work:
            found = each.destinations(routing_keys, message)
            if not found and each.alternate and each.alternate in self.exchanges:
                # The default exchange as an alternate finds nothing: it has no bindings.
                found = (self.exchanges[each.alternate],)
            for destination in found:
                if isinstance(destination, Exchange):
                    if destination.name not in seen:
                        seen.add(destination.name)
                        work.append(destination)
                else:
                    queues[destination.name] = destination
        return self.in_publishing_order(queues.values())

    @staticmethod
    def in_publishing_order(queues: Iterable[Queue]) -> tuple[Queue, ...]:
        """Return queues in the order in which they get a message: type by type, each by name.

        Source: recorded scenarios ``quorum/first-publish-*``.
        """
        return tuple(sorted(queues, key=lambda queue: (queue.type, queue.name)))

    def find_route_unasked(
        self, exchange: Exchange, routing_keys: Sequence[str], message: Message
    ) -> tuple[Queue, ...]:
        """Return the queues for a message that no channel publishes: there is nobody to tell of an error, and
        a message that causes one has no queues.
        """
        try:
            return self.find_route(exchange, routing_keys, message)
        except AMQPError:
            return ()

    def let_letters_arrive(self) -> None:
        """Publish the dead letters that are under way, those of queues that act late excepted."""
        let_letters_overtake(self.node)

    # -- policies

    @staticmethod
    def _govern(queue: Queue, policies: tuple[Policy | None, Policy | None]) -> None:
        """Put a queue's arguments and its two policies in force."""
        queue.policies = policy, operator = policies
        queue.apply_settings(
            Settings.of(
                queue.arguments,
                policy.definition if policy else {},
                operator.definition if operator else {},
                policy_first=queue.policy_first,
            )
        )

    def policies_of(self, thing: Destination) -> tuple[Policy | None, Policy | None]:
        """Return the policy and the operator policy that apply to a queue or exchange."""
        if not self.policies and not self.operator_policies:
            return None, None
        from mockbroker.core.policies import best_match  # noqa: PLC0415 - only nodes with policies pay for it

        return (
            best_match(self.policies.values(), thing.kind, thing.type, thing.name),
            best_match(self.operator_policies.values(), thing.kind, thing.type, thing.name),
        )

    def policies_changed(self) -> None:
        """Put the policies in force where others apply than before.

        The rest does not notice. Source: recorded scenario ``policies/unrelated-policy-keeps-lease``.
        """
        for exchange in list(self.exchanges.values()):
            self._set_alternate(exchange)
        for queue in list(self.queues.values()):
            policies = self.policies_of(queue)
            if policies != queue.policies:
                self._govern(queue, policies)

    def _set_alternate(self, exchange: Exchange) -> None:
        """Keep `exchange.alternate` what its argument or its policy says; the argument wins."""
        alternate = exchange.arguments.get(args.ALTERNATE_EXCHANGE)
        if alternate is None:
            policy, _ = self.policies_of(exchange)
            alternate = policy.definition.get("alternate-exchange") if policy else None
        exchange.alternate = alternate
        if alternate is not None:
            self._linked[exchange] = None
        # An exchange that is new may be the alternate of others.
        self._topology_changed(exchange)

    def keep_durable(self) -> None:
        """Forget what does not survive a restart: transient exchanges and queues, with their bindings."""
        for queue in [each for each in self.queues.values() if not each.durable]:
            self.delete_queue(queue, "transient")
        for exchange in [each for each in self.exchanges.values() if not each.durable]:
            if self.exchanges.get(exchange.name) is exchange:
                self._remove_exchange(exchange)
        for exchange in self.exchanges.values():
            exchange.survive()
        if self.delayed is not None:
            self.delayed.stop()

    def start(self) -> None:
        """Come back after a stop: queues, and what waits in exchanges."""
        for queue in list(self.queues.values()):
            queue.start()
        if self.delayed is not None:
            self.delayed.start()

    # -- checking

    def check(self) -> None:
        """Assert the invariants of everything in here."""
        for name, exchange in self.exchanges.items():
            assert exchange.name == name, f"{exchange!r} is filed under {name!r}"
            exchange.check()
            for binding in exchange.bindings:
                assert binding in self._bound_to.get(binding.destination, ()), (
                    f"{binding!r} has no destination's entry"
                )
        for destination, bindings in self._bound_to.items():
            book: dict[str, Any] = self.exchanges if isinstance(destination, Exchange) else self.queues
            assert book.get(destination.name) is destination, f"{destination!r} is gone and still bound"
            for binding in bindings:
                assert binding in binding.source.bindings, f"{binding!r} is unknown to its source"
        assert list(self.default_exchange.routes) == list(self.queues), "the default exchange misses a queue"
        for queue in self.queues.values():
            queue.check()
        if self.delayed is not None:
            self.delayed.check()

    def __repr__(self) -> str:
        return f"<VHost {self.name!r}: {len(self.queues)} queues, {len(self.exchanges)} exchanges>"
