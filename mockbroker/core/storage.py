"""A model of what a disk would hold, and when.

Owns: which writes have not reached the disk yet, and the confirms that wait for them.
Refuses to know: what a queue does with its messages, and what a restart does to the rest of the broker.

A persistent message in a durable queue is written when it is published and removed when it is settled; both
reach the disk at the next *sync*. An orderly stop syncs. A power cut leaves what was synced: a publish that
was not is lost, a removal that was not is undone. A sync comes at the latest `sync_interval` after a write,
and at once when a publisher waits for a confirm and the input of this instant is drained: so confirmed,
persistent and durable means survives, always. Source: RabbitMQ documentation, "Consumer Acknowledgements and
Publisher Confirms", "Persistence Configuration".

Read next: ``core/queues/classic.py``, ``core/node.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mockbroker.clock import Clock, Timer
    from mockbroker.core.sinks import Publisher
    from mockbroker.message import Message


class Journal:
    """The writes of one durable queue that have not reached the disk.

    Invariant: a position is at most once in `written` and once in `removed`; both are empty after a sync.
    """

    __slots__ = ("_disk", "removed", "written")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.written: dict[int, None] = {}
        self.removed: dict[int, Message] = {}

    def write(self, position: int) -> None:
        """Note a persistent message that was published."""
        if not self.written and not self.removed:
            self._disk.note(self)
        self.written[position] = None

    def remove(self, position: int, message: Message) -> None:
        """Note a persistent message that left the queue for good."""
        if not self.written and not self.removed:
            self._disk.note(self)
        self.removed[position] = message

    def survivors(self, present: Iterable[tuple[int, Message]]) -> list[tuple[int, Message]]:
        """Return what the disk holds of a queue that had `present`: by position, as after a power cut."""
        kept = {position: message for position, message in present if position not in self.written}
        for position, message in self.removed.items():
            if position not in self.written:
                kept[position] = message
        return sorted(kept.items(), key=lambda item: item[0])

    def clear(self) -> None:
        """All has reached the disk, or is no more of interest."""
        self.written.clear()
        self.removed.clear()


class Disk:
    """The disk of one node: its journals, its next sync, and who waits for it."""

    __slots__ = ("_clock", "_dirty", "_interval_ns", "_on_sync", "_timer", "_waiting")

    def __init__(self, clock: Clock, interval_ns: int, on_sync: Callable[[], None]) -> None:
        self._clock = clock
        self._interval_ns = interval_ns
        self._on_sync = on_sync
        self._dirty: list[Journal] = []
        self._waiting: dict[Publisher, list[int]] = {}
        self._timer: Timer | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a publisher waits for a confirm."""
        return bool(self._waiting)

    def note(self, journal: Journal) -> None:
        """Remember a journal that has writes; the first one schedules the sync."""
        self._dirty.append(journal)
        if self._timer is None:
            due_ns = self._clock.now_ns + self._interval_ns
            self._timer = self._clock.schedule(due_ns, self.sync, housekeeping=True)

    def confirm_after_sync(self, publisher: Publisher, tag: int) -> None:
        """Have publish number `tag` confirmed once all that is written now is synced."""
        self._waiting.setdefault(publisher, []).append(tag)

    def forget(self, publisher: Publisher) -> None:
        """This publisher waits for no confirms any more."""
        self._waiting.pop(publisher, None)

    def sync(self) -> None:
        """Everything reaches the disk; the confirms that waited for it go out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._dirty:
            for journal in self._dirty:
                journal.clear()
            self._dirty.clear()
            self._on_sync()
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            for publisher, tags in waiting.items():
                publisher.confirm(tags)

    def lose_power(self) -> None:
        """Nothing more reaches the disk; nobody is confirmed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dirty.clear()
        self._waiting.clear()

    def check(self) -> None:
        """Assert the disk's invariants."""
        assert (self._timer is not None) == bool(self._dirty), (
            "unsynced writes and no sync to come, or the reverse"
        )
        for journal in self._dirty:
            assert journal.written or journal.removed, "a journal without writes waits for the sync"
