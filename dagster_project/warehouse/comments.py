"""What tables and columns mean, as the SQL that makes them says: kept in the database as COMMENTs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.sql import Identifier, literal

HEADER = re.compile(r"/\*(.*?)\*/", re.DOTALL)
NOT_FOR_READERS = re.compile(r"\s*\bBound: [^.]*\.?", re.DOTALL)
TOLD_BY = ("raw", "features")  # layers whose columns keep their meaning in later ones

Columns = Mapping[tuple[str, str, str], str]  # schema, table, column (empty: the table) -> comment


def _matches(pattern: str, name: str) -> bool:
    try:
        return bool(re.fullmatch(pattern, name))
    except re.error:  # DuckDB knows expressions that Python does not
        return False


@dataclass(frozen=True)
class Comments:
    """Of a table, and of its columns by name.

    ``patterns`` are of expressions that yield several columns, by regular expression of the names;
    ``renamed`` says which column a column is under another name.
    """

    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def of_column(self, name: str, inherited: Mapping[str, str]) -> str:
        """What is known of a column: by its SQL, an earlier table or its usual meaning; or nothing."""
        if name in self.columns:
            return self.columns[name]
        found = (text for pattern, text in self.patterns.items() if _matches(pattern, name))
        source = self.renamed.get(name, name)
        return next(found, "") or inherited.get(name) or inherited.get(source) or usual_meaning(name)


def usual_meaning(name: str) -> str:
    """What a column of that name means wherever nothing else is said; empty if nothing is usual."""
    names = _usual()
    found = (text for pattern, text in names.items() if fnmatchcase(name, pattern))
    return names.get(name) or next(found, "")


@cache
def _usual() -> dict[str, str]:
    return tomllib.loads((SQL_FOLDER / "columns.toml").read_text(encoding="utf-8"))


@cache
def comments_of(sql: str) -> Comments:
    """Read the header and the comments beside the columns of one SELECT or CREATE TABLE.

    SQL that sqlglot cannot parse has no comments of columns: nothing is worth failing over them.
    """
    header = HEADER.search(sql)
    table = _flat(NOT_FOR_READERS.sub("", header[1])) if header else ""
    if "--" not in sql and sql.count("/*") <= 1:
        return Comments(table)  # nothing beside a column; SQL that was generated can be long
    try:
        statement = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError:
        return Comments(table)
    if isinstance(statement, exp.Create):
        definitions = statement.find_all(exp.ColumnDef)
        return Comments(table, {c.name: text for c in definitions if (text := _beside(c))})
    return _of_select(table, statement)


def _of_select(table: str, statement: exp.Expr) -> Comments:
    columns: dict[str, str] = {}
    patterns: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for item in _selected(statement):
        text = _beside(item)
        several = item.find(exp.Columns)
        if text and not several:
            columns[item.alias_or_name] = text
        elif text and several and isinstance(several.this, exp.Literal):
            patterns[several.this.name] = text
        source = item.unalias()
        while isinstance(source, exp.Cast):
            source = source.this
        if isinstance(source, exp.Column):
            renamed[item.alias_or_name] = source.name
    return Comments(table, columns, patterns, renamed)


def _selected(statement: exp.Expr) -> list[exp.Expr]:
    """The output expressions; those of the subquery where all of it is taken."""
    if not isinstance(statement, exp.Query):
        return []
    source = statement.args.get("from_") or statement.args.get("from")
    if statement.is_star and len(statement.selects) == 1 and source:
        inner = source.this
        return _selected(inner.this) if isinstance(inner, exp.Subquery) else []
    return list(statement.selects)


def _beside(item: exp.Expr) -> str:
    return _flat(*(comment for node in item.walk() for comment in node.comments or ()))


def _flat(*texts: str) -> str:
    return " ".join(" ".join(texts).split())


def comments_for(schema: str, table: str, sql: str, known: Columns) -> dict[tuple[str, str, str], str]:
    """What is to be said of a table that ``sql`` made.

    A column about which its SQL says nothing means what the experiment's raw and features tables say.

    Args:
        schema: of the table.
        table: its name, ``<experiment>`` or ``<experiment>_<what>``.
        sql: the SELECT or CREATE TABLE.
        known: all columns of the database, with their comments.
    """
    found, inherited = comments_of(sql), _inherited(schema, table, known)
    own = [column for place, other, column in known if (place, other) == (schema, table) and column]
    texts = {column: found.of_column(column, inherited) for column in own} | {"": found.table}
    return {(schema, table, column): text for column, text in texts.items() if text}


def _inherited(schema: str, table: str, known: Columns) -> dict[str, str]:
    """Comments of the columns that the experiment's earlier tables have, the latest said last."""
    raw = {name for layer, name, _ in known if layer == TOLD_BY[0]}
    owners = [name for name in raw if table == name or table.startswith(f"{name}_")]
    owner = max(owners, key=len, default="")
    earlier = TOLD_BY[: TOLD_BY.index(schema)] if schema in TOLD_BY else TOLD_BY
    return {
        column: text
        for layer in earlier
        for (place, name, column), text in known.items()
        if (place, name) == (layer, owner) and column and text
    }


def comment_statements(
    wanted: Columns, have: Columns, database: str = "", *, of: str = "table"
) -> Iterator[str]:
    """COMMENT statements for what is not yet said so; ``of`` tables, or of views."""
    for (schema, table, column), text in wanted.items():
        if have.get((schema, table, column)) != text:
            place = [part for part in (database, schema, table, column) if part]
            kind = "column" if column else of
            yield f"comment on {kind} {Identifier.of(*place)} is {literal(text)}"
