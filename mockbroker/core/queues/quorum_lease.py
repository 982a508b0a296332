"""The lease of a quorum queue, which looks at the time only now and then.

Owns: when an unused quorum queue goes. Refuses to know: what use is; the queue says when it was used.
Source: recorded scenario ``quorum/expires``.

Read next: ``core/queues/expiry.py``.
"""

from __future__ import annotations

from mockbroker.clock import MS, NS
from mockbroker.core.queues.expiry import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.queues.base import Queue

_TICK_NS = 5 * NS
"""A quorum queue looks after itself every five seconds, from its declaration or the server's start on."""


class TickingLease(Lease):
    """Deletes a quorum queue at the first tick after it was not used for `expires_ms`.

    To fetch a message, and to leave, are uses; to declare the queue again is none.
    """

    __slots__ = ("_began_ns", "_used_ns")

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue)
        self._began_ns = self._used_ns = queue.node.clock.now_ns

    def used(self) -> None:
        """The queue was used: start anew."""
        self._used_ns = self._queue.node.clock.now_ns
        self.renew()

    def restart(self) -> None:
        """The server is back: ticks are counted from now."""
        self._began_ns = self._queue.node.clock.now_ns
        self.renew()

    def renew(self) -> None:
        """Wait for the first tick at which the time is over."""
        self.stop()
        expires_ms = self._queue.settings.expires_ms
        if expires_ms is not None:
            clock = self._queue.node.clock
            due_ns = max(self._used_ns + expires_ms * MS, clock.now_ns + 1)
            ticks = -((self._began_ns - due_ns) // _TICK_NS)
            self._timer = clock.schedule(self._began_ns + ticks * _TICK_NS, self._end)

    def _end(self) -> None:
        if not len(self._queue.ring):
            super()._end()
