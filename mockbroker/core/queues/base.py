"""What all queue types share: properties, consumers, leases, and the names of their operations.

Owns: a queue's declaration, its ring of consumers and the settings in force. Refuses to know: the order of
messages and how they are kept; each type's room does. Refuses to know exchanges: what is to be dead-lettered
goes to the node's list of work.

Read next: ``core/queues/classic.py``, ``core/dispatch.py``, ``core/vhost.py``.
"""

from __future__ import annotations

from mockbroker.core import arguments as args
from mockbroker.core import refusals
from mockbroker.core.dispatch import Consumer, Ring
from mockbroker.core.queues.expiry import Lease
from mockbroker.core.queues.settings import NO_SETTINGS, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.node import Node
    from mockbroker.core.policies import Policy
    from mockbroker.core.sinks import Publisher
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Delivery, Message


class Queue:
    """A queue of one virtual host: the part that does not depend on its type.

    `exclusive_to` is the connection that owns an exclusive queue; `consumer_in_exclusive_use` the consumer
    that has asked to be the only one.
    """

    __slots__ = (
        "arguments",
        "auto_delete",
        "consumer_in_exclusive_use",
        "durable",
        "exclusive_to",
        "is_deleted",
        "keeps_book",
        "lease",
        "name",
        "node",
        "plain",
        "policies",
        "ready",
        "ring",
        "settings",
        "vhost",
    )
    kind = "queue"
    type = ""
    is_shared = False
    """Whether several consumers may hold the same message, as in a stream."""
    supports_single_active = True
    acts_late = False
    """Whether what it does waits for its log: what a channel leaves behind comes back too late to reach
    others on the same dying link, and its dead letters overtake nothing."""
    policy_first: tuple[str, ...] = ()
    """The settings for which a policy wins over the queue's own argument."""

    def __init__(
        self,
        vhost: VHost,
        name: str,
        *,
        durable: bool = False,
        exclusive_to: BrokerConnection | None = None,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.vhost = vhost
        self.node: Node = vhost.node
        self.name = name
        self.durable = durable
        self.exclusive_to = exclusive_to
        self.auto_delete = auto_delete
        self.arguments = arguments or {}
        single = self.supports_single_active and self.arguments.get(args.SINGLE_ACTIVE_CONSUMER) is True
        self.ring = Ring(single_active=single)
        self.consumer_in_exclusive_use: Consumer | None = None
        self.settings = NO_SETTINGS
        self.policies: tuple[Policy | None, Policy | None] = (None, None)
        """The policy and the operator's policy in force."""
        self.is_deleted = False
        self.ready: Any = None
        """The ready messages of a classic queue, oldest first; made at the first message."""
        self.plain = False
        """Whether a message without properties is simply appended to `ready`: no rule of this queue looks
        at it."""
        self.keeps_book = False
        """Whether the queue must be told when a delivery is settled."""
        self.lease = Lease(self)

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
        """Refuse properties that this queue type cannot have (SoftError 406)."""

    def check_access(self, connection: BrokerConnection) -> None:
        """Refuse another connection's exclusive queue: SoftError 405."""
        if self.exclusive_to is not None and self.exclusive_to is not connection:
            raise refusals.locked_queue(self.name, self.vhost.name)

    def apply_settings(self, settings: Settings) -> None:
        """Put new settings in force: at the declaration, and when a policy changes."""
        renewed = settings.expires_ms is not None or self.settings.expires_ms is not None
        self.settings = settings
        if renewed:
            self.lease.renew()
        for consumer in self.ring.all:
            consumer.channel.watch_for(self)

    @property
    def consumer_timeout_ms(self) -> int | None:
        """How long a delivery may stay unacknowledged: the queue's own time where the rules have it, or
        the node's."""
        own = self.settings.consumer_timeout_ms if self.node.rules.queues_have_consumer_timeout else None
        return self.node.consumer_timeout_ms if own is None else own

    # -- messages: each type's room

    @property
    def ready_count(self) -> int:
        """How many messages are ready."""
        raise NotImplementedError

    @property
    def dead_letter_count(self) -> int:
        """How many dead letters the queue keeps until other queues have them."""
        return 0

    @property
    def figures(self) -> dict[str, float | str]:
        """What can be told of this type of queue alone, by RabbitMQ's names."""
        return {}

    @property
    def dead_letter_bytes(self) -> int:
        """How many bytes of bodies are in these dead letters."""
        return 0

    @property
    def awaits_sync(self) -> bool:
        """Whether a persistent message is on disk only at the next sync; what never is, or is at once, is
        not waited for."""
        return False

    @property
    def deleted_count(self) -> int:
        """How many messages queue.delete says there were."""
        return self.ready_count

    @property
    def next_position(self) -> int:
        """The position that the next message to be published will get."""
        raise NotImplementedError

    def publish(self, message: Message, publisher: Publisher | None = None) -> bool:
        """Take a message in and give deliveries out; return False when the queue refuses it.

        `publisher` is None where nobody waits for an answer: the broker publishes a dead letter that may get
        lost, or what an exchange kept.
        """
        raise NotImplementedError

    def refuse(self, message: Message) -> bool:
        """Refuse a publish: tell the trace, and return what `publish` answers, False."""
        if self.node.trace is not None:
            self.node.trace.refused(self, message)
        return False

    def keeps_waiting(self, publisher: Publisher) -> bool:
        """Whether this publisher, who is new here, has to wait until the queue knows it.

        RabbitMQ differs: what others are doing overtakes meanwhile. Source: recorded scenarios
        ``quorum/first-publish-*`` and ``tx/quorum-first-publish-*``.
        """
        return False

    def dispatch(self) -> None:
        """Give ready messages to consumers while both are there and windows are open."""
        raise NotImplementedError

    def get(self, channel: BrokerChannel, *, no_ack: bool) -> Delivery | None:
        """Fetch one message for basic.get, None when nothing is ready."""
        raise NotImplementedError

    def settled(self, delivery: Delivery) -> None:
        """An acknowledgement settled this delivery; called only where `keeps_book`."""

    fails_commits = True
    """Whether a commit fails when this queue refuses a message of it, or has gone since the publish."""

    def heir(self, channel: BrokerChannel) -> Queue | None:
        """Return the queue that gets what `channel` published to this one, which is gone, and commits now.

        Raises HardError where no queue of the type has the name. RabbitMQ differs: 3.10 looks names up.
        """
        return None

    def adopt(self, consumer: Consumer) -> list[Delivery]:
        """Give a new consumer what a cancelled one, with its tag on its channel, still holds; return that.

        Cost: what the channel holds.
        """
        former = [each for each in consumer.channel.outstanding if each.consumer_tag == consumer.tag]
        held = [each for each in former if each.queue is self]
        for delivery in held:
            delivery.consumer = consumer
        if held:
            self.ring.adopt(consumer, len(held))
        return held

    @property
    def refuses_returns(self) -> bool:
        """Whether `requeue`, of an open channel's deliveries, and `discard` raise HardError."""
        return False

    def hears_first(self, *, is_ack: bool) -> bool:
        """Whether a commit's acknowledgements, or other settlements, overtake its publishes to this queue."""
        return False

    def check_recover(self) -> None:
        """Refuse basic.recover while there are outstanding deliveries (HardError)."""

    def requeue(self, deliveries: list[Delivery]) -> None:
        """Take deliveries back, each to its place, and give deliveries out."""
        raise NotImplementedError

    def discard(self, deliveries: list[Delivery]) -> None:
        """Drop rejected deliveries: dead-letter them where the queue says so."""
        raise NotImplementedError

    def purge(self) -> int:
        """Drop all ready messages; return how many there were."""
        raise NotImplementedError

    def messages(self) -> Iterator[tuple[int, Message, bool]]:
        """The ready messages in order: position, message, whether it will be flagged redelivered."""
        raise NotImplementedError

    def survive(self, unacked: Iterable[Delivery], *, power_cut: bool) -> None:
        """Come back from a restart, or a power cut, with what the disk holds; consumers are gone."""
        raise NotImplementedError

    def check_delete(self, *, if_unused: bool, if_empty: bool) -> None:
        """Refuse a conditional queue.delete: SoftError 406."""
        if if_empty and self.ready_count:
            raise refusals.not_empty(self.name, self.vhost.name)
        if if_unused and self.ring.all:
            raise refusals.in_use("queue", self.name, self.vhost.name)

    # -- consumers

    def check_consume(
        self, *, channel: BrokerChannel, no_ack: bool, exclusive: bool, arguments: dict[str, Any]
    ) -> None:
        """Refuse a consumer: SoftError 403 where exclusiveness forbids it, 406 for its arguments."""
        args.check_consumer_arguments_of(self.type, self.name, self.vhost.name, arguments, self.node.rules)
        taken = self.ring.all or self.ring.single_active
        if self.consumer_in_exclusive_use is not None or (exclusive and taken):
            raise refusals.queue_in_exclusive_use(self.name, self.vhost.name)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer in. Deliveries to it follow the reply to basic.consume."""
        self.ring.add(consumer)
        if consumer.exclusive:
            self.consumer_in_exclusive_use = consumer
        self.node.later(self.dispatch)

    def remove_consumer(self, consumer: Consumer) -> None:
        """Let a consumer go; its unacknowledged deliveries stay with its channel.

        The last one to go starts the lease, and takes an auto-delete queue along.
        """
        self.ring.remove(consumer)
        if self.consumer_in_exclusive_use is consumer:
            self.consumer_in_exclusive_use = None
        if not self.ring.all:
            if self.auto_delete:
                self.vhost.delete_queue(self, "auto_delete")
                return
            self.lease.renew()
        elif self.ring.single_active:
            self.node.later(self.dispatch)

    def unpark(self, consumers: Iterable[Consumer]) -> None:
        """Let consumers that were set aside rejoin, unless they still have no credit or their channel's
        window is shut."""
        self.ring.unpark(
            [each for each in consumers if each.parked_at and each.credit and self._admits(each)]
        )

    def _admits(self, consumer: Consumer) -> bool:
        limiter = consumer.channel.limiter
        return limiter is None or self not in limiter.suspended

    def resume(self, channel: BrokerChannel) -> None:
        """The shared window of a channel has opened: its consumers that were set aside rejoin, and
        deliveries go on."""
        self.unpark([each for each in channel.consumers.values() if each.queue is self])
        self.dispatch()

    # -- restart and the end

    def forget_consumers(self) -> None:
        """All links are dead: nobody consumes any more, and nobody is told."""
        self.ring = Ring(single_active=self.ring.single_active)
        self.consumer_in_exclusive_use = None

    def stop(self) -> None:
        """The node stops: no timer fires until it is back."""
        self.lease.stop()

    def start(self) -> None:
        """The node is back."""
        self.lease.renew()

    def close(self) -> None:
        """The queue is deleted: timers stop, messages go, consumers are told."""
        self.is_deleted = True
        self.plain = False
        self.lease.stop()
        # A channel tells its consumers in the order of their tags: recorded
        # consumer-cancel/cancel-notifications-by-tag.
        for consumer in sorted(self.ring.all, key=lambda each: each.tag):
            self.ring.remove(consumer)
            consumer.channel.consumer_lost(consumer)
        self.consumer_in_exclusive_use = None

    def check(self) -> None:
        """Assert the queue's invariants."""
        self.ring.check(self)
        assert self.vhost.queues.get(self.name) is self, f"{self!r} is not in its virtual host's book"
        exclusive = self.consumer_in_exclusive_use
        assert exclusive is None or list(self.ring.all) == [exclusive], (
            f"{self!r} shares its exclusive consumer"
        )

    def __repr__(self) -> str:
        flags = [name for name in ("durable", "auto_delete") if getattr(self, name)]
        if self.exclusive_to is not None:
            flags.append("exclusive")
        shown = f" {' '.join(flags)}" if flags else ""
        unacked = self.node.unacked_count(self)
        return (
            f"<Queue {self.name!r} {self.type}{shown}: {self.ready_count} ready, {unacked} unacked, "
            f"{len(self.ring)} consumers>"
        )
