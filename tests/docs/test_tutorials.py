"""Pages whose Python runs as it stands: each block, in order, in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_project.settings import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [DOCS / "library.md", *sorted((DOCS / "tutorials").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_it_stands(page: Path, tmp_path: Path, hillstrom_file: Path) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    (tmp_path / "hillstrom.csv").symlink_to(hillstrom_file)
    (tmp_path / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    run = [sys.executable, "page.py"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
