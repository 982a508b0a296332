"""The broker's end of a channel: one method for each AMQP method that a client may send.

Owns: delivery tags and the ledger of what is unacknowledged, the channel's consumers, its prefetch windows,
and its mode (confirm or transactional). Refuses to know: frames, replies that are not wanted (no_wait), and
who listens; adapters do. It finds out who may do what by asking the connection's user.

Every method raises before it changes anything: `SoftError` closes the channel, `HardError` the connection;
closing is the adapter's next call (`BrokerConnection.refuse`). What must come after the reply waits in the
node's list of work. Source: AMQP 0-9-1 specification; RabbitMQ documentation, "Consumer Acknowledgements and
Publisher Confirms".

Read next: ``core/queues/classic.py``, ``core/connection.py``.
"""

from __future__ import annotations

from mockbroker.clock import MS
from mockbroker.core import arguments as args
from mockbroker.core import refusals, replies
from mockbroker.core.declarations import Declarations
from mockbroker.core.dispatch import Consumer, Limiter
from mockbroker.core.settlement import (
    ACK,
    DISCARD,
    REQUEUE,
    by_queue_and_consumer,
    settle,
    settle_around,
    settle_in,
)
from mockbroker.errors import HardError
from mockbroker.message import Delivery, GetOk, check_short_string, is_persistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.exchanges.base import Exchange
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.sinks import ChannelSink
    from mockbroker.core.timeouts import AckWatch
    from mockbroker.core.transaction import Route, Transaction
    from mockbroker.message import Message, Properties


class BrokerChannel(Declarations):
    """A channel that is open.

    Invariant: `unacked` has the outstanding deliveries in the order of their tags; none is below `_low`.
    """

    __slots__ = (
        "_low",
        "_plain",
        "_unconfirmed",
        "confirming",
        "consumers",
        "is_open",
        "limiter",
        "next_publish",
        "next_tag",
        "number",
        "prefetch_count",
        "sink",
        "transaction",
        "unacked",
        "watch",
    )

    def __init__(self, connection: BrokerConnection, number: int, sink: ChannelSink) -> None:
        super().__init__(connection)
        self.number = number
        self.sink = sink
        self.is_open = True
        self.next_tag = 1
        self.unacked: dict[int, Delivery] = {}
        self._low = 1
        self.consumers: dict[str, Consumer] = {}
        self.prefetch_count = 0
        self.limiter: Limiter | None = None
        self.watch: AckWatch | None = None
        self.confirming = False
        self.next_publish = 1
        self._unconfirmed: dict[int, None] = {}
        self.transaction: Transaction | None = None
        self._plain = True
        self.update_plain()

    def update_plain(self) -> None:
        """Find out whether a publish without properties needs nothing but its route."""
        self._plain = not self.confirming and self.transaction is None and self.node.trace is None

    # -- publishing

    def basic_publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Properties | None = None,
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        """Publish a message: route it, enqueue it, assign it to consumers.

        `properties` must not change any more. A mandatory message that no queue takes comes back (312) before
        its confirm.

        Raises SoftError 404 (no such exchange), 403 (no permission, internal exchange), 406 (a property, the
        size), HardError 540 (immediate). Source: basic.publish; recorded area ``publish``.
        """
        routes = self._routes.get(exchange)
        if (
            properties is None
            and routes is not None
            and self._plain
            and not immediate
            and len(body) <= self.node.max_message_bytes
        ):
            queues = routes.get(routing_key) or self._topic_route(exchange, routing_key)
            if queues:
                message = (exchange, routing_key, body, None, None)
                for queue in queues:
                    if queue.plain:
                        queue.ready.append(message)
                        if queue.ring.ready:
                            queue.dispatch()
                    else:
                        queue.publish(message, self)
                return
        self._publish(exchange, routing_key, body, properties, mandatory, immediate)

    def _publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Properties | None,
        mandatory: bool,
        immediate: bool,
    ) -> None:
        check_short_string("exchange", exchange)
        check_short_string("routing_key", routing_key)
        if immediate:
            raise refusals.not_implemented("immediate=true")
        if len(body) > self.node.max_message_bytes:
            raise refusals.too_large(len(body), self.node.max_message_bytes)
        source = self._source(exchange)
        rules = self.node.rules
        if source.type == "topic" and not rules.topic_permissions_cover_copies:
            self.check_topic("write", exchange, routing_key)
        expires_ns = None
        keys: tuple[str, ...] = (routing_key,)
        if properties is not None:
            properties, expires_ns, keys = self._checked_properties(properties, routing_key)
        if source.type == "topic" and rules.topic_permissions_cover_copies:
            for key in keys:
                self.check_topic("write", exchange, key)
        if properties is not None and "user_id" in properties and rules.user_id_is_checked_last:
            self.connection.check_user_id(properties["user_id"])
        message: Message = (exchange, routing_key, body, properties, expires_ns)
        if len(keys) == 1:
            queues = self.vhost.route(source, routing_key, message)
        else:
            queues = self.vhost.find_route(source, keys, message)
        if source is self.vhost.default_exchange and (len(keys) > 1 or not queues):
            self._reply(message, keys, is_routed=bool(queues))
        if self.transaction is not None:
            names = keys if source is self.vhost.default_exchange else [queue.name for queue in queues]
            self.transaction.publishes.append((message, queues, tuple(names), mandatory))
            return
        self._enqueue(message, queues, mandatory)

    def _reply(self, message: Message, keys: tuple[str, ...], *, is_routed: bool) -> None:
        """Deliver to the requesters that routing keys stand for, at once also in a transaction.

        They are no queues: a mandatory message for them alone comes back. Source: recorded scenarios
        ``direct-reply-to/copies*`` and ``direct-reply-to/mandatory*``.
        """
        fast_replies = self.node.fast_replies
        consumers = fast_replies.consumers_named(keys)
        if not consumers:
            return
        if is_routed:
            fast_replies.deliver(consumers, message)
        else:  # what comes back does so before the requester sees anything
            self.node.later(fast_replies.deliver, consumers, message)

    def _source(self, name: str) -> Exchange:
        """Return the exchange to publish to, once the user may."""
        source = self._publishable.get(name)
        if source is None:
            self.check_permission("write", "exchange", name)
            source = self.vhost.exchange(name)
            if source.internal:
                raise refusals.internal_exchange(name, self.vhost.name)
            self._may_publish(source)
        return source

    def _checked_properties(
        self, properties: Properties, routing_key: str
    ) -> tuple[Properties, int | None, tuple[str, ...]]:
        """Check what the broker looks at; return the properties to keep, the expiry and all routing keys."""
        expires_ns = None
        keys: tuple[str, ...] = (routing_key,)
        rules = self.node.rules
        if "reply_to" in properties:
            properties = self.node.fast_replies.with_reply_name(self, properties)
        if "user_id" in properties and not rules.user_id_is_checked_last:
            self.connection.check_user_id(properties["user_id"])
        if "expiration" in properties:
            text = properties["expiration"]
            ttl_ms = args.expiration_ms(text, rules)
            expires_ns = self.node.clock.now_ns + ttl_ms * MS
            if rules.expiration_is_rewritten and text != str(ttl_ms):
                properties = {**properties, "expiration": str(ttl_ms)}
        headers = properties.get("headers")
        if headers and ("CC" in headers or "BCC" in headers):
            from mockbroker.core.carbon_copies import with_copies  # noqa: PLC0415 - only such messages need it

            properties, keys = with_copies(properties, routing_key)
        mode = properties.get("delivery_mode", 1)
        if mode not in (1, 2) and rules.odd_delivery_mode_is_refused:
            raise refusals.unknown_delivery_mode(mode)
        return properties, expires_ns, keys

    def _enqueue(self, message: Message, queues: Iterable[Queue], mandatory: bool) -> tuple[Queue, ...]:
        """Hand a routed message to its queues; return those that refused it."""
        trace = self.node.trace
        if self.confirming and self.node.nacks_due:
            self.node.nacks_due -= 1
            self._note_publish(message, (), False)
            return ()
        if trace is not None:
            trace.published(self, message, queues)
        routed = True
        refused: tuple[Queue, ...] = ()
        if queues:
            for queue in queues:
                if not queue.publish(message, self):
                    refused = (*refused, queue)
        else:
            routed = False
            if mandatory:
                if trace is not None:
                    trace.returned(self, 312, "NO_ROUTE", message)
                self.sink.returned(312, "NO_ROUTE", message)
        if self.confirming:
            self._note_publish(message, queues if routed else (), not refused)
        return refused

    def _note_publish(self, message: Message, queues: Iterable[Queue], accepted: bool) -> None:
        """Confirm a publish, or see to it that it will be."""
        tag = self.next_publish
        self.next_publish = tag + 1
        if not accepted:
            self.sink.nacked(tag, False)
            if self.node.trace is not None:
                self.node.trace.nacked(self, (tag,))
            return
        self._unconfirmed[tag] = None
        if is_persistent(message) and any(queue.awaits_sync for queue in queues):
            self.node.disk.confirm_after_sync(self, tag)
        else:
            self.confirm([tag])

    def confirm(self, tags: list[int]) -> None:
        """Send publisher confirms: one with multiple where that says the same."""
        if not self.is_open:
            return
        for tag in tags:
            del self._unconfirmed[tag]
        if self.node.trace is not None:
            self.node.trace.confirmed(self, tags)
        last = tags[-1]
        if len(tags) > 1 and self.is_confirmed_before(last):
            self.sink.confirmed(last, True)
        else:
            for tag in tags:
                self.sink.confirmed(tag, False)

    def is_confirmed_before(self, tag: int) -> bool:
        """Whether no publish with a lower number waits for its confirm; numbers wait in ascending order."""
        return next(iter(self._unconfirmed), tag) >= tag

    def confirm_select(self) -> replies.Reply:
        """Number the publishes from 1 and confirm each. Raises SoftError 406 on a transactional channel."""
        if self.transaction is not None:
            raise refusals.cannot_switch("tx", "confirm")
        self.confirming = True
        self.update_plain()
        return replies.CONFIRM_SELECT_OK

    # -- consuming

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, global_: bool = False
    ) -> replies.Reply:
        """Set the prefetch window: of consumers to come, or with `global_` of the whole channel. 0 means
        without limit.

        Raises HardError 540 for a `prefetch_size`. Source: basic.qos as RabbitMQ means it ("Consumer
        Prefetch").
        """
        if prefetch_size:
            raise refusals.not_implemented(f"prefetch_size!=0 ({prefetch_size})")
        before = self.limiter
        if not global_:
            self.prefetch_count = prefetch_count
        if not global_ or not prefetch_count:
            # RabbitMQ differs: a window for each consumer lifts the shared one.
            self.limiter = None
        elif before is None:
            self.limiter = Limiter(prefetch_count, len(self.unacked))
        else:
            before.limit = prefetch_count
        if before is not None and (self.limiter is None or before.in_flight < before.limit):
            for queue in before.resume():
                self.node.later(queue.resume, self)
        if self.node.trace is not None:
            self.node.trace.prefetch_set(self, prefetch_count, global_=global_)
        return replies.BASIC_QOS_OK

    def basic_consume(
        self,
        queue: str = "",
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: dict[str, Any] | None = None,
        context: Any = None,
    ) -> replies.BasicConsumeOk:
        """Start a consumer; its deliveries follow the reply. An empty tag lets the server choose; `no_local`
        does nothing.

        Raises HardError 530 (tag in use), SoftError 404, 405 (another connection's exclusive queue), 403, 406
        (arguments).
        """
        name = self._queue_name(queue)
        if consumer_tag in self.consumers:
            raise refusals.tag_in_use(consumer_tag)
        arguments = arguments or {}
        if self.node.fast_replies.is_pseudo_queue(name):
            tag = consumer_tag or self.node.generate_name("amq.ctag-")
            self.node.fast_replies.consume(self, tag, no_ack=no_ack, context=context)
            return replies.BasicConsumeOk(tag)
        self.check_permission("read", "queue", name)
        target = self._accessible(name)
        target.check_consume(channel=self, no_ack=no_ack, exclusive=exclusive, arguments=arguments)
        tag = consumer_tag or self.node.generate_name("amq.ctag-")
        consumer = Consumer(
            tag,
            self,
            target,
            ack_required=not no_ack,
            exclusive=exclusive,
            prefetch_count=self.prefetch_count,
            arguments=arguments,
        )
        consumer.context = context
        self.consumers[tag] = consumer
        self.watch_for(target)
        if self.node.trace is not None:
            self.node.trace.consumer_added(consumer)
        target.add_consumer(consumer)
        target.adopt(consumer)
        return replies.BasicConsumeOk(tag)

    def watch_for(self, queue: Queue) -> None:
        """Watch the deliveries of this channel if the queue has a time by which they must be settled."""
        if self.watch is None and queue.consumer_timeout_ms is not None:
            from mockbroker.core.timeouts import AckWatch  # noqa: PLC0415 - few nodes have a timeout

            self.watch = AckWatch(self)

    def basic_cancel(self, consumer_tag: str) -> replies.BasicCancelOk:
        """End a consumer; what it holds unacknowledged stays with the channel. An unknown tag is answered
        all the same.

        Of two with the same tag the reply consumer goes first. Source: recorded scenario
        ``direct-reply-to/tag-shared``.
        """
        consumer = self.consumer_tagged(consumer_tag)
        if consumer is not None:
            if self.consumers.get(consumer_tag) is consumer:
                del self.consumers[consumer_tag]
                self._end_consumer(consumer)
            else:
                self.node.fast_replies.cancel(self)
        return replies.BasicCancelOk(consumer_tag)

    def consumer_tagged(self, consumer_tag: str) -> Consumer | None:
        """Return the consumer that basic.cancel of this tag ends: of a queue, or of replies."""
        consumer = self.node.fast_replies.consumer_of(self)
        if consumer is not None and consumer.tag == consumer_tag:
            return consumer
        return self.consumers.get(consumer_tag)

    @property
    def consumer_tags(self) -> list[str]:
        """The tags of the channel's consumers, that of replies last."""
        consumer = self.node.fast_replies.consumer_of(self)
        return [*self.consumers, consumer.tag] if consumer is not None else list(self.consumers)

    def _end_consumer(self, consumer: Consumer) -> None:
        if self.node.trace is not None:
            self.node.trace.consumer_cancelled(consumer, by_broker=False)
        consumer.queue.remove_consumer(consumer)

    def consumer_lost(self, consumer: Consumer) -> None:
        """The queue of a consumer is gone: tell the client, once the reply to what caused it is out."""
        del self.consumers[consumer.tag]
        if self.node.trace is not None:
            self.node.trace.consumer_cancelled(consumer, by_broker=True)
        self.node.later(self._tell_cancelled, consumer.tag)

    def _tell_cancelled(self, consumer_tag: str) -> None:
        if self.is_open:
            self.sink.consumer_cancelled(consumer_tag)

    def basic_get(self, queue: str = "", no_ack: bool = False) -> GetOk | replies.Reply:
        """Fetch one message: `GetOk` or get-empty. Raises SoftError 404, 405, 403."""
        name = self._queue_name(queue)
        self.check_permission("read", "queue", name)
        target = self._accessible(name)
        delivery = target.get(self, no_ack=no_ack)
        if delivery is None:
            return replies.BASIC_GET_EMPTY
        assert isinstance(delivery, GetOk)
        return delivery

    def fetched(
        self, queue: Queue, message: Message, position: int, *, redelivered: bool, no_ack: bool
    ) -> GetOk:
        """Give a fetched message its tag, and enter it in the ledger unless it is acknowledged already."""
        tag = self.next_tag
        self.next_tag = tag + 1
        delivery = GetOk(None, queue, message, position, tag, redelivered)
        if not no_ack:
            self.unacked[tag] = delivery
            self.watch_for(queue)
            if self.watch is not None:
                self.watch.delivered(delivery)
        if self.node.trace is not None:
            self.node.trace.got(self, delivery, no_ack=no_ack)
        return delivery

    # -- settling

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> None:
        """Acknowledge one delivery, or with `multiple` all up to it (0: all there are).

        Raises SoftError 406 for a tag that is not outstanding. Cost: what it settles.
        """
        if multiple or self.transaction is not None or self.limiter is not None or self.watch is not None:
            self._settle_tag(delivery_tag, multiple, ACK)
            return
        delivery = self.unacked.pop(delivery_tag, None)
        if delivery is None:
            raise refusals.unknown_delivery_tag(delivery_tag)
        queue = delivery.queue
        if queue.keeps_book:
            queue.settled(delivery)
        if self.node.trace is not None:
            self.node.trace.settled(self, delivery, ACK)
        consumer = delivery.consumer
        if consumer is not None:
            consumer.credit += 1
            if consumer.parked_at:
                queue.ring.rejoin(consumer)
                queue.dispatch()

    def basic_nack(self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = True) -> None:
        """Return (`requeue`) or drop one delivery, or with `multiple` all up to it: see `basic_ack`."""
        self._settle_tag(delivery_tag, multiple, REQUEUE if requeue else DISCARD)

    def basic_reject(self, delivery_tag: int = 0, requeue: bool = True) -> None:
        """Return or drop one delivery. Raises SoftError 406 for a tag that is not outstanding."""
        self._settle_tag(delivery_tag, False, REQUEUE if requeue else DISCARD)

    def basic_recover(self, requeue: bool = False) -> replies.Reply:
        """Return all that is outstanding. Raises HardError 540 without `requeue`."""
        self.basic_recover_async(requeue)
        return replies.BASIC_RECOVER_OK

    def basic_recover_async(self, requeue: bool = False) -> None:
        """The same without an answer."""
        if not requeue:
            raise refusals.not_implemented("requeue=false")
        for queue in {delivery.queue: None for delivery in self.unacked.values()}:
            queue.check_recover()
        deliveries = self._take_all()
        # A stream is read by the channel itself: what it reads on comes before the reply, the last reader's
        # first. Source: recorded scenarios streams/recover-*.
        for part in reversed(by_queue_and_consumer([each for each in deliveries if each.queue.is_shared])):
            settle(self, part, REQUEUE)
        self.node.later(settle, self, [each for each in deliveries if not each.queue.is_shared], REQUEUE)

    def _settle_tag(self, delivery_tag: int, multiple: bool, how: str) -> None:
        if not multiple and self.transaction is None and self.limiter is None and self.watch is None:
            delivery = self.unacked.pop(delivery_tag, None)
            if delivery is None:
                raise refusals.unknown_delivery_tag(delivery_tag)
            settle_in(self, delivery.queue, [delivery], how)
            return
        deliveries = self._take(delivery_tag, multiple)
        if self.transaction is not None:
            self.transaction.settle(how, deliveries)
            if self.watch is not None:
                self.watch.settled()
            return
        settle(self, deliveries, how)

    def _take(self, tag: int, multiple: bool) -> list[Delivery]:
        """Take deliveries out of the ledger. Raises SoftError 406, with the ledger as it was."""
        if multiple and tag == 0:
            return self._take_all()
        delivery = self.unacked.get(tag)
        if delivery is None:
            raise refusals.unknown_delivery_tag(tag)
        if not multiple:
            del self.unacked[tag]
            return [delivery]
        take = self.unacked.pop
        deliveries = [
            each for number in range(self._low, tag + 1) if (each := take(number, None)) is not None
        ]
        self._low = tag + 1
        return deliveries

    def _take_all(self) -> list[Delivery]:
        deliveries = list(self.unacked.values())
        self.unacked.clear()
        self._low = self.next_tag
        return deliveries

    # -- transactions

    def tx_select(self) -> replies.Reply:
        """Make the channel transactional. Raises SoftError 406 on a channel that confirms."""
        if self.confirming:
            raise refusals.cannot_switch("confirm", "tx")
        if self.transaction is None:
            self._begin()
        return replies.TX_SELECT_OK

    def _begin(self) -> None:
        from mockbroker.core.transaction import Transaction  # noqa: PLC0415 - few channels need it

        self.transaction = Transaction()
        self.update_plain()

    def tx_commit(self) -> replies.Reply:
        """Carry the transaction out: publishes, then settlements, but for those that overtake on the way to
        their queue (`Queue.hears_first`); what is persistent is on disk then.

        Raises SoftError 406 when the channel is not transactional, or when a queue refused a message or is
        gone: the rest is done then; HardError 506 when a stream is gone: what was published before is done.
        """
        if self.transaction is None:
            raise refusals.not_transactional()
        done = self.transaction
        self._begin()
        routed: list[Route] = []
        try:
            for route in done.routes(self):
                self._tell_of_lost_queues(route.lost)
                if route.queues or route.lost:
                    routed.append(route)
                elif not route.is_excused:
                    self._enqueue(route.message, (), route.mandatory)
        except HardError:
            self._publish_all(routed)
            self.restore(done.deliveries)
            raise
        heard = done.heard_before_settlements(self, routed)
        is_partial = self._publish_all(routed[:heard])
        is_partial |= settle_around(self, done, lambda: self._publish_all(routed[heard:]))
        self.node.disk.sync()
        if is_partial:
            self.vhost.let_letters_arrive()  # what a queue refuses it dead-letters first
            raise refusals.partial_commit()
        return replies.TX_COMMIT_OK

    def _publish_all(self, routes: list[Route]) -> bool:
        """Publish what is committed; return whether something is lost or refused that fails the commit."""
        fails = False
        for route in routes:
            refused = self._enqueue(route.message, route.queues, False) if route.queues else ()
            is_excused = route.is_excused or not all(queue.fails_commits for queue in refused)
            fails = fails or (bool(refused or route.lost) and not is_excused)
        return fails

    def _tell_of_lost_queues(self, names: list[str]) -> None:
        """RabbitMQ differs: the channel takes a queue that is gone for one that has its name now. Source:
        recorded scenario ``tx/consumer-of-redeclared-queue-at-commit``."""
        for tag in [consumer.tag for consumer in self.consumers.values() if consumer.queue.name in names]:
            self._tell_cancelled(tag)

    def tx_rollback(self) -> replies.Reply:
        """Forget the transaction: nothing is published, and what was settled in it is outstanding again."""
        if self.transaction is None:
            raise refusals.not_transactional()
        self.restore(self.transaction.deliveries)
        self._begin()
        return replies.TX_ROLLBACK_OK

    def restore(self, deliveries: list[Delivery]) -> None:
        """Put deliveries back into the ledger: they are outstanding still."""
        if deliveries:
            for delivery in deliveries:
                self.unacked[delivery.delivery_tag] = delivery
            self.unacked = dict(sorted(self.unacked.items()))
            self._low = min(self._low, next(iter(self.unacked)))

    # -- the end

    def channel_flow(self, active: bool = True) -> replies.ChannelFlowOk:
        """Answer channel.flow. RabbitMQ cannot be asked to stop: HardError 540 for `active` false."""
        if not active:
            raise refusals.not_implemented("active=false")
        return replies.ChannelFlowOk(True)

    def end_consumers(self) -> None:
        """End all consumers of a channel that is going to close."""
        consumers = list(self.consumers.values())
        self.consumers.clear()
        for consumer in consumers:
            self._end_consumer(consumer)

    def close(self) -> replies.Reply:
        """End the channel: consumers go, what is unacknowledged returns to its queues in order, a
        transaction is forgotten."""
        self.is_open = False
        del self.connection.channels[self.number]
        self.forget_publishable()
        self.node.fast_replies.channel_closed(self)
        self.node.disk.forget(self)
        if self.watch is not None:
            self.watch.stop()
        self.end_consumers()
        if self.transaction is not None:
            self.restore(self.transaction.deliveries)
            self.transaction = None
        self.limiter = None
        self.watch = None
        self._return_all()
        if self.node.trace is not None:
            self.node.trace.channel_closed(self)
        return replies.CHANNEL_CLOSE_OK

    def _return_all(self) -> None:
        """Return everything to its queue, as a queue does that sees the channel go: all at once."""
        parts: dict[Queue, list[Delivery]] = {}
        for delivery in self._take_all():
            parts.setdefault(delivery.queue, []).append(delivery)
            if self.node.trace is not None:
                self.node.trace.settled(self, delivery, REQUEUE)
        for queue, deliveries in parts.items():
            queue.requeue(deliveries)

    @property
    def outstanding(self) -> list[Delivery]:
        """What is unacknowledged, or settled in a transaction that is not committed."""
        deliveries = list(self.unacked.values())
        return deliveries if self.transaction is None else deliveries + self.transaction.deliveries

    def check(self) -> None:
        """Assert the channel's invariants."""
        self.check_granted()
        tags = list(self.unacked)
        assert tags == sorted(tags), f"{self!r} has its ledger out of order"
        assert not tags or self._low <= tags[0] <= tags[-1] < self.next_tag, (
            f"{self!r} has a tag out of range"
        )
        held: dict[Consumer, int] = {}
        for delivery in self.outstanding:
            if delivery.consumer is not None:
                held[delivery.consumer] = held.get(delivery.consumer, 0) + 1
        for tag, consumer in self.consumers.items():
            assert consumer.tag == tag, f"{consumer!r} is filed under {tag!r}"
            assert consumer in consumer.queue.ring.all, f"{consumer!r} is unknown to its queue"
            if consumer.is_limited:
                used = held.get(consumer, 0)
                width = consumer.prefetch_count + consumer.queue.ring.extra(consumer)
                assert used <= width, f"{consumer!r} holds {used}"
                assert consumer.credit == width - used, f"{consumer!r} has credit {consumer.credit}"
        assert self._plain == (not self.confirming and self.transaction is None and self.node.trace is None)

    def __repr__(self) -> str:
        return f"<channel {self.number} of {self.connection.name}: {len(self.unacked)} unacked>"
