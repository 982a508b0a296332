"""README.md shows what its first program prints, every link leads somewhere, and the map names every room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


def test_the_first_program_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text(encoding="utf-8")
    shown = re.search(r"```python\n(.*?)```\n\nIt prints:\n\n```text\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    exec(compile(shown[1], str(README), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [match[1] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_map_names_every_room() -> None:
    text = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
    package = ROOT / "mockbroker"
    rooms = [
        path
        for folder in (package, package / "core")
        for path in folder.iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("_")
    ]
    assert [path.stem for path in rooms if not re.search(rf"\b{path.stem}\b", text)] == []
