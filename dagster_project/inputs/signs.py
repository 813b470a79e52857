"""Signed types for the whole numbers of raw tables, so that analysts can subtract them."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

# In DuckDB, 0 - 1 is an error for an unsigned type. UBIGINT stays: its values, mostly ids, fit no signed
# type that Parquet and the service know.
SIGNED = {"UTINYINT": "integer", "USMALLINT": "integer", "UINTEGER": "bigint"}


def with_signs(db: Warehouse, select: str, binds: Mapping[str, object]) -> str:
    """Return ``select`` with casts of unsigned whole numbers to signed ones; unchanged if it has none.

    Raises:
        duckdb.Error: ``select`` does not run.
    """
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {select}", binds)}
    casts = [
        f"{Identifier.of(name)}::{SIGNED[type_]} as {Identifier.of(name)}"
        for name, type_ in types.items()
        if type_ in SIGNED
    ]
    if not casts:
        return select
    return f"select * replace ({', '.join(casts)}) from (\n{select.rstrip().rstrip(';')}\n)"
