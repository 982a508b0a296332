"""The acknowledgement timeout: a delivery that is not settled in time ends its channel.

Owns: when each delivery of a channel is due, and one timer for the earliest. Refuses to know: what ends with
the channel. Off unless a timeout is set, for the node or (where the rules have it) for a queue; a real
server's default is 30 minutes, looked at once a minute. Source: RabbitMQ documentation, "Consumers:
Acknowledgement Timeout"; recorded area ``consumer-timeout``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

from heapq import heappop, heappush

from mockbroker.clock import MS
from mockbroker.core import refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.clock import Timer
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.message import Delivery


class AckWatch:
    """Watches the deliveries of one channel.

    Invariant: `_due` has every outstanding delivery that has a timeout; settled ones stay until they come to
    the front.
    """

    __slots__ = ("_channel", "_due", "_timer")

    def __init__(self, channel: BrokerChannel) -> None:
        self._channel = channel
        self._due: list[tuple[int, int, int]] = []
        """Due time, delivery tag, timeout in milliseconds: a heap."""
        self._timer: Timer | None = None

    def delivered(self, delivery: Delivery) -> None:
        """Note that a delivery went out."""
        timeout_ms = delivery.queue.consumer_timeout_ms
        if timeout_ms is not None:
            due_ns = self._channel.node.clock.now_ns + timeout_ms * MS
            heappush(self._due, (due_ns, delivery.delivery_tag, timeout_ms))
            self._arm()

    def settled(self) -> None:
        """Some deliveries were settled: wait for the earliest of those that are left."""
        self._arm()

    def _arm(self) -> None:
        due, unacked = self._due, self._channel.unacked
        while due and due[0][1] not in unacked:
            heappop(due)
        due_ns = due[0][0] if due else None
        timer = self._timer
        if timer is not None and timer.is_pending:
            if timer.due_ns == due_ns:
                return
            timer.cancel()
        self._timer = None if due_ns is None else self._channel.node.clock.schedule(due_ns, self._end)

    def stop(self) -> None:
        """The channel ends."""
        self._due.clear()
        self._arm()

    def _end(self) -> None:
        channel = self._channel
        _, _, timeout_ms = self._due[0]
        channel.connection.close_channel(channel, refusals.delivery_ack_timeout(channel.number, timeout_ms))
