"""Time: a clock that the test owns, and one that follows the real time.

Owns: now, and the timers that are pending. Nobody else knows what is due.
Refuses to know: brokers and clients. Whoever wants to be served between two timers registers a function.

Time is an integer number of nanoseconds since the clock began; seconds are a view of it. Timers fire in the
order of their due time, then of their scheduling. *Housekeeping* timers (disk syncs, heartbeats, scans) fire
like all others but nobody waits for them: `SimClock.next_due_ns` can leave them out.

Read next: ``core/node.py``, ``broker.py``.
"""

from __future__ import annotations

import time
from heapq import heapify, heappop, heappush

from mockbroker.errors import LivelockError, ReentrancyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

NS = 1_000_000_000
MS = 1_000_000

MAX_FIRINGS = 1_000_000
"""How many timers one instant of virtual time may fire before it counts as a livelock."""


def to_ns(seconds: float) -> int:
    """Convert seconds to whole nanoseconds.

    Raises ValueError for a number that is no time (NaN or infinite), TypeError for what is no number.

    >>> to_ns(0.1), to_ns(3)
    (100000000, 3000000000)
    """
    if isinstance(seconds, int):
        return seconds * NS
    if not isinstance(seconds, float):
        raise TypeError(f"a time in seconds must be a number, not {seconds!r}")
    if seconds != seconds or seconds in (float("inf"), float("-inf")):
        raise ValueError(f"a time in seconds must be finite, not {seconds!r}")
    return round(seconds * NS)


class Timer:
    """A callback that waits for its time; `cancel` costs O(1)."""

    __slots__ = ("_callback", "_queue", "args", "due_ns", "sequence")

    def __init__(
        self, queue: _TimerQueue, due_ns: int, sequence: int, callback: Callable[..., object], args: Any
    ):
        self._queue = queue
        self.due_ns = due_ns
        self.sequence = sequence
        self._callback: Callable[..., object] | None = callback
        self.args = args

    @property
    def is_pending(self) -> bool:
        """Whether the timer has neither fired nor been cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Take the timer back. Cancelling one that has fired or was cancelled does nothing."""
        if self._callback is not None:
            self._callback = None
            self.args = ()
            self._queue.forget_one()

    def take(self) -> Callable[..., object]:
        """Return the callback; from now on the timer counts as fired."""
        callback = self._callback
        assert callback is not None
        self._callback = None
        return callback

    def __repr__(self) -> str:
        state = "pending" if self.is_pending else "done"
        return f"<Timer due at {self.due_ns / NS:g} s, {state}>"


class _TimerQueue:
    """A heap of timers; cancelled ones are swept when they are more than half of it."""

    __slots__ = ("_cancelled", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._cancelled = 0

    def push(self, timer: Timer) -> None:
        heappush(self._heap, (timer.due_ns, timer.sequence, timer))

    def forget_one(self) -> None:
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].is_pending]
            heapify(self._heap)
            self._cancelled = 0

    def head(self) -> tuple[int, int, Timer] | None:
        heap = self._heap
        while heap and not heap[0][2].is_pending:
            heappop(heap)
            self._cancelled -= 1
        return heap[0] if heap else None

    def pop(self) -> Timer:
        return heappop(self._heap)[2]

    def check(self) -> None:
        """Assert that the heap is one and that the cancelled are counted."""
        heap = self._heap
        assert all(heap[(i - 1) // 2] <= heap[i] for i in range(1, len(heap))), "timers are not a heap"
        assert self._cancelled == sum(not entry[2].is_pending for entry in heap), (
            "cancelled timers are miscounted"
        )


class Clock:
    """What both clocks have: now, timers, and the functions to call when something may be served."""

    def __init__(self) -> None:
        self._work = _TimerQueue()
        self._housekeeping = _TimerQueue()
        self._sequence = 0
        self._servers: list[Callable[[], object]] = []
        self._moving = False
        self.guard: AbstractContextManager[Any] | None = None
        """Held while timers fire and clients are served, where other threads use the same broker."""
        self.is_firing = False
        """Whether a timer's callback is running: no time may pass then."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the clock began."""
        raise NotImplementedError

    @property
    def now(self) -> float:
        """Seconds since the clock began."""
        return self.now_ns / NS

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` when `delay` seconds (>= 0) have passed.

        Raises ValueError for a negative delay.
        """
        delay_ns = to_ns(delay)
        if delay_ns < 0:
            raise ValueError(f"delay must not be negative, not {delay!r}")
        return self.schedule(self.now_ns + delay_ns, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` at `when` seconds on this clock.

        Raises ValueError when that time is past.
        """
        due_ns = to_ns(when)
        if due_ns < self.now_ns:
            raise ValueError(f"cannot call back at {when!r} s: it is {self.now:g} s already")
        return self.schedule(due_ns, callback, *args)

    def schedule(
        self, due_ns: int, callback: Callable[..., object], *args: Any, housekeeping: bool = False
    ) -> Timer:
        """Call `callback(*args)` at `due_ns`; a time that is past means now, after what is due already."""
        self._sequence += 1
        queue = self._housekeeping if housekeeping else self._work
        timer = Timer(queue, max(due_ns, self.now_ns), self._sequence, callback, args)
        queue.push(timer)
        return timer

    def next_due_ns(self, *, housekeeping: bool = True) -> int | None:
        """Return when the next timer is due, or None; `housekeeping=False` leaves housekeeping out."""
        head = self._work.head()
        if housekeeping:
            other = self._housekeeping.head()
            if other is not None and (head is None or other < head):
                head = other
        return head[0] if head else None

    def fire_due(self) -> int:
        """Fire the timers that are due now, those included that they schedule for now; return how many.

        Raises `LivelockError` above `MAX_FIRINGS` in one instant of virtual time.
        """
        fired = 0
        self.is_firing = True
        try:
            while (timer := self._next_timer(self.now_ns)) is not None:
                timer.take()(*timer.args)
                fired += 1
                self._note_firing()
        finally:
            self.is_firing = False
        return fired

    def _note_firing(self) -> None:
        """A timer has fired."""

    def _next_timer(self, until_ns: int) -> Timer | None:
        work, other = self._work.head(), self._housekeeping.head()
        if work is not None and (other is None or work < other):
            return self._work.pop() if work[0] <= until_ns else None
        if other is not None and other[0] <= until_ns:
            return self._housekeeping.pop()
        return None

    def add_server(self, serve: Callable[[], object]) -> None:
        """Have `serve()` called at each instant: before time moves and after timers fired."""
        self._servers.append(serve)

    def remove_server(self, serve: Callable[[], object]) -> None:
        """Take back `add_server`; one that is not there is no error."""
        if serve in self._servers:
            self._servers.remove(serve)

    def _serve(self) -> None:
        for serve in tuple(self._servers):
            serve()

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass: see `advance_to`.

        Raises ValueError for a negative number: time never goes back.
        """
        delta_ns = to_ns(seconds)
        if delta_ns < 0:
            raise ValueError(f"time never goes back: cannot advance by {seconds!r} s")
        self.advance_to_ns(self.now_ns + delta_ns)

    def advance_to(self, when: float) -> None:
        """Let time pass until `when` seconds: timers and deliveries happen in order, instant by instant.

        Raises ValueError when that time is past (on a `SimClock`), `ReentrancyError` inside a callback.
        """
        self.advance_to_ns(to_ns(when))

    def advance_to_ns(self, when_ns: int) -> None:
        """Let time pass until `when_ns` nanoseconds: see `advance_to`."""
        if self._moving:
            raise ReentrancyError("clock.advance", "time cannot pass inside a callback")
        self._moving = True
        try:
            self._live_through(fire=False)
            while (due_ns := self.next_due_ns()) is not None and due_ns <= when_ns:
                self._move_to(due_ns)
                self._live_through()
            self._move_to(when_ns)
        finally:
            self._moving = False

    def _live_through(self, *, fire: bool = True) -> None:
        """Fire what is due at this instant and serve everybody; other threads are kept out meanwhile."""
        if self.guard is not None:
            with self.guard:
                self._fire_and_serve(fire=fire)
        else:
            self._fire_and_serve(fire=fire)

    def _fire_and_serve(self, *, fire: bool) -> None:
        if fire:
            self.fire_due()
        self._serve()

    def _move_to(self, when_ns: int) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Assert the clock's invariants."""
        self._work.check()
        self._housekeeping.check()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.now:g} s>"


class SimClock(Clock):
    """Virtual time. It stands still until somebody advances it, and never goes back.

    >>> clock = SimClock()
    >>> timer = clock.call_later(2, print, "two seconds later")
    >>> clock.advance(3)
    two seconds later
    >>> clock.now
    3.0
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = 0
        self._fired_now = 0

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the clock began."""
        return self._now_ns

    def advance_to_ns(self, when_ns: int) -> None:
        """Let time pass until `when_ns` nanoseconds: see `advance_to`."""
        if when_ns < self._now_ns:
            raise ValueError(f"time never goes back: it is {self.now:g} s, not yet {when_ns / NS:g} s again")
        super().advance_to_ns(when_ns)

    def _move_to(self, when_ns: int) -> None:
        if when_ns != self._now_ns:
            self._now_ns = when_ns
            self._fired_now = 0

    def _note_firing(self) -> None:
        self._fired_now += 1
        if self._fired_now > MAX_FIRINGS:
            self._fired_now = 0
            raise LivelockError(
                f"this instant does not end: more than {MAX_FIRINGS} timers have fired at {self.now:g} s. "
                "Does a callback schedule itself without a delay?"
            )

    def check(self) -> None:
        """Assert the clock's invariants."""
        super().check()
        due_ns = self.next_due_ns()
        assert due_ns is None or due_ns >= self._now_ns, f"{self!r} has a timer that was due at {due_ns}"


class WallClock(Clock):
    """Real time, for `Broker.listen` and ``mockbroker serve``.

    `advance` sleeps until the time has come; one that is past already is no error: real time waits for
    nobody.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start_ns = time.monotonic_ns()

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the clock began."""
        return time.monotonic_ns() - self._start_ns

    def _move_to(self, when_ns: int) -> None:
        if (left_ns := when_ns - self.now_ns) > 0:
            time.sleep(left_ns / NS)
