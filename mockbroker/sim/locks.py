"""Locks and threads inside the simulation.

Owns: the lock that simulated threads wait for in virtual time, and how a thread that one of them starts joins
the simulation.
Refuses to know: conditions, events, semaphores, queues, timers, executors. Python builds all of them on a
lock and `threading.Thread`, so they follow by themselves.

Read next: ``baton.py``, ``patches.py``.
"""

from __future__ import annotations

import _thread
import queue
import threading
from typing import TYPE_CHECKING, Any

from mockbroker.clock import to_ns
from mockbroker.sim.baton import Strand, current
from mockbroker.sim.task import join

if TYPE_CHECKING:
    from collections.abc import Callable

# The real ones, bound before anything is patched.
_allocate_lock = _thread.allocate_lock
_real_rlock = _thread.RLock
_real_join = threading.Thread.join
_real_is_alive = threading.Thread.is_alive
_real_main_thread = threading.main_thread
_real_start_new_thread = _thread.start_new_thread
_real_start_joinable_thread = getattr(_thread, "start_joinable_thread", None)  # Python 3.13 and later
_RealSimpleQueue = queue.SimpleQueue
_PythonSimpleQueue: type[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]  # the one written in Python; not in typeshed

_MAX_TIMEOUT_S = threading.TIMEOUT_MAX

_makers: set[int] = set()
"""Threads that hold a simulation open: locks they make are meant for its tasks.

Only looked up, never walked.
"""


class LockWait:
    """A wait for a lock to be released."""

    __slots__ = ("_lock", "_strand")
    for_messages = False
    is_watch = False

    def __init__(self, lock: VirtualLock, strand: Strand) -> None:
        self._lock = lock
        self._strand = strand

    def describe(self) -> str:
        owner = self.depends_on()
        return (
            f"a lock that {owner.task.name} ({owner.name}) holds"
            if owner is not None
            else "another thread's signal"
        )

    def depends_on(self) -> Strand | None:
        # Conditions and what stands on them wait for a lock that they took themselves: anybody may end that.
        return None if self._lock.owner is self._strand else self._lock.owner


class VirtualLock:
    """`threading.Lock`: simulated threads wait for it in virtual time, others as for any lock.

    Outside of simulations, making one gives a real lock.
    """

    __slots__ = ("__weakref__", "_real", "_waiters", "owner")

    owner: Strand | None
    """The simulated thread that took it last, while it is locked."""

    def __new__(cls) -> Any:
        if current() is None and _thread.get_ident() not in _makers:
            return _allocate_lock()
        return super().__new__(cls)

    def __init__(self) -> None:
        self._real = _allocate_lock()
        self._waiters: list[Strand] = []
        self.owner = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        strand = current()
        if strand is None:
            return self._real.acquire(blocking, timeout)
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        if timeout > _MAX_TIMEOUT_S:
            raise OverflowError("timeout value is too large")
        if self._real.acquire(False):
            self.owner = strand
            return True
        if not blocking:
            strand.turn()
            return False
        clock = strand.scheduler.clock
        due_ns = None if timeout == -1 else clock.now_ns + to_ns(float(timeout))
        while not self._real.acquire(False):
            if due_ns is not None and clock.now_ns >= due_ns:
                return False
            self._waiters.append(strand)
            try:
                strand.park(LockWait(self, strand), due_ns)
            finally:
                if strand in self._waiters:
                    self._waiters.remove(strand)
        self.owner = strand
        return True

    def release(self) -> None:
        self.owner = None
        self._real.release()
        if self._waiters:
            waiter = self._waiters.pop(0)
            waiter.scheduler.wake(waiter)

    def locked(self) -> bool:
        return self._real.locked()

    def _at_fork_reinit(self) -> None:
        self._real = _allocate_lock()
        self._waiters.clear()
        self.owner = None

    __enter__ = acquire
    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} simulated lock at {id(self):#x}>"


def new_lock() -> VirtualLock:
    """Return a virtual lock, whoever asks."""
    lock: VirtualLock = object.__new__(VirtualLock)
    lock.__init__()  # type: ignore[misc]  # __new__ was left out on purpose: it decides by the caller
    return lock


def make_rlock() -> Any:
    """`threading.RLock`: inside the simulation the one that Python writes on top of a lock."""
    if current() is None and _thread.get_ident() not in _makers:
        return _real_rlock()
    return threading._RLock()


def make_simple_queue() -> Any:
    """`queue.SimpleQueue`: inside the simulation the one that Python writes on top of a lock."""
    return _RealSimpleQueue() if current() is None else _PythonSimpleQueue()


def add_maker(ident: int) -> None:
    """Let the locks of a thread that opens a simulation be the simulation's."""
    _makers.add(ident)


def remove_maker(ident: int) -> None:
    """Let a thread's locks be real again."""
    _makers.discard(ident)


# Threads


def _join_simulation(parent: Strand, function: Callable[..., object], daemon: bool) -> Callable[..., object]:
    """Return `function` as the body of a new strand of the same process."""
    thread = getattr(function, "__self__", None)
    is_thread = isinstance(thread, threading.Thread)
    name = thread.name if isinstance(thread, threading.Thread) else f"thread {len(parent.task.strands)}"
    strand = parent.task.new_strand(name, thread.daemon if isinstance(thread, threading.Thread) else daemon)
    if is_thread:
        thread.__dict__["_mockbroker_strand"] = strand

    def body(*args: Any, **kwargs: Any) -> None:
        strand.run(lambda: function(*args, **kwargs))

    return body


def start_new_thread(function: Callable[..., object], args: tuple[Any, ...], *kwargs: dict[str, Any]) -> int:
    """`_thread.start_new_thread`: what a simulated thread starts belongs to the same process."""
    strand = current()
    if strand is not None:
        function = _join_simulation(strand, function, daemon=True)
    return _real_start_new_thread(function, args, *kwargs)


def start_joinable_thread(function: Callable[..., object], handle: Any = None, daemon: bool = True) -> Any:
    """`_thread.start_joinable_thread` (Python 3.13): the same.

    The interpreter never waits for such a thread at its end.
    """
    strand = current()
    assert _real_start_joinable_thread is not None
    if strand is None:
        return _real_start_joinable_thread(function, handle=handle, daemon=daemon)
    body = _join_simulation(strand, function, daemon)
    return _real_start_joinable_thread(body, handle=handle, daemon=True)


def thread_join(thread: threading.Thread, timeout: float | None = None) -> None:
    """`threading.Thread.join`."""
    strand = current()
    target = thread.__dict__.get("_mockbroker_strand")
    if strand is None or target is None:
        _real_join(thread, timeout)
        return
    if target is strand:
        raise RuntimeError("cannot join current thread")
    due_ns = None if timeout is None else strand.scheduler.clock.now_ns + to_ns(max(float(timeout), 0.0))
    join(strand, target, due_ns)


def thread_is_alive(thread: threading.Thread) -> bool:
    """`threading.Thread.is_alive`: what counts is the thread's end in the simulation."""
    strand = current()
    target = thread.__dict__.get("_mockbroker_strand")
    if strand is None or target is None:
        return _real_is_alive(thread)
    strand.turn()
    return not target.done


def thread_hash(thread: threading.Thread) -> int:
    """`hash(thread)`: executors keep threads in sets, whose order must not depend on addresses."""
    strand = current()
    if strand is not None and "_mockbroker_hash" not in thread.__dict__:
        thread.__dict__["_mockbroker_hash"] = next(strand.scheduler.numbers)
    number: int | None = thread.__dict__.get("_mockbroker_hash")
    return object.__hash__(thread) if number is None else number


def main_thread() -> threading.Thread:
    """`threading.main_thread`: of the simulated process."""
    strand = current()
    if strand is None or strand.task.main_thread is None:
        return _real_main_thread()
    return strand.task.main_thread


def excepthook(args: Any, /) -> None:
    """`threading.excepthook`: a simulated thread's error goes to its own console."""
    hook = threading.__excepthook__ if current() is not None else _outer_excepthook[0]
    hook(args)


_outer_excepthook: list[Callable[[Any], object]] = [threading.excepthook]


def note_outer_excepthook() -> None:
    """Remember who takes the errors of other threads; called before `excepthook` takes that place."""
    _outer_excepthook[0] = threading.excepthook
