"""Comments beside the columns of one SQL statement, read by sqlglot.

Its import takes half a second, so ``comments`` imports this module only for SQL that has such comments.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

ColumnComments = tuple[dict[str, str], dict[str, str], dict[str, str]]


def column_comments(sql: str) -> ColumnComments:
    """Return comments by column, comments by pattern of columns, and source columns by new name.

    SQL that sqlglot cannot parse gives none: a missing comment is no reason to fail.
    """
    try:
        statement = sqlglot.parse_one(sql, read="duckdb")
    except SqlglotError:
        return {}, {}, {}
    if isinstance(statement, exp.Create):
        definitions = statement.find_all(exp.ColumnDef)
        return {c.name: text for c in definitions if (text := _beside(c))}, {}, {}
    return _of_select(statement)


def _of_select(statement: exp.Expr) -> ColumnComments:
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
    return columns, patterns, renamed


def _selected(statement: exp.Expr) -> list[exp.Expr]:
    """List the output expressions; ``select *`` from a subquery gives those of the subquery."""
    if not isinstance(statement, exp.Query):
        return []
    source = statement.args.get("from_") or statement.args.get("from")
    if statement.is_star and len(statement.selects) == 1 and source:
        inner = source.this
        return _selected(inner.this) if isinstance(inner, exp.Subquery) else []
    return list(statement.selects)


def _beside(item: exp.Expr) -> str:
    comments = (comment for node in item.walk() for comment in node.comments or ())
    return " ".join(" ".join(comments).split())
