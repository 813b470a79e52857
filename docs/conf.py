"""Sphinx's configuration of the documentation site: ``make docs``."""

from __future__ import annotations

import json
import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Uplift targeting engine"
author = "the authors"
release = version = version_of("uplift-engine")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_show_copyright = False
exclude_patterns = ["pictures"]

# A heading can be linked to as on a code host: page.md#its-words.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

TUTORIALS = "tutorials"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_typehints = "none"  # signatures hold them; docstrings say shapes and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True


def setup(app: Sphinx) -> None:
    """Show drawings of Mermaid as their text, without a network; write tutorials as notebooks."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _link_notebook)
    app.connect("build-finished", _write_notebooks)


def _link_notebook(_app: Sphinx, page: str, source: list[str]) -> None:
    folder, _, name = page.rpartition("/")
    if folder == TUTORIALS:
        link = f'<p><a href="{name}.ipynb" download>This page as a notebook</a></p>'
        source[0] = f"{source[0].rstrip()}\n\n```{{raw}} html\n{link}\n```\n"


def _write_notebooks(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for page in sorted((app.srcdir / TUTORIALS).glob("*.md")):
            notebook = json.dumps(notebook_of(page.read_text(encoding="utf-8")), indent=1)
            target = app.outdir / TUTORIALS / f"{page.stem}.ipynb"
            target.write_text(notebook, encoding="utf-8")


def notebook_of(page: str) -> dict[str, Any]:
    """Return a page as a notebook (nbformat 4): its blocks of Python are the cells of code."""
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(PYTHON.split(page)):
        text = {"source": part.strip().splitlines(keepends=True), "metadata": {}, "id": f"cell-{number}"}
        if number % 2:
            cells.append({"cell_type": "code", "outputs": [], "execution_count": None, **text})
        elif part.strip():
            cells.append({"cell_type": "markdown", **text})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
