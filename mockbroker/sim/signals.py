"""Signals and exits inside the simulation: each process has its own.

Owns: nothing; it finds the process that calls and acts on it.
Refuses to know: when a handler runs (``task.py``). Alarms and interval timers are not simulated.
"""

from __future__ import annotations

import atexit
import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from mockbroker.sim.baton import Pause, current

if TYPE_CHECKING:
    from collections.abc import Callable

# The real ones, bound before anything is patched.
_real_signal = signal.signal
_real_getsignal = signal.getsignal
_real_set_wakeup_fd = signal.set_wakeup_fd
_real_siginterrupt = getattr(signal, "siginterrupt", None)
_real_pause = getattr(signal, "pause", None)
_real_raise_signal = signal.raise_signal
_real_kill = os.kill
_real_exit = os._exit
_real_register = atexit.register
_real_unregister = atexit.unregister

_PAUSE = Pause("a signal")
_Function = TypeVar("_Function", bound="Callable[..., Any]")


def set_handler(signalnum: int, handler: Any, /) -> Any:
    """`signal.signal`: for the calling process only, and only from its main thread."""
    strand = current()
    if strand is None:
        return _real_signal(signalnum, handler)
    if strand is not strand.task.main_strand:
        raise ValueError("signal only works in main thread of the main interpreter")
    if not (callable(handler) or handler in (signal.SIG_DFL, signal.SIG_IGN)):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    if signalnum in (signal.SIGKILL, signal.SIGSTOP):
        raise OSError(22, "Invalid argument")
    before = get_handler(signalnum)
    strand.task.signal_handlers[int(signalnum)] = handler
    return before


def get_handler(signalnum: int, /) -> Any:
    """`signal.getsignal`."""
    strand = current()
    if strand is None:
        return _real_getsignal(signalnum)
    return strand.task.signal_handlers.get(int(signalnum), signal.SIG_DFL)


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """`signal.set_wakeup_fd`: asyncio learns of signals by it."""
    strand = current()
    if strand is None:
        return _real_set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    before, strand.task.wakeup_fd = strand.task.wakeup_fd, fd
    return before


def siginterrupt(signalnum: int, flag: bool, /) -> None:
    """`signal.siginterrupt`: without meaning here, since no simulated wait is a system call."""
    if current() is None:
        assert _real_siginterrupt is not None
        _real_siginterrupt(signalnum, flag)


def pause() -> None:
    """`signal.pause`."""
    strand = current()
    if strand is None:
        assert _real_pause is not None
        _real_pause()
    else:
        strand.park(_PAUSE)


def raise_signal(signalnum: int, /) -> None:
    """`signal.raise_signal`: to the calling process."""
    strand = current()
    if strand is None:
        _real_raise_signal(signalnum)
        return
    strand.task.send_signal(signalnum)
    _stop_if_dead()
    strand.came_back()


def kill(pid: int, signalnum: int, /) -> None:
    """`os.kill`: a simulated process reaches itself only."""
    strand = current()
    if strand is None:
        _real_kill(pid, signalnum)
    elif pid == strand.task.pid:
        raise_signal(signalnum)
    else:
        raise ProcessLookupError(3, f"the simulation has no process {pid}")


def exit_now(status: int) -> Any:
    """`os._exit`: ends the calling process where it stands, without its finally blocks."""
    strand = current()
    if strand is None:
        _real_exit(status)
    else:
        strand.task.end(status, f"exited with code {status}")
        _stop_if_dead()


def _stop_if_dead() -> None:
    strand = current()
    if strand is not None and strand.task.dead:
        strand.park(Pause("nothing: its process has ended"))


def register(func: _Function, /, *args: Any, **kwargs: Any) -> _Function:
    """`atexit.register`: for the end of the calling process."""
    strand = current()
    if strand is None:
        _real_register(func, *args, **kwargs)
        return func
    strand.task.exit_callbacks.append((func, args, kwargs))
    return func


def unregister(func: Callable[..., Any], /) -> None:
    """`atexit.unregister`."""
    strand = current()
    if strand is None:
        _real_unregister(func)
    else:
        callbacks = strand.task.exit_callbacks
        callbacks[:] = [callback for callback in callbacks if callback[0] != func]
