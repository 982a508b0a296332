"""Priority queues: classic queues whose order is by priority, then by age.

Owns: one line of messages for each priority. Refuses to know: everything that `ClassicQueue` knows already.

A message without the property has priority 0; one above the maximum counts as the maximum. Expiry and length
limits look at the head, which is the oldest message of the highest priority. Source: RabbitMQ documentation,
"Priority Queue Support"; recorded area ``priority-queues``.

Read next: ``core/queues/classic.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.core import arguments as args
from mockbroker.core.queues.classic import ClassicQueue
from mockbroker.core.queues.lane import ReturnLane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mockbroker.core.vhost import VHost
    from mockbroker.message import Message


class _Line:
    """The ready messages of one priority."""

    __slots__ = ("fresh", "returned")

    def __init__(self) -> None:
        self.fresh: deque[tuple[int, Message]] = deque()
        self.returned = ReturnLane()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.returned)


class PriorityQueue(ClassicQueue):
    """A classic queue declared with x-max-priority.

    Invariant: a message stands in the line of its priority; lines are made when first needed and kept in
    `_lines`, highest priority first.
    """

    __slots__ = ("_count", "_lines", "max_priority")
    may_overtake = True

    def __init__(self, vhost: VHost, name: str, **declaration: Any) -> None:
        super().__init__(vhost, name, **declaration)
        self.max_priority = int(self.arguments[args.MAX_PRIORITY])
        self._lines: dict[int, _Line] = {}
        self._count = 0

    def _is_plain(self) -> bool:
        return False

    def _priority(self, message: Message) -> int:
        properties = message[3]
        priority: int = properties.get("priority", 0) if properties is not None else 0
        return min(priority, self.max_priority)

    def _line(self, priority: int) -> _Line:
        line = self._lines.get(priority)
        if line is None:
            line = _Line()
            self._lines = dict(sorted({**self._lines, priority: line}.items(), reverse=True))
        return line

    def _first(self) -> _Line | None:
        """The line that is served: the highest that is not empty. Cost: at most the number of priorities
        in use."""
        return next((line for line in self._lines.values() if line), None)

    @property
    def ready_count(self) -> int:
        """How many messages are ready."""
        return self._count

    @property
    def next_position(self) -> int:
        """The position that the next message to be published will get."""
        return self._head

    def messages(self) -> Iterator[tuple[int, Message, bool]]:
        """The ready messages in order: position, message, whether it will be flagged redelivered."""
        for line in self._lines.values():
            yield from line.returned
            for position, message in line.fresh:
                yield position, message, False

    def _append(self, message: Message) -> int:
        position = self._head
        self._head = position + 1
        self._line(self._priority(message)).fresh.append((position, message))
        self._set_count(self._count + 1)
        return position

    def _is_last(self, position: int) -> bool:
        return any(line.fresh and line.fresh[-1][0] == position for line in self._lines.values())

    def _remove_last(self, message: Message) -> None:
        self._line(self._priority(message)).fresh.pop()
        self._set_count(self._count - 1)

    def _set_count(self, count: int) -> None:
        self._count = count
        self.ready = count  # what the dispatch loop asks: is anything ready?

    def _take(self) -> tuple[int, Message, bool]:
        line = self._first()
        assert line is not None
        self._set_count(self._count - 1)
        if line.returned.entries:
            return line.returned.take()
        position, message = line.fresh.popleft()
        return position, message, False

    def _peek(self) -> Message | None:
        line = self._first()
        if line is None:
            return None
        return line.returned.head() if line.returned.entries else line.fresh[0][1]

    def _give_back(self, position: int, message: Message, redelivered: bool) -> None:
        self._line(self._priority(message)).returned.put(position, message, redelivered)
        self._set_count(self._count + 1)

    def _restore(self, position: int, message: Message, *, redelivered: bool) -> None:
        self._give_back(position, message, redelivered)

    def _clear(self) -> None:
        self._lines.clear()
        self._set_count(0)

    def check(self) -> None:
        """Assert the queue's invariants."""
        super().check()
        assert self._count == sum(map(len, self._lines.values())), f"{self!r} miscounts its messages"
        assert list(self._lines) == sorted(self._lines, reverse=True), (
            f"{self!r} has its priorities out of order"
        )
        for priority, line in self._lines.items():
            line.returned.check()
            for _, message in line.fresh:
                assert self._priority(message) == priority, (
                    f"{message!r} stands in the line of priority {priority}"
                )
