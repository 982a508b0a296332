"""select, poll and epoll inside the simulation.

Owns: the sets of descriptors that a program watches.
Refuses to know: what is sent. A connection of the simulation is looked up in its network; any other
descriptor (a program's own socket pair or pipe) is asked natively, without ever blocking.

Selectors and asyncio's stock event loop stand on these.

Read next: ``network.py``, ``patches.py``.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
from typing import TYPE_CHECKING, Any

from mockbroker.clock import MS, NS, to_ns
from mockbroker.sim.baton import Strand, current
from mockbroker.sim.network import native_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mockbroker.sim.network import Link

# The real ones, bound before anything is patched.
_real_select = select.select
_real_poll = select.poll
_real_epoll = getattr(select, "epoll", None)

_READ = select.POLLIN | select.POLLPRI
_FAILED = select.POLLERR | select.POLLHUP


class Readiness:
    """A wait for connections to have something to read or to be closed."""

    __slots__ = ("_links", "for_messages")
    is_watch = True

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links
        self.for_messages = bool(links)

    def describe(self) -> str:
        if not self._links:
            return "a descriptor of its own to become ready"
        return "bytes from " + ", ".join(link.where() for link in self._links)

    def depends_on(self) -> Strand | None:
        return None


def wait_ready(strand: Strand, masks: dict[int, int], timeout_ns: int | None) -> list[tuple[int, int]]:
    """Wait until descriptors have an event of their mask; return `(fd, events)`, in the order given.

    A timeout of None waits for ever, 0 or less only looks.
    """
    network = strand.task.network
    clock = strand.scheduler.clock
    due_ns = None if timeout_ns is None else clock.now_ns + timeout_ns
    while True:
        if network.pending:
            network.pump()
        links: list[Link] = []
        native: dict[int, int] = {}
        ready: list[tuple[int, int]] = []
        for fd, mask in masks.items():
            link = network.links.get(fd)
            if link is None:
                native[fd] = mask
                continue
            links.append(link)
            if events := link.events(mask):
                ready.append((fd, events))
        ready += native_events(native)
        if ready or (due_ns is not None and clock.now_ns >= due_ns):
            strand.turn()
            return ready
        for link in links:
            if strand not in link.waiters:
                link.waiters.append(strand)
        network.await_natively(strand, native)
        try:
            strand.park(Readiness(links), due_ns)
        finally:
            network.forget_native(strand)


def _fd_of(file: Any) -> int:
    fd = file if isinstance(file, int) else file.fileno()
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return int(fd)


def virtual_select(
    rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """`select.select`; in a simulated thread it waits in virtual time."""
    strand = current()
    if strand is None:
        return _real_select(rlist, wlist, xlist, timeout)
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    files = [(list(rlist), select.POLLIN), (list(wlist), select.POLLOUT), (list(xlist), select.POLLPRI)]
    masks: dict[int, int] = {}
    for group, mask in files:
        for file in group:
            fd = _fd_of(file)
            masks[fd] = masks.get(fd, 0) | mask
    events = dict(wait_ready(strand, masks, None if timeout is None else to_ns(float(timeout))))
    # select(2) reports an error or a hang-up as ready to read and to write.
    wanted = (select.POLLIN | _FAILED, select.POLLOUT | select.POLLERR, select.POLLPRI)
    readers, writers, others = (
        [file for file in group if events.get(_fd_of(file), 0) & mask]
        for (group, _), mask in zip(files, wanted, strict=True)
    )
    return readers, writers, others


class _Exact:
    """A poll object that can be told the time-out that its caller had in mind, before it was rounded up."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._exact_ns: int | None = None

    def mean(self, timeout_s: float) -> None:
        """Let the next `poll` wait exactly so long."""
        self._exact_ns = to_ns(float(timeout_s))

    def _timeout_ns(self, timeout: float | None, unit_ns: int) -> int | None:
        exact_ns, self._exact_ns = self._exact_ns, None
        if exact_ns is not None:
            return exact_ns
        return None if timeout is None or timeout < 0 else round(timeout * unit_ns)


class VirtualPoll(_Exact):
    """`select.poll()` in a simulated thread."""

    def register(self, fd: Any, eventmask: int = _READ | select.POLLOUT) -> None:
        self._masks[_fd_of(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int) -> None:
        number = _fd_of(fd)
        if number not in self._masks:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._masks[number] = eventmask

    def unregister(self, fd: Any) -> None:
        del self._masks[_fd_of(fd)]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Wait `timeout` milliseconds; None or a negative number is for ever."""
        strand = _strand_of_this_thread()
        return wait_ready(strand, self._masks, self._timeout_ns(timeout, MS))


class VirtualEpoll(_Exact):
    """`select.epoll()` in a simulated thread."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        super().__init__()
        # A descriptor of its own, since programs may ask for it. Nothing ever happens on it.
        self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        self._check_open()
        return self._fd

    def register(self, fd: Any, eventmask: int = _READ | select.POLLOUT) -> None:
        self._check_open()
        number = _fd_of(fd)
        if number in self._masks and _is_open(number):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if not _is_open(number):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._masks[number] = eventmask

    def modify(self, fd: Any, eventmask: int) -> None:
        self._check_registered(fd)
        self._masks[_fd_of(fd)] = eventmask

    def unregister(self, fd: Any) -> None:
        self._check_registered(fd)
        del self._masks[_fd_of(fd)]

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait `timeout` seconds; None or a negative number is for ever."""
        self._check_open()
        strand = _strand_of_this_thread()
        # epoll(7): a descriptor that is closed leaves all sets. Nobody tells us, so look before each wait.
        for fd in [fd for fd in self._masks if fd not in strand.task.network.links and not _is_open(fd)]:
            del self._masks[fd]
        ready = wait_ready(strand, self._masks, self._timeout_ns(timeout, NS))
        return ready if maxevents < 0 else ready[:maxevents]

    def _check_open(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")

    def _check_registered(self, fd: Any) -> None:
        self._check_open()
        if _fd_of(fd) not in self._masks:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def __enter__(self) -> VirtualEpoll:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _strand_of_this_thread() -> Strand:
    strand = current()
    if strand is None:
        raise RuntimeError("this poll object was made inside a simulation and can be used only there")
    return strand


def make_poll() -> Any:
    """`select.poll`; in a simulated thread the object waits in virtual time."""
    if current() is not None:
        return VirtualPoll()
    return _real_poll()


def make_epoll(sizehint: int = -1, flags: int = 0) -> Any:
    """`select.epoll`; in a simulated thread the object waits in virtual time."""
    if current() is not None:
        return VirtualEpoll(sizehint, flags)
    assert _real_epoll is not None
    return _real_epoll(sizehint, flags)


make_epoll.fromfd = getattr(_real_epoll, "fromfd", None)  # type: ignore[attr-defined]  # the class method programs may look for


def _select_exactly(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Return a selector's `select` that waits exactly as long as it is told.

    The stock one rounds up to what the system can do, whole milliseconds, so that `asyncio.sleep(0.1)` may
    take 0.101 s.
    """

    def select_exactly(selector: Any, timeout: float | None = None) -> list[Any]:
        poll = selector._selector
        if isinstance(poll, _Exact) and timeout is not None and timeout > 0:
            poll.mean(timeout)
        return real(selector, timeout)

    return select_exactly


SELECTS = {
    name: _select_exactly(getattr(selectors, name).select)
    for name in ("PollSelector", "EpollSelector")
    if hasattr(selectors, name)
}
"""What takes the place of the `select` of the standard library's selectors, by the name of their class."""
