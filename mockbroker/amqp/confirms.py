"""Publisher confirms of one input, said in as few words as AMQP has for them.

Owns: the confirms of one channel that have not been written yet.
Refuses to know: frames (it is given what writes them), and when a message is confirmed.

A client that publishes many messages at once gets one basic.ack with `multiple` for all of them, where no
earlier publish of the channel is still open. What else is written makes them go first, so the order stays the
broker's. RabbitMQ gathers what comes while its channel is busy; which tags share an ack is up to it.

Source: RabbitMQ documentation, "Consumer Acknowledgements and Publisher Confirms".

Read next: ``session.py``, ``core/channel.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.core.channel import BrokerChannel


class Confirms:
    """The confirms that wait; `write_ack` is called with a channel number, a tag and `multiple`.

    Invariant: those that wait belong to one channel. They stand as (tag, multiple), as the broker gave them.
    """

    __slots__ = ("_channel", "_write_ack", "waiting")

    def __init__(self, write_ack: Callable[[int, int, bool], object]) -> None:
        self._write_ack = write_ack
        self._channel: BrokerChannel | None = None
        self.waiting: list[tuple[int, bool]] = []

    def add(self, channel: BrokerChannel, delivery_tag: int, multiple: bool) -> None:
        """Keep a confirm of this channel until `flush`; those of another channel are written now."""
        if channel is not self._channel:
            self.flush()
            self._channel = channel
        self.waiting.append((delivery_tag, multiple))

    def flush(self) -> None:
        """Write what waits: one ack, or each as it came where a publish before the last one is still open."""
        if not self.waiting:
            return
        assert self._channel is not None
        waiting, self.waiting = self.waiting, []
        number = self._channel.number
        last, _ = max(waiting)
        if len(waiting) > 1 and self._channel.is_confirmed_before(last):
            self._write_ack(number, last, True)
        else:
            for delivery_tag, multiple in waiting:
                self._write_ack(number, delivery_tag, multiple)
