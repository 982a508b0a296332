"""Runs what the documentation shows: README.md, docs/*.md, docstrings of mockbroker. One test per example.

- A ``python`` block with ``>>>`` is a doctest; one without is executed. The blocks of a file share one
  namespace and run in order: a block runs after those before it, whichever test comes first.
- A ``console`` block with a line ``$ mockbroker ...`` runs that command; its output is compared as it stands.
- ``...`` stands for anything: inside a line of a doctest, or alone on a line of a console.
- A block is left out when the line above it says ``<!-- not run: the reason -->``.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}) *(?P<language>\w*)")
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line, counted from 1."""

    page: Path
    line: int
    language: str
    text: str
    remark: str  # the line above the fence

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, text: str) -> Iterator[Block]:
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        remark = next((line.strip() for line in reversed(lines[: number - 1]) if line.strip()), "")
        start, indent = number, len(fence["indent"])
        while number < len(lines) and lines[number].strip() != fence["ticks"]:
            number += 1
        inner = "".join(f"{line[indent:]}\n" for line in lines[start:number])
        number += 1
        yield Block(page, start + 1, fence["language"], inner, remark)


def run_doctest(text: str, namespace: dict[str, Any], name: str, path: Path, line: int) -> None:
    """Runs the examples of a text and fails with a report on every one that prints something else."""
    example = doctest.DocTestParser().get_doctest(text, namespace, name, str(path), line - 1)
    example.globs = namespace  # the parser made a copy; the blocks of a page share theirs
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(example, out=report.append, clear_globs=False)
    if report:
        raise AssertionError("".join(report))


@dataclass
class Page:
    """The Python blocks of a page, run in order, each once in this process."""

    blocks: list[Block]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    outcomes: list[BaseException | None] = field(default_factory=list)

    def run_up_to(self, block: Block) -> None:
        """Runs the block, and those before it that did not run yet; raises what the block itself raised."""
        index = self.blocks.index(block)
        while len(self.outcomes) <= index:
            try:
                self._run(self.blocks[len(self.outcomes)])
            except Exception as error:
                self.outcomes.append(error)
            else:
                self.outcomes.append(None)
        outcome = self.outcomes[index]
        if outcome is not None:
            raise outcome

    def _run(self, block: Block) -> None:
        if ">>>" in block.text:
            run_doctest(block.text, self.namespace, block.name, block.page, block.line)
        else:
            padding = "\n" * (block.line - 1)  # so that a traceback shows the line of the page
            exec(compile(padding + block.text, str(block.page), "exec"), self.namespace)


def is_run(block: Block) -> bool:
    return not NOT_RUN.fullmatch(block.remark)


@cache
def run_of(path: Path) -> Page:
    return Page([block for block in BLOCKS if block.page == path and block.language in {"python", "pycon"}])


BLOCKS = [
    block
    for page in PAGES
    if page.exists()
    for block in blocks_of(page, page.read_text(encoding="utf-8"))
    if is_run(block)
]


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, id=block.name) for block in BLOCKS if block.language in {"python", "pycon"}],
)
def test_python_in_the_pages_runs(block: Block) -> None:
    run_of(block.page).run_up_to(block)


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it should print."""
    _, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    for part in parts:
        command, _, printed = part.partition("\n")
        yield command, printed


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether the text is the one shown. A line ``...`` stands for any lines; blanks at an end are free."""

    def tidy(text: str) -> str:
        return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines())

    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in tidy(shown).splitlines()
    )
    return re.fullmatch(pattern, tidy(printed)) is not None


CONSOLES = [
    pytest.param(command, printed, id=f"{block.name} {command}")
    for block in BLOCKS
    if block.language == "console"
    for command, printed in commands_of(block.text)
    if command.startswith("mockbroker ")
]


@pytest.mark.parametrize(("command", "shown"), CONSOLES)
def test_consoles_show_what_is_printed(command: str, shown: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if not is_as_shown(shown, run.stdout):
        assert run.stdout == shown


@dataclass(frozen=True)
class Docstring:
    """A docstring with examples, found without importing its module."""

    path: Path
    line: int
    owner: str
    text: str

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def docstrings_of(path: Path) -> Iterator[Docstring]:
    def walk(node: ast.AST, owner: str) -> Iterator[Docstring]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from look(child, f"{owner}.{child.name}".lstrip("."))

    def look(
        node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, owner: str
    ) -> Iterator[Docstring]:
        text = ast.get_docstring(node)
        if text and ">>>" in text:
            yield Docstring(path, node.body[0].lineno, owner, text)
        yield from walk(node, owner)

    return look(ast.parse(path.read_text(encoding="utf-8")), "")


DOCSTRINGS = [
    pytest.param(docstring, id=f"{path.relative_to(ROOT)}:{docstring.line} {docstring.owner}".rstrip())
    for path in sorted((ROOT / "mockbroker").rglob("*.py"))
    for docstring in docstrings_of(path)
]


@pytest.mark.parametrize("docstring", DOCSTRINGS)
def test_examples_in_docstrings_run(docstring: Docstring) -> None:
    namespace = dict(vars(importlib.import_module(docstring.module)))
    run_doctest(docstring.text, namespace, docstring.owner, docstring.path, docstring.line)


def test_the_readme_has_the_two_commands() -> None:
    marks = [block.remark for block in BLOCKS if block.page == PAGES[0] and block.language == "sh"]
    assert marks[:2] == ["<!-- command: demo -->", "<!-- command: test -->"]


EXAMPLE = """\
Text, and `code` in it.

```python
x = 1
```

<!-- not run: it needs a server -->
```python
raise SystemExit
```

- In a list:

  ```pycon
  >>> x + 1
  2
  >>> print("a b c")
  a...c
  ```

```console
$ mockbroker demo hello
one
...
last
$ other
```
"""


def example_blocks() -> list[Block]:
    return list(blocks_of(ROOT / "docs" / "example.md", EXAMPLE))


def test_blocks_are_found_with_their_lines() -> None:
    found = [(block.line, block.language, is_run(block)) for block in example_blocks()]
    assert found == [(4, "python", True), (9, "python", False), (15, "pycon", True), (22, "console", True)]


def test_a_block_runs_after_those_before_it() -> None:
    first, _, second, _ = example_blocks()
    Page([first, second]).run_up_to(second)
    with pytest.raises(AssertionError, match=r"line 15, in docs/example\.md:15"):
        Page([second]).run_up_to(second)


def test_a_console_is_compared_word_for_word() -> None:
    (command, shown), (other, nothing) = commands_of(example_blocks()[3].text)
    assert (command, other, nothing) == ("mockbroker demo hello", "other", "")
    assert is_as_shown(shown, "one\nlast\n")
    assert is_as_shown(shown, "one \ntwo\nthree\nlast\n\n")
    assert not is_as_shown(shown, "one\ntwo\nlast!\n")
    assert not is_as_shown(shown, "one\nlast\nmore\n")
