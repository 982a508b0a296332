"""Quiet while dead programs' threads are unwound: nobody is to hear what they say on the way.

Owns: what would otherwise be heard: unraisable errors, warnings and logging, switched off and on again.
Refuses to know: how a thread is unwound (``baton.py``).
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_EVENT_LOOP = os.path.join("asyncio", "base_events.py")


@contextmanager
def silence() -> Iterator[None]:
    """Let nothing be heard of code that is unwound: no unraisable error, no warning, no log record."""
    hook, disabled = sys.unraisablehook, logging.root.manager.disable
    sys.unraisablehook = _hear_nothing
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        logging.disable(disabled)


def _hear_nothing(unraisable: object, /) -> None:
    """Take the place of `sys.unraisablehook`."""


def runs_event_loop(frame: FrameType | None) -> bool:
    """Whether a thread with this innermost frame is inside asyncio's event loop."""
    while frame is not None:
        if frame.f_code.co_filename.endswith(_EVENT_LOOP):
            return True
        frame = frame.f_back
    return False
