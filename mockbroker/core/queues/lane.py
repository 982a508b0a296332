"""The side lane of a queue: messages that were returned, each to go back to its place.

Owns: the order of returned messages. Refuses to know: why they came back.

All of them are older than whatever still waits in the queue proper, so the lane is read first and the two are
never merged. Messages mostly come back in an order that needs no sorting; what does not is put in order when
the lane is next read: a few by insertion, many by one sort.

Read next: ``core/queues/classic.py``.
"""

from __future__ import annotations

from bisect import insort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mockbroker.message import Message

    Entry = tuple[int, Message, bool]

_FEW = 8
"""Up to so many stragglers are inserted one by one; above, sorting the whole lane is cheaper."""


class ReturnLane:
    """Returned messages by position, oldest first.

    `entries` is kept in descending order, so that the oldest is popped from the end; the last `_stragglers`
    of it are out of order. Keys are negative positions: ascending, as sorting and insertion want it.
    """

    __slots__ = ("_stragglers", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._stragglers = 0

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, position: int, message: Message, redelivered: bool) -> None:
        """Take a message back. Cost: O(1)."""
        entries = self.entries
        if self._stragglers or (entries and -position < entries[-1][0]):
            self._stragglers += 1
        entries.append((-position, message, redelivered))

    def take(self) -> Entry:
        """Return the oldest: position, message, redelivered. Cost: O(1) when in order."""
        if self._stragglers:
            self._put_in_order()
        key, message, redelivered = self.entries.pop()
        return -key, message, redelivered

    def head(self) -> Message:
        """Return the oldest message without taking it."""
        if self._stragglers:
            self._put_in_order()
        return self.entries[-1][1]

    def _put_in_order(self) -> None:
        entries = self.entries
        if self._stragglers <= _FEW:
            late = entries[-self._stragglers :]
            del entries[-self._stragglers :]
            for entry in late:
                insort(entries, entry)
        else:
            entries.sort()
        self._stragglers = 0

    def clear(self) -> None:
        """Forget all."""
        self.entries.clear()
        self._stragglers = 0

    def __iter__(self) -> Iterator[Entry]:
        """The returned messages, oldest first: position, message, redelivered."""
        if self._stragglers:
            self._put_in_order()
        for key, message, redelivered in reversed(self.entries):
            yield -key, message, redelivered

    def check(self) -> None:
        """Assert the lane's invariants."""
        keys = [entry[0] for entry in self.entries[: len(self.entries) - self._stragglers]]
        assert keys == sorted(keys), "the returned messages are out of order"
        positions = [entry[0] for entry in self.entries]
        assert len(positions) == len(set(positions)), "a message was returned twice"
