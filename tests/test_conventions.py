"""Conventions of the text and the code: ± is one standard error, and commands run last in their file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dagster_project.settings import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
CODE = [
    path
    for folder in ("ui", "serve", "uplift_core", "dagster_project", "bench", "sql")
    for path in sorted((REPOSITORY / folder).rglob("*.*"))
    if path.suffix in {".py", ".sql", ".toml"}
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_with_an_error_says_which_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "±" not in text or re.search(r"±.? is one\s+standard\s+error|± one standard error", text)


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: path.name)
def test_no_error_is_multiplied_to_an_interval(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"±\s*(95|1\.96|2 )|±\s*\{?\s*(Z95|reach|1\.96)|± *\" *\n *f\"\{Z95", text)


@pytest.mark.parametrize(
    "path", [path for path in CODE if path.suffix == ".py"], ids=lambda path: path.name
)
def test_a_command_runs_after_all_its_functions_are_defined(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    starts = [i for i, node in enumerate(body) if isinstance(node, ast.If) and _is_main(node)]
    assert starts in ([], [len(body) - 1]), "move `if __name__ == '__main__'` to the end"


def _is_main(node: ast.If) -> bool:
    return ast.unparse(node.test) == "__name__ == '__main__'"
