"""Whether a program that waits for messages with a time-out waits for anything else.

Owns: the rule by which a run without an end time ends, and what it remembers of each waiting strand. Clients
never simply wait: they wake to send heartbeats, or every few seconds just in case. A wait for messages with a
time-out is *at rest* when

- the client library's list of timers, where it can be read (pika's and asyncio's), has nothing but
  heartbeats, or
- 100 of its own timers (where they cannot be read: time-outs) in a row have brought nothing: it polls in a
  loop.

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

IDLE_TIMERS: Final = 100
"""Timers that may pass in a row without any effect before a program that polls counts as at rest."""
_SEARCHED_FRAMES: Final = 20
"""An event loop is never far from its wait: our own frames are between, and a decorator or two."""


class IdleWatch:
    """Remembers which timer each waiting strand was last seen waiting for."""

    def __init__(self) -> None:
        # strand -> (what it has done so far, when its next timer is due, how many timers have passed in vain)
        self._seen: dict[Strand, tuple[tuple[int, int], int, int]] = {}

    def is_at_rest(self, strand: Strand) -> bool:
        """Whether a strand that is parked watching descriptors waits for nothing but messages.

        To be asked once whenever nothing but such waits is left.
        """
        if strand.wait_due_ns is None:
            return True
        timers = _timers(sys._current_frames().get(strand.ident))
        if timers is None:
            due_ns = strand.wait_due_ns
        else:
            own = [due_ns for due_ns, is_heartbeat in timers if not is_heartbeat]
            if not own:
                return True
            due_ns = min(own)
        done = (strand.effects, strand.task.console.writes)
        done_before, due_before_ns, passed = self._seen.get(strand, (done, due_ns, 0))
        if done != done_before:
            passed = 0
        elif due_ns != due_before_ns:
            passed += 1
        self._seen[strand] = (done, due_ns, passed)
        return passed >= IDLE_TIMERS


def _timers(frame: FrameType | None) -> list[tuple[int, bool]] | None:
    """Return `(due_ns, is a heartbeat)` of the timers of the event loop in `frame`; None without one."""
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
