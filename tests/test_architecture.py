"""The shape of the house: which room may import which, what the core may not know, what the repository holds.

An arrow is an import of one room by another, at load time or inside a function. Arrows point down: from an
outside room to the door, to the core, to the ground. Rooms on one floor import one another only where
`BESIDE` says so. A name that only type checkers import is no arrow inside the core and the ground, which are
one step without I/O; it may never reach up to the door.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mockbroker"

FLOORS = {
    "ground": {"clock", "values", "terms", "erlang_text", "message", "errors", "rules", "events", "trace"},
    "core": {
        "core.refusals",
        "core.arguments",
        "core.patterns",
        "core.replies",
        "core.sinks",
        "core.access",
        "core.administration",
        "core.carbon_copies",
        "core.declarations",
        "core.fast_replies",
        "core.limits",
        "core.policies",
        "core.recorder",
        "core.settlement",
        "core.storage",
        "core.timeouts",
        "core.transaction",
        "core.dispatch",
        "core.exchanges",
        "core.queues",
        "core.vhost",
        "core.channel",
        "core.connection",
        "core.node",
    },
    "door": {"answers", "broker", "connection", "channel", "exceptions", "inbox"},
    "outside": {"amqp", "admin", "sim", "teach", "testing", "pika", "cli", "__main__"},
}
FLOOR_ORDER = list(FLOORS)

_SPEECH = {"core.refusals", "core.arguments", "core.replies", "core.sinks"}

# Rooms of one floor: who may import whom. Exchanges and queues do not know each other; the vhost knows both.
BESIDE: dict[str, set[str]] = {
    "clock": {"errors"},
    "terms": {"values"},
    "erlang_text": {"terms", "values"},
    "message": {"values"},
    "errors": {"values"},
    "events": {"values"},
    "trace": {"events"},
    "core.arguments": {"core.refusals"},
    "core.access": {"core.refusals", "core.arguments", "core.patterns"},
    "core.policies": {"core.refusals", "core.arguments", "core.patterns"},
    "core.storage": {"core.refusals", "core.arguments"},
    "core.dispatch": _SPEECH,
    "core.exchanges": _SPEECH,
    "core.queues": _SPEECH | {"core.dispatch", "core.storage"},
    "core.vhost": _SPEECH
    | {"core.access", "core.policies", "core.storage", "core.dispatch", "core.exchanges", "core.queues"},
    "core.limits": _SPEECH,
    "core.timeouts": _SPEECH,
    "core.carbon_copies": _SPEECH | {"core.queues"},
    "core.transaction": {"core.arguments"},
    "core.declarations": _SPEECH | {"core.vhost"},
    "core.fast_replies": _SPEECH | {"core.dispatch", "core.queues"},
    "core.channel": _SPEECH
    | {
        "core.carbon_copies",
        "core.declarations",
        "core.dispatch",
        "core.settlement",
        "core.timeouts",
        "core.transaction",
        "core.vhost",
    },
    "core.connection": _SPEECH | {"core.channel"},
    "core.administration": _SPEECH | {"core.access", "core.limits", "core.policies", "core.vhost"},
    "core.node": _SPEECH
    | {
        "core.access",
        "core.administration",
        "core.connection",
        "core.exchanges",  # which types there are
        "core.fast_replies",
        "core.limits",
        "core.recorder",
        "core.storage",
    },
    "inbox": {"exceptions"},
    "channel": {"answers", "exceptions", "inbox"},
    "connection": {"exceptions", "inbox", "channel"},
    "broker": {"exceptions", "inbox", "channel", "connection"},
    "amqp": {"admin"},
    "sim": {"amqp"},
    "testing": {"amqp", "admin", "sim", "pika"},
    "cli": FLOORS["outside"] - {"cli", "__main__"},
    "__main__": {"cli"},
}

# A method of the door that opens an outside room imports it when it is called, never before.
OPENS: dict[str, set[str]] = {"broker": {"admin", "amqp", "testing"}}

# Modules of the standard library that ask the world something: the time, chance, the network, the machine.
WORLDLY = {
    "asyncio", "datetime", "gc", "multiprocessing", "os", "random", "secrets", "select", "selectors",
    "socket", "ssl", "subprocess", "tempfile", "threading", "time", "uuid", "weakref",
}  # fmt: skip

# What the core and the ground may take from them all the same.
WORLDLY_ALLOWED = {
    ("core.node", "random.Random"),  # the one generator, made from the broker's seed
    ("clock", "time"),  # the wall clock follows it
    ("clock", "threading"),  # and is waited for by other threads
    ("message", "datetime.datetime"),  # a program may put its dates into a table; nobody asks what day it is
    ("message", "datetime.UTC"),
}

# None of these is needed to publish a message; each costs more to import than mockbroker itself.
HEAVY = {
    "asyncio", "email", "http", "hypothesis", "inspect", "json", "kombu", "logging", "multiprocessing",
    "pamqp", "pika", "pytest", "selectors", "socket", "ssl", "subprocess", "unittest", "urllib.request",
}  # fmt: skip

MAX_LINES = 700
TOP_LEVEL = {"pyproject.toml", "README.md", "mockbroker", "tests", "benchmarks", "docs"}
BY_PRODUCTS = {"build", "dist", "__pycache__"}  # see .gitignore


@dataclass(frozen=True)
class Arrow:
    """`source` (a file) imports `target` (a dotted name) at `line`."""

    source: Path
    line: int
    target: str
    is_lazy: bool
    is_typing_only: bool

    def __str__(self) -> str:
        return f"{self.source.relative_to(ROOT)}:{self.line} imports {self.target}"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows_of(path: Path) -> Iterator[Arrow]:
    """Every import of a file, those in functions and under TYPE_CHECKING too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()

    def walk(node: ast.AST, is_lazy: bool, is_typing_only: bool) -> Iterator[Arrow]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else []
                base = ".".join([*above, *filter(None, [child.module])])
                names = [f"{base}.{alias.name}" for alias in child.names]
            else:
                names = []
                yield from walk(
                    child,
                    is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
                    is_typing_only
                    or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)),
                )
            for name in names:
                yield Arrow(path, child.lineno, name, is_lazy, is_typing_only)  # type: ignore[attr-defined]  # imports have lines

    return walk(parsed(path), False, False)


def room_of(dotted: str) -> str | None:
    """The room that a name of the project belongs to; None for the package itself and for other names."""
    parts = dotted.split(".")
    if parts[0] != "mockbroker" or len(parts) == 1:
        return None
    return ".".join(parts[1:3]) if parts[1] == "core" and len(parts) > 2 else parts[1]


def floor_of(room: str) -> int:
    for height, name in enumerate(FLOOR_ORDER):
        if room in FLOORS[name]:
            return height
    raise LookupError(f"{room} stands on no floor: give it a place in FLOORS")


def is_allowed(source: str, target: str, *, is_lazy: bool = False, is_typing_only: bool = False) -> bool:
    """May room `source` import room `target`?"""
    height = floor_of(source) - floor_of(target)
    if source == target or height > 0 or target in BESIDE.get(source, ()):
        return True
    if is_typing_only and (floor_of(target) <= FLOOR_ORDER.index("core") or height == 0):
        return True  # who talks to whom may be named; nothing is loaded for it
    return (is_lazy or is_typing_only) and target in OPENS.get(source, ())


def in_core_or_ground(path: Path) -> bool:
    room = room_of(module_name(path))
    return room is not None and (room.startswith("core") or room in FLOORS["ground"])


MODULES = sources(PACKAGE)
SANS_IO = [path for path in MODULES if in_core_or_ground(path)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_point_down(path: Path) -> None:
    source = room_of(module_name(path))
    wrong = []
    for arrow in arrows_of(path):
        if not arrow.target.startswith("mockbroker"):
            continue
        target = room_of(arrow.target)
        if source is None or source == "core":
            # The front of the package names what the door offers, and opens the toolkit for tests to who
            # asks for it; core/__init__.py names nothing.
            opens = target == "testing" and (arrow.is_lazy or arrow.is_typing_only)
            at_the_door = target is not None and floor_of(target) <= FLOOR_ORDER.index("door")
            ok = source is None and (at_the_door or opens)
        elif target is None or target not in set().union(*FLOORS.values()):
            # `from mockbroker import Broker`: the names at the front are for the rooms outside.
            ok = floor_of(source) == FLOOR_ORDER.index("outside")
        else:
            ok = is_allowed(source, target, is_lazy=arrow.is_lazy, is_typing_only=arrow.is_typing_only)
        if not ok:
            wrong.append(str(arrow))
    assert not wrong


def test_no_two_rooms_import_each_other() -> None:
    TopologicalSorter(BESIDE).prepare()  # raises CycleError, which names the rooms
    assert set(BESIDE) | set(OPENS) <= set().union(*FLOORS.values())


def test_an_arrow_that_points_up_is_seen() -> None:
    assert is_allowed("broker", "core.node")
    assert is_allowed("core.administration", "core.vhost")
    assert is_allowed("broker", "admin", is_lazy=True)
    assert is_allowed("core.channel", "core.connection", is_typing_only=True)
    assert not is_allowed("broker", "admin")
    assert not is_allowed("core.node", "broker")
    assert not is_allowed("core.exchanges", "core.queues")
    assert not is_allowed("core.queues", "core.exchanges")
    assert not is_allowed("clock", "message")
    assert not is_allowed("core.channel", "core.connection")
    assert not is_allowed("core.node", "broker", is_lazy=True, is_typing_only=True)


@pytest.mark.parametrize("path", SANS_IO, ids=name_of)
def test_the_core_asks_the_world_nothing(path: Path) -> None:
    room = room_of(module_name(path))
    for arrow in arrows_of(path):
        top = arrow.target.partition(".")[0]
        allowed = {(room, top), (room, arrow.target)} & WORLDLY_ALLOWED
        assert top not in WORLDLY or allowed, arrow


def _is_set(node: ast.expr, known: set[str]) -> bool:
    """Whether an expression is plainly a set: by its form, or by a name that the module binds to one."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(
            func=ast.Attribute(attr="union" | "intersection" | "difference" | "symmetric_difference")
        ):
            return True
        case ast.BinOp(left=left, right=right, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return _is_set(left, known) or _is_set(right, known)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in known
    return False


def _names_of_sets(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=target, annotation=annotation):
                bound: list[ast.expr] = [target] if _says_set(annotation) else []
            case ast.Assign(targets=targets, value=value):
                bound = targets if _is_set(value, set()) else []
            case ast.arg(arg=arg, annotation=ast.expr() as annotation) if _says_set(annotation):
                bound = [ast.Name(arg)]
            case _:
                continue
        names |= {ast.unparse(target).rpartition(".")[2] for target in bound}
    return names


def _says_set(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).partition("[")[0] in {"set", "frozenset", "Set", "AbstractSet"}


def unordered_reads(tree: ast.Module) -> list[int]:
    """Lines on which an order depends on that of a set, on addresses or on hashes."""
    known = _names_of_sets(tree)
    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=read) | ast.comprehension(iter=read) | ast.Starred(value=read):
                pass
            case ast.Call(
                func=ast.Name(id="list" | "tuple" | "iter" | "enumerate" | "deque"), args=[read, *_]
            ):
                pass
            case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=[read]):
                pass
            case ast.Call(func=ast.Attribute(value=read, attr="pop"), args=[]):
                pass
            case ast.keyword(arg="key", value=ast.Name(id="id" | "hash")):
                lines.append(node.lineno)
                continue
            case _:
                continue
        if _is_set(read, known):
            lines.append(read.lineno)
    return lines


@pytest.mark.parametrize("path", SANS_IO, ids=name_of)
def test_nothing_in_the_core_depends_on_hash_order(path: Path) -> None:
    assert not unordered_reads(parsed(path))


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: ...",
        "y = [x for x in set(a)]",
        "self.dirty = set()\nfor x in self.dirty: ...",
        "def f(names: set[str]): return list(names)",
        "known: frozenset[str]\nfor x in known | other: ...",
        "waiting = set()\nwaiting.pop()",
        "y = sorted(x, key=id)",
    ],
)
def test_a_read_in_hash_order_is_seen(source: str) -> None:
    assert unordered_reads(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    ["for x in sorted({1, 2}): ...", "x in {1, 2}", "names: dict[str, int]\nfor x in names: ...", "q.pop()"],
)
def test_a_read_in_a_known_order_is_not_taken_for_one(source: str) -> None:
    assert not unordered_reads(ast.parse(source))


def test_importing_mockbroker_imports_nothing_heavy() -> None:
    program = "import sys; before = set(sys.modules); import mockbroker; print(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "mockbroker" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "path", [*MODULES, *sources(ROOT / "benchmarks"), *sources(ROOT / "tests")], ids=name_of
)
def test_a_file_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", [*MODULES, *sources(ROOT / "benchmarks")], ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


def test_the_top_level_holds_what_it_should() -> None:
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and path.suffix != ".egg-info" and path.name not in BY_PRODUCTS
    }
    assert found == TOP_LEVEL


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
