"""The simulated network: names, addresses, and the connections that are open.

Owns: which address is served by whom, each connection's bytes in flight, and the strands that wait for bytes.
Refuses to know: what the bytes mean, and Python's socket objects (``sockets.py`` binds the two).

Bytes that a program sends are in flight until any strand waits; then everything in flight arrives, in the
order in which it was sent. Bytes from the served side arrive at once.

Read next: ``sockets.py``, ``polls.py``.
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import weakref
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mockbroker.sim.baton import Strand
    from mockbroker.sim.task import Task

    Lose = Literal["in", "out", "both"] | None

if not hasattr(select, "poll"):
    raise ImportError("the simulation needs select.poll, which this system does not have")
_poll = select.poll  # the real one, bound before anything is patched

_POLL_BITS = 0xFFFF  # epoll's masks carry more than poll knows (edge-triggered and the like)

FIRST_CLIENT_PORT: Final = 49152  # the first of the ports that systems give to clients (RFC 6335)
LOCALHOST: Final = "127.0.0.1"
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"  # AMQP 0-9-1, 4.2.7: it says only "still there"


class Peer(Protocol):
    """The served end of a connection, as bytes. `mockbroker.amqp.session.Session` is one."""

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""

    def eof(self) -> None:
        """Take note that the client sends no more, and reads no more."""


class Serve(Protocol):
    """What is registered at an address: called for each connection."""

    def __call__(
        self, write: Callable[[bytes], object], hang_up: Callable[[], object], peer: tuple[str, int]
    ) -> Peer:
        """Return the served end of a new connection from `peer`, or raise ConnectionRefusedError."""


class Link:
    """The client's end of one connection."""

    __slots__ = (
        "_is_cut",
        "_is_pending",
        "address",
        "inbox",
        "is_closed",
        "is_eof",
        "is_reset",
        "local",
        "network",
        "outbox",
        "peer",
        "peer_knows_end",
        "task",
        "waiters",
    )

    def __init__(
        self, network: Network, task: Task, address: tuple[str, int], local: tuple[str, int]
    ) -> None:
        self.network = network
        self.task = task
        self.address = address
        self.local = local
        self.peer: Peer | None = None
        self.inbox = bytearray()
        self.outbox: list[bytes] = []
        self.is_closed = False
        """The client has closed it."""
        self.is_eof = False
        """The served side has closed it: what is in the inbox is the last."""
        self.is_reset = False
        """The link is dead: reading what is left works, then reading and writing fail."""
        self.peer_knows_end = False
        self.waiters: list[Strand] = []
        self._is_pending = False
        self._is_cut = False

    # The served side

    def write(self, data: bytes) -> None:
        """Bytes from the served side: they are there at once."""
        if data and not self._is_cut and not self.is_closed and not self.is_eof:
            self.inbox += data
            self._wake()

    def hang_up(self) -> None:
        """The served side closes: the client reads what is there, then the end."""
        if not self.is_eof:
            self.is_eof = True
            self.peer_knows_end = True
            self._wake()

    def _wake(self) -> None:
        if waiters := self.waiters:
            self.waiters = []
            for strand in waiters:
                strand.scheduler.wake(strand)

    # The client's side

    def send(self, data: bytes) -> None:
        """Put bytes in flight.

        Raises BrokenPipeError when the link is dead or either side has closed it.
        """
        if self.is_reset or self.is_closed or self.is_eof:
            raise BrokenPipeError(errno.EPIPE, f"the connection to {self.where()} is closed")
        self.outbox.append(data)
        self._is_in_flight()

    def close(self) -> None:
        """Close the client's end: what is in flight arrives, and then the end."""
        if not self.is_closed:
            self.is_closed = True
            self.inbox.clear()
            self._is_in_flight()
            self._wake()

    def cut(self, lose: Lose) -> None:
        """Kill the link; bytes in flight to the program (`in`), from it (`out`) or both are lost."""
        if self._is_cut or self.is_closed:
            return
        self._is_cut = True
        if lose in ("out", "both"):
            self.outbox.clear()
        if lose in ("in", "both"):
            self.inbox.clear()
        self.is_reset = True
        self._is_in_flight()
        self._wake()

    def _is_in_flight(self) -> None:
        if not self._is_pending:
            self._is_pending = True
            self.network.pending.append(self)

    def arrive(self) -> None:
        """Bring what is in flight to the served side. Called by `Network.pump` only."""
        self._is_pending = False
        peer = self.peer
        if peer is None:
            return
        if outbox := self.outbox:
            self.outbox = []
            if not self.is_eof:
                peer.receive(b"".join(outbox) if len(outbox) > 1 else outbox[0])
        if (self.is_closed or self.is_reset) and not self.peer_knows_end:
            self.peer_knows_end = True
            peer.eof()

    def events(self, mask: int) -> int:
        """Return which of the events in `mask` (those of `select.poll`) are there now."""
        events = 0
        if self.inbox or self.is_eof or self.is_reset:
            events |= select.POLLIN
        events |= select.POLLOUT
        events &= mask
        if self.is_reset:
            events |= select.POLLERR | select.POLLHUP
        return events

    def where(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"


class Network:
    """Addresses, names and connections of one simulation."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        """Open connections by file descriptor."""
        self.pending: list[Link] = []
        """Links with bytes in flight, in the order in which they were sent."""
        self._hosts: dict[str, str] = {"localhost": LOCALHOST, "": LOCALHOST}
        self._services: dict[tuple[str, int], Serve] = {}
        self._names: list[str] = []
        self._allowed: tuple[str, ...] = ()
        self.on_fault: Callable[[BaseException], None] = _raise
        """Told what the served side of a connection raises."""
        self._next_port = FIRST_CLIENT_PORT
        self._native_waiters: dict[Strand, dict[int, int]] = {}
        self._listeners: dict[int, weakref.ref[socket.socket]] = {}
        self._real_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    # Addresses

    def register(self, address: str, serve: Serve) -> None:
        """Serve `host:port`. A host that is not a number gets an address of its own.

        Raises ValueError for what is not `host:port`.
        """
        host, port = split_address(address)
        self._services[self._address_of(host), port] = serve
        self._names.append(address)

    def allow(self, addresses: Iterable[str]) -> None:
        """Let programs connect to these `host:port` for real, in real time."""
        self._allowed = (*self._allowed, *addresses)
        for address in self._allowed:
            split_address(address)

    def _address_of(self, host: str) -> str:
        if host in ("::1", LOCALHOST):
            return LOCALHOST
        if (numeric := as_number(host)) is not None:
            return numeric
        # 198.18.0.0/15 is reserved for tests of networks (RFC 2544): nobody's host.
        return self._hosts.setdefault(host.lower(), f"198.18.0.{len(self._hosts)}")

    def resolve(self, host: str) -> str:
        """Return the address of a host.

        Raises socket.gaierror, naming the host and those that are known.
        """
        if host in ("::1", LOCALHOST):
            return LOCALHOST
        if (numeric := as_number(host)) is not None:
            return numeric
        found = self._hosts.get(host.lower())
        if found is None:
            raise socket.gaierror(
                socket.EAI_NONAME, f"the simulation knows no host {host!r}; {self._known()}"
            )
        return found

    def is_allowed(self, host: str, port: int | None = None) -> bool:
        """Whether programs may reach `host` (at `port`) for real."""
        return any(
            host == split_address(address)[0] and port in (None, split_address(address)[1])
            for address in self._allowed
        )

    def _known(self) -> str:
        return (
            f"it serves {', '.join(self._names) or 'nothing'}: give other brokers' addresses as "
            "Simulation(addresses=[...]), and allow real ones as Simulation(allow=[...])"
        )

    def connect(self, task: Task, host: str, port: int) -> Link:
        """Open a connection of `task`.

        Raises ConnectionRefusedError, naming the address, where nobody listens, and socket.gaierror for an
        unknown name.
        """
        address = (self.resolve(host), port)
        serve = self._services.get(address)
        if serve is None:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"nobody listens at {host}:{port} in the simulation; {self._known()}"
            )
        local = (LOCALHOST, self._next_port)
        link = Link(self, task, address, local)
        link.peer = serve(link.write, link.hang_up, local)
        self._next_port += 1
        task.links.append(link)
        return link

    def listens(self, port: int, sock: socket.socket) -> None:
        """Note that a program listens at a port of its own."""
        self._listeners[port] = weakref.ref(sock)

    def is_own_listener(self, host: str, port: int) -> bool:
        """Whether a program of the simulation listens there, for real."""
        listener = self._listeners[port]() if port in self._listeners else None
        return host in ("localhost", LOCALHOST, "::1", "") and listener is not None and listener.fileno() >= 0

    def is_real(self, sock: socket.socket) -> bool:
        """Whether a socket is connected to an allowed address, for real."""
        return sock in self._real_sockets

    def connected_for_real(self, sock: socket.socket) -> None:
        """Note that a socket leads out of the simulation: it blocks in real time."""
        self._real_sockets.add(sock)

    # Bytes

    def pump(self) -> None:
        """Let everything in flight arrive."""
        while self.pending:
            pending, self.pending = self.pending, []
            for link in pending:
                try:
                    link.arrive()
                except Exception as error:
                    self.on_fault(error)  # the fault of the served side is not the program's

    def before_choice(self) -> None:
        """Let bytes arrive, and look at real descriptors that are waited for; called before each choice."""
        if self.pending:
            self.pump()
        for strand, masks in tuple(self._native_waiters.items()):
            if native_events(masks):
                strand.scheduler.wake(strand)

    def await_natively(self, strand: Strand, masks: dict[int, int]) -> None:
        """Wake `strand` when one of these real descriptors is ready, until `forget_native`."""
        if masks:
            self._native_waiters[strand] = masks

    def forget_native(self, strand: Strand) -> None:
        self._native_waiters.pop(strand, None)


def _raise(error: BaseException) -> None:
    raise error


def native_events(masks: dict[int, int]) -> list[tuple[int, int]]:
    """Ask the system which of these real descriptors are ready now."""
    if not masks:
        return []
    poll = _poll()
    for fd, mask in masks.items():
        poll.register(fd, mask & _POLL_BITS)
    return poll.poll(0)


def as_number(host: str) -> str | None:
    """Return a numeric address in its usual form, or None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises ValueError for anything else.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"an address is 'host:port', not {address!r}")
    return host.strip("[]"), int(port)
