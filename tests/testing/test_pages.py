"""The tests that the pages show, run by pytest as a reader would run them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_docs import blocks_of

pytest_plugins = ["pytester"]

CALM = """
from hypothesis import HealthCheck, settings

settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")
"""
"""No verdict hangs on how busy the machine is."""

DOCS = Path(__file__).resolve().parents[2] / "docs"


def program_of(page: Path) -> str:
    """All Python of a page in one file, but what is shown as a session."""
    blocks = blocks_of(page, page.read_text(encoding="utf-8"))
    return "\n\n".join(block.text for block in blocks if block.language == "python")


@pytest.mark.parametrize("name", ["testing", "migrating"])
def test_the_tests_on_a_page_pass(name: str, pytester: pytest.Pytester) -> None:
    program = program_of(DOCS / f"{name}.md")
    shown = [
        node.name
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert len(shown) >= 8
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")
    pytester.makeconftest(CALM)
    pytester.makepyfile(**{f"test_{name}": program})
    result = pytester.runpytest_subprocess()
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= len(shown)
