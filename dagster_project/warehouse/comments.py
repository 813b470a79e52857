"""Comments of tables and columns, read from the SQL that makes them and stored as COMMENTs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.sql import Identifier, literal

HEADER = re.compile(r"/\*(.*?)\*/", re.DOTALL)
NOT_FOR_READERS = re.compile(r"\s*\bBound: [^.]*\.?", re.DOTALL)
DEFINING_LAYERS = ("raw", "features")  # later layers inherit the comments of their columns

Columns = Mapping[tuple[str, str, str], str]  # schema, table, column (empty: the table) -> comment


def _matches(pattern: str, name: str) -> bool:
    try:
        return bool(re.fullmatch(pattern, name))
    except re.error:  # DuckDB knows expressions that Python does not
        return False


@dataclass(frozen=True)
class Comments:
    """The comments of a table, and of its columns by name.

    ``patterns`` maps a regular expression of column names to the comment of an expression that yields
    several columns. ``renamed`` maps a column to the source column that it renames.
    """

    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def of_column(self, name: str, inherited: Mapping[str, str]) -> str:
        """Return a column's comment: from its SQL, an earlier table or its usual meaning; or empty."""
        if name in self.columns:
            return self.columns[name]
        matching = (text for pattern, text in self.patterns.items() if _matches(pattern, name))
        source = self.renamed.get(name, name)
        return next(matching, "") or inherited.get(name) or inherited.get(source) or usual_meaning(name)


def usual_meaning(name: str) -> str:
    """Return the meaning of a column name that holds in every table; empty if there is none."""
    names = _usual()
    matching = (text for pattern, text in names.items() if fnmatchcase(name, pattern))
    return names.get(name) or next(matching, "")


@cache
def _usual() -> dict[str, str]:
    return tomllib.loads((SQL_FOLDER / "columns.toml").read_text(encoding="utf-8"))


@cache
def comments_of(sql: str) -> Comments:
    """Read the header and the comments beside the columns of one SELECT or CREATE TABLE."""
    header = HEADER.search(sql)
    table = " ".join(NOT_FOR_READERS.sub("", header[1]).split()) if header else ""
    if "--" not in sql and sql.count("/*") <= 1:
        return Comments(table)  # no column has a comment; generated SQL can be long to parse
    from dagster_project.warehouse.column_comments import column_comments  # noqa: PLC0415 - see there

    return Comments(table, *column_comments(sql))


def comments_for(schema: str, table: str, sql: str, known: Columns) -> dict[tuple[str, str, str], str]:
    """Return the comments of a table that ``sql`` made, and of its columns.

    A column without a comment in ``sql`` inherits that of the experiment's raw or features table.

    Args:
        schema: the table's schema.
        table: the table's name, ``<experiment>`` or ``<experiment>_<what>``.
        sql: the SELECT or CREATE TABLE.
        known: all columns of the database, with their comments.
    """
    comments, inherited = comments_of(sql), _inherited(schema, table, known)
    columns = [column for place, other, column in known if (place, other) == (schema, table) and column]
    texts = {column: comments.of_column(column, inherited) for column in columns} | {"": comments.table}
    return {(schema, table, column): text for column, text in texts.items() if text}


def _inherited(schema: str, table: str, known: Columns) -> dict[str, str]:
    """Return the comments of columns of the experiment's earlier tables; a later table wins."""
    raw = {name for layer, name, _ in known if layer == DEFINING_LAYERS[0]}
    owners = [name for name in raw if table == name or table.startswith(f"{name}_")]
    owner = max(owners, key=len, default="")
    earlier = (
        DEFINING_LAYERS[: DEFINING_LAYERS.index(schema)]
        if schema in DEFINING_LAYERS
        else DEFINING_LAYERS
    )
    return {
        column: text
        for layer in earlier
        for (place, name, column), text in known.items()
        if (place, name) == (layer, owner) and column and text
    }


def comment_statements(
    new: Columns, current: Columns, database: str = "", *, of: str = "table"
) -> Iterator[str]:
    """Yield COMMENT statements for new or changed comments; ``of`` is "table" or "view"."""
    for (schema, table, column), text in new.items():
        if current.get((schema, table, column)) != text:
            place = [part for part in (database, schema, table, column) if part]
            kind = "column" if column else of
            yield f"comment on {kind} {Identifier.of(*place)} is {literal(text)}"
