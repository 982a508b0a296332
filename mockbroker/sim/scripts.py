"""Running a script as ``python script.py`` would, as the body of a simulated process.

Owns: the compiled code of scripts, kept as long as their file does not change.
Refuses to know: threads and time.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from mockbroker.sim.belongings import ScriptBelongings
from mockbroker.sim.consoles import ConsoleStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mockbroker.sim.consoles import Console


def prepare_script(
    path: str | os.PathLike[str], argv: Sequence[str], console: Console
) -> tuple[Callable[[], object], ScriptBelongings]:
    """Return the body of a process that runs a script, and what that process has of its own.

    Raises FileNotFoundError for a file that is not there. A syntax error is the process's own, as with
    ``python``.
    """
    filename = os.fspath(path)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f"no script {filename!r}")
    main = ModuleType("__main__")
    main.__dict__.update(__file__=filename, __builtins__=sys.modules["builtins"], __cached__=None)
    belongings = ScriptBelongings(
        ConsoleStream(console), main, [filename, *argv], os.path.dirname(os.path.abspath(filename))
    )

    def body() -> None:
        state = os.stat(filename)
        exec(_compiled(filename, state.st_mtime_ns, state.st_size), main.__dict__)

    return body, belongings


@lru_cache(maxsize=256)
def _compiled(filename: str, modified_ns: int, size_bytes: int) -> CodeType:
    with open(filename, "rb") as file:
        return compile(file.read(), filename, "exec", dont_inherit=True)
