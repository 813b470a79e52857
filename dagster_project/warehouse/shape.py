"""The shape of a warehouse: its shared tables' columns with types, and their keys."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS

# schema, table, column (empty: the primary key) -> type and whether it may be null, or the key's columns
Shape = Mapping[tuple[str, str, str], str]

COLUMNS = """
select schema_name, table_name, column_name, data_type || if(is_nullable, '', ' not null')
from duckdb_columns()
semi join duckdb_tables() using (database_name, schema_name, table_name)
where not internal and database_name = current_database() and schema_name <> 'main'
union all
select schema_name, table_name, '', list_aggregate(constraint_column_names, 'string_agg', ', ')
from duckdb_constraints()
where database_name = current_database() and constraint_type = 'PRIMARY KEY' and schema_name <> 'main'
"""


def shape_of(db: Warehouse) -> Shape:
    """Return the shape of all tables in a schema; that of the ledger under its own name."""
    shape: dict[tuple[str, str, str], str] = {}
    for schema, table, column, text in db.rows(COLUMNS):
        place = LEDGER if (schema, table) == LEDGER_ROWS else (str(schema), str(table))
        shape[(*place, str(column))] = str(text)
    return shape


def differences(wanted: Shape, actual: Shape) -> list[str]:
    """List what is wanted and differs, in order; tables that are missing as a whole do not count."""
    tables = {key[:2] for key in actual}
    return [
        _difference(key, wanted[key], actual.get(key))
        for key in sorted(wanted)
        if key[:2] in tables and actual.get(key) != wanted[key]
    ]


def _difference(key: tuple[str, str, str], wanted: str, actual: str | None) -> str:
    schema, table, column = key
    if not column:
        return f"{schema}.{table} has the key ({actual or ''}), not ({wanted})"
    if actual is None:
        return f"it lacks {schema}.{table}.{column}"
    return f"{schema}.{table}.{column} is {actual}, not {wanted}"
