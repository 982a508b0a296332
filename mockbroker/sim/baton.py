"""The baton: many real threads, of which exactly one runs, and a clock that jumps when none can.

Owns: the strands (threads of the simulation), which of them holds the baton, who is ready, and when time
moves.
Refuses to know: sockets, brokers, scripts, signals. It parks a strand until somebody wakes it or its time is
up, and asks the schedule who is next.

There is no scheduler thread: a strand that must wait picks its successor itself and hands the baton over
directly.

Read next: ``schedules.py``, ``task.py``.
"""

from __future__ import annotations

import _thread
import gc
import itertools
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from mockbroker.sim.errors import RealBlock, SimulationClosed, SimulationError, TaskEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from mockbroker.clock import SimClock, Timer
    from mockbroker.sim.schedules import Point, Schedule
    from mockbroker.sim.task import Task

# The real ones, bound before anything is patched.
_allocate_lock = _thread.allocate_lock
_get_ident = _thread.get_ident
_monotonic = time.monotonic

BUSY_TURNS: Final = 1000
"""Turns without effect in one instant after which a strand yields: polling must not stop time."""
BUSY_YIELD_NS: Final = 1_000_000
REAL_BLOCK_S: Final = 5.0
"""Real seconds without any progress and without using the processor after which a run is given up."""
MAX_ENDS: Final = 100
"""How often a dead process's thread may catch its own end (``except:`` in a loop) before it is given up."""
COLLECT_EVERY: Final = 50_000
"""Garbage is collected after so many handovers: at the same place in every run."""

_strands: dict[int, Strand] = {}
"""All strands of all simulations, by the identity of their thread. Entered and left by `Strand.run` only."""


def current() -> Strand | None:
    """Return the strand that the calling thread is, or None outside of simulations.

    Costs well under a microsecond.
    """
    return _strands.get(_get_ident())


@contextmanager
def as_outsider() -> Iterator[None]:
    """Let the calling thread count as none of the simulation's, so that it may start real threads."""
    strand = _strands.pop(_get_ident(), None)
    try:
        yield
    finally:
        if strand is not None:
            _strands[_get_ident()] = strand


class Wait(Protocol):
    """What a parked strand waits for."""

    for_messages: bool
    """Whether bytes from the network may end it."""
    is_watch: bool
    """Whether it watches descriptors, as clients do between messages: its time-out keeps no run going."""

    def describe(self) -> str:
        """Say it in words, for a report."""

    def depends_on(self) -> Strand | None:
        """The one strand that alone can end this wait, if there is such a one."""


class Pause:
    """A wait that ends when its time comes, or that nothing ends."""

    __slots__ = ("what",)
    for_messages = False
    is_watch = False

    def __init__(self, what: str) -> None:
        self.what = what

    def describe(self) -> str:
        return self.what

    def depends_on(self) -> Strand | None:
        return None


_BUSY = Pause("nothing: it polls in a loop, and yields a millisecond")
_START = Pause("its start")
_TURN = Pause("its turn")


class Strand:
    """One thread of a simulated process.

    Invariant: while a strand does not hold the baton its thread sits in `_baton.acquire()`.
    """

    __slots__ = (
        "_baton",
        "_ends",
        "_timed_out",
        "_timer",
        "_turn_ns",
        "_turns",
        "daemon",
        "done",
        "effects",
        "end_waiters",
        "ident",
        "name",
        "queued",
        "scheduler",
        "task",
        "unwinding",
        "wait",
        "wait_due_ns",
    )

    def __init__(self, scheduler: Scheduler, task: Task, name: str, daemon: bool) -> None:
        self.scheduler = scheduler
        self.task = task
        self.name = name
        self.daemon = daemon
        self.ident = 0
        self.done = False
        self.queued = False
        self.unwinding = False
        self.wait: Wait | None = _START
        self.wait_due_ns: int | None = None
        self.effects = 0
        """How often this strand has sent or received something other than heartbeats, signals included."""
        self.end_waiters: list[Strand] = []
        self._baton = _allocate_lock()
        self._baton.acquire()
        self._timed_out = False
        self._timer: Timer | None = None
        self._turns = 0
        self._turn_ns = -1
        self._ends = 0

    def run(self, body: Callable[[], object]) -> None:
        """Be this strand: wait for the baton, run `body`, pass the baton on.

        Called once, in the strand's own thread.
        """
        self.ident = _get_ident()
        self.take()
        _strands[self.ident] = self
        self.wait = None
        try:
            if not self.unwinding:
                self.scheduler.started(self)
                body()
        except TaskEnd:
            pass
        finally:
            self.scheduler.finished(self)

    def park(self, wait: Wait, due_ns: int | None = None) -> bool:
        """Hand the baton on until somebody wakes this strand or `due_ns` comes; False when it was the time.

        A wake-up is a hint: look again, and park again if need be. Signals are delivered before this returns,
        so it may raise what a signal handler raises (KeyboardInterrupt), and `TaskEnd` when the process is
        dead.
        """
        scheduler = self.scheduler
        self._check_not_ended()
        scheduler.at_point(self, "wait")
        self.wait = wait
        self.wait_due_ns = due_ns
        self._timed_out = False
        if due_ns is not None:
            self._timer = scheduler.clock.schedule(due_ns, self._time_is_up, housekeeping=wait.is_watch)
        scheduler.hand_over(self)
        self.stop_timer()
        self.wait = None
        self.came_back()
        return not self._timed_out

    def stop_timer(self) -> None:
        """Let the time of a wait come without waking this strand."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        if not self.queued and self.wait is not None:
            self._timed_out = True
            self.scheduler.wake(self)

    def came_back(self) -> None:
        """What every strand does first when it has the baton again."""
        self._check_not_ended()
        self.task.deliver_signals(self)

    def _check_not_ended(self) -> None:
        """Raise `TaskEnd` in a dead process's thread; code that catches it for ever is left asleep."""
        if self.unwinding:
            self._ends += 1
            if self._ends > MAX_ENDS:
                self.scheduler.abandon()
                while True:
                    self._baton.acquire()
            raise TaskEnd

    def sleep_until(self, due_ns: int, wait: Wait) -> None:
        """Park until `due_ns`, whatever else happens meanwhile."""
        clock = self.scheduler.clock
        while clock.now_ns < due_ns:
            self.park(wait, due_ns)

    def turn(self) -> None:
        """Count a turn that has no effect on anybody; the 1,000th in one instant costs a millisecond."""
        now_ns = self.scheduler.clock.now_ns
        if now_ns != self._turn_ns:
            self._turn_ns = now_ns
            self._turns = 0
        self._turns += 1
        if self._turns >= BUSY_TURNS:
            self._turns = 0
            self._check_not_ended()
            self.sleep_until(now_ns + BUSY_YIELD_NS, _BUSY)

    def had_effect(self, is_heartbeat: bool = False) -> None:
        """Note that this strand has sent or received something; a heartbeat says nothing."""
        self._turns = 0
        self.effects += not is_heartbeat

    def give(self) -> None:
        """Let this strand's thread go on.

        Only `Scheduler` calls this, and gives its own baton up in the same breath.
        """
        self._baton.release()

    def take(self) -> None:
        """Wait until somebody gives the baton."""
        self._baton.acquire()
        self.scheduler.holds_baton(self.ident)

    def describe(self) -> str:
        who = self.task.name if self is self.task.main_strand else f"{self.task.name} ({self.name})"
        return f"{who} waits for {self.wait.describe() if self.wait else 'its turn'}"

    def __repr__(self) -> str:
        return f"<Strand {self.task.name}/{self.name}>"


class Scheduler:
    """Decides who runs, and moves time when nobody can.

    `before_choice` is called before each choice: it brings what is in flight to where it goes. `point` is
    called at each wait and each send of a strand, before anything else happens there.
    """

    def __init__(
        self, clock: SimClock, schedule: Schedule, before_choice: Callable[[], None], preempt_lines: bool
    ) -> None:
        self.clock = clock
        self.schedule = schedule
        self.strands: list[Strand] = []
        self.preempt_lines = preempt_lines
        self.point: Callable[[Strand, Point], object] | None = None
        self.may_end: Callable[[], bool] = lambda: True
        """Asked when only waits for messages and housekeeping are left: may a run without `until` end?"""
        self.holds_baton: Callable[[int], None] = lambda ident: None
        """Told the identity of each thread that gets the baton."""
        self.calendar_start_ns = 0
        """What the calendar shows when the clock is at 0, in nanoseconds since 1970."""
        self.decisions = 0
        self.deviations: list[tuple[int, int]] = []
        """The decisions that were not first-come: what `Choices` needs to repeat this run."""
        self.handovers = 0
        self.numbers = itertools.count(1)
        self._ready: list[Strand] = []
        self._before_choice = before_choice
        self._active: Task | None = None
        self._home = _allocate_lock()
        self._home.acquire()
        self._limit_ns: int | None = None
        self._failure: BaseException | None = None
        self._stopping = False
        self._running: Strand | None = None

    # Strands come and go

    def add(self, strand: Strand) -> None:
        """Take a new strand in; it is ready at once."""
        self.strands.append(strand)
        self.wake(strand)

    def started(self, strand: Strand) -> None:
        if self.preempt_lines:
            sys.settrace(strand.task.tracer(strand))

    def finished(self, strand: Strand) -> None:
        """The strand's code has ended: wake who waits for that, and hand the baton on for good."""
        if self.preempt_lines:
            sys.settrace(None)
        strand.done = True
        strand.wait = None
        self.strands.remove(strand)
        for waiter in strand.end_waiters:
            self.wake(waiter)
        strand.end_waiters.clear()
        if not strand.unwinding:
            strand.task.strand_ended(strand)
        del _strands[strand.ident]
        self._give(None if self._stopping else self._next())

    def wake(self, strand: Strand) -> None:
        """Make a parked strand ready, behind those that are ready already.

        Waking one that is ready or runs does nothing.
        """
        if strand.queued or strand.wait is None:
            return
        strand.queued = True
        (strand.task.held if strand.task.frozen else self._ready).append(strand)

    def hold(self, task: Task) -> None:
        """Take the ready strands of a frozen task aside."""
        task.held.extend(strand for strand in self._ready if strand.task is task)
        self._ready = [strand for strand in self._ready if strand.task is not task]

    def let_go(self, task: Task) -> None:
        """Put the strands of a thawed task back, at the tail."""
        self._ready.extend(task.held)
        task.held.clear()

    def forget(self, task: Task) -> None:
        """Never run the strands of a dead task again."""
        self._ready = [strand for strand in self._ready if strand.task is not task]
        task.held.clear()
        for strand in task.strands:
            strand.queued = True  # nothing can wake it any more
            strand.stop_timer()

    # The baton

    def at_point(self, strand: Strand, point: Point) -> None:
        """Tell whoever counts the waits; a strand whose process was ended there stays here for ever."""
        if self.point is not None:
            self.point(strand, point)
            if strand.task.dead:
                self.hand_over(strand)
                strand.came_back()

    def offer(self, strand: Strand, point: Point) -> None:
        """Let the schedule interrupt a strand that could go on."""
        if self.schedule.preempts and self._ready and not strand.unwinding:
            index = self._choose([strand, *self._ready], point)
            if index:
                successor = self._ready.pop(index - 1)
                successor.queued = False
                strand.queued = True
                self._ready.append(strand)
                self._switch(strand, successor)
                strand.came_back()

    def stand_back(self, strand: Strand) -> None:
        """Let those that are ready run before `strand` goes on."""
        strand.wait = _TURN
        self.wake(strand)
        self.hand_over(strand)
        strand.wait = None
        strand.came_back()

    def hand_over(self, strand: Strand) -> None:
        """Give the baton to whoever is next, and wait until it comes back."""
        successor = self._next()
        if successor is not strand:
            self._switch(strand, successor)

    def _switch(self, strand: Strand, successor: Strand | None) -> None:
        self._give(successor)
        strand.take()

    def fail(self, error: BaseException) -> None:
        """End the run at the next wait; `run` raises `error`."""
        if self._failure is None:
            self._failure = error

    def abandon(self) -> None:
        """The current strand will never end: give the baton back without it."""
        self._give(None)

    def _give(self, successor: Strand | None) -> None:
        self.handovers += 1
        if self.handovers % COLLECT_EVERY == 0:
            gc.collect()
        self._running = successor
        self._switch_belongings(successor.task if successor is not None else None)
        if successor is not None:
            successor.give()
        elif self._home.locked():
            self._home.release()

    def _switch_belongings(self, task: Task | None) -> None:
        if task is not self._active:
            if self._active is not None:
                self._active.leave()
            if task is not None:
                task.enter()
            self._active = task

    def _choose(self, candidates: list[Strand], point: Point) -> int:
        self.decisions += 1
        index = self.schedule.choose(candidates, point)
        if index:
            self.deviations.append((self.decisions, index))
        return index

    def _next(self) -> Strand | None:
        """Return who runs next, moving time if nobody is ready; None: the run is over."""
        try:
            while self._failure is None:
                self._before_choice()
                if ready := self._ready:
                    index = self._choose(ready, "wait") if len(ready) > 1 else 0
                    strand = ready.pop(index)
                    strand.queued = False
                    return strand
                if not self._move_time():
                    self.clock.advance_to_ns(self.clock.now_ns)  # serves the native clients a last time
                    if not self._ready:
                        break
        except BaseException as error:
            self.fail(error)
        return None

    def _move_time(self) -> bool:
        """Go to the next instant at which something is due; False when the run ends before it."""
        clock = self.clock
        due_ns = clock.next_due_ns()
        if self._limit_ns is None:
            if clock.next_due_ns(housekeeping=False) is None and self.may_end():
                return False
        elif due_ns is None or due_ns > self._limit_ns:
            return False
        if due_ns is None:
            return False
        clock.advance_to_ns(due_ns)
        return True

    # Runs

    def run(self, until_ns: int | None) -> None:
        """Run the strands until nothing is left to do, or time has come to `until_ns` (inclusive).

        Raises whatever went wrong in the broker meanwhile, and `RealBlock` when a strand keeps the baton
        without doing anything.
        """
        if self._stopping:
            raise SimulationClosed("the simulation is closed")
        if self._running is not None:
            raise SimulationError(
                "the simulation is running already: run() belongs to the code outside of it"
            )
        self._limit_ns = until_ns
        collecting = gc.isenabled()
        gc.disable()
        try:
            successor = self._next()
            if successor is not None:
                self._give(successor)
                self._wait_at_home()
                self.holds_baton(_get_ident())
        finally:
            if collecting:
                gc.enable()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if until_ns is not None and until_ns > self.clock.now_ns:
            self.clock.advance_to_ns(until_ns)

    def _wait_at_home(self) -> None:
        """Wait for the baton; watch meanwhile that something happens at all."""
        seen = (-1, -1, -1.0)
        since_s = _monotonic()
        while True:
            try:
                if self._home.acquire(timeout=REAL_BLOCK_S / 5):
                    return
            except KeyboardInterrupt as interrupt:
                if isinstance(self._failure, KeyboardInterrupt):
                    self._stopping = True  # the second time: some program never comes to a wait
                    raise
                self.fail(interrupt)
                continue
            except BaseException:  # a test's own time limit, raised by a signal handler
                self._stopping = True
                raise
            running = self._running
            progress = (self.handovers, self.clock.now_ns, _processor_s(running))
            if progress != seen:
                seen, since_s = progress, _monotonic()
            elif running is not None and _monotonic() - since_s >= REAL_BLOCK_S:
                self._stopping = True
                raise RealBlock(_describe_block(running))

    def frames(self) -> dict[int, FrameType]:
        """Return the innermost frame of each thread, by its identity."""
        return sys._current_frames()

    def frames_of_strands(self) -> list[FrameType]:
        """Return the innermost frame of each strand that has begun and not ended."""
        frames = self.frames()
        return [frames[strand.ident] for strand in self.strands if strand.ident in frames]

    def unwind(self) -> None:
        """End all strands by raising `TaskEnd` where they wait, one after the other.

        One that swallows that again and again, or blocks for real, is left behind; the interpreter does not
        wait for it.
        """
        self._stopping = True
        blocked = self._running
        for strand in tuple(self.strands):
            strand.unwinding = True
        for strand in tuple(self.strands):
            if strand is not blocked:
                self._give(strand)
                self._home.acquire(timeout=REAL_BLOCK_S)
        if blocked is not None and not blocked.done:
            self._home.acquire(timeout=REAL_BLOCK_S)  # it may have waited for a lock of one of the others
        self._running = None
        self._switch_belongings(None)


def _processor_s(strand: Strand | None) -> float:
    """Processor seconds that a strand's thread has used, in hundredths; 0 where the system does not tell."""
    if strand is None or not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    try:
        return round(time.clock_gettime(time.pthread_getcpuclockid(strand.ident)), 2)
    except OSError:
        return 0.0


def _describe_block(strand: Strand) -> str:
    """Say where a strand blocks for real, and on which lock if one can be seen in its innermost frames."""
    frame = sys._current_frames().get(strand.ident)
    if frame is None:
        return f"{strand.task.name} has ended without passing the baton on"
    here = traceback.extract_stack(frame)[-1]
    names = []
    for level in (frame, frame.f_back):
        if level is not None:
            for name, value in [*level.f_locals.items(), *level.f_globals.items()]:
                if isinstance(value, _REAL_LOCKS) and name not in names:
                    names.append(name)
    locks = f"; locks in sight: {', '.join(names)}" if names else ""
    return (
        f"{strand.task.name} has been blocked for {REAL_BLOCK_S:g} real seconds in {here.name} "
        f"({here.filename}:{here.lineno}: {here.line}), on something outside of the simulation{locks}. "
        "A lock that another simulated thread holds while it waits must be made inside the simulation."
    )


_REAL_LOCKS = (type(_allocate_lock()), type(threading.RLock()))
