"""Which code is the user's: neither Python's library, nor an installed package, nor the simulation itself.

Owns: the folders that count as somebody else's.
"""

from __future__ import annotations

import os
import sysconfig
from functools import cache
from linecache import getline
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_LIBRARY = tuple(
    os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


@cache
def is_user_code(filename: str) -> bool:
    """Whether a code object's file is the user's own. Cached: the answer for a name never changes."""
    if filename.startswith("<"):
        return False
    path = os.path.abspath(filename)
    return not path.startswith(_LIBRARY) and not path.startswith(_PACKAGE) and "site-packages" not in path


def user_place(frame: FrameType | None) -> str:
    """Return `file:line in function: source` of the innermost frame of user code, or ""."""
    while frame is not None:
        code = frame.f_code
        if is_user_code(code.co_filename):
            source = getline(code.co_filename, frame.f_lineno).strip()
            return f"{os.path.basename(code.co_filename)}:{frame.f_lineno} in {code.co_name}: {source}"
        frame = frame.f_back
    return ""
