"""Randomness as programs draw it: seeded for each simulated process.

Owns: which generator a draw comes from.
Refuses to know: the schedule's own randomness (``schedules.py``).

Covered: the functions of `random`, `random.Random()` without a seed, `os.urandom`, `uuid`, and through them
`secrets` and `tempfile`. Not covered: C code that asks the system, such as OpenSSL.
"""

from __future__ import annotations

import os
import random
import socket
import uuid
from typing import TYPE_CHECKING, Any, Final

from mockbroker.sim.baton import current

if TYPE_CHECKING:
    from collections.abc import Callable

# The real ones, bound before anything is patched.
_real_urandom = os.urandom
_real_getrandom = getattr(os, "getrandom", None)
_real_seed = random.Random.seed
_real_uuid1 = uuid.uuid1
_real_getnode = uuid.getnode
_real_getpid = os.getpid
_real_gethostname = socket.gethostname

NODE: Final = 0x02_00_00_00_00_01
"""The hardware address of all simulated programs: a locally administered one (IEEE 802), so nobody's."""
HOST_NAME: Final = "localhost"

FUNCTIONS: Final = tuple(
    name
    for name in random.__all__
    if callable(getattr(random, name))
    and isinstance(getattr(getattr(random, name), "__self__", None), random.Random)
)
"""The functions of `random` that draw from its one hidden generator."""


def draw_function(name: str) -> Callable[..., Any]:
    """Return what takes the place of `random.<name>`: it draws from the calling process's own generator."""
    real: Callable[..., Any] = getattr(random, name)

    def draw(*args: Any, **kwargs: Any) -> Any:
        strand = current()
        if strand is None:
            return real(*args, **kwargs)
        return getattr(strand.task.random, name)(*args, **kwargs)

    draw.__name__ = draw.__qualname__ = name
    return draw


def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
    """`random.Random.seed`: without a seed, one from the process's own entropy."""
    strand = current()
    if a is None and strand is not None:
        a = strand.task.entropy.getrandbits(256)
    _real_seed(generator, a, version)


def urandom(size: int, /) -> bytes:
    """`os.urandom`."""
    strand = current()
    return _real_urandom(size) if strand is None else strand.task.entropy.randbytes(size)


def getrandom(size: int, flags: int = 0) -> bytes:
    """`os.getrandom`."""
    strand = current()
    if strand is not None:
        return strand.task.entropy.randbytes(size)
    assert _real_getrandom is not None
    return bytes(_real_getrandom(size, flags))


def uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    """`uuid.uuid1`: of the virtual time and a node that is the same everywhere."""
    strand = current()
    if strand is None:
        return _real_uuid1(node, clock_seq)
    outside, uuid._last_timestamp = uuid._last_timestamp, strand.task.last_uuid1  # type: ignore[attr-defined]  # hidden
    try:
        return _real_uuid1(
            NODE if node is None else node,
            strand.task.entropy.getrandbits(14) if clock_seq is None else clock_seq,
        )
    finally:
        strand.task.last_uuid1, uuid._last_timestamp = uuid._last_timestamp, outside  # type: ignore[attr-defined]  # hidden


def getnode() -> int:
    """`uuid.getnode`."""
    return _real_getnode() if current() is None else NODE


def getpid() -> int:
    """`os.getpid`: of the simulated process."""
    strand = current()
    return _real_getpid() if strand is None else strand.task.pid


def gethostname() -> str:
    """`socket.gethostname`."""
    return _real_gethostname() if current() is None else HOST_NAME
