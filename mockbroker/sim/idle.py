"""Whether a program that waits for messages with a time-out waits for anything else.

Owns: the rule by which a run without an end time ends. Clients never simply wait: they wake to send
heartbeats, or every few seconds just in case. A wait for messages with a time-out is *at rest* when

- the client library's list of timers, where it can be read (pika's and asyncio's), has nothing but
  heartbeats, or
- it cannot be read, or has a timer that is due when the wait ends (a polling loop), and the last 20 such
  waits ended without effect.

Refuses to know: how anything is run. It looks at the frames of a parked thread, and changes nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from mockbroker.clock import to_ns
from mockbroker.sim.times import MONOTONIC_START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from mockbroker.sim.baton import Strand

IDLE_TIMEOUTS: Final = 20
"""Waits for messages that may time out in a row without any effect before a polling program counts as at
rest.
"""
_SEARCHED_FRAMES: Final = 8
"""An event loop's own frames are the innermost ones, next to the wait."""


def is_at_rest(strand: Strand) -> bool:
    """Whether a strand that is parked in a wait for messages waits for nothing but messages."""
    if strand.wait_due_ns is None:
        return True
    timers = _timers(sys._current_frames().get(strand.ident))
    if timers is None:
        return strand.idle_timeouts >= IDLE_TIMEOUTS
    own = [due_ns for due_ns, is_heartbeat in timers if not is_heartbeat]
    if not own:
        return True
    is_slice_of_longer_wait = min(own) > strand.wait_due_ns
    return not is_slice_of_longer_wait and strand.idle_timeouts >= IDLE_TIMEOUTS


def _timers(frame: FrameType | None) -> list[tuple[int, bool]] | None:
    """Return `(due_ns, is a heartbeat)` of the timers of the event loop that waits in `frame`; None: no loop
    is known.
    """
    for _ in range(_SEARCHED_FRAMES):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        name = type(owner).__module__
        if name == "pika.adapters.select_connection" and hasattr(owner, "_get_wait_seconds"):
            return list(_pika_timers(owner))
        if name.startswith("asyncio.") and hasattr(owner, "_scheduled"):
            return list(_asyncio_timers(owner))
        frame = frame.f_back
    return None


def _due_ns(monotonic_s: float) -> int:
    return to_ns(monotonic_s) - MONOTONIC_START_NS


def _pika_timers(poller: Any) -> Iterator[tuple[int, bool]]:
    timer = getattr(getattr(poller._get_wait_seconds, "__self__", None), "_timer", None)
    for timeout in getattr(timer, "_timeout_heap", None) or ():
        if timeout.callback is not None:
            yield _due_ns(timeout.deadline), _is_heartbeat(timeout.callback)


def _asyncio_timers(loop: Any) -> Iterator[tuple[int, bool]]:
    for handle in loop._scheduled:
        if not handle.cancelled():
            yield _due_ns(handle.when()), any(map(_is_heartbeat, _who_is_woken(handle)))


def _who_is_woken(handle: Any) -> Iterator[Any]:
    """Yield the callback of a handle, and the coroutines that sleep until it is called."""
    yield handle._callback
    for future in handle._args or ():
        for callback, _ in getattr(future, "_callbacks", None) or ():
            task = getattr(callback, "__self__", None)
            coroutine: Any = task.get_coro() if task is not None and hasattr(task, "get_coro") else None
            while coroutine is not None:
                yield coroutine
                coroutine = getattr(coroutine, "cr_await", None)


def _is_heartbeat(callback: Any) -> bool:
    return "heartbeat" in getattr(callback, "__qualname__", "").lower()
