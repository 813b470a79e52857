"""Rendering of the SQL files under ``sql/``.

The files are Jinja templates, so one file serves every experiment. Placeholders take only ``Identifier``
objects, which come from a checked declaration; a plain string is refused. Values are bound:
``{{ bind.name }}`` stands for the bound parameter ``$name``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import jinja2

from dagster_project.settings import SQL_FOLDER
from uplift_core.errors import UpliftError


@dataclass(frozen=True)
class Identifier:
    """A quoted SQL identifier: parts joined by dots."""

    sql: str

    @classmethod
    def of(cls, *parts: str) -> Identifier:
        """Quote each part."""
        return cls(".".join('"' + part.replace('"', '""') + '"' for part in parts))

    @classmethod
    def listed(cls, names: Iterable[str]) -> Identifier:
        """Quote several columns and join them by commas."""
        return cls(", ".join(cls.of(name).sql for name in names))

    def __str__(self) -> str:
        return self.sql


def literal(text: str) -> str:
    """Quote a string as SQL literal, for statements that take no bound values: views, files, COMMENT."""
    return "'" + text.replace("'", "''") + "'"


def _only_identifiers(value: object) -> str:
    if isinstance(value, Identifier):
        return value.sql
    raise UpliftError(f"SQL template: {value!r} is no identifier; bind values as {{{{ bind.name }}}}")


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(SQL_FOLDER),
    undefined=jinja2.StrictUndefined,
    finalize=_only_identifiers,
    autoescape=False,  # noqa: S701 - SQL, not HTML; placeholders take identifiers only
    keep_trailing_newline=True,
)


class _Binds:
    """The object behind ``bind.name`` in a template: it returns the bound parameter of that name."""

    def __getattr__(self, name: str) -> Identifier:
        return Identifier(f"${name}")


def render(file: str, **identifiers: object) -> str:
    """Render ``sql/<file>`` with identifiers filled in."""
    return _environment.get_template(file).render(bind=_Binds(), **identifiers)


def render_text(template: str, **identifiers: object) -> str:
    """Render the text of a SQL file with identifiers filled in."""
    return _environment.from_string(template).render(bind=_Binds(), **identifiers)


def sql_sha256(*texts: str) -> str:
    """Return the sha256 over SQL texts, in order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
