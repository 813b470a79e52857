"""Rewrite Great Expectations' pages so that they work without the network.

The original pages load styles and scripts from several public servers, and a script draws the list of
pages. The rewritten pages have a small built-in style, no scripts, and a list in plain HTML.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dagster_project.checks.findings import Finding

STYLE = Path(__file__).with_name("pages.css")
FROM_ELSEWHERE = re.compile(r"<(script|style|footer)\b.*?</\1>|<link\b[^>]*>|<img\b[^>]*>", re.DOTALL)
INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>
<h1>{title}</h1>
<table><tr><th></th><th>checked</th><th>rules</th><th>not passed</th></tr>
{rows}
</table></body></html>
"""
ROW = """<tr><td><i class="fas {mark}"></i></td><td><a href="{page}">{name}</a></td>
<td>{rules}</td><td>{failed}</td></tr>"""


@dataclass(frozen=True)
class Checked:
    """One batch of rows that was checked, with its findings."""

    name: str
    findings: Sequence[Finding]


def make_offline(folder: Path, title: str, checked: Sequence[Checked]) -> None:
    """Rewrite all pages below ``folder``, and its list of pages."""
    style = f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>"
    rows = []
    for batch in checked:
        (page,) = (folder / "validations" / batch.name).rglob("*.html")
        failed = sum(not finding.passed for finding in batch.findings)
        rows.append(
            ROW.format(
                mark="text-danger" if failed else "text-success",
                page=quote(str(page.relative_to(folder))),
                name=html.escape(batch.name),
                rules=len(batch.findings),
                failed=failed,
            )
        )
    index = INDEX.format(title=html.escape(title), rows="\n".join(rows))
    (folder / "index.html").write_text(index, encoding="utf-8")
    for page in folder.rglob("*.html"):
        text = FROM_ELSEWHERE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", style, 1), encoding="utf-8")
    shutil.rmtree(folder / "static", ignore_errors=True)
