"""The clock as programs read it.

Owns: what time it is for a simulated program: monotonic clocks, the calendar, and sleeping.
Refuses to know: who is due when (``baton.py``).

`datetime.datetime` and `datetime.date` are written in C and cannot be changed, so names bound to them are
bound to a stand-in whose `now`, `utcnow` and `today` are virtual; instances are always those of the real
classes.
"""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any, Final

from mockbroker.clock import NS, to_ns
from mockbroker.sim.baton import Pause, Strand, current

if TYPE_CHECKING:
    from collections.abc import Callable

# The real ones, bound before anything is patched.
_real_sleep = time.sleep
_real_time_ns = time.time_ns
_real_monotonic_ns = time.monotonic_ns
_real_perf_counter_ns = time.perf_counter_ns
_real_localtime = time.localtime
_real_gmtime = time.gmtime
_real_ctime = time.ctime
_real_strftime = time.strftime
_real_asctime = time.asctime
_real_clock_gettime_ns = getattr(time, "clock_gettime_ns", None)
_real_datetime = datetime.datetime
_real_date = datetime.date

MONOTONIC_START_NS: Final = 1000 * NS
"""What monotonic clocks show at the start.

Not 0, which programs take for "never"; a whole number, so that seconds stay exact.
"""


def _calendar_ns(strand: Strand) -> int:
    strand.turn()
    return strand.scheduler.calendar_start_ns + strand.scheduler.clock.now_ns


def _monotonic_ns(strand: Strand) -> int:
    strand.turn()
    return MONOTONIC_START_NS + strand.scheduler.clock.now_ns


def virtual_sleep(secs: float, /) -> None:
    """`time.sleep`: costs no real time. 0 lets the others run first."""
    strand = current()
    if strand is None:
        _real_sleep(secs)
        return
    if secs < 0:
        raise ValueError("sleep length must be non-negative")
    delay_ns = to_ns(secs if isinstance(secs, int) else float(secs))
    if delay_ns == 0:
        strand.turn()
        strand.scheduler.stand_back(strand)
    else:
        strand.sleep_until(strand.scheduler.clock.now_ns + delay_ns, Pause(f"time.sleep({secs!r})"))


def time_ns() -> int:
    """`time.time_ns`."""
    strand = current()
    return _real_time_ns() if strand is None else _calendar_ns(strand)


def time_s() -> float:
    """`time.time`."""
    strand = current()
    return (_real_time_ns() if strand is None else _calendar_ns(strand)) / NS


def monotonic_ns() -> int:
    """`time.monotonic_ns`."""
    strand = current()
    return _real_monotonic_ns() if strand is None else _monotonic_ns(strand)


def monotonic_s() -> float:
    """`time.monotonic`."""
    strand = current()
    return (_real_monotonic_ns() if strand is None else _monotonic_ns(strand)) / NS


def perf_counter_ns() -> int:
    """`time.perf_counter_ns`."""
    strand = current()
    return _real_perf_counter_ns() if strand is None else _monotonic_ns(strand)


def perf_counter_s() -> float:
    """`time.perf_counter`."""
    strand = current()
    return (_real_perf_counter_ns() if strand is None else _monotonic_ns(strand)) / NS


def clock_gettime_ns(clk_id: int, /) -> int:
    """`time.clock_gettime_ns`; the clocks that count a processor's work stay real."""
    strand = current()
    if strand is not None and clk_id == time.CLOCK_REALTIME:
        return _calendar_ns(strand)
    if strand is not None and clk_id in _MONOTONIC_CLOCKS:
        return _monotonic_ns(strand)
    assert _real_clock_gettime_ns is not None
    return int(_real_clock_gettime_ns(clk_id))


def clock_gettime(clk_id: int, /) -> float:
    """`time.clock_gettime`."""
    return clock_gettime_ns(clk_id) / NS


_MONOTONIC_CLOCKS = tuple(
    getattr(time, name)
    for name in ("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME")
    if hasattr(time, name)
)


def _of_now(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return `real`, which without seconds since 1970 reads the clock, reading the virtual one."""

    def virtual(secs: float | None = None, /) -> Any:
        strand = current()
        if secs is None and strand is not None:
            return real(_calendar_ns(strand) / NS)
        return real() if secs is None else real(secs)

    virtual.__name__ = virtual.__qualname__ = real.__name__
    return virtual


localtime = _of_now(_real_localtime)
gmtime = _of_now(_real_gmtime)
ctime = _of_now(_real_ctime)


def asctime(tuple_time: Any = None, /) -> str:
    """`time.asctime`."""
    if tuple_time is None and current() is not None:
        tuple_time = localtime()
    return _real_asctime() if tuple_time is None else _real_asctime(tuple_time)


def strftime(fmt: str, tuple_time: Any = None, /) -> str:
    """`time.strftime`."""
    if tuple_time is None and current() is not None:
        tuple_time = localtime()
    return _real_strftime(fmt) if tuple_time is None else _real_strftime(fmt, tuple_time)


class _StandIn(type):
    """The type of a class that stands in for another: it makes and recognises instances of that one."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _REAL_CLASSES.get(cls, super().__call__)(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        real = _REAL_CLASSES.get(cls)
        return type.__instancecheck__(cls, instance) if real is None else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _REAL_CLASSES.get(cls)
        return type.__subclasscheck__(cls, subclass) if real is None else issubclass(subclass, real)


def _datetime_at(calendar_ns: int, tz: datetime.tzinfo | None) -> datetime.datetime:
    seconds, rest_ns = divmod(calendar_ns, NS)
    return _real_datetime.fromtimestamp(seconds, tz).replace(microsecond=rest_ns // 1000)


class VirtualDatetime(_real_datetime, metaclass=_StandIn):
    """`datetime.datetime` with a virtual now."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        strand = current()
        return _real_datetime.now(tz) if strand is None else _datetime_at(_calendar_ns(strand), tz)

    @classmethod
    def utcnow(cls) -> Any:
        strand = current()
        if strand is None:
            return _real_datetime.utcnow()
        return _datetime_at(_calendar_ns(strand), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class VirtualDate(_real_date, metaclass=_StandIn):
    """`datetime.date` with a virtual today."""

    @classmethod
    def today(cls) -> Any:
        return VirtualDatetime.now().date()


VirtualDatetime.__name__ = VirtualDatetime.__qualname__ = "datetime"
VirtualDate.__name__ = VirtualDate.__qualname__ = "date"
_REAL_CLASSES: dict[type, type] = {VirtualDatetime: _real_datetime, VirtualDate: _real_date}
