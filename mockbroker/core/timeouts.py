"""The acknowledgement timeout: a delivery that is not settled in time ends its channel.

Owns: one timer for each channel, for its oldest delivery. Refuses to know: what ends with the channel.
Off unless a timeout is set; a real server's default is 30 minutes, looked at once a minute.
Source: RabbitMQ documentation, "Consumers: Acknowledgement Timeout"; recorded area ``consumer-timeout``.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

from mockbroker.clock import MS
from mockbroker.core import refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.clock import Timer
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.message import Delivery


class AckWatch:
    """Watches the deliveries of one channel.

    Invariant: `_since` has the time of each delivery that was outstanding when last looked at; settled ones
    are dropped when they come to the front.
    """

    __slots__ = ("_channel", "_since", "_timer", "timeout_ms")

    def __init__(self, channel: BrokerChannel, timeout_ms: int) -> None:
        self._channel = channel
        self.timeout_ms = timeout_ms
        self._since: dict[int, int] = {}
        self._timer: Timer | None = None

    def delivered(self, delivery: Delivery) -> None:
        """Note when a delivery went out."""
        self._since[delivery.delivery_tag] = self._channel.node.clock.now_ns
        if self._timer is None:
            self._arm()

    def settled(self) -> None:
        """Some deliveries were settled: wait for the oldest one left."""
        unacked = self._channel.unacked
        for tag in list(self._since):
            if tag in unacked:
                break
            del self._since[tag]
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._since:
            oldest_ns = next(iter(self._since.values()))
            due_ns = oldest_ns + self.timeout_ms * MS
            self._timer = self._channel.node.clock.schedule(due_ns, self._end)

    def stop(self) -> None:
        """The channel ends."""
        self._since.clear()
        self._arm()

    def _end(self) -> None:
        self._timer = None
        channel = self._channel
        channel.connection.close_channel(
            channel, refusals.delivery_ack_timeout(channel.number, self.timeout_ms)
        )
