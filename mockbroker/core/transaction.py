"""A transaction of a channel: what it will do at tx.commit.

Owns: the publishes and settlements since the last commit or rollback, in order.
Refuses to know: how they are carried out; the channel does that. Routing was decided at the publish:
it has the queues found then, their names, and whether it is mandatory.
Source: AMQP 0-9-1 specification, class tx; recorded area ``tx``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Delivery, Message

    Publish = tuple[Message, tuple[Queue, ...], tuple[str, ...], bool]
    Settlement = tuple[str, list[Delivery]]


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

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries that are settled only at commit."""
        return [delivery for _, deliveries in self.settlements for delivery in deliveries]
