"""A simulated process: one program with its threads, its sockets, its signals and its end.

Owns: what an operating system keeps per process, except what Python itself keeps globally
(``belongings.py``).
Refuses to know: who runs when (``baton.py``), and what is sent over a socket (``sockets.py``).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import weakref
from concurrent.futures import thread as executor_threads
from random import Random
from typing import TYPE_CHECKING, Any

from mockbroker.sim.baton import Strand, as_outsider, current
from mockbroker.sim.errors import TaskEnd
from mockbroker.sim.places import is_user_code

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from mockbroker.sim.baton import Scheduler
    from mockbroker.sim.belongings import Belongings
    from mockbroker.sim.consoles import Console, Log
    from mockbroker.sim.network import Link, Network

Handler = Any  # what signal.signal takes: a function, a number, or signal.Handlers


class ThreadEnd:
    """A wait for the end of a thread."""

    __slots__ = ("strand",)
    for_messages = False
    is_watch = False

    def __init__(self, strand: Strand) -> None:
        self.strand = strand

    def describe(self) -> str:
        return f"the end of thread {self.strand.name}"

    def depends_on(self) -> Strand | None:
        return self.strand


class Task:
    """A simulated process: what `Simulation.spawn` returns, and what its methods take.

    `exit_code` is None while it lives, then what a shell would show: 0, 1 after an exception, the argument of
    `sys.exit`, or minus the number of the signal that ended it. `error` is the exception that ended it, if
    one did.
    """

    def __init__(
        self,
        name: str,
        *,
        number: int,
        seed: str,
        scheduler: Scheduler,
        network: Network,
        console: Console,
        log: Log,
        belongings: Belongings,
        body: Callable[[], object],
    ) -> None:
        self.name = name
        self.number = number
        self.pid = 1000 + number
        self.console = console
        self.exit_code: int | None = None
        self.error: BaseException | None = None
        self.frozen = False
        self.dead = False
        self.held: list[Strand] = []
        self.strands: list[Strand] = []
        self.links: list[Link] = []
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.network = network
        self.scheduler = scheduler
        self.random = Random(seed)
        self.entropy = Random(f"entropy {seed}")
        self.last_uuid1: int | None = None
        """The time in the last `uuid.uuid1`, which the next one must not repeat."""
        self.signal_handlers: dict[int, Handler] = {signal.SIGINT: signal.default_int_handler}
        self.wakeup_fd = -1
        self.exit_callbacks: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        self.main_thread: threading.Thread | None = None
        self.main_strand: Strand | None = None
        self._body = body
        self._log = log
        self._belongings = belongings
        self._pending_signals: list[int] = []

    # Its threads

    def start(self) -> None:
        """Start the main thread; it runs when the schedule says so."""
        strand = self.main_strand = Strand(self.scheduler, self, "MainThread", daemon=False)
        self.strands.append(strand)
        with as_outsider():
            self.main_thread = threading.Thread(
                target=strand.run, args=(self._main,), name="MainThread", daemon=True
            )
            self.main_thread.__dict__["_mockbroker_strand"] = strand
            self.main_thread.start()
            # A daemon to the interpreter, which must never wait for it, but not to threads that it starts.
            self.main_thread._daemonic = False  # type: ignore[attr-defined]  # hidden by typeshed
        self.scheduler.add(strand)

    def new_strand(self, name: str, daemon: bool) -> Strand:
        """Return the strand for a thread that this process starts; the caller gives it to a real thread."""
        strand = Strand(self.scheduler, self, name, daemon)
        self.strands.append(strand)
        self.scheduler.add(strand)
        return strand

    def strand_ended(self, strand: Strand) -> None:
        self.strands.remove(strand)

    def _main(self) -> None:
        """A process from its first line to its end."""
        self._log.add(self.name, "started")
        code = 0
        for act in (self._body, self._await_threads, self._run_exit_callbacks):
            try:
                act()
            except TaskEnd:
                raise
            except SystemExit as stop:
                code = self._exit_code_of(stop)
            except BaseException as error:
                code = 130 if isinstance(error, KeyboardInterrupt) else 1
                self.error = error
                self._show(error)
        self.end(code, f"exited with code {code}")

    def _exit_code_of(self, stop: SystemExit) -> int:
        if stop.code is None:
            return 0
        if isinstance(stop.code, int):
            return stop.code
        self.console.write(f"{stop.code}\n")
        return 1

    def _show(self, error: BaseException) -> None:
        """Print a traceback as Python would, without the simulation's own frames."""
        shown: list[traceback.TracebackException] = [traceback.TracebackException.from_exception(error)]
        for part in shown:
            part.stack = traceback.StackSummary.from_list(
                [frame for frame in part.stack if not frame.filename.startswith(_HERE)]
            )
            shown += [other for other in (part.__cause__, part.__context__) if other is not None]
        self.console.write("".join(shown[0].format()))

    def _await_threads(self) -> None:
        """Wait for threads that are no daemons, as Python does; idle executor threads are told to stop."""
        mine = current()
        assert mine is not None
        for thread, queue in list(executor_threads._threads_queues.items()):
            strand = thread.__dict__.get("_mockbroker_strand")
            if strand is not None and strand.task is self:
                queue.put(None)
        while others := [strand for strand in self.strands if strand is not mine and not strand.daemon]:
            join(mine, others[0], None)

    def _run_exit_callbacks(self) -> None:
        while self.exit_callbacks:
            callback, args, kwargs = self.exit_callbacks.pop()
            callback(*args, **kwargs)

    # Its end

    def end(self, exit_code: int, how: str = "") -> None:
        """End the process where it stands: what it has sent arrives, its sockets close, it never runs again.

        The log says `how`, unless that is empty.
        """
        if self.dead:
            return
        self.dead = True
        self.exit_code = exit_code
        for link in tuple(self.links):
            link.close()
        self.links.clear()
        for sock in tuple(self.sockets):  # in any order: those that lead anywhere are closed above
            sock.close()
        self.console.finish()
        self.console.is_off = True
        if how:
            self._log.add(self.name, how)
        self.scheduler.forget(self)

    # Its signals

    def send_signal(self, number: int) -> None:
        """Deliver a signal: its handler runs in the main thread, at its wait.

        The default action of most ends the process.
        """
        if self.dead:
            return
        handler = self.signal_handlers.get(number, signal.SIG_DFL)
        if number == signal.SIGKILL or handler in (signal.SIG_DFL, None):
            self.end(-number, f"ended by {signal.Signals(number).name}")
            return
        if handler == signal.SIG_IGN:
            return
        self._pending_signals.append(number)
        if self.wakeup_fd >= 0:
            os.write(self.wakeup_fd, bytes([number]))
        if self.main_strand is not None:
            self.scheduler.wake(self.main_strand)

    def deliver_signals(self, strand: Strand) -> None:
        """Run the handlers of the signals that have come, if `strand` is the main thread."""
        while self._pending_signals and strand is self.main_strand:
            number = self._pending_signals.pop(0)
            strand.had_effect()
            self.signal_handlers[number](number, sys._getframe(1))

    # For the scheduler

    def enter(self) -> None:
        self._belongings.enter()

    def leave(self) -> None:
        self._belongings.leave()

    def drop(self) -> None:
        """Forget what belongs to the process alone, when the simulation is over."""
        self._belongings.drop()
        self.signal_handlers.clear()
        self.exit_callbacks.clear()

    def tracer(self, strand: Strand) -> Callable[[FrameType, str, Any], Any]:
        """Return a trace function that lets the schedule interrupt `strand` at each line of user code."""
        scheduler = self.scheduler

        def on_line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                scheduler.at_point(strand, "line")
                scheduler.offer(strand, "line")
            return on_line

        def on_call(frame: FrameType, event: str, _: Any) -> Any:
            return on_line if is_user_code(frame.f_code.co_filename) else None

        return on_call

    def __repr__(self) -> str:
        state = f"exited with {self.exit_code}" if self.dead else "frozen" if self.frozen else "alive"
        return f"<Task {self.name}: {state}>"


def join(strand: Strand, target: Strand, due_ns: int | None) -> bool:
    """Park `strand` until `target` has ended or `due_ns` has come; return whether it has ended."""
    clock = strand.scheduler.clock
    while not target.done and (due_ns is None or clock.now_ns < due_ns):
        if strand not in target.end_waiters:
            target.end_waiters.append(strand)
        strand.park(ThreadEnd(target), due_ns)
    return target.done


_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
