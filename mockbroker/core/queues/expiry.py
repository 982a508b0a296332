"""Time to live: of messages at the head of a queue, and of queues that nobody uses.

Owns: one timer for the head of a queue, one for the queue's lease.
Refuses to know: where the messages are; the queue drops its head when told to.
Source: RabbitMQ documentation, "Time-To-Live and Expiration"; recorded area ``ttl``.

Read next: ``core/queues/classic.py``.
"""

from __future__ import annotations

from mockbroker.clock import MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.clock import Clock, Timer
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Message


class HeadTimer:
    """Wakes a queue when its head expires. One timer, whatever the number of messages behind."""

    __slots__ = ("_clock", "_timer", "_wake")

    def __init__(self, clock: Clock, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._timer: Timer | None = None

    def arm(self, due_ns: int | None) -> None:
        """Wake at `due_ns`, or not at all."""
        timer = self._timer
        if timer is not None and timer.is_pending:
            if timer.due_ns == due_ns:
                return
            timer.cancel()
        self._timer = None if due_ns is None else self._clock.schedule(due_ns, self._wake)

    def sweep(self, peek: Callable[[], Message | None], drop: Callable[[str], object]) -> bool:
        """Drop what has expired at the head, and wake when the new head will; return whether there is one."""
        now_ns = self._clock.now_ns
        head = peek()
        while head is not None and head[4] is not None and head[4] <= now_ns:
            drop("expired")
            head = peek()
        self.arm(None if head is None else head[4])
        return head is not None


class Lease:
    """Deletes a queue that was not used for `expires_ms`: no consumer, no basic.get, no declaration."""

    __slots__ = ("_queue", "_timer")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._timer: Timer | None = None

    def renew(self) -> None:
        """The queue was used: start anew."""
        self.stop()
        expires_ms = self._queue.settings.expires_ms
        if expires_ms is not None:
            clock = self._queue.node.clock
            self._timer = clock.schedule(clock.now_ns + expires_ms * MS, self._end)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        # A queue that has a consumer starts its lease when the last one leaves.
        if not self._queue.ring.all:
            self._queue.vhost.delete_queue(self._queue, "expired")
            self._queue.node.drain()


def earliest_ns(now_ns: int, ttl_ms: int | None, expires_ns: int | None) -> int | None:
    """Return when a message published now expires: the lesser of the queue's time to live and its own."""
    if ttl_ms is None:
        return expires_ns
    due_ns = now_ns + ttl_ms * MS
    return due_ns if expires_ns is None else min(due_ns, expires_ns)
