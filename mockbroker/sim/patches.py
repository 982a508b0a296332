"""What takes the place of what, while at least one simulation is open.

Owns: the list of replacements, their putting in and their taking out.
Refuses to know: what the replacements do. Each asks which simulated thread calls it and, outside of
simulations, is the original.

Names that modules have bound before (``from time import sleep``) are found and bound to the replacement too;
what is bound elsewhere, such as in a default argument or a container, is not.

Read next: ``times.py``, ``polls.py``, ``sockets.py``, ``locks.py``, ``entropy.py``, ``signals.py``.
"""

from __future__ import annotations

import _thread
import atexit
import datetime
import os
import queue
import random
import select
import selectors
import signal
import socket
import sys
import threading
import time
import uuid
from concurrent.futures import thread as executor_threads
from typing import TYPE_CHECKING, Any

from mockbroker.sim import entropy, locks, polls, signals, sockets, times

if TYPE_CHECKING:
    from types import ModuleType

_ABSENT = object()


def _module_names() -> list[tuple[ModuleType, str, Any]]:
    """Return `(module, name, replacement)` for everything that other modules may have bound too."""
    table: list[tuple[ModuleType, str, Any]] = [
        (time, "sleep", times.virtual_sleep),
        (time, "time", times.time_s),
        (time, "time_ns", times.time_ns),
        (time, "monotonic", times.monotonic_s),
        (time, "monotonic_ns", times.monotonic_ns),
        (time, "perf_counter", times.perf_counter_s),
        (time, "perf_counter_ns", times.perf_counter_ns),
        (time, "clock_gettime", times.clock_gettime),
        (time, "clock_gettime_ns", times.clock_gettime_ns),
        (time, "localtime", times.localtime),
        (time, "gmtime", times.gmtime),
        (time, "ctime", times.ctime),
        (time, "asctime", times.asctime),
        (time, "strftime", times.strftime),
        (datetime, "datetime", times.VirtualDatetime),
        (datetime, "date", times.VirtualDate),
        (select, "select", polls.virtual_select),
        (select, "poll", polls.make_poll),
        (select, "epoll", polls.make_epoll),
        (socket, "getaddrinfo", sockets.getaddrinfo),
        (socket, "gethostbyname", sockets.gethostbyname),
        (socket, "gethostname", entropy.gethostname),
        (_thread, "allocate_lock", locks.VirtualLock),
        (threading, "Lock", locks.VirtualLock),
        (_thread, "RLock", locks.make_rlock),
        (threading, "main_thread", locks.main_thread),
        (_thread, "start_new_thread", locks.start_new_thread),
        (_thread, "start_joinable_thread", locks.start_joinable_thread),
        (queue, "SimpleQueue", locks.make_simple_queue),
        (os, "urandom", entropy.urandom),
        (os, "getrandom", entropy.getrandom),
        (os, "getpid", entropy.getpid),
        (os, "kill", signals.kill),
        (os, "_exit", signals.exit_now),
        (uuid, "uuid1", entropy.uuid1),
        (uuid, "getnode", entropy.getnode),
        (signal, "signal", signals.set_handler),
        (signal, "getsignal", signals.get_handler),
        (signal, "set_wakeup_fd", signals.set_wakeup_fd),
        (signal, "siginterrupt", signals.siginterrupt),
        (signal, "pause", signals.pause),
        (signal, "raise_signal", signals.raise_signal),
        (atexit, "register", signals.register),
        (atexit, "unregister", signals.unregister),
    ]
    table += [(random, name, entropy.draw_function(name)) for name in entropy.FUNCTIONS]
    return [entry for entry in table if hasattr(entry[0], entry[1])]


def _attributes() -> list[tuple[Any, str, Any]]:
    """Return `(class or module, name, replacement)` for what is always reached through its owner."""
    table: list[tuple[Any, str, Any]] = [
        (socket.socket, name, method) for name, method in sockets.METHODS.items()
    ]
    table += [
        (threading, "excepthook", locks.excepthook),
        (threading.Thread, "join", locks.thread_join),
        (threading.Thread, "is_alive", locks.thread_is_alive),
        (threading.Thread, "__hash__", locks.thread_hash),
        (random.Random, "seed", entropy.seed),
        # Held by executors while they start a thread, which waits.
        (executor_threads, "_global_shutdown_lock", locks.new_lock()),
        (selectors.SelectSelector, "_select", staticmethod(polls.virtual_select)),
    ]
    for name, replacement in (("PollSelector", polls.make_poll), ("EpollSelector", polls.make_epoll)):
        if hasattr(selectors, name):
            table.append((getattr(selectors, name), "_selector_cls", staticmethod(replacement)))
            table.append((getattr(selectors, name), "select", polls.SELECTS[name]))
    return table


class Patches:
    """The replacements: put in by the first simulation that is open, taken out with the last."""

    def __init__(self) -> None:
        self._users = 0
        self._undo: list[tuple[Any, str, Any]] = []
        self._names: list[tuple[ModuleType, str, Any]] = []
        self._originals: dict[int, Any] = {}
        self._bound_names: list[tuple[ModuleType, str]] = []
        self._known_modules: dict[str, ModuleType] = {}

    @property
    def is_in(self) -> bool:
        return self._users > 0

    def put_in(self) -> None:
        """Put the replacements in place, unless they are there."""
        self._users += 1
        if self._users > 1:
            return
        try:
            locks.note_outer_excepthook()
            self._find_bound_names()
            originals = self._originals
            for module, name in self._bound_names:
                if (replacement := originals.get(id(vars(module).get(name)))) is not None:
                    self._set(module, name, replacement)
            for owner, name, replacement in _attributes():
                self._set(owner, name, replacement)
        except BaseException:
            self.take_out()
            raise

    def take_out(self) -> None:
        """Put everything back as it was, if this was the last user."""
        self._users -= 1
        if self._users:
            return
        self._restore_new_modules()
        while self._undo:
            owner, name, before = self._undo.pop()
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _set(self, owner: Any, name: str, replacement: Any) -> None:
        before = vars(owner).get(name, _ABSENT)
        self._undo.append((owner, name, before))
        setattr(owner, name, replacement)

    def _find_bound_names(self) -> None:
        """Find every module's names of what is replaced.

        Modules that were looked at before are not looked at again.
        """
        if not self._names:
            self._names = _module_names()
            # The originals live as long as this process: the rooms that replace them keep them.
            self._originals = {
                id(vars(module)[name]): replacement for module, name, replacement in self._names
            }
        for key, module in list(sys.modules.items()):
            if self._known_modules.get(key) is not module:
                self._known_modules[key] = module
                self._bound_names += [(module, name) for name, _ in _names_in(module, self._originals)]

    def _restore_new_modules(self) -> None:
        """Give modules that were imported meanwhile the originals."""
        originals = {
            id(replacement): before
            for owner, name, before in self._undo
            if (replacement := vars(owner).get(name))
        }
        for key, module in list(sys.modules.items()):
            if self._known_modules.get(key) is not module:
                for name, original in _names_in(module, originals):
                    setattr(module, name, original)


def _names_in(module: Any, table: dict[int, Any]) -> list[tuple[str, Any]]:
    """Return `(name, entry)` for each of a module's names whose object is in the table, by identity."""
    names = getattr(module, "__dict__", {})
    if str(names.get("__name__")).startswith("mockbroker.sim."):
        return []
    return [(name, table[id(value)]) for name, value in list(names.items()) if id(value) in table]


PATCHES = Patches()
