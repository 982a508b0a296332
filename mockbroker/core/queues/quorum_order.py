"""The order of a quorum queue: what came back, then two urgent messages for each normal one.

Owns: the ready messages of a quorum queue, in order, and the bytes of their bodies.
Refuses to know: why a message came back, and which messages are urgent; the queue says so.
Source: RabbitMQ documentation, "Quorum Queues: Message priorities"; recorded scenarios
``quorum/priority-two-levels`` and ``quorum/requeue-order-reverse``.

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
    two lanes, whichever it was: the last turn of a round belongs to the normal lane.
    """

    __slots__ = ("_normal", "_returned", "_turn", "_urgent", "body_bytes")

    def __init__(self) -> None:
        self._urgent: deque[Entry] = deque()
        self._normal: deque[Entry] = deque()
        self._returned: deque[Entry] = deque()
        self._turn = 0
        self.body_bytes = 0

    def __len__(self) -> int:
        return len(self._returned) + len(self._urgent) + len(self._normal)

    @property
    def lanes(self) -> dict[str, int]:
        """How many messages wait in each lane, by the names that the management API gives them."""
        return {"high": len(self._urgent), "normal": len(self._normal), "returned": len(self._returned)}

    def put(self, entry: Entry, *, urgent: bool = False) -> None:
        """Append a message to its lane."""
        (self._urgent if urgent else self._normal).append(entry)
        self.body_bytes += len(entry[1][2])

    def put_back(self, entry: Entry) -> None:
        """Append a message to those that came back."""
        self._returned.append(entry)
        self.body_bytes += len(entry[1][2])

    def take(self) -> Entry:
        """Take the head."""
        if self._returned:
            entry = self._returned.popleft()
        else:
            entry = self._lane(self._turn, len(self._urgent), len(self._normal)).popleft()
            self._turn = (self._turn + 1) % _ROUND
        self.body_bytes -= len(entry[1][2])
        return entry

    def _lane(self, turn: int, urgent: int, normal: int) -> deque[Entry]:
        """Return the lane that is served at this turn of the round, given how many wait in each."""
        return self._urgent if urgent and (turn < _URGENT_FOR_ONE_NORMAL or not normal) else self._normal

    def head(self) -> Message | None:
        """Return the head without taking it, None when there is none."""
        if self._returned:
            return self._returned[0][1]
        lane = self._lane(self._turn, len(self._urgent), len(self._normal))
        return lane[0][1] if lane else None

    def clear(self) -> None:
        """Forget all; the next round begins."""
        for entries in (self._returned, self._urgent, self._normal):
            entries.clear()
        self._turn = 0
        self.body_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        """The messages in the order in which they would be taken now."""
        yield from self._returned
        urgent, normal, turn = iter(self._urgent), iter(self._normal), self._turn
        urgent_left, normal_left = len(self._urgent), len(self._normal)
        while urgent_left or normal_left:
            if self._lane(turn, urgent_left, normal_left) is self._urgent:
                urgent_left -= 1
                yield next(urgent)
            else:
                normal_left -= 1
                yield next(normal)
            turn = (turn + 1) % _ROUND

    def check(self) -> None:
        """Assert the invariants."""
        total = sum(len(message[2]) for _, message, _ in self)
        assert self.body_bytes == total, f"{self.body_bytes} bytes are counted and {total} are there"
        positions = [position for position, _, _ in self]
        assert len(positions) == len(set(positions)) == len(self), "a message is there twice"
