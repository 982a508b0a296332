"""Python's socket objects inside the simulation.

Owns: which socket object is which connection of the simulation.
Refuses to know: who serves an address, and what is sent (``network.py``).

A program's socket stays the real TCP socket that it made, so options, flags and time-outs are the system's
own; it is only never connected. Once the program connects it to an address of the simulation, its bytes go
through the link of that name. Sockets that are not connected to the simulation (a program's own socket pair)
work natively, except that no wait blocks the baton.

Read next: ``network.py``, ``patches.py``.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import weakref
from typing import TYPE_CHECKING, Any

from mockbroker.clock import to_ns
from mockbroker.sim.baton import Strand, current
from mockbroker.sim.network import HEARTBEAT_FRAME, LOCALHOST, as_number
from mockbroker.sim.polls import Readiness, wait_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mockbroker.sim.network import Link

Socket = socket.socket

# The real ones, bound before anything is patched.
_real_init = Socket.__init__
_real_connect = Socket.connect
_real_connect_ex = Socket.connect_ex
_real_listen = Socket.listen
_real_accept = Socket.accept
_real_send = Socket.send
_real_sendall = Socket.sendall
_real_sendmsg = Socket.sendmsg if hasattr(Socket, "sendmsg") else None
_real_recv = Socket.recv
_real_recv_into = Socket.recv_into
_real_shutdown = Socket.shutdown
_real_close = Socket._real_close  # type: ignore[attr-defined]  # what socket.close ends in; typeshed leaves it out
_real_detach = Socket.detach
_real_getpeername = Socket.getpeername
_real_getsockname = Socket.getsockname
_real_getsockopt = Socket.getsockopt
_real_getaddrinfo = socket.getaddrinfo
_real_gethostbyname = socket.gethostbyname

_owners: weakref.WeakKeyDictionary[Socket, Link] = weakref.WeakKeyDictionary()
"""The link of each connected socket. A socket that is dropped unclosed takes its link along."""


def link_of(sock: Socket) -> Link | None:
    """Return the link of a socket that is connected to the simulation, whatever thread asks."""
    return _owners.get(sock)


def _due_ns(strand: Strand, sock: Socket) -> int | None:
    timeout = sock.gettimeout()
    return None if timeout is None else strand.scheduler.clock.now_ns + to_ns(timeout)


def _would_block() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


# Opening and closing


def init(sock: Socket, *args: Any, **kwargs: Any) -> None:
    """`socket.socket(...)`: it belongs to the process that made it, and is closed with it."""
    _real_init(sock, *args, **kwargs)
    strand = current()
    if strand is not None:
        strand.task.sockets.add(sock)


def connect(sock: Socket, address: Any) -> None:
    """`socket.connect`: to an address of the simulation at once, to an allowed one for real, to no other."""
    strand = current()
    if strand is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        _real_connect(sock, address)
        return
    if link_of(sock) is not None:
        raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
    host, port = address[0], address[1]
    network = strand.task.network
    if network.is_own_listener(host, port):
        _real_connect(sock, address)
        return
    if network.is_allowed(host, port):
        _real_connect(sock, address)
        network.connected_for_real(sock)
        return
    link = network.connect(strand.task, host, port)
    fd = sock.fileno()
    network.links[fd] = link
    _owners[sock] = link
    weakref.finalize(sock, _forget, link, fd).atexit = False
    strand.had_effect()


def listen(sock: Socket, *args: Any) -> None:
    """`socket.listen`, for real: programs may connect to one another there, as pika does to itself."""
    _real_listen(sock, *args)
    strand = current()
    if strand is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        strand.task.network.listens(_real_getsockname(sock)[1], sock)


def accept(sock: Socket) -> tuple[Socket, Any]:
    """`socket.accept`."""
    strand = current()
    if strand is not None:
        _native_wait(strand, sock, select.POLLIN)
    return _real_accept(sock)


def connect_ex(sock: Socket, address: Any) -> int:
    """`socket.connect_ex`: the same, answering a number."""
    if current() is None:
        return _real_connect_ex(sock, address)
    try:
        connect(sock, address)
    except socket.gaierror:
        raise
    except OSError as error:
        return error.errno or errno.ECONNREFUSED
    return 0


def _forget(link: Link, fd: int) -> None:
    """The socket object is gone or closed: so is the connection."""
    if link.network.links.get(fd) is link:
        del link.network.links[fd]
    if link in link.task.links:
        link.task.links.remove(link)
    link.close()


def close(sock: Socket, *args: Any) -> None:
    """What `socket.close` ends in."""
    _take_away(sock)
    _real_close(sock, *args)


def detach(sock: Socket) -> int:
    """`socket.detach`: the descriptor goes on without the object, and leaves the simulation."""
    _take_away(sock)
    return _real_detach(sock)


def _take_away(sock: Socket) -> None:
    link = _owners.pop(sock, None)
    if link is not None:
        _forget(link, sock.fileno())


def shutdown(sock: Socket, how: int) -> None:
    """`socket.shutdown`: writing ends the connection, since no AMQP peer goes on with half of one."""
    link = link_of(sock)
    if link is None:
        _real_shutdown(sock, how)
    elif link.is_reset:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
    elif how != socket.SHUT_RD:
        link.close()


# Bytes


def send(sock: Socket, data: Any, flags: int = 0) -> int:
    """`socket.send`: always all of it; the simulated network's buffers have no limit."""
    strand, link = current(), link_of(sock)
    if strand is None or link is None:
        if strand is not None:
            _native_wait(strand, sock, select.POLLOUT)
        return _real_send(sock, data, flags)
    content = bytes(data)
    link.send(content)
    _sent(strand, link, content)
    return len(content)


def sendall(sock: Socket, data: Any, flags: int = 0) -> None:
    """`socket.sendall`."""
    strand = current()
    if strand is None or link_of(sock) is None:
        _real_sendall(sock, data, flags)
    else:
        send(sock, data, flags)


def sendmsg(sock: Socket, buffers: Iterable[Any], *args: Any) -> int:
    """`socket.sendmsg`; control data has no meaning on a TCP connection."""
    if current() is None or link_of(sock) is None:
        assert _real_sendmsg is not None
        return _real_sendmsg(sock, buffers, *args)
    return send(sock, b"".join(buffers))


def _sent(strand: Strand, link: Link, content: bytes) -> None:
    strand.had_effect(content == HEARTBEAT_FRAME)
    strand.scheduler.at_point(strand, "send")
    strand.scheduler.offer(strand, "send")


def recv(sock: Socket, bufsize: int, flags: int = 0) -> bytes:
    """`socket.recv`: waits in virtual time, as long as the socket's time-out says."""
    strand, link = current(), link_of(sock)
    if strand is None or link is None:
        if strand is not None:
            _native_wait(strand, sock, select.POLLIN)
        return _real_recv(sock, bufsize, flags)
    if bufsize < 0:
        raise ValueError("negative buffersize in recv")
    _await_bytes(strand, sock, link, flags)
    data = bytes(link.inbox[:bufsize])
    if not flags & socket.MSG_PEEK:
        del link.inbox[:bufsize]
    return data


def recv_into(sock: Socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
    """`socket.recv_into`."""
    strand = current()
    if strand is None or link_of(sock) is None:
        if strand is not None:
            _native_wait(strand, sock, select.POLLIN)
        return _real_recv_into(sock, buffer, nbytes, flags)
    view = memoryview(buffer).cast("B")
    data = recv(sock, nbytes or len(view), flags)
    view[: len(data)] = data
    return len(data)


def _await_bytes(strand: Strand, sock: Socket, link: Link, flags: int) -> None:
    """Return when there is something to read, or the end.

    Raises ConnectionResetError on a dead link, BlockingIOError and TimeoutError as the socket's time-out
    says.
    """
    due_ns = _due_ns(strand, sock)
    clock = strand.scheduler.clock
    while True:
        if link.network.pending:
            link.network.pump()
        if link.inbox:
            strand.had_effect(link.inbox == HEARTBEAT_FRAME)
            return
        if link.is_reset:
            raise ConnectionResetError(errno.ECONNRESET, f"the link to {link.where()} is dead")
        if link.is_eof or link.is_closed:
            strand.turn()
            return
        if sock.gettimeout() == 0 or flags & socket.MSG_DONTWAIT:
            strand.turn()
            raise _would_block()
        if due_ns is not None and clock.now_ns >= due_ns:
            raise TimeoutError("timed out")
        link.waiters.append(strand)
        strand.park(Readiness([link]), due_ns)


def _native_wait(strand: Strand, sock: Socket, event: int) -> None:
    """Wait for a socket of the program's own, so that the real call does not block."""
    timeout = sock.gettimeout()
    if timeout != 0 and not strand.task.network.is_real(sock):
        wait_ready(strand, {sock.fileno(): event}, None if timeout is None else to_ns(timeout))


# Names and options


def getpeername(sock: Socket) -> Any:
    """`socket.getpeername`: the served address."""
    link = link_of(sock)
    return _real_getpeername(sock) if link is None else _name(sock, link.address)


def getsockname(sock: Socket) -> Any:
    """`socket.getsockname`: the client's own address."""
    link = link_of(sock)
    return _real_getsockname(sock) if link is None else _name(sock, link.local)


def _name(sock: Socket, address: tuple[str, int]) -> tuple[Any, ...]:
    if sock.family == socket.AF_INET6:
        host = "::1" if address[0] == LOCALHOST else f"::ffff:{address[0]}"
        return (host, address[1], 0, 0)
    return address


def getsockopt(sock: Socket, level: int, optname: int, *args: Any) -> Any:
    """`socket.getsockopt`: what the system keeps, and no error pending unless the link is dead."""
    link = link_of(sock)
    if link is not None and (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR):
        return errno.ECONNRESET if link.is_reset else 0
    return _real_getsockopt(sock, level, optname, *args)


# Hosts


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[tuple[Any, ...]]:
    """`socket.getaddrinfo`: the simulation's own hosts, and numbers; an allowed host for real."""
    strand = current()
    if strand is None:
        return list(_real_getaddrinfo(host, port, family, type, proto, flags))
    name = host.decode("idna") if isinstance(host, bytes) else (host or "localhost")
    network = strand.task.network
    if network.is_allowed(name):
        return list(_real_getaddrinfo(host, port, family, type, proto, flags))
    number = _port_number(port)
    address = network.resolve(name)
    if family == socket.AF_INET6 or ":" in address or as_number(name) == "::1":
        shown = "::1" if address == LOCALHOST else address if ":" in address else f"::ffff:{address}"
        found: tuple[Any, ...] = (socket.AF_INET6, (shown, number, 0, 0))
    else:
        found = (socket.AF_INET, (address, number))
    kind = type or socket.SOCK_STREAM
    protocol = proto or (socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP)
    return [(found[0], socket.SocketKind(kind), protocol, "", found[1])]


def _port_number(port: Any) -> int:
    if port is None:
        return 0
    if isinstance(port, (str, bytes)):
        text = port.decode() if isinstance(port, bytes) else port
        return int(text) if text.isdigit() else socket.getservbyname(text)
    return int(port)


def gethostbyname(hostname: str) -> str:
    """`socket.gethostbyname`."""
    strand = current()
    if strand is None or strand.task.network.is_allowed(hostname):
        return _real_gethostbyname(hostname)
    return str(strand.task.network.resolve(hostname or "localhost"))


METHODS: dict[str, Callable[..., Any]] = {
    "__init__": init,
    "connect": connect,
    "connect_ex": connect_ex,
    "listen": listen,
    "accept": accept,
    "_real_close": close,
    "detach": detach,
    "shutdown": shutdown,
    "send": send,
    "sendall": sendall,
    "recv": recv,
    "recv_into": recv_into,
    "getpeername": getpeername,
    "getsockname": getsockname,
    "getsockopt": getsockopt,
}
"""What takes the place of the methods of `socket.socket` while a simulation is open."""
if _real_sendmsg is not None:
    METHODS["sendmsg"] = sendmsg
