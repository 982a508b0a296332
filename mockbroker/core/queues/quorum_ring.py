"""The consumers of a quorum queue: who is served, who waits to be the active one, and who still counts.

Owns: what a quorum queue's ring does otherwise than a classic queue's: a consumer without credit is set aside
at once, the single active consumer may have to make way, and one that is gone counts while it holds messages.
Refuses to know: messages. Source: RabbitMQ documentation, "Quorum Queues: Single Active Consumer"; recorded
areas ``quorum`` and ``single-active-consumer``.

Read next: ``core/dispatch.py``, ``core/queues/quorum.py``.
"""

from __future__ import annotations

from mockbroker.core.dispatch import Ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.queues.base import Queue
    from mockbroker.rules import Rules

LARGEST_WINDOW = 2000
"""How many unacknowledged messages a consumer without a prefetch window may hold."""


def window(consumer: Consumer) -> int:
    """Return how many messages a consumer may hold."""
    return consumer.prefetch_count or LARGEST_WINDOW


class QuorumRing(Ring):
    """The ring of a quorum queue.

    `quiescing` is the active consumer that gets nothing more until it has settled what it holds, because a
    waiting one has a higher priority. `numbers` counts consumers in order of arrival.
    """

    __slots__ = ("_holders", "_last_number", "_rules", "numbers", "quiescing")

    def __init__(
        self, rules: Rules, holders: Callable[[], Iterable[Consumer | int]], *, single_active: bool
    ) -> None:
        super().__init__(single_active=single_active)
        self._rules = rules
        self._holders = holders
        self._last_number = 0
        self.numbers: dict[Consumer, int] = {}
        self.quiescing: Consumer | None = None

    def __len__(self) -> int:
        """How many consumers the server counts: whoever is served or holds messages, a fetch included.

        Who waits is not counted. Cost: the number of messages that are held.
        """
        gone = {holder for holder in self._holders() if holder not in self.all}
        return len(self.all) - len(self.waiting) + len(gone)

    def add(self, consumer: Consumer) -> None:
        """Let a new consumer in; behind a single active one it waits."""
        self._last_number += 1
        self.numbers[consumer] = self._last_number
        if self.active is None:
            super().add(consumer)
        else:
            self.all[consumer] = None
            self._wait(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Take a consumer out. The first that waits becomes active if it was the active one."""
        super().remove(consumer)
        del self.numbers[consumer]
        if consumer is self.quiescing:
            self.quiescing = None

    def _wait(self, consumer: Consumer) -> None:
        self.waiting.append(consumer)
        if self._rules.quorum_priority_takes_over_single_active:
            self.waiting.sort(key=lambda each: (-each.priority, -each.credit, self.numbers[each]))

    def reconsider(self) -> None:
        """Let a waiting consumer of higher priority take over, once the active one holds nothing."""
        active = self.active
        if active is None or not self._rules.quorum_priority_takes_over_single_active:
            return
        if active is not self.quiescing:
            if not self.waiting or self.waiting[0].priority <= active.priority:
                return
            if not active.parked_at:
                self.park()
            self.quiescing = active
        if active.credit < window(active) + self.extra(active):
            return
        active.parked_at = 0
        self.quiescing = self.active = None
        self._wait(active)
        self._activate(self.waiting.pop(0))

    def rejoin(self, consumer: Consumer) -> None:
        """Let one consumer that was set aside rejoin, unless it has to make way."""
        if consumer is not self.quiescing:
            super().rejoin(consumer)

    def settle_unasked(self, consumer: Consumer, count: int) -> None:
        """Open the window of a consumer by so many messages that were acknowledged automatically."""
        consumer.credit += count
        if consumer.parked_at:
            self.rejoin(consumer)

    def drop_from(self, consumer: Consumer) -> None:
        """Hear that the delivery limit drops what a consumer gave back.

        RabbitMQ differs: some rules give credit for that twice, so that the window is one wider for good.
        Source: recorded scenarios ``quorum/delivery-limit-widens-window*``.
        """
        if self._rules.quorum_delivery_limit_widens_window:
            consumer.credit += 1
            self.widen(consumer, 1)

    def adopt(self, consumer: Consumer, count: int) -> None:
        """Let a new consumer hold so many messages from before: they count in its window, but it gets credit
        for each that is settled. Source: recorded scenarios ``quorum/tag-again-*``.
        """
        missing = max(count - consumer.credit, 0)
        consumer.credit -= count - missing
        if missing:
            self.widen(consumer, missing)
        if not consumer.credit:
            self.set_aside(consumer)

    def serve(self) -> Consumer:
        """Return the consumer whose turn it is; it goes to the tail, or aside when its window is full now."""
        consumer = self.ready[0]
        consumer.credit -= 1
        if consumer.credit:
            self.rotate()
        else:
            self.park()
        return consumer

    def in_sending_order(self, consumers: Iterable[Consumer]) -> list[Consumer]:
        """Sort consumers as the server sends to them at the end of a step."""
        if self._rules.quorum_consumers_go_by_tag:
            return sorted(consumers, key=lambda each: each.tag)
        return sorted(consumers, key=self.numbers.__getitem__)

    def check(self, queue: Queue) -> None:
        """Assert the ring's invariants. Waiting consumers need not be in order of priority."""
        waiting: list[Any] = self.waiting
        self.waiting = sorted(waiting, key=lambda each: -each.priority)
        try:
            super().check(queue)
        finally:
            self.waiting = waiting
        assert list(self.numbers) == list(self.all), f"{queue!r} misnumbers its consumers"
        for consumer in self.all:
            is_aside = not consumer.credit or consumer is self.quiescing
            assert consumer in waiting or bool(consumer.parked_at) == is_aside, (
                f"{consumer!r} is set aside and has credit, or the reverse"
            )
