"""Great Expectations' pages, opened without the network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dagster_project.checks.findings import Finding
from dagster_project.checks.pages import Checked, make_offline

LOADED = re.compile(r"<(?:link|script|img)\b|url\(|@import")
RAW = Path("data_docs") / "simulated" / "raw"


def test_pages_load_nothing(simulated_home: Path) -> None:
    pages = list((simulated_home / "data_docs").rglob("*.html"))
    assert len(pages) > 10
    assert [page for page in pages if LOADED.search(page.read_text(encoding="utf-8"))] == []


def test_the_list_leads_to_every_result(simulated_home: Path) -> None:
    folder = simulated_home / RAW
    links = re.findall('href="([^"]+)"', (folder / "index.html").read_text(encoding="utf-8"))
    results = {str(p.relative_to(folder)) for p in (folder / "validations").rglob("*.html")}
    assert {unquote(link) for link in links} == results
    for result in results:
        text = (folder / result).read_text(encoding="utf-8")
        assert "Evaluated Expectations" in text
        assert "<style>" in text


def test_the_list_says_what_did_not_pass(tmp_path: Path) -> None:
    page = tmp_path / "validations" / "users & more" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html><head></head><body><script src='x'></script>text</body></html>")
    findings = [
        Finding("keys", "unique", "user_id", "7", "twice", passed=passed) for passed in (True, False)
    ]
    make_offline(tmp_path, "toy/raw", [Checked("users & more", findings)])
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "users &amp; more" in index
    assert re.search(r"text-danger.*<td>2</td><td>1</td>", index, re.DOTALL)
    assert "script" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("layer", ["raw", "features", "assignment", "scores", "treat_list"])
def test_every_table_that_is_asked_has_its_pages(simulated_home: Path, layer: str) -> None:
    assert (simulated_home / "data_docs" / "simulated" / layer / "index.html").is_file()
