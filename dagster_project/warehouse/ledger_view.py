"""The ledger ``decisions.treat_list``: a table, or a view that unites a table with workers' files.

The ledger is a plain table as long as this machine makes all nights. When workers make the first night,
the table is renamed to ``decisions.treat_list_here``, and a view with the old name unites its rows with
the workers' Parquet files: readers of the ledger see no difference. The view selects each night with
its key as constants, so that a query about one night reads no rows of other nights.
"""

from __future__ import annotations

from dagster_project.warehouse.comments import comment_statements
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import PATTERN
from dagster_project.warehouse.sql import Identifier, literal
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS, VIEW

REGISTRY = ("decisions", "treat_list_parts")
PARTS = Identifier.of(*REGISTRY)
TREAT_LIST = Identifier.of(*LEDGER)
ROWS = Identifier.of(*LEDGER_ROWS)


def rows_table(db: Warehouse) -> Identifier:
    """Return the table of the nights that this machine made."""
    return ROWS if db.kind(TREAT_LIST) == VIEW else TREAT_LIST


def show_parts(db: Warehouse) -> None:
    """Make ``decisions.treat_list`` a view of its table and all registered parts."""
    nights = db.rows(
        f"select decision_date::varchar, experiment, campaign, folder from {PARTS} order by all"
    )
    if db.kind(TREAT_LIST) != VIEW:
        if not nights:
            return
        db.rows(f"alter table {TREAT_LIST} rename to {Identifier.of(LEDGER_ROWS[1])}")
    each = [
        f"select * replace (date {literal(date)} as decision_date, {literal(experiment)} as experiment, "
        f"{literal(campaign)} as campaign) "
        f"from read_parquet({literal(f'{folder}/{PATTERN}')}, hive_partitioning = false)"
        for date, experiment, campaign, folder in nights
    ]
    whole = " union all by name ".join([f"from {ROWS}", *each])
    db.rows(f"create or replace view {TREAT_LIST} as {whole}")
    comments = {
        (*LEDGER, k[2]): text for k, text in db.columns().items() if k[:2] == LEDGER_ROWS and text
    }
    for statement in comment_statements(comments, {}, of="view"):
        db.rows(statement)
