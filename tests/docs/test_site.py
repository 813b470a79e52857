"""The documentation site is built without a warning; a broken link is one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_project.settings import REPOSITORY
from tests.docs.test_tutorials import BLOCK

DOCS = REPOSITORY / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
BUILD = (sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([*BUILD, DOCS, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_is_built_without_a_warning(site: Path) -> None:
    reference = (site / "api.html").read_text(encoding="utf-8")
    assert 'id="uplift_core.library.fitting.fit"' in reference
    assert "Learn from a randomized experiment what each arm changes for whom" in reference
    assert (site / "searchindex.js").is_file()
    assert (site / "tutorials" / "good-model.html").is_file()


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_is_a_notebook_of_the_same_python(page: Path, site: Path) -> None:
    notebook = json.loads((site / "tutorials" / f"{page.stem}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert code == [block.strip() for block in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert f'href="{page.stem}.ipynb"' in (site / "tutorials" / f"{page.stem}.html").read_text("utf-8")


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
