"""At-least-once dead-lettering: a quorum queue keeps a dead letter until every queue it is for has it.

Owns: the dead letters of one quorum queue that are not done, which queues have each of them, and when they
are tried again. Refuses to know: why the queue gave a message up, and what a letter looks like
(``dead_letter.py``).

Letters go out in the order in which the messages died, so many at a time; one that no queue takes stays under
way and is tried again at the ticks of a timer. A restart and a power cut keep them all, and forget who has
them. Source: RabbitMQ documentation, "Quorum Queues: Dead Lettering"; recorded scenarios
``quorum/at-least-once-*``.

Read next: ``core/queues/dead_letter.py``, ``core/queues/quorum.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.clock import MS
from mockbroker.core.queues.dead_letter import (
    UnreadableDeathsError,
    letter_of,
    readdressed,
    routed,
    routing_keys,
    without_circles,
)
from mockbroker.message import is_persistent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mockbroker.clock import Timer
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.queues.settings import Settings
    from mockbroker.message import Message

WINDOW = 32
"""How many letters are under way at a time. Source: ``quorum/at-least-once-window``."""


def is_at_least_once(settings: Settings) -> bool:
    """Whether a quorum queue with these settings keeps its dead letters: a queue that drops its head never
    does. Source: recorded scenario ``quorum/at-least-once-needs-reject-publish``."""
    return (
        settings.dead_letter_exchange is not None
        and settings.dead_letter_strategy == "at-least-once"
        and settings.overflow == "reject-publish"
    )


class _Letter:
    """A dead letter that is not done.

    `dead` is the message as it died, `message` the letter as it was last sent. `missing` are the names of the
    queues that have to take it yet, `unsynced` those of them that have it and wait for the disk, `settled`
    the names of the queues that have it for good. `tried_ns` is when it was last sent to a queue, None for
    never.
    """

    __slots__ = (
        "dead",
        "is_home",
        "message",
        "missing",
        "position",
        "reason",
        "settled",
        "tried_ns",
        "unsynced",
    )

    def __init__(self, dead: Message, reason: str, position: int) -> None:
        self.dead = dead
        self.reason = reason
        self.position = position
        self.forget_tries()

    def forget_tries(self) -> None:
        """Nobody knows of a try any more."""
        self.message = self.dead
        self.missing: dict[str, None] = {}
        self.unsynced: dict[str, None] = {}
        self.settled: dict[str, None] = {}
        self.tried_ns: int | None = None
        self.is_home = False
        """Whether its own queue has it and is not heard."""

    @property
    def is_done(self) -> bool:
        """Whether every queue that has to has it, and at least one does."""
        return bool(self.settled) and not self.missing

    def settle(self, name: str) -> None:
        """A queue has it for good."""
        del self.missing[name]
        self.settled[name] = None

    def check(self) -> None:
        """Assert the invariants."""
        assert not self.missing.keys() & self.settled.keys(), f"{self!r} is missing where it is"
        assert self.unsynced.keys() <= self.missing.keys(), f"{self!r} waits for the disk of somebody else"
        assert self.tried_ns is not None or not (self.missing or self.settled), f"{self!r} was never sent"
        assert not self.is_done, f"{self!r} is done and still here"

    def __repr__(self) -> str:
        names = ", ".join(f"{name} {list(getattr(self, name))}" for name in ("missing", "settled"))
        return f"<dead letter #{self.position} ({self.reason}): {names}>"


class DeadLetterWorker:
    """Carries the dead letters of one quorum queue to where they belong.

    To other queues it is a publisher that waits for confirms, so they may refuse what it sends. `on_done` is
    called when the queue has one letter less to keep. RabbitMQ differs: 3.10 does not hear its own queue's
    confirms, so what is dead-lettered there is kept, and not sent there again. Source: recorded scenarios
    ``quorum/at-least-once-to-itself*``.

    Invariant: letters wait only while `WINDOW` are under way; the timer is armed while any is, unless the
    node is down.
    """

    __slots__ = (
        "_last_number",
        "_on_done",
        "_queue",
        "_timer",
        "_under_way",
        "_waiting",
        "body_bytes",
        "is_open",
    )

    def __init__(self, queue: Queue, on_done: Callable[[], object]) -> None:
        self._queue = queue
        self._on_done = on_done
        self._waiting: deque[_Letter] = deque()
        self._under_way: dict[int, _Letter] = {}
        self._last_number = 0
        self._timer: Timer | None = None
        self.body_bytes = 0
        self.is_open = True

    def __len__(self) -> int:
        """How many letters the queue keeps."""
        return len(self._waiting) + len(self._under_way)

    def take(self, dead: Message, reason: str, position: int) -> None:
        """Take a message that the queue gave up. Its letter goes out after what the queue is doing now."""
        self._waiting.append(_Letter(dead, reason, position))
        self.body_bytes += len(dead[2])
        self._queue.node.later(self._send_waiting)

    # -- out

    def _send_waiting(self) -> None:
        """Send letters for the first time, while more may be under way."""
        while self._waiting and len(self._under_way) < WINDOW:
            self._last_number += 1
            letter = self._under_way[self._last_number] = self._waiting.popleft()
            self._arm()
            settings = self._queue.settings
            exchange, key = settings.dead_letter_exchange, settings.dead_letter_routing_key
            assert exchange is not None
            try:
                letter.message = letter_of(self._queue, letter.dead, letter.reason, exchange, key)
            except UnreadableDeathsError:
                self._give_up(letter)
                self._let_go(self._last_number)
                continue
            keys = routing_keys(letter.message) if key is None else (key,)
            targets = without_circles(
                letter.message, routed(self._queue, letter.message, keys), letter.reason
            )
            self._send(self._last_number, letter, targets, targets)

    def _send(self, number: int, letter: _Letter, targets: Sequence[Queue], missing: Iterable[Queue]) -> None:
        """Send a letter to `targets`; it is done once all of `missing` have it, and they are among these."""
        node, message = self._queue.node, letter.message
        hears_itself = node.rules.quorum_hears_its_own_confirms
        if targets:
            letter.tried_ns = node.clock.now_ns
            letter.missing = {queue.name: None for queue in missing}
            if node.trace is not None:
                node.trace.dead_lettered(self._queue, letter.position, message, letter.reason, targets)
        for target in targets:
            if not target.publish(message, self):
                continue
            if target is self._queue and not hears_itself:
                letter.is_home = True
            elif target.awaits_sync and is_persistent(message):
                letter.unsynced[target.name] = None
            else:
                letter.settle(target.name)
        if letter.unsynced:
            node.disk.confirm_after_sync(self, number)
        else:
            self._look_at(number, letter)

    def confirm(self, tags: list[int]) -> None:
        """What was sent of these letters to durable queues has reached the disk."""
        for number in tags:
            letter = self._under_way.get(number)
            if letter is not None:
                for name in letter.unsynced:
                    letter.settle(name)
                letter.unsynced.clear()
                self._look_at(number, letter)

    def _look_at(self, number: int, letter: _Letter) -> None:
        """Let go of a letter that is done; another one is kept."""
        if letter.is_done:
            self._let_go(number)
        elif self._queue.node.trace is not None:
            self._queue.node.trace.dead_letter_kept(self._queue, letter.position, letter.reason)

    def _let_go(self, number: int) -> None:
        letter = self._under_way.pop(number)
        self.body_bytes -= len(letter.dead[2])
        if not self._under_way:
            self._disarm()
        self._queue.node.later(self._send_waiting)
        self._on_done()

    # -- again

    def _arm(self) -> None:
        if self._timer is None:
            node = self._queue.node
            due_ns = node.clock.now_ns + node.dead_letter_retry_ms * MS
            self._timer = node.clock.schedule(due_ns, self._tick, housekeeping=True)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self.send_again()
        if self._under_way:
            self._arm()
        self._queue.node.drain()

    def send_again(self) -> None:
        """Send once more what no queue was there for, and what a queue refused a whole interval ago.

        Nothing is sent while the dead-letter exchange does not exist.
        """
        node = self._queue.node
        long_ago_ns = node.clock.now_ns - node.dead_letter_retry_ms * MS
        if self._queue.settings.dead_letter_exchange in self._queue.vhost.exchanges:
            for number, letter in list(self._under_way.items()):
                if letter.tried_ns is None or letter.tried_ns <= long_ago_ns:
                    self._send_once_more(number, letter)

    def _send_once_more(self, number: int, letter: _Letter) -> None:
        """Send a letter to where the settings and bindings of now lead, unless it is there already.

        RabbitMQ differs: a queue that would be a circle is not sent the letter and is waited for all the
        same. Where one queue has it and no route is left, there is nobody to wait for.
        """
        settings = self._queue.settings
        exchange, key = settings.dead_letter_exchange, settings.dead_letter_routing_key
        assert exchange is not None
        letter.message, keys = readdressed(self._queue, letter.dead, letter.message, exchange, key)
        queues = routed(self._queue, letter.message, keys)
        if letter.settled and not queues:
            self._give_up(letter)
            self._let_go(number)
            return
        missing = [queue for queue in queues if queue.name not in letter.settled]
        absent = [queue for queue in missing if not (letter.is_home and queue is self._queue)]
        targets = without_circles(letter.message, absent, letter.reason)
        self._send(number, letter, targets, missing)

    # -- the end, and a new beginning

    def _give_up(self, letter: _Letter) -> None:
        if self._queue.node.trace is not None:
            self._queue.node.trace.dead_letter_given_up(self._queue, letter.position, letter.reason)

    def stop(self) -> None:
        """The node stops: nothing is sent meanwhile."""
        self._disarm()

    def start(self) -> None:
        """The node is back: who has which letter is forgotten, and all go out as for the first time."""
        for letter in reversed(self._under_way.values()):
            letter.forget_tries()
            self._waiting.appendleft(letter)
        self._under_way.clear()
        self._queue.node.later(self._send_waiting)

    def abandon(self) -> None:
        """The queue keeps no letters any more: those that it has are gone."""
        for letter in (*self._under_way.values(), *self._waiting):
            self._give_up(letter)
        self.close()

    def close(self) -> None:
        """The queue is gone, and its letters with it."""
        self.is_open = False
        self._disarm()
        self._waiting.clear()
        self._under_way.clear()
        self.body_bytes = 0

    def check(self) -> None:
        """Assert the invariants."""
        count = len(self._under_way)
        assert count == WINDOW or (count < WINDOW and not self._waiting), f"{self!r} lets letters wait"
        is_due = bool(count) and self._queue.node.is_running
        assert (self._timer is not None) == is_due, f"{self!r} has no timer, or one without need"
        letters = (*self._under_way.values(), *self._waiting)
        total = sum(len(letter.dead[2]) for letter in letters)
        assert self.body_bytes == total, f"{self!r} counts {self.body_bytes} bytes and keeps {total}"
        for letter in letters:
            letter.check()

    def __repr__(self) -> str:
        return (
            f"<dead letters of {self._queue.name!r}: {len(self._under_way)} under way, "
            f"{len(self._waiting)} waiting>"
        )
