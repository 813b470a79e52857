"""± is one standard error wherever it is written; what is more is called an interval."""

from __future__ import annotations

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
