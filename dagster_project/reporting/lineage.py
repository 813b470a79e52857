"""Column lineage, read from the SQL: the source columns of each column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

LINEAGE = "dagster/column_lineage"


def column_lineage(
    db: Warehouse, sql: str, sources: Mapping[str, dg.AssetKey]
) -> dict[str, dg.MetadataValue]:
    """Return Dagster metadata: every column of a SELECT with the columns of other assets it reads.

    Args:
        db: the warehouse with the sources' columns.
        sql: one SELECT.
        sources: ``schema.table`` -> the asset that is this table.

    Returns:
        The metadata entry; empty if sqlglot cannot follow the SQL.
    """
    schema: dict[str, Any] = {}
    for name in sources:
        place, _, table = name.partition(".")
        columns = db.rows(f"describe {Identifier.of(place, table)}")
        schema.setdefault(place, {})[table] = {str(c[0]): str(c[1]) for c in columns}
    try:
        select: Any = qualify(parse_one(sql, read="duckdb"), schema=schema, dialect="duckdb")
        # All columns at once, in the untrimmed SELECT: a copy of it for each takes minutes of 600.
        nodes = lineage(None, select, schema=schema, dialect="duckdb", trim_selects=False)
        sources_of = {column: sorted(set(_leaves(node))) for column, node in nodes.items()}
    except (SqlglotError, ValueError):
        return {}
    dependencies = {
        column: [
            dg.TableColumnDep(asset_key=sources[table], column_name=name)
            for table, name in leaves
            if table in sources
        ]
        for column, leaves in sources_of.items()
    }
    whole = dg.TableColumnLineage(deps_by_column=dependencies)
    return {LINEAGE: dg.MetadataValue.column_lineage(whole)}


def _leaves(node: Node) -> Iterator[tuple[str, str]]:
    for each in node.walk():
        if isinstance(each.expression, exp.Table):
            yield f"{each.expression.db}.{each.expression.name}", each.name.rpartition(".")[2].strip('"')
