"""A transaction of a channel: what it will do at tx.commit.

Owns: the publishes and settlements since the last commit or rollback, in order.
Refuses to know: how they are carried out; the channel does that. Routing was decided at the publish:
it has the queues found then, their names, and whether it is mandatory. Which of them are still there is
found out at the commit.
Source: AMQP 0-9-1 specification, class tx; recorded area ``tx``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

from typing import NamedTuple

from mockbroker.clock import MS
from mockbroker.core import arguments as args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Delivery, Message

    Publish = tuple[Message, tuple[Queue, ...], tuple[str, ...], bool]
    Settlement = tuple[str, list[Delivery]]


class Route(NamedTuple):
    """A publish at its commit: the message, its queues, the names of those that are lost, and whether it is
    excused: a commit fails for nothing that becomes of it."""

    message: Message
    queues: tuple[Queue, ...]
    lost: list[str]
    is_excused: bool
    mandatory: bool


class Transaction:
    """What a transactional channel has been asked for and not yet done."""

    __slots__ = ("publishes", "settlements")

    def __init__(self) -> None:
        self.publishes: list[Publish] = []
        self.settlements: list[Settlement] = []

    def settle(self, how: str, deliveries: list[Delivery]) -> None:
        """Add a settlement; one like the last joins it, for they are told to the queues together."""
        if self.settlements and self.settlements[-1][0] == how:
            together = [*self.settlements[-1][1], *deliveries]
            self.settlements[-1] = (how, sorted(together, key=lambda each: each.delivery_tag))
        else:
            self.settlements.append((how, deliveries))

    def routes(self, channel: BrokerChannel) -> Iterator[Route]:
        """Where each message goes that this channel commits now.

        Raises HardError 506 where a stream is lost. Source: recorded scenarios ``tx/*before-commit*``.
        """
        vhost = channel.vhost
        for message, queues, names, mandatory in self.publishes:
            lost: list[str] = []
            is_excused = False
            if vhost.node.rules.commit_keeps_queues:
                there = []
                for queue in queues:
                    heir = queue.heir(channel) if queue.is_deleted else queue
                    if heir is not None:
                        there.append(heir)
                    elif queue.fails_commits:
                        lost.append(queue.name)
                    else:
                        is_excused = True
            else:  # 3.10 keeps the names, and looks the queues up now
                there = [vhost.queues[name] for name in dict.fromkeys(names) if name in vhost.queues]
            ordered = vhost.in_publishing_order(there)
            yield Route(_as_of_now(vhost.node, message), ordered, lost, is_excused, mandatory)

    @staticmethod
    def heard_before_settlements(channel: BrokerChannel, routes: list[Route]) -> int:
        """How many of a commit's publishes reach their queues before any settlement can overtake them: those
        that were sent before the channel had to wait for a queue. Source: recorded scenarios
        ``tx/quorum-first-publish-*``.
        """
        known: dict[Queue, None] = {}
        heard = 0
        for index, route in enumerate(routes):
            for queue in route.queues:
                if queue not in known and queue.keeps_waiting(channel):
                    heard = index
                known[queue] = None
        return heard

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries that are settled only at commit."""
        return [delivery for _, deliveries in self.settlements for delivery in deliveries]


def _as_of_now(node: Node, message: Message) -> Message:
    """A message's time to live begins with the commit."""
    if message[4] is None:
        return message
    assert message[3] is not None
    ttl_ms = args.expiration_ms(message[3]["expiration"], node.rules)
    return (*message[:4], node.clock.now_ns + ttl_ms * MS)
