"""The node: the whole broker. It composes the other rooms and carries out one step at a time.

Owns: connections, the list of work that follows an operation, and the ways down and up
again. Refuses to know: who calls. Adapters do an operation, send its reply, then call `drain`; when their
input is drained, `input_drained`.

Read next: ``core/vhost.py``, ``core/connection.py``, ``core/storage.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.clock import NS, to_ns
from mockbroker.core import refusals
from mockbroker.core.access import is_local
from mockbroker.core.administration import Administration
from mockbroker.core.connection import BrokerConnection
from mockbroker.core.exchanges.types import exchange_types
from mockbroker.core.fast_replies import FastReplies
from mockbroker.core.limits import Limits
from mockbroker.core.storage import Disk
from mockbroker.errors import LivelockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random
    from typing import Any

    from mockbroker.clock import Clock
    from mockbroker.core.access import User
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.recorder import Recorder
    from mockbroker.core.sinks import ConnectionSink
    from mockbroker.core.vhost import VHost
    from mockbroker.message import Delivery
    from mockbroker.rules import Rules
    from mockbroker.trace import Trace

EPOCH_S = 1_735_689_600
"""What time it is at virtual time 0 unless told otherwise: 2025-01-01T00:00:00Z."""

LONGEST_STEP = 10_000_000
"""How many pieces of work one operation may cause before the broker gives up: no legal step comes near."""

MOST_CONNECTIONS = 943_626
"""How many sockets a node may open with the usual limit of 1,048,576 file descriptors."""

_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Node(Administration):
    """One broker.

    `epoch_s` is the time of day at virtual time 0, in seconds since 1970; `sync_interval` (seconds) bounds
    how long a write waits for the disk; `loopback_users` may come only from this host; `consumer_timeout_ms`
    is None for never; `plugins` are the names of those that are enabled (ValueError for an unknown one).
    """

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        *,
        seed: int = 0,
        epoch_s: int = EPOCH_S,
        sync_interval: float = 0.2,
        loopback_users: tuple[str, ...] = ("guest",),
        consumer_timeout_ms: int | None = None,
        max_message_bytes: int | None = None,
        dead_letter_retry_ms: int | None = None,
        plugins: Iterable[str] = (),
    ) -> None:
        self.rules = rules
        self.exchange_types = exchange_types(rules, plugins)
        """The exchange types that there are, by name."""
        self.clock = clock
        self.seed = seed
        self.epoch_s = epoch_s
        self.loopback_users = loopback_users
        self.consumer_timeout_ms = consumer_timeout_ms
        self.max_message_bytes = rules.max_message_bytes if max_message_bytes is None else max_message_bytes
        self.dead_letter_retry_ms = (
            rules.dead_letter_retry_ms if dead_letter_retry_ms is None else dead_letter_retry_ms
        )
        """How long a dead letter that must not get lost waits for its next try."""
        self.trace: Recorder | None = None
        """Who is told of every change, None while nobody listens."""
        self.name = "rabbit@localhost"
        self.is_running = True
        self.gate: Callable[[], bool] | None = None
        """Asked at each client that knocks, so that a test's fault can keep clients out; None lets all in."""
        self.most_connections = MOST_CONNECTIONS
        self.nacks_due = 0
        """How many publishes in confirm mode are refused next: a test's fault, none on its own."""
        self.connections: list[BrokerConnection] = []
        self.limits = Limits(self)
        self.fast_replies = FastReplies(self)
        self.disk = Disk(clock, to_ns(sync_interval), self._synced)
        self.work: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        """What is left to do once the reply to the present operation is out, in order."""
        self._turns: deque[Callable[[], object]] = deque()
        """The connections that have something to say once that is done, in turn."""
        self._is_draining = False
        self._random: Random | None = None
        self._next_port = 50_000
        super().__init__(self)

    # -- one step

    def later(self, callback: Callable[..., object], *args: Any) -> None:
        """Put a piece of work at the end of the list."""
        self.work.append((callback, args))

    def next_turn(self, callback: Callable[[], object]) -> None:
        """Let a connection go on with what was held back, an operation at a time, when its turn comes."""
        self._turns.append(callback)

    def drain(self) -> None:
        """Do what the last operation left to do after its reply.

        Raises `LivelockError` when that has no end.
        """
        if self._is_draining:
            return
        self._is_draining = True
        try:
            work, turns = self.work, self._turns
            done = 0
            while work or turns:
                if not work:  # the next operation
                    done = 0
                    turns.popleft()()
                    continue
                callback, args = work.popleft()
                callback(*args)
                done += 1
                if done > LONGEST_STEP:
                    raise LivelockError(
                        f"one operation caused more than {LONGEST_STEP} others, the last {callback!r}"
                    )
        finally:
            self._is_draining = False

    def input_drained(self) -> None:
        """No more input at this instant, unless others have a turn: the disk syncs if somebody waits for a
        confirm.

        What a confirm lets go on may have to be confirmed itself: a dead letter behind others.
        """
        while self.disk.is_awaited and not self._turns:
            self.disk.sync()
            self.drain()

    def _synced(self) -> None:
        if self.trace is not None:
            self.trace.synced()

    @property
    def wall_time_s(self) -> int:
        """The time of day, in whole seconds since 1970."""
        return self.epoch_s + self.clock.now_ns // NS

    @property
    def random(self) -> Random:
        """The one source of chance, made from the seed."""
        if self._random is None:
            from random import Random  # noqa: PLC0415 - many short-lived brokers never need it

            self._random = Random(self.seed)
        return self._random

    def generate_name(self, prefix: str) -> str:
        """Return a name that the server makes up: 22 characters behind the prefix."""
        bits = self.random.getrandbits(132)
        return prefix + "".join([_NAME_CHARACTERS[(bits >> shift) & 63] for shift in range(0, 132, 6)])

    def add_trace(self, trace: Trace) -> None:
        """Tell `trace` of every change from now on."""
        if self.trace is None:
            from mockbroker.core.recorder import Recorder  # noqa: PLC0415 - only who listens pays for it

            self._set_recorder(Recorder(self.clock))
        assert self.trace is not None
        self.trace.add(trace)

    def remove_trace(self, trace: Trace) -> None:
        """Tell `trace` no more."""
        if self.trace is not None:
            self.trace.remove(trace)
            if not self.trace.is_listening:
                self._set_recorder(None)

    def _set_recorder(self, recorder: Recorder | None) -> None:
        self.trace = recorder
        for connection in self.connections:
            for channel in connection.channels.values():
                channel.update_plain()

    # -- who comes in

    def authenticate(
        self, username: str, password: str, peer_host: str = "127.0.0.1", mechanism: str = "PLAIN"
    ) -> User:
        """Return the user. Raises HardError 403 for a wrong name or password, or guest from afar."""
        user = self.users.get(username)
        if user is None or not user.password or user.password != password:
            raise refusals.login_refused(mechanism)
        if username in self.loopback_users and not is_local(peer_host):
            raise refusals.login_refused(mechanism)
        return user

    def accepts_client(self) -> bool:
        """Whether a client that knocks now finds somebody listening, and a file descriptor is left for it.

        Asked once for each.
        """
        if not self.is_running or len(self.connections) >= self.most_connections:
            return False
        return self.gate is None or self.gate()

    def open_connection(
        self,
        sink: ConnectionSink,
        user: User,
        vhost_name: str,
        client_properties: dict[str, Any],
        *,
        peer_host: str = "127.0.0.1",
        name: str | None = None,
    ) -> BrokerConnection:
        """Let an authenticated user into a virtual host.

        Raises HardError 530: unknown virtual host, a limit is reached, no permissions in it. Source: recorded
        scenario ``limits/connections-before-access``.
        """
        vhost = self.vhosts.get(vhost_name)
        if vhost is None:
            raise refusals.vhost_not_found(vhost_name)
        self.limits.check_new_connection(vhost, user)
        if vhost_name not in user.permissions:
            raise refusals.vhost_access_refused(vhost_name, user.name)
        if name is None:
            self._next_port = self._next_port + 2 if self._next_port < 65_000 else 50_000
            name = f"{peer_host}:{self._next_port} -> 127.0.0.1:5672"
        connection = BrokerConnection(
            self, sink, user, vhost, client_properties, peer_host=peer_host, name=name
        )
        self.connections.append(connection)
        if self.trace is not None:
            self.trace.connection_opened(connection)
        return connection

    def connection_gone(self, connection: BrokerConnection) -> None:
        """A connection has ended."""
        self.connections.remove(connection)
        if self.trace is not None:
            self.trace.connection_closed(connection)

    def exchange_gone(self, vhost: VHost, name: str) -> None:
        """An exchange is deleted: no channel may take it for granted any more."""
        for connection in self.connections:
            if connection.vhost is vhost:
                for channel in connection.channels.values():
                    channel.forget_publishable()

    # -- down and up again

    def stop(self) -> None:
        """Stop in good order: clients are told (320), everything durable is on disk."""
        if self.trace is not None:
            self.trace.stopped(power_cut=False)
        for connection in list(self.connections):
            connection.close_forced(refusals.shutdown())
        self.drain()
        self.disk.sync()
        self._keep_what_is_durable({}, power_cut=False)

    def lose_power(self) -> None:
        """Stop without a word: links die, and only what the disk holds is kept."""
        if self.trace is not None:
            self.trace.stopped(power_cut=True)
        unacked: dict[Queue, list[Delivery]] = {}
        for connection in self.connections:
            connection.is_open = False
            for channel in connection.channels.values():
                channel.is_open = False
                if channel.watch is not None:
                    channel.watch.stop()
                self.fast_replies.channel_closed(channel)
                lost = channel.transaction.deliveries if channel.transaction is not None else []
                for delivery in (*channel.unacked.values(), *lost):
                    unacked.setdefault(delivery.queue, []).append(delivery)
        links = [connection.sink for connection in self.connections]
        self.connections.clear()
        self._forget_work()
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                queue.forget_consumers()
        self._keep_what_is_durable(unacked, power_cut=True)
        self.disk.lose_power()
        for sink in links:
            sink.link_lost()

    def _keep_what_is_durable(self, unacked: dict[Queue, list[Delivery]], *, power_cut: bool) -> None:
        self.is_running = False
        for vhost in self.vhosts.values():
            vhost.keep_durable()
            for queue in vhost.queues.values():
                queue.stop()
                queue.survive(unacked.get(queue, ()), power_cut=power_cut)
        self._forget_work()

    def _forget_work(self) -> None:
        self.work.clear()
        self._turns.clear()

    def start(self) -> None:
        """Come back after `stop` or `lose_power`."""
        self.is_running = True
        for vhost in self.vhosts.values():
            vhost.start()
        if self.trace is not None:
            self.trace.started()
        self.drain()

    # -- looking

    def unacked(self, queue: Queue) -> list[Delivery]:
        """Return the outstanding deliveries of a queue. Cost: all that is outstanding on the node."""
        return [
            delivery
            for connection in self.connections
            for channel in connection.channels.values()
            for delivery in channel.outstanding
            if delivery.queue is queue
        ]

    def unacked_count(self, queue: Queue) -> int:
        """How many deliveries of a queue are outstanding. Cost: as `unacked`."""
        return len(self.unacked(queue))

    def check(self) -> None:
        """Assert every invariant of the broker. Cost: proportional to what it holds."""
        assert not self.work, f"work was left undone: {self.work!r}"
        assert not self._turns, f"connections were not let go on: {self._turns!r}"
        self.clock.check()
        self.disk.check()
        for name, vhost in self.vhosts.items():
            assert vhost.name == name, f"{vhost!r} is filed under {name!r}"
            vhost.check()
        places: set[tuple[int, int]] = set()
        for connection in self.connections:
            connection.check()
            for channel in connection.channels.values():
                for delivery in channel.outstanding:
                    place = (id(delivery.queue), delivery.position)
                    assert delivery.queue.is_shared or place not in places, (
                        f"{delivery!r} is outstanding twice"
                    )
                    places.add(place)
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                for position, _, _ in () if queue.is_shared else queue.messages():
                    assert (id(queue), position) not in places, (
                        f"message {position} of {queue!r} is in two places"
                    )

    def __repr__(self) -> str:
        return (
            f"<Node {self.rules.name}: {len(self.connections)} connections, {len(self.vhosts)} virtual hosts>"
        )
