"""docs/security.md promises nothing against a threat that no test tries, and names no test that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TABLES = ("What a thief gets", "Against whom")
UNTRIED = ("an operator of the machine with root",)  # nothing stops them
_NAMED = re.compile(r"`((?:unit|integration|end_to_end)/[\w/]+\.py)::(\w+)`")


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("title", TABLES)
def test_every_threat_names_a_test(title: str) -> None:
    found = rows(title)
    assert len(found) > 10
    assert [row[0] for row in found if not _NAMED.search(row[-1]) and not row[0].startswith(UNTRIED)] == []


@pytest.mark.parametrize("title", TABLES)
def test_every_row_has_all_cells(title: str) -> None:
    assert len({len(row) for row in rows(title)}) == 1


def test_every_test_that_is_named_is_there() -> None:
    named = set(_NAMED.findall(TEXT))
    assert len(named) > 30
    assert {f"{path}::{name}" for path, name in named if name not in functions(ROOT / "tests" / path)} == set()
