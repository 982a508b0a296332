"""Who publishes to a quorum queue, and who of them is refused.

Owns: the channels, and the queues with dead letters, that a quorum queue has met as publishers, and what each
was told last: whether it is refused. Refuses to know: when the queue is too full, and what becomes of what is
refused; the queue does that.
Source: recorded scenarios ``policies/quorum-refused-publisher-*`` and ``quorum/first-publish-*``.

Read next: ``core/queues/quorum.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.node import Node
    from mockbroker.core.sinks import Publisher


class PublisherBook:
    """The publishers that a quorum queue knows."""

    __slots__ = ("_node", "_told", "_word")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._told: dict[Publisher, bool] = {}
        self._word: bool | None = None
        """What they are about to hear: whether they are refused."""

    def __len__(self) -> int:
        """How many of them are still there. Cost: how many have been."""
        return sum(each.is_open for each in self._told)

    def knows(self, publisher: Publisher) -> bool:
        """Whether it has published here before."""
        return publisher in self._told

    def add(self, publisher: Publisher, *, is_refused: bool) -> None:
        """Get to know a publisher, and tell it whether it is refused."""
        count = len(self._told)
        if not count & (count - 1):  # at each power of two, so that many who come and go cost little
            self._told = {each: told for each, told in self._told.items() if each.is_open}
        self._told[publisher] = is_refused

    def refuses(self, publisher: Publisher) -> bool:
        """Whether a publisher was told that it is refused."""
        return self._told[publisher]

    def tell(self, refused: bool, *, deaf: Publisher | None) -> None:
        """Tell all but one whether they are refused. They hear of it when the present operation is over: a
        commit may exceed the limit by all that it publishes. Source: recorded scenarios
        ``tx/quorum-fills-at-commit*``.
        """
        if self._word is None:
            self._node.later(self._spread, deaf)
        self._word = refused

    def _spread(self, deaf: Publisher | None) -> None:
        if self._word is not None:
            self._told = {each: told if each is deaf else self._word for each, told in self._told.items()}
            self._word = None

    def clear(self) -> None:
        """Forget all: the node has gone down."""
        self._told.clear()
        self._word = None

    def check(self) -> None:
        """Assert that nobody waits for a word."""
        assert self._word is None, f"the publishers have not heard {self._word}"
