"""Sphinx's configuration of the documentation site: ``make docs``."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

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

napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_typehints = "none"  # signatures hold them; docstrings say shapes and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True


def setup(app: Sphinx) -> None:
    """Show drawings of Mermaid as their text, which needs no network."""
    app.add_lexer("mermaid", TextLexer)
