"""The broker as a program sees it: where everything begins.

Owns: who is served when. Callbacks run here and nowhere else, one at a time, and time passes only through
here and the clock. Refuses to know: AMQP's rules (``core/``), and how anything is listed or printed
(``admin/``).

Read next: ``connection.py``, ``channel.py``, ``core/node.py``.
"""

from __future__ import annotations

from _thread import get_ident

from mockbroker.clock import NS, Clock, SimClock, to_ns
from mockbroker.connection import Connection
from mockbroker.core.node import EPOCH_S, Node
from mockbroker.errors import ReentrancyError, ThreadError, WouldBlockForever
from mockbroker.inbox import MAX_DELIVERIES, Inbox, Server
from mockbroker.rules import rules_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self

    from mockbroker.amqp.endpoint import Endpoint
    from mockbroker.rules import Rules
    from mockbroker.testing.views import QueueView
    from mockbroker.trace import Trace


class Broker:
    """A broker of its own, in this process.

    `rules` is ``rabbitmq-4.0`` or ``rabbitmq-3.10``; `seed` decides generated names and what random exchanges
    choose, nothing else; `clock`
    is a `SimClock` at 0 unless given; `epoch` the time of day at virtual time 0 (seconds since 1970;
    2025-01-01 unless given); `sync_interval` (seconds) bounds how long a persistent message waits for the
    disk when nobody waits for its confirm; users in `loopback_users` may come only from this host;
    `consumer_timeout` (seconds) closes a channel that does not acknowledge in time, None never;
    `dead_letter_retry` (seconds, 180 unless given) is how long a dead letter that must not get lost waits for
    its next try; `plugins` are the names of those that are enabled, such as
    ``rabbitmq_consistent_hash_exchange``. Raises ValueError for an unknown name of rules or plugins.

    >>> broker = Broker()
    >>> channel = broker.connect().channel()
    >>> channel.queue_declare("hello").method.message_count
    0
    >>> channel.basic_publish("", "hello", b"Hello World!")
    >>> broker.list_queues("name", "messages_ready")
    [{'name': 'hello', 'messages_ready': 1}]
    """

    def __init__(
        self,
        *,
        rules: str | Rules = "rabbitmq-4.0",
        seed: int = 0,
        clock: Clock | None = None,
        epoch: int = EPOCH_S,
        sync_interval: float = 0.2,
        loopback_users: Iterable[str] = ("guest",),
        consumer_timeout: float | None = None,
        max_message_bytes: int | None = None,
        dead_letter_retry: float | None = None,
        plugins: Iterable[str] = (),
    ) -> None:
        self.clock = SimClock() if clock is None else clock
        self.node = Node(
            rules_named(rules),
            self.clock,
            seed=seed,
            epoch_s=epoch,
            sync_interval=sync_interval,
            loopback_users=tuple(loopback_users),
            consumer_timeout_ms=None if consumer_timeout is None else round(consumer_timeout * 1000),
            max_message_bytes=max_message_bytes,
            dead_letter_retry_ms=None if dead_letter_retry is None else round(dead_letter_retry * 1000),
            plugins=plugins,
        )
        self.server = Server()
        self.owner = get_ident()
        """The thread that the native API belongs to; 0 while other threads use the broker too (`share`)."""
        self.lock: Any = None
        """Held by whoever uses the broker while it is shared; an endpoint's thread does too."""
        self._sharers = 0
        self._is_closed = False
        self.clock.add_server(self._serve_instant)

    # -- connections

    def connect(
        self,
        username: str = "guest",
        password: str = "guest",
        virtual_host: str = "/",
        client_properties: dict[str, Any] | None = None,
        peer_host: str = "127.0.0.1",
    ) -> Connection:
        """Connect a client.

        Raises `ProbableAuthenticationError` (wrong password; a loopback user from another `peer_host`),
        `ProbableAccessDeniedError` (unknown virtual host, no permissions in it, a limit is reached),
        ConnectionRefusedError while the broker is down.
        """
        if get_ident() != self.owner:
            return self.enter(  # type: ignore[no-any-return]  # as declared
                self.connect, username, password, virtual_host, client_properties, peer_host
            )
        if not self.node.accepts_client():
            raise ConnectionRefusedError("nobody listens" if self.node.is_running else "the broker is down")
        return Connection(
            self,
            username=username,
            password=password,
            virtual_host=virtual_host,
            client_properties=client_properties,
            peer_host=peer_host,
        )

    def listen(self, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Endpoint:
        """Open an AMQP 0-9-1 port for any client in any language: a context manager with ``url`` and
        ``close()``.

        Port 0 picks a free one. Raises OSError for a port in use, ImportError when the extra
        ``mockbroker[amqp]`` is missing.
        """
        from mockbroker.amqp.endpoint import Endpoint  # noqa: PLC0415 - only who listens pays for it

        return Endpoint(self, host, port, **options)

    # -- serving

    def run(self, max_deliveries: int = MAX_DELIVERIES) -> int:
        """Serve everything that is due at this instant, in the order in which the broker sent it; return the
        number of deliveries.

        Raises `ReentrancyError` inside a callback, `LivelockError` above `max_deliveries`. An exception of a
        callback comes out here; the next run goes on with the next delivery.
        """
        if get_ident() != self.owner:
            return self.enter(self.run, max_deliveries)  # type: ignore[no-any-return]  # an int
        self.check_not_serving("run")
        return self._serve_all(max_deliveries)

    def serve(self, inbox: Inbox) -> int:
        """Serve one connection out of turn."""
        return self.server.serve_one(inbox, MAX_DELIVERIES)

    def check_not_serving(self, what: str) -> None:
        """Raise `ReentrancyError` inside a callback."""
        if self.server.is_serving or self.clock.is_firing:
            raise ReentrancyError(what, "nothing can be served, and no time can pass, inside a callback")

    def _serve_instant(self) -> None:
        """The clock stops at an instant: everything that is due then is served."""
        if self.server.is_serving:
            raise ReentrancyError("clock.advance", "no time can pass inside a callback")
        self._serve_all(MAX_DELIVERIES)

    def _serve_all(self, max_deliveries: int) -> int:
        """Serve everybody until nothing is left to do at this instant; return the number of deliveries."""
        served = self.server.serve_all(max_deliveries)
        while self.node.disk.is_awaited:
            self.node.input_drained()
            served += self.server.serve_all(max_deliveries - served)
        return served

    def _serve_everybody(self) -> None:
        if self.lock is None:
            self._serve_all(MAX_DELIVERIES)
        else:
            with self.lock:
                self._serve_all(MAX_DELIVERIES)

    def wait(self, condition: Callable[[], bool], deadline_ns: int | None, what: str) -> bool:
        """Serve everybody, instant by instant, until `condition()` is true or the deadline is there; return
        the condition.

        Raises `WouldBlockForever` with `what` when there is no deadline and nothing is scheduled that could
        change anything.
        """
        self.check_not_serving(what)
        while True:
            self._serve_everybody()
            if condition():
                return True
            due_ns = self.clock.next_due_ns(housekeeping=False)
            if due_ns is None or (deadline_ns is not None and due_ns > deadline_ns):
                if deadline_ns is None:
                    raise WouldBlockForever(f"{what}, and nothing is scheduled that could end the wait")
                self.clock.advance_to_ns(max(deadline_ns, self.clock.now_ns))
                return condition()
            self.clock.advance_to_ns(due_ns)

    def run_until(self, condition: Callable[[], bool], timeout: float | None = None) -> bool:
        """Serve everybody and let time pass until `condition()` is true; return True.

        Raises TimeoutError when `timeout` virtual seconds are over, or nothing is scheduled any more.
        """
        deadline_ns = None if timeout is None else self.clock.now_ns + to_ns(timeout)
        try:
            if self.wait(condition, deadline_ns, "run_until"):
                return True
        except WouldBlockForever:
            raise TimeoutError(
                f"nothing is scheduled any more at {self.clock.now:g} s, and the condition is not true"
            ) from None
        raise TimeoutError(f"the condition is not true after {timeout:g} s, at {self.clock.now:g} s")

    def run_until_idle(self) -> int:
        """Serve everybody and jump from one scheduled thing to the next until nothing is left; return the
        number of deliveries.

        What clients and queues schedule counts (``call_later``, time to live, leases, timeouts); housekeeping
        does not keep it going.
        """
        before = self.server.served
        self.run()
        while (due_ns := self.clock.next_due_ns(housekeeping=False)) is not None:
            self.clock.advance_to_ns(due_ns)
            self.run()
        return self.server.served - before

    # -- threads

    def enter(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call that does not come from the owning thread: under the lock while the broker is shared.

        Raises `ThreadError` when it is not.
        """
        if self.lock is None:
            raise ThreadError(
                "the native API belongs to the thread that made the broker. From another thread use "
                "connection.add_callback_threadsafe(callback), or a client on the endpoint (broker.listen())"
            )
        with self.lock:
            previous, self.owner = self.owner, get_ident()
            try:
                return call(*args, **kwargs)
            finally:
                self.owner = previous

    def share(self) -> Any:
        """Let other threads use the broker from now on; return the lock that each of them holds meanwhile."""
        if self.lock is None:
            from threading import RLock  # noqa: PLC0415 - only who listens pays for it

            self.lock = RLock()
        self._sharers += 1
        self.owner = 0
        self.server.shield = self._call_unlocked
        self.clock.guard = self.lock
        return self.lock

    def unshare(self) -> None:
        """Take `share` back: when nobody shares any more the native API belongs to the calling thread."""
        self._sharers -= 1
        if not self._sharers:
            self.owner = get_ident()
            self.server.shield = None
            self.clock.guard = None
            self.lock = None

    def _call_unlocked(self, callback: Callable[..., object], *args: Any) -> None:
        """Call a client's callback without the lock: it may wait for another thread."""
        owner, self.owner = self.owner, 0
        depth = self.lock._release_save()  # all of it, however deep this thread holds it
        try:
            callback(*args)
        finally:
            self.lock._acquire_restore(depth)
            self.owner = owner

    # -- down and up again

    def restart(self, downtime: float = 0) -> None:
        """Stop in good order and start again after `downtime` virtual seconds.

        Clients see 320 CONNECTION_FORCED. Durable queues, exchanges and bindings stay, and persistent
        messages in durable queues; what was unacknowledged comes back redelivered, in its place. Raises
        `ReentrancyError` inside a callback with a downtime.
        """
        self._down_and_up(self.node.stop, downtime)

    def crash(self, downtime: float = 0) -> None:
        """A power cut, and `downtime` virtual seconds until the broker is back with what the disk holds.

        Clients see a dead link. A persistent message in a durable queue survives if it was synced: confirmed
        ones always are.
        """
        self._down_and_up(self.node.lose_power, downtime)

    def _down_and_up(self, down: Callable[[], None], downtime: float) -> None:
        if get_ident() != self.owner:
            self.enter(self._down_and_up, down, downtime)
            return
        downtime_ns = to_ns(downtime)
        if downtime_ns < 0:
            raise ValueError(f"downtime must not be negative, not {downtime!r}")
        if downtime_ns:
            self.check_not_serving("restart or crash with a downtime")
        down()
        if downtime_ns:
            self.clock.advance(downtime_ns / NS)
        self.node.start()

    def close(self) -> None:
        """Close every connection and let go of the clock. Closing again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.clock.remove_server(self._serve_instant)
        if self.node.is_running:
            self.node.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- administration

    def set_policy(
        self,
        name: str,
        pattern: str,
        definition: dict[str, Any],
        priority: float = 0,
        apply_to: str = "all",
        *,
        vhost: str = "/",
        operator: bool = False,
    ) -> None:
        """Set a policy, in force at once. Raises `PolicyError` for a bad pattern or definition."""
        self.node.set_policy(vhost, name, pattern, definition, priority, apply_to, operator=operator)

    def clear_policy(self, name: str, *, vhost: str = "/", operator: bool = False) -> None:
        """Delete a policy. Raises ValueError when there is none of that name."""
        self.node.delete_policy(vhost, name, operator=operator)

    def add_vhost(self, name: str) -> None:
        """Add a virtual host; grant users permissions in it with `set_permissions`."""
        self.node.add_vhost(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with everything in it; its connections are closed."""
        self.node.delete_vhost(name)

    def add_user(self, name: str, password: str, tags: Iterable[str] = ()) -> None:
        """Add a user, or change password and tags of one that is there; permissions stay."""
        self.node.set_user(name, password, tuple(tags))

    def set_permissions(
        self, user: str, configure: str = ".*", write: str = ".*", read: str = ".*", *, vhost: str = "/"
    ) -> None:
        """Grant a user permissions in a virtual host: patterns over the names of queues and exchanges.

        Raises ValueError for an unknown user or virtual host, or a pattern that is none.
        """
        self.node.user(user)
        self.node.set_permissions(user, vhost, configure, write, read)

    def set_alarm(self, resource: str) -> None:
        """Be low on ``disk`` or ``memory``: a connection is blocked when it next publishes, and told so.

        What a blocked connection sends waits; nothing is lost. Source: RabbitMQ documentation, "Memory and
        Disk Alarms"; recorded area ``blocked``.
        """
        self.node.set_alarm(resource)

    def clear_alarm(self, resource: str) -> None:
        """Have enough again: when no alarm is left, blocked connections go on."""
        self.node.clear_alarm(resource)

    def load_definitions(self, definitions: dict[str, Any]) -> list[str]:
        """Load what ``rabbitmqctl export_definitions`` wrote; return the names of what is passed over.

        That is what is not emulated, and bindings whose queue or exchange is missing: a server exports those
        of exclusive queues, too. Raises ValueError that names what is not accepted.
        """
        from mockbroker.admin import definitions as room  # noqa: PLC0415 - only who loads pays for it

        return room.load(self.node, definitions)

    def export_definitions(self) -> dict[str, Any]:
        """Return the definitions of everything durable: users, virtual hosts, queues, exchanges, policies."""
        from mockbroker.admin import definitions as room  # noqa: PLC0415 - only who exports pays for it

        return room.export(self.node)

    # -- looking

    def list_queues(self, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
        """List the queues of a virtual host by name, with rabbitmqctl's columns (name and messages unless
        given)."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_queues(self.node, vhost, columns)

    def list_exchanges(self, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
        """List the exchanges of a virtual host by name."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_exchanges(self.node, vhost, columns)

    def list_bindings(self, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
        """List the bindings of a virtual host, the default exchange's included."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_bindings(self.node, vhost, columns)

    def list_consumers(self, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
        """List the consumers of a virtual host, by queue."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_consumers(self.node, vhost, columns)

    def list_connections(self, *columns: str) -> list[dict[str, Any]]:
        """List the connections, oldest first."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_connections(self.node, columns)

    def list_channels(self, *columns: str) -> list[dict[str, Any]]:
        """List the channels, by connection and number."""
        from mockbroker.admin import listings  # noqa: PLC0415 - only who looks pays for it

        return listings.list_channels(self.node, columns)

    def ctl(self, command: str) -> str:
        """Return what ``rabbitmqctl`` prints for a command such as ``list_queues name messages_ready``.

        Raises ValueError with rabbitmqctl's text for a command or column that it does not know.
        """
        from mockbroker.admin import ctl  # noqa: PLC0415 - only who looks pays for it

        return ctl.run(self, command)

    def queue(self, name: str, vhost: str = "/") -> QueueView:
        """Look into a queue: what is ready, who holds what, why the head waits; `put` and `take` are a back
        door.

        Raises ValueError that lists the queues there are.
        """
        from mockbroker.testing.views import QueueView  # noqa: PLC0415 - only who looks pays for it

        return QueueView(self, name, vhost)

    def explain(self, message: Any) -> str:
        """Tell a message's life: by its body, its ``message_id``, its delivery, or as `queue` shows it.

        Raises ValueError when the broker is not traced (`tracing`), or the trace does not know the message.
        """
        from mockbroker.testing.explain import explain  # noqa: PLC0415 - only who looks pays for it

        return explain(self, message)

    def tracing(self) -> Trace:
        """Record what happens, from now until the end of the ``with`` block: a list of events.

        >>> broker = Broker()
        >>> with broker.tracing() as trace:
        ...     channel = broker.connect().channel()
        >>> [type(event).__name__ for event in trace]
        ['ConnectionOpened', 'ChannelOpened']
        """
        from mockbroker.trace import Trace  # noqa: PLC0415 - only who listens pays for it

        return Trace(self.node)

    def check(self) -> None:
        """Assert every invariant of the broker; a failure is a fault of mockbroker. Cost: proportional to
        what it holds."""
        self.node.check()

    def __repr__(self) -> str:
        queues = sum(len(vhost.queues) for vhost in self.node.vhosts.values())
        return (
            f"<Broker {self.node.rules.name} at {self.clock.now:g} s: {queues} queues, "
            f"{len(self.node.connections)} connections>"
        )
