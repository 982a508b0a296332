"""The order of a quorum queue: what came back, then two urgent messages for each normal one that is older.

Owns: the ready messages of a quorum queue, in order, and the bytes of their bodies.
Refuses to know: why a message came back, and which messages are urgent; the queue says so.
Source: RabbitMQ documentation, "Quorum Queues: Message priorities"; recorded scenarios
``quorum/priorities-*``, ``quorum/priority-two-levels`` and ``quorum/requeue-order-reverse``.

Read next: ``core/queues/quorum.py``.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mockbroker.message import Message

    Entry = tuple[int, Message, int]
    """Position, message, how often it came back."""

_URGENT_FOR_ONE_NORMAL = 2
_ROUND = _URGENT_FOR_ONE_NORMAL + 1


class QuorumOrder:
    """The ready messages of a quorum queue.

    What came back is served first, in the order in which it came back. `_turn` counts what was taken from the
    two lanes, whichever it was: the last turn of a round belongs to the normal lane, but only to what is
    older than the next urgent message. `_late` has what came to the tail later than its position tells:
    position -> the position that came next then, which is its age.
    """

    __slots__ = ("_late", "_normal", "_returned", "_turn", "_urgent", "body_bytes")

    def __init__(self) -> None:
        self._urgent: deque[Entry] = deque()
        self._normal: deque[Entry] = deque()
        self._returned: deque[Entry] = deque()
        self._late: dict[int, int] = {}
        self._turn = 0
        self.body_bytes = 0

    def __len__(self) -> int:
        return len(self._returned) + len(self._urgent) + len(self._normal)

    @property
    def lanes(self) -> dict[str, int]:
        """How many messages wait in each lane, by the names that the management API gives them."""
        return {"high": len(self._urgent), "normal": len(self._normal), "returned": len(self._returned)}

    def put(self, entry: Entry, *, urgent: bool = False, age: int | None = None) -> None:
        """Append a message to its lane; `age` is the position that a new one would get, where its own is
        older than it."""
        (self._urgent if urgent else self._normal).append(entry)
        self.body_bytes += len(entry[1][2])
        if age is not None:
            self._late[entry[0]] = age

    def put_back(self, entry: Entry) -> None:
        """Append a message to those that came back."""
        self._returned.append(entry)
        self.body_bytes += len(entry[1][2])

    def take(self) -> Entry:
        """Take the head."""
        if self._returned:
            entry = self._returned.popleft()
        else:
            entry = self._next_lane().popleft()
            self._turn = (self._turn + 1) % _ROUND
            if self._late:
                self._late.pop(entry[0], None)
        self.body_bytes -= len(entry[1][2])
        return entry

    def _next_lane(self) -> deque[Entry]:
        """Return the lane that is served next; it is empty only when both are."""
        urgent = self._urgent[0] if self._urgent else None
        normal = self._normal[0] if self._normal else None
        return self._urgent if self._is_urgent_next(self._turn, urgent, normal) else self._normal

    def _is_urgent_next(self, turn: int, urgent: Entry | None, normal: Entry | None) -> bool:
        """Whether the urgent lane is served at this turn of the round, given the heads of both."""
        if urgent is None or normal is None:
            return urgent is not None
        if turn < _URGENT_FOR_ONE_NORMAL:
            return True
        return self._late.get(urgent[0], urgent[0]) < self._late.get(normal[0], normal[0])

    def head(self) -> Message | None:
        """Return the head without taking it, None when there is none."""
        lane = self._returned or self._next_lane()
        return lane[0][1] if lane else None

    def clear(self) -> None:
        """Forget all; the next round begins."""
        for entries in (self._returned, self._urgent, self._normal, self._late):
            entries.clear()
        self._turn = 0
        self.body_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        """The messages in the order in which they would be taken now."""
        yield from self._returned
        urgents, normals, turn = iter(self._urgent), iter(self._normal), self._turn
        urgent, normal = next(urgents, None), next(normals, None)
        while urgent is not None or normal is not None:
            if self._is_urgent_next(turn, urgent, normal):
                assert urgent is not None
                yield urgent
                urgent = next(urgents, None)
            else:
                assert normal is not None
                yield normal
                normal = next(normals, None)
            turn = (turn + 1) % _ROUND

    def check(self) -> None:
        """Assert the invariants."""
        total = sum(len(message[2]) for _, message, _ in self)
        assert self.body_bytes == total, f"{self.body_bytes} bytes are counted and {total} are there"
        positions = [position for position, _, _ in self]
        assert len(positions) == len(set(positions)) == len(self), "a message is there twice"
        assert self._late.keys() <= set(positions), f"{self._late} are aged and not there"
