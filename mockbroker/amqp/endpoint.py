"""Sockets: a port on which clients in any language reach a broker.

Owns: the listening socket, the clients' sockets, the bytes that wait to be sent, and the one thread that
moves them.
Refuses to know: AMQP. Bytes go to and come from sessions.

The thread and whoever else uses the broker take turns by the broker's lock; no socket is ever waited for
while it is held. `Endpoint.wake` is safe in any thread. A client that does not read gets no more than
`HIGH_BYTES` (and one message) into its buffer: then its session holds deliveries back, and once
too many answers wait as well (`session.HELD_BYTES`), nothing more is read from it.

The broker's virtual time has nothing to do with a real client's: heartbeats, time-outs and lingering follow
the wall clock, whatever clock the broker has. A broker on the wall clock gets its timers fired by this
thread.

Read next: ``session.py``, ``serve.py``.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from mockbroker.amqp.session import Session
from mockbroker.clock import NS, Timer, WallClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.admin.http import ManagementServer
    from mockbroker.broker import Broker

_log = logging.getLogger(__name__)

HIGH_BYTES = 512 * 1024
"""So many octets waiting for a client make it a slow reader."""
LOW_BYTES = 128 * 1024
"""Down to so many, and it has caught up."""
READ_BYTES = 256 * 1024
LINGER_S = 2
"""How long the end of a connection waits for the client to close its side."""
LAST_WORDS_S = 30
"""How long the end of a connection waits for the client to read what was sent."""
GRACE_S = 0.1
"""How long `Endpoint.close` waits for the clients' close-ok."""
GLANCE_S = 0.02
"""How often the timers of a broker on the wall clock are looked at, whatever was due before."""
SHORTEST_NAP_S = 0.00005
LONGEST_NAP_S = 0.002
_BACKLOG = 1024
_ACCEPTS_PER_ROUND = 64
_PAUSE_WHEN_FULL_S = 0.05


class Link:
    """One client's socket and what waits to be sent on it."""

    def __init__(self, endpoint: Endpoint, sock: socket.socket, address: tuple[str, int]) -> None:
        self._endpoint = endpoint
        self.socket = sock
        self.peer_host, self.peer_port = address[:2]
        here = sock.getsockname()
        # Invariant: `waiting_bytes` is the length of `_rest` and of all of `_waiting`.
        self._waiting: list[bytes] = []
        self._rest: memoryview | None = None
        self.waiting_bytes = 0
        self._is_slow = False
        self._is_dirty = False
        self.is_ending = False
        self.events = selectors.EVENT_READ
        self.deadline: Timer | None = None
        self.session = Session(
            endpoint.broker.node,
            self.write,
            hang_up=self.end,
            peer_host=self.peer_host,
            name=f"{self.peer_host}:{self.peer_port} -> {here[0]}:{here[1]}",
            clock=endpoint.clock,
        )

    def write(self, data: bytes) -> None:
        """Send `data` soon. The caller has the broker's lock, in whatever thread."""
        self._waiting.append(data)
        self.waiting_bytes += len(data)
        if not self._is_dirty:
            self._is_dirty = True
            self._endpoint.note_dirty(self)
        if self.waiting_bytes > HIGH_BYTES and not self._is_slow:
            self._is_slow = True
            self.session.pause_writing()

    def end(self) -> None:
        """Close the socket once everything is sent."""
        self.is_ending = True
        self._endpoint.drop_in(self, LAST_WORDS_S)
        if not self._is_dirty:
            self._is_dirty = True
            self._endpoint.note_dirty(self)

    def read(self) -> None:
        """Pass on what has come."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.session.receive(data)
            self._endpoint.watch(self, self._wanted_events())
        else:
            self.session.eof()
            self._endpoint.drop(self)

    def flush(self) -> None:
        """Send what the socket takes, without waiting for it."""
        self._is_dirty = False
        try:
            self._send()
        except BlockingIOError:
            pass
        except OSError:
            self.session.eof()
            self._endpoint.drop(self)
            return
        if self._is_slow and self.waiting_bytes <= LOW_BYTES:
            self._is_slow = False
            self.session.resume_writing()
        if self.is_ending and not self.waiting_bytes and not self.session.is_holding:
            self._endpoint.linger(self)
        else:
            self._endpoint.watch(self, self._wanted_events())

    def _send(self) -> None:
        while self.waiting_bytes:
            if self._rest is None:
                self._rest = memoryview(b"".join(self._waiting))
                self._waiting.clear()
            sent = self.socket.send(self._rest)
            self.waiting_bytes -= sent
            self._rest = self._rest[sent:] if sent < len(self._rest) else None

    def _wanted_events(self) -> int:
        wants_more = self.is_ending or not self.session.is_full
        return selectors.EVENT_READ * wants_more | selectors.EVENT_WRITE * bool(self.waiting_bytes)


class Endpoint:
    """A broker's AMQP 0-9-1 port, open from construction until `close`; a context manager.

    `port` 0 picks a free one. With `management` the management HTTP API listens beside it, on
    `management_port` (0: a free one).

    Raises OSError that says which port is in use; ValueError for a host that is not this machine's own,
    unless `allow_remote`.
    """

    def __init__(
        self,
        broker: Broker,
        host: str = "127.0.0.1",
        port: int = 0,
        management: bool = False,
        *,
        management_port: int = 0,
        allow_remote: bool = False,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(
                f"others could reach the broker at {host!r}: that must be asked for (allow_remote)"
            )
        self.broker = broker
        self.clock = broker.clock if isinstance(broker.clock, WallClock) else WallClock()
        self._listener = listening_socket(host, port)
        self.lock = broker.share()
        self.on_stop: Callable[[], object] | None = None
        """What to call when somebody asks by the management API that the program stop; None refuses."""
        self.host, self.port = self._listener.getsockname()[:2]
        self._bell, self._bell_rope = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_rope.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hear_bell)
        self._links: dict[Link, None] = {}
        self._dirty: deque[Link] = deque()
        self._nap_s = SHORTEST_NAP_S
        self._is_closing = False
        self._grace_s = GRACE_S
        self._management: ManagementServer | None = None
        if management:
            self._start_management(management_port)
        name = f"mockbroker-endpoint-{self.port}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _start_management(self, port: int) -> None:
        from mockbroker.admin.http import ManagementServer  # noqa: PLC0415 - most endpoints have none

        try:
            self._management = ManagementServer(self, listening_socket(self.host, port))
        except OSError:
            self._release()
            self.broker.unshare()
            raise

    @property
    def url(self) -> str:
        """What clients connect to: ``amqp://guest:guest@127.0.0.1:PORT/%2F``."""
        return f"amqp://guest:guest@{_in_url(self.host)}:{self.port}/%2F"

    @property
    def links(self) -> tuple[Link, ...]:
        """The clients' links, oldest first. Whoever looks holds the broker's lock."""
        return tuple(self._links)

    @property
    def management_url(self) -> str | None:
        """Where the management HTTP API is, without ``/api``; None when there is none."""
        return self._management.url if self._management is not None else None

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self, grace_s: float = GRACE_S) -> None:
        """Tell every client that the server stops (320), wait `grace_s` for their close-ok, close the port.

        Closing a closed endpoint does nothing.
        """
        if self._is_closing:
            return
        self._is_closing = True
        if self._management is not None:
            self._management.close()
        self._grace_s = grace_s
        self.wake()
        self._thread.join()
        self.broker.unshare()

    def wake(self) -> None:
        """Have the thread look what there is to do: bytes to send, a timer that is due earlier.

        Safe in any thread.
        """
        try:
            self._bell_rope.send(b"\0")
        except OSError:
            # Full: the bell rings already. Closed: there is nobody left to wake.
            pass

    # Called by links, with the broker's lock

    def note_dirty(self, link: Link) -> None:
        """Take note that a link has something to send."""
        self._dirty.append(link)
        if threading.current_thread() is not self._thread:
            self.wake()

    def watch(self, link: Link, events: int) -> None:
        """Wait for these events on a link from now on."""
        if events == link.events or link not in self._links:
            return
        if not link.events:
            self._selector.register(link.socket, events, link)
        elif events:
            self._selector.modify(link.socket, events, link)
        else:
            self._selector.unregister(link.socket)
        link.events = events

    def linger(self, link: Link) -> None:
        """Close our side of a link; all of it once the client has closed its own, or `LINGER_S` have passed.

        Closing it at once could destroy what the client has not read yet.
        """
        try:
            link.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(link)
            return
        self.watch(link, selectors.EVENT_READ)
        self.drop_in(link, LINGER_S)

    def drop_in(self, link: Link, seconds: int) -> None:
        """Drop a link when `seconds` have passed, unless it is gone by then."""
        if link.deadline is not None:
            link.deadline.cancel()
        link.deadline = self.clock.schedule(
            self.clock.now_ns + seconds * NS, self.drop, link, housekeeping=True
        )

    def drop(self, link: Link) -> None:
        """Close a link's socket and forget it."""
        if link in self._links:
            self.watch(link, 0)
            del self._links[link]
            link.socket.close()
            if link.deadline is not None:
                link.deadline.cancel()

    # The thread

    def _run(self) -> None:
        while not self._is_closing:
            self._turn()
        with self.lock:
            self._stop_accepting()
            for link in list(self._links):
                link.session.shut_down()
            self._flush_dirty()
        deadline_ns = self.clock.now_ns + round(self._grace_s * NS)
        while self._links and self.clock.now_ns < deadline_ns:
            self._turn(deadline_ns)
        with self.lock:
            for link in list(self._links):
                link.session.eof()
                self.drop(link)
        self._release()

    def _turn(self, deadline_ns: int | None = None) -> None:
        with self.lock:
            patience_s = self._patience_s(deadline_ns)
        ready = self._selector.select(patience_s)
        with self.lock:
            for key, events in ready:
                if isinstance(key.data, Link):
                    self._serve(key.data, events)
                else:
                    key.data()
            self._fire_due()
            is_quiet = bool(ready) and not self._dirty
            self._flush_dirty()
        self._nap(is_quiet)

    def _flush_dirty(self) -> None:
        """Send what waits, once each: a link that has more by then is dirty again."""
        for _ in range(len(self._dirty)):
            link = self._dirty.popleft()
            if link in self._links:
                link.flush()

    def _fire_due(self) -> None:
        """Fire the timers that are due; one that fails must not take the thread along."""
        try:
            self.clock.fire_due()
        except Exception:
            _log.exception("a timer failed")

    def _nap(self, is_quiet: bool) -> None:
        """Let input gather when what came needed no answer: clients that only publish go on doing so.

        In one process with its client the thread would else take the interpreter from it for each message.
        Naps grow from 0.1 ms to 2 ms while nobody waits for an answer.
        """
        if is_quiet:
            self._nap_s = min(self._nap_s * 2, LONGEST_NAP_S)
            time.sleep(self._nap_s)
        else:
            self._nap_s = SHORTEST_NAP_S

    def _patience_s(self, deadline_ns: int | None) -> float | None:
        if self._dirty:
            return 0
        due_ns = self.clock.next_due_ns()
        if self.clock is self.broker.clock:
            # Others may schedule something that is due earlier while this thread sleeps.
            glance_ns = self.clock.now_ns + round(GLANCE_S * NS)
            due_ns = glance_ns if due_ns is None else min(due_ns, glance_ns)
        if due_ns is None or (deadline_ns is not None and deadline_ns < due_ns):
            due_ns = deadline_ns
        return None if due_ns is None else max(0, due_ns - self.clock.now_ns) / NS

    def _serve(self, link: Link, events: int) -> None:
        if link in self._links and events & selectors.EVENT_WRITE:
            link.flush()
        if link in self._links and events & selectors.EVENT_READ:
            link.read()

    def _hear_bell(self) -> None:
        try:
            self._bell.recv(4096)
        except BlockingIOError:
            pass

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_ROUND):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # Too many open files, say: those who wait in line are taken when there is room again.
                self._stop_accepting()
                due_ns = self.clock.now_ns + round(_PAUSE_WHEN_FULL_S * NS)
                self.clock.schedule(due_ns, self._accept_again, housekeeping=True)
                return
            if not self.broker.node.accepts_client():
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, sock, address)
            self._links[link] = None
            self._selector.register(sock, selectors.EVENT_READ, link)

    def _stop_accepting(self) -> None:
        if self._listener in self._selector.get_map():
            self._selector.unregister(self._listener)

    def _accept_again(self) -> None:
        if not self._is_closing:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _release(self) -> None:
        self._selector.close()
        for sock in (self._listener, self._bell, self._bell_rope):
            sock.close()


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens without blocking.

    Raises OSError that names host, port and reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {reason}") from None
    sock.setblocking(False)
    return sock


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
