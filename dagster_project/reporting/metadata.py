"""What a materialization shows of its table in the Dagster UI."""

from __future__ import annotations

import dagster as dg

from dagster_project.reporting.markdown import markdown_table
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

PREVIEW_ROWS = 5


def describe_table(
    db: Warehouse, table: Identifier, sql: str = "", **own: object
) -> dict[str, dg.MetadataValue]:
    """Row count, columns with their comments, the first rows, and the SQL that made the table.

    ``own``, column to value, says which rows are the asset's own where a table holds those of others.
    """
    columns = db.rows(f"describe {table}")
    source = f"{table} where " + " and ".join(f"{name} = ${name}" for name in own) if own else str(table)
    rows = db.rows(f"select * from {source} limit {PREVIEW_ROWS}", own)
    ((count,),) = db.rows(f"select count(*) from {source}", own)
    said = {k[2]: text for k, text in db.columns().items() if Identifier.of(*k[:2]) == table}
    schema = dg.TableSchema(
        [dg.TableColumn(name=str(c[0]), type=str(c[1]), description=said.get(c[0])) for c in columns]
    )
    found: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(count),
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "table": dg.MetadataValue.text(str(table).replace('"', "")),
        "preview": dg.MetadataValue.md(markdown_table([str(c[0]) for c in columns], rows)),
    }
    if sql:
        found["sql"] = dg.MetadataValue.md(f"```sql\n{sql}\n```")
    return found
