"""The documentation site is built without a warning; a broken link is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from dagster_project.settings import REPOSITORY

DOCS = REPOSITORY / "docs"
BUILD = (sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet")


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run([*BUILD, DOCS, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    assert 'id="uplift_core.library.fitting.fit"' in reference
    assert "Learn from a randomized experiment what each arm changes for whom" in reference
    assert (tmp_path / "searchindex.js").is_file()
    assert (tmp_path / "tutorials" / "good-model.html").is_file()


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    shutil.copy(DOCS / "conf.py", tmp_path)
    page = "# Page\n\n[a page](nowhere.md), [a heading](#nowhere) and [this one](#page)\n"
    (tmp_path / "index.md").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [*BUILD, tmp_path, tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.count("WARNING") == 2
    assert "nowhere.md" in done.stderr
