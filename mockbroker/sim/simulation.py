"""The simulation: unmodified blocking programs, several at once, in virtual time, against one broker.

Owns: the tasks, their names and consoles, and what may be done to them from outside.
Refuses to know: how a wait works and what is replaced (``baton.py``, ``patches.py``), and what the broker
does.

Read next: ``baton.py``, ``task.py``.
"""

from __future__ import annotations

import errno
import gc
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from mockbroker.broker import Broker
from mockbroker.clock import NS, SimClock, to_ns
from mockbroker.sim.baton import Scheduler, Strand
from mockbroker.sim.belongings import Belongings
from mockbroker.sim.consoles import Console, ConsoleStream, Log, LogEntry
from mockbroker.sim.deadlock import describe_deadlock, find_stuck
from mockbroker.sim.errors import Deadlock, SimulationClosed
from mockbroker.sim.idle import IdleWatch
from mockbroker.sim.locks import add_maker, remove_maker
from mockbroker.sim.network import LOCALHOST, Network
from mockbroker.sim.patches import PATCHES
from mockbroker.sim.schedules import Choices, Point, Schedule, make_schedule
from mockbroker.sim.scripts import prepare_script
from mockbroker.sim.task import Task
from mockbroker.sim.unwinding import runs_event_loop, silence

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from mockbroker.sim.network import Lose, Peer, Serve

AMQP_PORT = 5672
DEFAULT_ADDRESS = f"localhost:{AMQP_PORT}"

_open: list[Simulation] = []


def _close_all() -> None:
    """Close what was left open: parked threads must not keep the interpreter from ending."""
    for sim in tuple(_open):
        sim.close()


# Called before the interpreter waits for threads; atexit's own functions come too late for that.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # not in typeshed


class SimulatedBroker(Broker):
    """A broker whose downtime passes while the programs run, which find nobody listening meanwhile."""

    def restart(self, downtime: float = 0) -> None:
        """Stop in good order and start again `downtime` virtual seconds later: see `Broker.restart`."""
        self._down(self.node.stop, downtime)

    def crash(self, downtime: float = 0) -> None:
        """A power cut, and back `downtime` virtual seconds later: see `Broker.crash`."""
        self._down(self.node.lose_power, downtime)

    def _down(self, down: Callable[[], None], downtime: float) -> None:
        downtime_ns = to_ns(downtime)
        if downtime_ns < 0:
            raise ValueError(f"downtime must not be negative, not {downtime!r}")
        if not self.node.is_running:
            raise ValueError("the broker is down already")
        down()
        if downtime_ns:
            self.clock.schedule(self.clock.now_ns + downtime_ns, self.node.start)
        else:
            self.node.start()


class Simulation:
    """Real programs, each thinking it is alone with RabbitMQ, run one at a time on a virtual clock.

    `seed` alone changes only what programs draw (`random`, `uuid`) and generated names. `schedule` decides
    who runs next: "fifo" (first come, first served), "random" or "priority" (drawn from the seed), or
    `Choices`. `preempt="lines"` lets a schedule other than "fifo" interrupt a program at each line of its
    code, not only where it waits or sends.

    `addresses` are the `host:port` at which programs find the broker, `allow` those that they may reach for
    real, in real time. `broker` is one of your own with a SimClock; it is not closed with the simulation
    then.

    A context manager; `close()` ends all programs and puts back everything that was replaced in Python. What
    is simulated, and what is not, is in ``docs/simulation.md``.

    Raises ValueError and TypeError for arguments that make no sense.
    """

    def __init__(
        self,
        seed: int = 0,
        schedule: str | Schedule = "fifo",
        *,
        broker: Broker | None = None,
        rules: str = "rabbitmq-4.0",
        addresses: str | Iterable[str] = (DEFAULT_ADDRESS,),
        allow: str | Iterable[str] = (),
        preempt: Literal["lines"] | None = None,
    ) -> None:
        if preempt not in (None, "lines"):
            raise ValueError(f"preempt must be None or 'lines', not {preempt!r}")
        self.seed = seed
        self.shared: dict[str, Any] = {}
        """A place for what outlives processes: the test's stand-in for a database."""
        self._schedule = make_schedule(schedule, seed)
        self._preempt = preempt
        self._network = Network()
        for address in (addresses,) if isinstance(addresses, str) else addresses:
            self._network.register(address, self._serve_broker)
        self._network.allow((allow,) if isinstance(allow, str) else allow)
        self._owns_broker = broker is None
        self.broker = broker if broker is not None else SimulatedBroker(rules=rules, seed=seed)
        """The broker that all programs talk to; its native API is there for the test."""
        clock = self.broker.clock
        if not isinstance(clock, SimClock):
            raise TypeError(f"a simulation needs a broker with a SimClock, not with {clock!r}")
        self._clock = clock
        self.trace = self.broker.tracing()
        """What happened at the broker, in order.

        It is the same, byte for byte, whenever the same programs run with the same seed.
        """
        self._scheduler = self._make_scheduler(clock)
        self._idle = IdleWatch()
        self._log = Log(clock)
        self._tasks: dict[str, Task] = {}
        self._past_tasks: list[Task] = []
        self._programs: dict[str, Callable[[], Task]] = {}
        self._consoles: dict[str, Console] = {}
        self._raised: list[BaseException] = []
        self._is_closed = False
        self._has_run = False
        self._opener = threading.get_ident()
        PATCHES.put_in()
        add_maker(self._opener)
        _open.append(self)
        # What is there already is none of this simulation's garbage: collecting that costs little then.
        self._froze = gc.get_freeze_count() == 0
        if self._froze:
            gc.freeze()

    def _make_scheduler(self, clock: SimClock) -> Scheduler:
        network = self._network
        scheduler = Scheduler(clock, self._schedule, network.before_choice, self._preempt == "lines")
        network.on_fault = scheduler.fail
        scheduler.may_end = self._may_end
        scheduler.holds_baton = self._holds_baton
        scheduler.calendar_start_ns = self.broker.node.epoch_s * NS
        return scheduler

    # Programs

    def spawn(self, function: Callable[..., object], *args: Any, name: str | None = None) -> Task:
        """Start `function(*args)` as a process of its own; it runs with the next `run`.

        Its name is that of the function unless one is given. An `AssertionError` that ends it is raised by
        `run`.

        Raises ValueError when a task of that name is alive, SimulationClosed after `close`.
        """
        self._check_open()
        name = self._free_name(getattr(function, "__name__", "task"), "{0}-{1}") if name is None else name
        self._programs[name] = partial(self._spawn, name, function, args)
        return self._spawn(name, function, args)

    def _spawn(self, name: str, function: Callable[..., object], args: tuple[Any, ...]) -> Task:
        console = self._open_console(name)
        return self._start(name, console, Belongings(ConsoleStream(console)), partial(function, *args))

    def spawn_script(
        self, path: str | os.PathLike[str], argv: Sequence[str] = (), name: str | None = None
    ) -> Task:
        """Start a script as ``python path argv...`` would; its name is C1, C2, ... unless one is given.

        Raises FileNotFoundError for a script that is not there, and as `spawn` does.
        """
        self._check_open()
        name = self._free_name("C1", "C{1}") if name is None else name
        self._programs[name] = partial(self._spawn_script, name, path, tuple(argv))
        return self._spawn_script(name, path, tuple(argv))

    def _spawn_script(self, name: str, path: str | os.PathLike[str], argv: tuple[str, ...]) -> Task:
        console = self._open_console(name)
        body, belongings = prepare_script(path, argv, console)
        return self._start(name, console, belongings, body)

    def respawn(self, task: Task | str) -> Task:
        """Start the program of a task that has ended once more, under the same name, as a supervisor would.

        Raises ValueError while it is alive.
        """
        self._check_open()
        return self._programs[self._find(task).name]()

    def _start(self, name: str, console: Console, belongings: Belongings, body: Callable[[], object]) -> Task:
        task = Task(
            name,
            number=len(self._past_tasks),
            seed=f"{self.seed} {name} {sum(task.name == name for task in self._past_tasks)}",
            scheduler=self._scheduler,
            network=self._network,
            console=console,
            log=self._log,
            belongings=belongings,
            body=body,
        )
        self._tasks[name] = task
        self._past_tasks.append(task)
        task.start()
        return task

    def _free_name(self, first: str, pattern: str) -> str:
        name, number = first, 1
        while name in self._tasks:
            number += 1
            name = pattern.format(first, number)
        return name

    def _open_console(self, name: str) -> Console:
        if not name:
            raise ValueError("a task's name must not be empty")
        if (before := self._tasks.get(name)) is not None and not before.dead:
            raise ValueError(f"a task named {name!r} is alive already")
        console = self._consoles.setdefault(name, Console(name, self._log))
        console.is_off = False
        return console

    def _find(self, task: Task | str) -> Task:
        found = self._tasks.get(task.name if isinstance(task, Task) else task)
        if found is None:
            raise ValueError(f"no task {task!r}; there are {', '.join(self._tasks) or 'none'}")
        return task if isinstance(task, Task) else found

    # The run

    def run(self, until: float | None = None) -> None:
        """Run all tasks, until a virtual second (inclusive) if one is given; it is exactly then afterwards.

        Without it the run ends when only heartbeats and waits for messages remain (``idle.py`` says when that
        is).

        Raises ValueError for a time that is past, `Deadlock` when tasks wait for what can never come (without
        `until`), `RealBlock` when a task blocks for real, SimulationClosed after `close`, and the first
        `AssertionError` that ended a spawned function.
        """
        self._check_open()
        until_ns = None if until is None else to_ns(until)
        if until_ns is not None and until_ns < self._clock.now_ns:
            raise ValueError(f"cannot run until {until!r} s: it is {self.now:g} s already")
        self._has_run = True
        self._scheduler.run(until_ns)
        for task in self._past_tasks:
            if isinstance(task.error, AssertionError) and not any(
                task.error is seen for seen in self._raised
            ):
                self._raised.append(task.error)
                raise task.error
        if until is None and (stuck := find_stuck(self._scheduler.strands)):
            raise Deadlock(describe_deadlock(stuck, self._scheduler.frames(), self._tables()))

    def _holds_baton(self, ident: int) -> None:
        self.broker.owner = ident  # one thread runs at a time, so each of them may use the native API

    def _may_end(self) -> bool:
        waiting = [
            strand
            for strand in self._scheduler.strands
            if strand.wait is not None
            and strand.wait.is_watch
            and not strand.task.dead
            and not strand.task.frozen
        ]
        at_rest = [self._idle.is_at_rest(strand) for strand in waiting]  # all are asked, each time
        return all(at_rest)

    def _tables(self) -> list[str]:
        """Say what the broker holds, and which channel has not acknowledged it."""
        lines = []
        for queue in self.broker.list_queues("name", "messages_ready", "messages_unacknowledged"):
            ready, unacked = queue["messages_ready"], queue["messages_unacknowledged"]
            lines.append(f"queue {queue['name']!r}: {ready} ready, {unacked} unacknowledged")
        for channel in self.broker.list_channels("name", "messages_unacknowledged"):
            if unacked := channel["messages_unacknowledged"]:
                lines.append(f"channel {channel['name']}: {unacked} unacknowledged")
        return lines or ["the broker has no queues"]

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._clock.now

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in the order in which they were started, those that have ended included."""
        return tuple(self._past_tasks)

    @property
    def log(self) -> list[LogEntry]:
        """What all programs printed, and when they started and ended, in order."""
        return list(self._log.entries)

    def listen(self, listener: Callable[[LogEntry], object]) -> None:
        """Call `listener(entry)` with each new entry of the log, as it comes."""
        self._log.listener = listener

    def console(self, task: Task | str) -> Console:
        """Return the console of a task: `str()` is its raw output, `lines` has the times.

        Raises ValueError for an unknown name.
        """
        return self._find(task).console

    @property
    def latest_tasks(self) -> tuple[Task, ...]:
        """The task that carries each name now, in the order in which the names came up."""
        return tuple(self._tasks.values())

    @property
    def has_run(self) -> bool:
        """Whether `run` has been called."""
        return self._has_run

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """The decisions in which this run departed from first-come order, as `Choices` takes them."""
        return tuple(self._scheduler.deviations)

    def on_point(self, point: Callable[[Strand, Point], object] | None) -> None:
        """Call `point(strand, kind)` at each "wait", each "send" and, with `preempt`, each "line".

        It is called in the strand's own thread, before anything in flight arrives; whatever it does to the
        task takes effect there.
        """
        self._scheduler.point = point

    def story(self) -> str:
        """Return the log, and then the broker's trace, as text."""
        return "\n".join([*map(str, self._log.entries), "the broker:", *map(str, self.trace)])

    @property
    def replay(self) -> str:
        """One line of Python: a simulation in which the same programs run in the same order again."""
        deviations = self._scheduler.deviations
        schedule = repr(Choices(*deviations)) if deviations else "'fifo'"
        preempt = f", preempt={self._preempt!r}" if self._preempt else ""
        return f"Simulation(seed={self.seed!r}, schedule={schedule}{preempt})"

    # What happens to programs

    def kill(self, task: Task | str) -> None:
        """End a process where it waits (SIGKILL): what it sent arrives, and its code never runs again."""
        self._find(task).send_signal(signal.SIGKILL)

    def terminate(self, task: Task | str) -> None:
        """Send SIGTERM: its handler runs in the program, or the process ends."""
        self._find(task).send_signal(signal.SIGTERM)

    def interrupt(self, task: Task | str) -> None:
        """Press Ctrl+C: KeyboardInterrupt where the program waits, unless it has a handler of its own."""
        self._find(task).send_signal(signal.SIGINT)

    def freeze(self, task: Task | str) -> None:
        """Stop a process (SIGSTOP): it does nothing, but its connections stay open."""
        found = self._find(task)
        if not found.frozen:
            found.frozen = True
            self._scheduler.hold(found)
            self._log.add(found.name, "frozen")

    def thaw(self, task: Task | str) -> None:
        """Let a frozen process go on; what has come due meanwhile is late."""
        found = self._find(task)
        if found.frozen:
            found.frozen = False
            self._scheduler.let_go(found)
            self._log.add(found.name, "thawed")

    def cut(self, task: Task | str, lose: Lose = None) -> None:
        """Let the links of a process die.

        Bytes in flight to the program (`"in"`), from it (`"out"`) or `"both"` are lost, others arrive.

        The broker notices at once, the program when it next reads or writes. Its next connection is a new
        one.

        Raises ValueError for another value of `lose`.
        """
        if lose not in (None, "in", "out", "both"):
            raise ValueError(f"lose must be None, 'in', 'out' or 'both', not {lose!r}")
        found = self._find(task)
        self._log.add(found.name, "link cut")
        for link in tuple(found.links):
            link.cut(lose)
        self._network.pump()

    # Addresses

    def register(self, address: str, serve: Serve) -> None:
        """Serve `host:port` by something other than the broker.

        `serve(write, hang_up, peer)` is called for each connection and returns an object with `receive` and
        `eof`.

        Raises ValueError for what is not `host:port`.
        """
        self._network.register(address, serve)

    def _serve_broker(
        self, write: Callable[[bytes], object], hang_up: Callable[[], object], peer: tuple[str, int]
    ) -> Peer:
        if not self.broker.node.accepts_client():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the broker is down")
        from mockbroker.amqp.session import Session  # noqa: PLC0415 - needs the extra `amqp`, and says so

        name = f"{peer[0]}:{peer[1]} -> {LOCALHOST}:{AMQP_PORT}"
        return Session(self.broker.node, write, hang_up=hang_up, peer_host=LOCALHOST, name=name)

    # The end

    def _check_open(self) -> None:
        if self._is_closed:
            raise SimulationClosed("the simulation is closed")

    def close(self) -> None:
        """End all programs, unwind their threads with their output off, and put back what was replaced.

        May be called twice.
        """
        if self._is_closed:
            return
        self._is_closed = True
        _open.remove(self)
        self._scheduler.point = None
        self.trace.stop()
        try:
            with silence():
                left_loops = any(map(runs_event_loop, self._scheduler.frames_of_strands()))
                for task in self._past_tasks:
                    task.end(
                        -signal.SIGKILL
                    )  # before it is unwound, so that nothing it does on the way arrives
                self._network.pump()
                self._scheduler.unwind()
                for task in self._past_tasks:
                    task.drop()
                if left_loops:
                    gc.collect()  # what coroutines do when they are dropped happens now, not in others' midst
        finally:
            if self._froze:
                gc.unfreeze()
            remove_maker(self._opener)
            PATCHES.take_out()
            if self._owns_broker:
                self.broker.close()

    def __enter__(self) -> Simulation:
        self._check_open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Simulation at {self.now:g} s: {', '.join(map(repr, self._tasks.values())) or 'no tasks'}>"
