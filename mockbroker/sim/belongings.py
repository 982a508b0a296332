"""What every process has of its own and Python keeps in one place: swapped with the baton.

Owns: `sys.argv`, the standard streams, `sys.path`, `__main__`, a script's own modules, and the handlers of
the root logger.
Refuses to know: who holds the baton and why.

Read next: ``task.py``.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType


class _Counter(NamedTuple):
    """Something that each process counts for itself, in a module's or a class's attribute."""

    module_name: str
    class_name: str
    name: str
    fresh: Callable[[], object]

    def owner(self) -> object | None:
        """Return the module or class, or None while the module is not imported."""
        module = sys.modules.get(self.module_name)
        return getattr(module, self.class_name) if module is not None and self.class_name else module


_COUNTERS = (
    _Counter("threading", "", "_counter", lambda: itertools.count(1).__next__),
    _Counter(
        "concurrent.futures.thread", "ThreadPoolExecutor", "_counter", lambda: itertools.count().__next__
    ),
    _Counter("kombu.messaging", "Consumer", "_tags", lambda: itertools.count(1)),
)
"""What names are made of. kombu's ends up in consumer tags, and so in what the broker sees."""


class Belongings:
    """The streams of a process, and the handlers and level of its root logger: what a spawned function has.

    It shares all else with the code that spawned it.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self._streams: tuple[Any, Any, Any] = (stream, stream, io.StringIO())
        self._outer_streams: tuple[Any, Any, Any] = self._streams
        self._handlers: list[logging.Handler] = []
        self._level = logging.WARNING
        self._counters: dict[_Counter, object] = {}
        self._outer_counters: dict[_Counter, object] = {}
        self._outer_logging: tuple[list[logging.Handler], int] = ([], self._level)

    def enter(self) -> None:
        """Put these belongings in place; what was there is kept for `leave`."""
        self._outer_streams = (sys.stdout, sys.stderr, sys.stdin)
        sys.stdout, sys.stderr, sys.stdin = self._streams
        root = logging.root
        self._outer_logging = (root.handlers, root.level)
        root.handlers = self._handlers
        if root.level != self._level:  # setting it forgets what all loggers have cached
            root.setLevel(self._level)
        for counter in _COUNTERS:
            if (owner := counter.owner()) is not None:
                self._outer_counters[counter] = getattr(owner, counter.name)
                setattr(owner, counter.name, self._counters.setdefault(counter, counter.fresh()))

    def leave(self) -> None:
        """Take these belongings, with what the program has changed about them, out again."""
        self._streams = (sys.stdout, sys.stderr, sys.stdin)
        sys.stdout, sys.stderr, sys.stdin = self._outer_streams
        root = logging.root
        self._handlers, self._level = root.handlers, root.level
        root.handlers, level = self._outer_logging
        if root.level != level:
            root.setLevel(level)
        for counter in _COUNTERS:
            if (owner := counter.owner()) is not None:
                # A module that this process was the first to import has its counter; the others begin anew.
                self._counters[counter] = getattr(owner, counter.name)
                setattr(owner, counter.name, self._outer_counters.pop(counter, None) or counter.fresh())

    def drop(self) -> None:
        """Forget what belongs to the process alone."""
        for handler in self._handlers:
            handler.close()
        self._handlers = []


class ScriptBelongings(Belongings):
    """What a script has in addition, as ``python script.py`` would give it.

    Modules that it imports from its own folder are its own, so that two programs never share their state.
    """

    def __init__(self, stream: io.TextIOBase, main: ModuleType, argv: list[str], folder: str) -> None:
        super().__init__(stream)
        self._own: tuple[list[str], list[str], ModuleType] = (argv, [folder, *sys.path], main)
        self._outer = self._own
        self._folder = os.path.join(folder, "")
        self._modules: dict[str, ModuleType] = {}
        self._module_count = 0

    def enter(self) -> None:
        super().enter()
        self._outer = (sys.argv, sys.path, sys.modules["__main__"])
        sys.argv, sys.path, sys.modules["__main__"] = self._own
        sys.modules.update(self._modules)
        self._module_count = len(sys.modules)

    def leave(self) -> None:
        super().leave()
        self._own = (sys.argv, sys.path, sys.modules["__main__"])
        if len(sys.modules) != self._module_count:
            self._find_own_modules()
        for name in self._modules:
            sys.modules.pop(name, None)
        sys.argv, sys.path, sys.modules["__main__"] = self._outer

    def _find_own_modules(self) -> None:
        """Look at the modules imported since this process got the baton, the last in the table."""
        for name in list(sys.modules)[self._module_count - len(self._modules) :]:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and file.startswith(self._folder) and "site-packages" not in file:
                self._modules[name] = sys.modules[name]
