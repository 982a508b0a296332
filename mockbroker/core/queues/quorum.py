"""Quorum queues: durable, with counted deliveries and a limit to them.

Owns: the ready messages of a quorum queue and those that somebody holds, and how often each came back.
Refuses to know: the order of what is ready (``quorum_order.py``), whose turn it is (``quorum_ring.py``), who
publishes (``quorum_publishers.py``), what becomes of dead letters that are kept (``at_least_once.py``), and
what a delivery tag means (``core/channel.py``).

A *step* is one command to the queue: a publish, what one consumer settles, a consumer that comes or goes.
At its end messages are given out, those of one consumer together, and then the length limit is looked at.
What is done is on disk at once: a restart and a power cut keep everything, and count as a delivery attempt.
Source: RabbitMQ documentation, "Quorum Queues"; recorded area ``quorum``.

Read next: ``core/queues/quorum_order.py``, ``core/queues/quorum_ring.py``, ``core/queues/classic.py``.
"""

from __future__ import annotations

from mockbroker.core import arguments as args
from mockbroker.core.queues import unsupported
from mockbroker.core.queues.at_least_once import DeadLetterWorker, is_at_least_once
from mockbroker.core.queues.base import Queue
from mockbroker.core.queues.dead_letter import Annotated, bury, let_letters_overtake
from mockbroker.core.queues.expiry import HeadTimer, earliest_ns
from mockbroker.core.queues.overflow import is_above
from mockbroker.core.queues.quorum_lease import TickingLease
from mockbroker.core.queues.quorum_order import QuorumOrder
from mockbroker.core.queues.quorum_publishers import PublisherBook
from mockbroker.core.queues.quorum_ring import QuorumRing, window
from mockbroker.message import Delivery
from mockbroker.values import Int64, is_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.queues.quorum_order import Entry
    from mockbroker.core.queues.settings import Settings
    from mockbroker.core.sinks import Publisher
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message

_LEAST_URGENT = 5
"""The lowest priority that is urgent."""


class _Held:
    """A message that somebody holds unacknowledged. `number` is its consumer's, None for a fetch."""

    __slots__ = ("channel", "delivery", "entry", "number")

    def __init__(
        self, entry: Entry, delivery: Delivery, channel: BrokerChannel, number: int | None = None
    ) -> None:
        self.entry = entry
        self.delivery = delivery
        self.channel = channel
        self.number = number

    @property
    def holder(self) -> Consumer | int:
        """Who holds it: a consumer; each fetch counts for itself."""
        consumer = self.delivery.consumer
        return self.entry[0] if consumer is None else consumer


class QuorumQueue(Queue):
    """A quorum queue.

    Invariant: a message is either in `_order` or, by its position, in `_held`. While too much is refused, a
    publisher is from the step in which the limit was exceeded to the one in which the queue becomes low.
    """

    __slots__ = (
        "_delivery_limit",
        "_dying",
        "_expiring",
        "_expiry_timer",
        "_held",
        "_letters",
        "_order",
        "_position",
        "_returns_first",
        "_was_low",
        "publishers",
    )
    type = "quorum"
    acts_late = True
    policy_first = ("overflow",)
    """RabbitMQ differs: elsewhere the argument wins. Source: recorded scenarios
    ``policies/quorum-overflow-*``."""
    lease: TickingLease
    ring: QuorumRing

    def __init__(self, vhost: VHost, name: str, **declaration: Any) -> None:
        super().__init__(vhost, name, **declaration)
        self._order = QuorumOrder()
        self._held: dict[int, _Held] = {}
        self._position = 0
        self._delivery_limit: float | None = None
        self._returns_first = False
        """Whether what comes back is served first: only where there is a delivery limit."""
        self._expiring = False
        """Whether some message may have a time to live: sticky until the queue is empty."""
        self._expiry_timer: HeadTimer | None = None
        self._letters: DeadLetterWorker | None = None
        """Carries dead letters where they must not get lost, None where they may."""
        self._dying: list[tuple[Message, str, int]] = []
        """What the present step has given up, with the reason: it may get lost, and is buried at the end."""
        self.publishers = PublisherBook(self.node)
        self._was_low = False
        """Whether the queue was low at the end of the last step, with the settings of then; kept up to date
        while too much is refused."""
        self.keeps_book = True
        self.lease = TickingLease(self)
        single = self.arguments.get(args.SINGLE_ACTIVE_CONSUMER) is True
        self.ring = self._new_ring(single_active=single)

    def _new_ring(self, *, single_active: bool) -> QuorumRing:
        return QuorumRing(
            self.node.rules,
            lambda: [held.holder for held in self._held.values()],
            single_active=single_active,
        )

    # -- declaring

    @classmethod
    def check_declaration(
        cls,
        vhost: VHost,
        name: str,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: dict[str, Any],
    ) -> None:
        """Refuse what is not durable, or is temporary in another way: SoftError 406."""
        unsupported.check_replicated(
            vhost, name, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )

    def apply_settings(self, settings: Settings) -> None:
        """Put new settings in force; a limit that became lower drops what is above it at once.

        Nobody tells a refused publisher that too much is not refused any more; whether one hears that there
        is no limit is up to the rules. Source: recorded scenarios ``policies/quorum-refused-publisher-*``.
        """
        self._was_low = self._is_low()
        super().apply_settings(settings)
        if not settings.is_limited and self.node.rules.quorum_limit_gone_lets_publishers_in:
            self._refuse_all(False)
        self._set_delivery_limit()
        self._set_dead_letter_strategy()
        self._step()

    def _set_delivery_limit(self) -> None:
        """Find the delivery limit in force: of argument, policy and operator's policy the lowest.

        Source: recorded scenarios ``quorum/delivery-limit-*`` and ``policies/quorum-delivery-limit``.
        """
        rules = self.node.rules
        definitions = [policy.definition for policy in self.policies if policy is not None]
        given: list[Any] = [each.get("delivery-limit") for each in definitions]
        given.append(self.arguments.get(args.DELIVERY_LIMIT))
        limits = [each for each in given if is_integer(each) or isinstance(each, float)]
        limit = min(limits) if limits else rules.quorum_default_delivery_limit
        if limit is not None and limit < 0 and rules.quorum_negative_delivery_limit_is_none:
            # A negative one takes the limit away where nobody else sets one.
            limit = min((each for each in limits if each >= 0), default=None)
        self._delivery_limit = limit
        # An argument that is no number is a limit that no message reaches.
        self._returns_first = limit is not None or (not limits and args.DELIVERY_LIMIT in self.arguments)

    def _set_dead_letter_strategy(self) -> None:
        """Keep dead letters from now on, or give those up that are kept; where they stay, try them again.

        Source: recorded scenarios ``quorum/at-least-once-policy-*`` and ``quorum/at-least-once-*-off``.
        """
        if not is_at_least_once(self.settings):
            if self._letters is not None:
                self._letters.abandon()
                self._letters = None
        elif self._letters is None:
            self._letters = DeadLetterWorker(self, self._end_step)
        else:
            self.node.later(self._letters.send_again)

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse a conditional queue.delete: HardError 540."""
        if if_unused:
            raise unsupported.conditional_delete(self, "if-unused")
        if if_empty:
            raise unsupported.conditional_delete(self, "if-empty")

    # -- looking

    @property
    def ready_count(self) -> int:
        """How many messages are ready."""
        return len(self._order)

    @property
    def figures(self) -> dict[str, float | str]:
        """How many ready messages are in each lane, how often one may come back, and how many publish."""
        return {
            **{f"messages_ready_{lane}": count for lane, count in self._order.lanes.items()},
            "delivery_limit": "unlimited" if self._delivery_limit is None else self._delivery_limit,
            "publishers": len(self.publishers),
        }

    @property
    def dead_letter_count(self) -> int:
        """How many dead letters the queue keeps until other queues have them."""
        return 0 if self._letters is None else len(self._letters)

    @property
    def dead_letter_bytes(self) -> int:
        """How many bytes of bodies are in these dead letters."""
        return 0 if self._letters is None else self._letters.body_bytes

    @property
    def next_position(self) -> int:
        """The position that the next message to be published will get."""
        return self._position

    def messages(self) -> Iterator[tuple[int, Message, bool]]:
        """The ready messages in order: position, message, whether it will be flagged redelivered."""
        for position, message, returns in self._order:
            yield position, message, _shown_count(message, returns) > 0

    # -- in

    def publish(self, message: Message, publisher: Publisher | None = None) -> bool:
        """Take a message in and give deliveries out; return False when the full queue refuses it.

        The limit is soft: the message that exceeds it is taken. Dead letters that may get lost are never
        refused.
        """
        is_new = publisher is not None and self.keeps_waiting(publisher)
        if publisher is not None:
            if is_new:
                self.publishers.add(publisher, is_refused=self._rejects_publishes and self._is_above_limit)
            if self.publishers.refuses(publisher):
                self.refuse(message)
                if is_new:
                    let_letters_overtake(self.node)
                return False
        position, age = self._position, None
        self._position += 1
        if is_new:
            let_letters_overtake(self.node)
            if self._position > position + 1:  # they are older
                age = self._position
                self._position += 1
        if message[4] is not None or self.settings.message_ttl_ms is not None:
            expires_ns = earliest_ns(self.node.clock.now_ns, self.settings.message_ttl_ms, message[4])
            message = (*message[:4], expires_ns)
            self._expiring = True
        self._order.put((position, message, 0), urgent=self._is_urgent(message), age=age)
        # A message that expires at once is still offered to a consumer that is ready.
        self._give_out()
        if self._expiring:
            self.expire()
        self._end_step()
        return True

    fails_commits = False
    """RabbitMQ differs: a refusal that is known before the message is sent is lost on a commit, with whatever
    other queues say of the message. Source: recorded scenarios ``tx/quorum-*``."""

    def heir(self, channel: BrokerChannel) -> Queue | None:
        """Return the quorum queue that has the name now: that is how a quorum queue is found."""
        heir = self.vhost.queues.get(self.name)
        return heir if isinstance(heir, QuorumQueue) else None

    def keeps_waiting(self, publisher: Publisher) -> bool:
        """Whether the queue does not know this publisher."""
        return not self.publishers.knows(publisher)

    def _refuse_all(self, refused: bool) -> None:
        """Refuse all that have published from now on, or none of them."""
        hears_itself = self.node.rules.quorum_hears_its_own_confirms
        self.publishers.tell(refused, deaf=None if hears_itself else self._letters)

    def _is_urgent(self, message: Message) -> bool:
        properties = message[3]
        if properties is None or not self.node.rules.quorum_priorities:
            return False
        return bool(properties.get("priority", 0) >= _LEAST_URGENT)

    @property
    def _rejects_publishes(self) -> bool:
        return self.settings.is_limited and self.settings.overflow == "reject-publish"

    @property
    def _load(self) -> tuple[int, int]:
        """What the limits count: messages that are ready and dead letters, and the bytes of both."""
        order = self._order
        return len(order) + self.dead_letter_count, order.body_bytes + self.dead_letter_bytes

    @property
    def _is_above_limit(self) -> bool:
        return is_above(self.settings, *self._load)

    def _end_step(self) -> None:
        """Look at the limits, then dead-letter what this step has given up.

        What the limits drop comes before the rest, newest first. Source: recorded scenarios
        ``quorum/drops-newest-first-*`` and ``quorum/drops-before-delivery-limit``.
        """
        dropped = self._look_at_limits()
        for position, message, _ in reversed(dropped):
            bury(self, message, "maxlen", position)
        self._bury_dying()
        if dropped and self._expiring:
            self.expire()
            self._bury_dying()

    def _bury_dying(self) -> None:
        dying, self._dying = self._dying, []
        for message, reason, position in dying:
            bury(self, message, reason, position)

    def _look_at_limits(self) -> list[Entry]:
        """Drop what is above the limits, and return it; or find out whether publishers are refused from now
        on."""
        dropped: list[Entry] = []
        if not self.settings.is_limited:
            return dropped
        if self._rejects_publishes:
            is_low = self._is_low()
            if self._is_above_limit:
                self._refuse_all(True)
            elif is_low and not self._was_low:
                self._refuse_all(False)
            self._was_low = is_low
            return dropped
        while self._is_above_limit:
            dropped.append(self._take_to_drop("maxlen"))
        return dropped

    def _is_low(self) -> bool:
        """Whether the queue is at four fifths of its limits or below; without a limit it never is."""
        count, body_bytes = self._load
        for limit, there in (
            (self.settings.max_length, count),
            (self.settings.max_length_bytes, body_bytes),
        ):
            if limit is not None and there > limit * 4 // 5:
                return False
        return self.settings.is_limited

    # -- out

    def dispatch(self) -> None:
        """Give ready messages out."""
        self._step()

    def _step(self) -> None:
        """Do what ends every step: expire, give out, look at the limits."""
        if self.ring.single_active:
            self.ring.reconsider()
        if self._expiring:
            self.expire()
        self._give_out()
        self._end_step()

    def _give_out(self) -> None:
        """Give ready messages to consumers, in turn; each is then sent all of its share."""
        ring, order = self.ring, self._order
        shares: dict[Consumer, list[Entry]] = {}
        while ring.ready and len(order):
            entry = order.take()
            shares.setdefault(ring.serve(), []).append(entry)
            if self._expiring:
                self.expire()
        for consumer in shares if len(shares) < 2 else ring.in_sending_order(shares):
            share = shares[consumer]
            for entry in share:
                self._send(consumer, entry)
            if not consumer.ack_required:
                self.node.later(self._settle_unasked, consumer, len(share))

    def _settle_unasked(self, consumer: Consumer, count: int) -> None:
        """Hear that a channel has acknowledged by itself what it got: a step of its own, after all that the
        present operation does.

        RabbitMQ differs: until then the prefetch window counts also for who acknowledges automatically.
        Source: recorded scenarios ``quorum/no-ack-window-*``.
        """
        if consumer in self.ring.all:
            self.ring.settle_unasked(consumer, count)
            self._step()

    def _send(self, consumer: Consumer, entry: Entry) -> None:
        position, message, returns = entry
        channel = consumer.channel
        tag = channel.next_tag
        channel.next_tag = tag + 1
        count = _shown_count(message, returns)
        shown = _counted(message, count) if count else message
        delivery = Delivery(consumer, self, shown, position, tag, count > 0)
        if consumer.ack_required:
            channel.unacked[tag] = delivery
            self._held[position] = _Held(entry, delivery, channel, self.ring.numbers[consumer])
            if channel.watch is not None:
                channel.watch.delivered(delivery)
        if self.node.trace is not None:
            self.node.trace.delivered(delivery)
        consumer.deliver(delivery)

    def get(self, channel: BrokerChannel, *, no_ack: bool) -> Delivery | None:
        """Fetch one message for basic.get, None when nothing is ready.

        Raises SoftError 405 where the queue has a single active consumer. Source of the count that it tells:
        recorded scenarios ``quorum/get-counts-expired`` and ``quorum/ttl-behind-unexpired``.
        """
        if self.ring.single_active:
            raise unsupported.get_from_single_active(self)
        self.lease.used()
        if self._expiring:
            self.expire()
        if not len(self._order):
            return None
        entry = self._order.take()
        position, message, returns = entry
        count = _shown_count(message, returns)
        if count or self.node.rules.quorum_get_shows_first_delivery:
            message = _counted(message, count)
        delivery = channel.fetched(self, message, position, redelivered=count > 0, no_ack=no_ack)
        delivery.message_count = self.ready_count
        if not no_ack:
            self._held[position] = _Held(entry, delivery, channel)
        if self._expiring:
            self.expire()
        self._end_step()
        if no_ack:  # to settle is a step of its own, and only that finds what has expired behind the message
            delivery.message_count = self.ready_count
        return delivery

    # -- back

    def hears_first(self, *, is_ack: bool) -> bool:
        """RabbitMQ differs: the log takes publishes in at low priority. Source: recorded scenario
        ``tx/quorum-commit-requeue``."""
        return True

    def settled(self, delivery: Delivery) -> None:
        """Forget a message that was acknowledged."""
        if not self.is_deleted:
            self._let_go(delivery)

    def _let_go(self, delivery: Delivery) -> _Held:
        held = self._held.pop(delivery.position)
        if delivery.consumer not in self.ring.all:
            # Who came for one message, or is gone already, leaves with the last one.
            self.lease.used()
        return held

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Take deliveries back and give deliveries out.

        One that came back more often than the delivery limit allows is dead-lettered. Returned by a client,
        messages go to the head where there is a delivery limit, and to the tail where there is none, a step
        for each; returned by the end of a channel, they always go to the head, all in one step.
        """
        if self.is_deleted:
            return
        back = [self._let_go(delivery) for delivery in deliveries]
        if not back[0].channel.is_open:
            self._give_back(back)
        elif self._returns_first:
            for held in back:
                consumer = held.delivery.consumer
                if not self._come_back(held.entry) and consumer in self.ring.all:
                    self.ring.drop_from(consumer)
        else:
            for held in back:
                position, message, returns = held.entry
                self._order.put((position, message, returns + 1), age=self._position)
                self._expiring = self._expiring or message[4] is not None
                self._step()
            return
        self._step()

    def _give_back(self, lost: list[_Held]) -> None:
        """Take back what channels that are gone held, consumer by consumer."""
        if self.node.rules.quorum_consumers_go_by_tag:
            lost.sort(key=lambda held: held.delivery.consumer_tag or str(held.delivery.delivery_tag))
        else:
            # Consumers by their arrival, then fetches by their tag, as text.
            lost.sort(key=lambda held: (held.number is None, held.number or str(held.delivery.delivery_tag)))
        for held in lost:
            position, message, returns = held.entry
            self._come_back((position, self._failed(message), returns))

    def _failed(self, message: Message) -> Message:
        """Return the message with one more failed delivery, where the rules remember that.

        A rejection is one, and the loss of a channel; to give a message back is none. The count outlives
        dead-lettering and is shown until a queue has a count of its own. Source: recorded scenarios
        ``quorum/rejected-count-*`` and ``quorum/count-carried-*``.
        """
        if not self.node.rules.quorum_failures_outlive_dead_lettering:
            return message
        exchange, routing_key, body, properties, expires_ns = message
        annotated = Annotated({} if properties is None else properties)
        annotated.failures += 1
        return (exchange, routing_key, body, annotated, expires_ns)

    def _come_back(self, entry: Entry) -> bool:
        """Take a message back to the head; return False when it has come back too often, and is dropped."""
        position, message, returns = entry
        limit = self._delivery_limit
        if limit is None or returns + 1 <= limit:
            self._order.put_back((position, message, returns + 1))
            self._expiring = self._expiring or message[4] is not None
            return True
        if self.node.trace is not None:
            self.node.trace.dropped(self, position, message, "delivery_limit")
        self._give_up(message, "delivery_limit", position)
        return False

    def discard(self, deliveries: list[Delivery]) -> None:
        """Drop rejected deliveries: dead-letter them where the queue says so."""
        if self.is_deleted:
            return
        for delivery in deliveries:
            position, message, _ = self._let_go(delivery).entry
            self._give_up(self._failed(message), "rejected", position)
        self._end_step()

    def _drop_head(self, reason: str) -> None:
        position, message, _ = self._take_to_drop(reason)
        self._give_up(message, reason, position)

    def _take_to_drop(self, reason: str) -> Entry:
        entry = self._order.take()
        if self.node.trace is not None:
            self.node.trace.dropped(self, entry[0], entry[1], reason)
        return entry

    def _give_up(self, message: Message, reason: str, position: int) -> None:
        """Dead-letter a message that has left the queue, at the end of the step."""
        if self._letters is None:
            self._dying.append((message, reason, position))
        else:
            self._letters.take(message, reason, position)

    def expire(self) -> None:
        """Drop what has expired at the head, and wake up when the new head will."""
        if self._expiry_timer is None:
            self._expiry_timer = HeadTimer(self.node.clock, self._wake)
        if not self._expiry_timer.sweep(self._order.head, self._drop_head):
            self._expiring = False

    def _wake(self) -> None:
        self._step()
        self.node.drain()

    def purge(self) -> int:
        """Drop all ready messages; return how many there were."""
        count = len(self._order)
        if self.node.trace is not None:
            for position, message, _ in self._order:
                self.node.trace.dropped(self, position, message, "purged")
        self._order.clear()
        self._step()
        return count

    # -- consumers

    def check_consume(
        self, *, channel: BrokerChannel, no_ack: bool, exclusive: bool, arguments: dict[str, Any]
    ) -> None:
        """Refuse a consumer: SoftError 406 for its arguments, HardError 540 with a shared prefetch window.

        RabbitMQ differs: `exclusive` keeps nobody out. Source: ``quorum/exclusive-consumer``.
        """
        args.check_consumer_arguments_of(self.type, self.name, self.vhost.name, arguments, self.node.rules)
        if channel.limiter is not None:
            raise unsupported.global_qos(self)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer in. Deliveries to it follow the reply to basic.consume."""
        consumer.credit = window(consumer)
        self.ring.add(consumer)
        self.node.later(self.dispatch)

    def adopt(self, consumer: Consumer) -> list[Delivery]:
        """Let a new consumer be the one that had its tag, unless another one is active."""
        if self.ring.single_active and self.ring.active is not consumer:
            return []
        held = super().adopt(consumer)
        if held and (number := self._held[held[0].position].number):
            self.ring.numbers[consumer] = number
        return held

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let a consumer go; it counts until nothing is left unacknowledged of what it got."""
        super().remove_consumer(consumer)
        self.lease.used()

    # -- restart and the end

    def forget_consumers(self) -> None:
        """All links are dead: nobody consumes any more, and nobody is told."""
        self.ring = self._new_ring(single_active=self.ring.single_active)

    def survive(self, unacked: Iterable[Delivery], *, power_cut: bool) -> None:
        """Come back with everything: what was held comes back when the node starts."""
        self.publishers.clear()

    def stop(self) -> None:
        """The node stops: no timer fires until it is back."""
        super().stop()
        if self._letters is not None:
            self._letters.stop()
        if self._expiry_timer is not None:
            self._expiry_timer.arm(None)

    def start(self) -> None:
        """The node is back: what was held comes back, what expired meanwhile goes, dead letters go out."""
        self.lease.restart()
        if self._letters is not None:
            self._letters.start()
        lost = list(self._held.values())
        self._held.clear()
        self._give_back(lost)
        self._step()

    def close(self) -> None:
        """The queue is deleted."""
        super().close()
        self._order.clear()
        self._held.clear()
        if self._letters is not None:
            self._letters.close()
        if self._expiry_timer is not None:
            self._expiry_timer.arm(None)

    def check(self) -> None:
        """Assert the queue's invariants."""
        super().check()
        self._order.check()
        held = {delivery.position for delivery in self.node.unacked(self)}
        assert held == set(self._held), f"{self!r} and the channels disagree about who holds what"
        for position, each in self._held.items():
            assert each.entry[0] == each.delivery.position == position, f"{each!r} is filed under {position}"
        head = self._order.head()
        now_ns = self.node.clock.now_ns
        assert head is None or head[4] is None or head[4] > now_ns, f"{self!r} has an expired head"
        assert head is None or not self.ring.ready, f"{self!r} has a ready message and a ready consumer"
        assert not self._dying, f"{self!r} has left {self._dying} unburied"
        self.publishers.check()
        assert not self._is_above_limit or self._rejects_publishes, f"{self!r} is above its limit"
        assert (self._letters is not None) == is_at_least_once(self.settings), (
            f"{self!r} has another strategy"
        )
        if self._letters is not None:
            self._letters.check()


def _shown_count(message: Message, returns: int) -> int:
    """How often the message came back; before that, how often its deliveries failed elsewhere."""
    return returns or int(getattr(message[3], "failures", 0))


def _counted(message: Message, count: int) -> Message:
    """Return the message as it is shown with a delivery count."""
    exchange, routing_key, body, properties, expires_ns = message
    shown = dict(properties or {})
    shown["headers"] = {**shown.get("headers", {}), "x-delivery-count": Int64(count)}
    return (exchange, routing_key, body, shown, expires_ns)
