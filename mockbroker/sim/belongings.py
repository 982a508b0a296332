"""What every process has of its own and Python keeps in one place for all: swapped when the baton goes to
another process.

Owns: `sys.argv`, the standard streams, `sys.path`, `__main__`, a script's own modules, and the handlers of
the root logger. Refuses to know: who holds the baton and why.

Read next: ``task.py``.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


class Belongings:
    """The streams of a simulated process; what a plain function has, which shares all else with the code
    that spawned it.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stdin = io.StringIO()
        self._own: tuple[object, ...] = (stream, stream, self._stdin)
        self._outside: tuple[object, ...] = ()

    def enter(self) -> None:
        """Put these belongings in place; what was there is kept for `leave`."""
        self._outside = (sys.stdout, sys.stderr, sys.stdin)
        sys.stdout, sys.stderr, sys.stdin = self._own

    def leave(self) -> None:
        """Take these belongings, with what the program has changed about them, out again."""
        self._own = (sys.stdout, sys.stderr, sys.stdin)
        sys.stdout, sys.stderr, sys.stdin = self._outside

    def drop(self) -> None:
        """Forget what belongs to the process alone."""


class ScriptBelongings(Belongings):
    """What a script has in addition, as ``python script.py`` would give it.

    Modules that it imports from its own folder are its own, so that two programs never share their state.
    """

    def __init__(self, stream: io.TextIOBase, main: ModuleType, argv: list[str], folder: str) -> None:
        super().__init__(stream)
        self.main = main
        self._argv = argv
        self._path = [folder, *sys.path]
        self._folder = os.path.join(folder, "")
        self._modules: dict[str, ModuleType] = {}
        self._module_count = 0
        self._handlers: list[logging.Handler] = []
        self._level = logging.WARNING
        self._outside_state: tuple[list[str], list[str], ModuleType, list[logging.Handler], int] | None = None

    def enter(self) -> None:
        super().enter()
        root = logging.root
        self._outside_state = (sys.argv, sys.path, sys.modules["__main__"], root.handlers, root.level)
        sys.argv = self._argv
        sys.path = self._path
        sys.modules["__main__"] = self.main
        sys.modules.update(self._modules)
        self._module_count = len(sys.modules)
        root.handlers = self._handlers
        if root.level != self._level:
            root.setLevel(self._level)

    def leave(self) -> None:
        super().leave()
        root = logging.root
        self._argv, self._path = sys.argv, sys.path
        self._handlers, self._level = root.handlers, root.level
        if len(sys.modules) != self._module_count:
            self._find_own_modules()
        for name in self._modules:
            sys.modules.pop(name, None)
        assert self._outside_state is not None
        sys.argv, sys.path, sys.modules["__main__"], root.handlers, level = self._outside_state
        if root.level != level:
            root.setLevel(level)

    def _find_own_modules(self) -> None:
        for name in list(sys.modules)[self._module_count - len(self._modules) :]:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and file.startswith(self._folder) and "site-packages" not in file:
                self._modules[name] = sys.modules[name]

    def drop(self) -> None:
        for handler in self._handlers:
            handler.close()
        self._handlers = []
