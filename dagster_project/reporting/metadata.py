"""The metadata that a materialization shows of its table in the Dagster UI."""

from __future__ import annotations

import dagster as dg

from dagster_project.reporting.markdown import markdown_table
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

PREVIEW_ROWS = 5


def describe_table(
    db: Warehouse, table: Identifier, sql: str = "", **row_filter: object
) -> dict[str, dg.MetadataValue]:
    """Return row count, columns with their comments, the first rows, and the SQL of a table.

    A table of users has no first rows here: Dagster's store must not name people.

    ``row_filter``, column to value, selects the asset's rows if a table also holds rows of others.
    """
    columns = db.rows(f"describe {table}")
    source = str(table)
    if row_filter:
        source += " where " + " and ".join(f"{name} = ${name}" for name in row_filter)
    ((count,),) = db.rows(f"select count(*) from {source}", row_filter)
    comments = {k[2]: text for k, text in db.columns().items() if Identifier.of(*k[:2]) == table}
    schema = dg.TableSchema(
        [dg.TableColumn(name=str(c[0]), type=str(c[1]), description=comments.get(c[0])) for c in columns]
    )
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(count),
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "table": dg.MetadataValue.text(str(table).replace('"', "")),
    }
    if "user_id" not in {c[0] for c in columns}:
        rows = db.rows(f"select * from {source} limit {PREVIEW_ROWS}", row_filter)
        metadata["preview"] = dg.MetadataValue.md(markdown_table([str(c[0]) for c in columns], rows))
    if sql:
        metadata["sql"] = dg.MetadataValue.md(f"```sql\n{sql}\n```")
    return metadata
