"""Deliver a list into a table of PostgreSQL, exactly once.

A second table, ``<table>_deliveries``, has one row per list with the digest of what was delivered. Both
change in one transaction, so a reader sees the old list or the new one, whenever the delivery is killed.
"""

from __future__ import annotations

from typing import Any

from dagster_project.delivery.targets.delivered import DeliveredRows
from dagster_project.inputs.connections import driver_of, is_postgres, quoted
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError
from uplift_core.experiment.deliveries import TABLE_KEY, TableDelivery

INCOMING = "uplift_incoming"  # temporary table of one session
CREATE_RECORDS = """
create table if not exists {records} (
    experiment text not null, campaign text not null, decision_date date not null,
    digest text not null, users bigint not null, delivered_at timestamptz not null default now(),
    primary key (experiment, campaign, decision_date)
)
"""
THIS_LIST = "experiment = $1 and campaign = $2 and decision_date = $3::text::date"
RECORD = """
insert into {records} (experiment, campaign, decision_date, digest, users)
values ($1, $2, $3::text::date, $4, $5)
on conflict (experiment, campaign, decision_date)
do update set digest = excluded.digest, users = excluded.users, delivered_at = now()
"""


def deliver_to_table(
    db: Warehouse, rows: DeliveredRows, delivery: TableDelivery, uri: str, digest: str
) -> int | None:
    """Replace the list's rows in the table; return their number, or None if they were there already.

    Args:
        db: the warehouse with the rows.
        rows: the list's rows in the table's columns.
        delivery: the connection and the table, which is made if there is none.
        uri: the connection's URI.
        digest: digest of what is delivered.

    Raises:
        DataError: the URI is not PostgreSQL's.
    """
    if not is_postgres(uri):
        raise DataError("kind = 'table' delivers to PostgreSQL; give a URI such as postgresql://...")
    table, records = quoted(delivery.table), quoted(f"{delivery.table}_deliveries")
    this_list = (rows.key.experiment, rows.key.campaign, rows.key.decision_date)
    with driver_of("postgresql").connect(uri) as con, con.cursor() as cursor:
        cursor.execute("set local lock_timeout = '60s'")
        cursor.execute(CREATE_RECORDS.format(records=records))
        # A second delivery waits until this one has ended.
        cursor.execute(f"lock table {records} in share row exclusive mode")
        cursor.execute(f"select digest from {records} where {THIS_LIST}", this_list)
        if cursor.fetchone() == (digest,):
            con.rollback()
            return None
        with db.batches(rows.select, rows.binds) as batches:
            names = batches.schema.names
            users = cursor.adbc_ingest(INCOMING, batches, mode="create", temporary=True)
        _replace(cursor, table, delivery, names, this_list)
        cursor.execute(RECORD.format(records=records), (*this_list, digest, users))
        con.commit()
    return int(users)


def _replace(
    cursor: Any, table: str, delivery: TableDelivery, names: list[str], this_list: tuple[str, str, str]
) -> None:
    cursor.execute(f"create table if not exists {table} as select * from {INCOMING} with no data")
    experiment, campaign, date = (Identifier.of(delivery.columns.get(name, name)) for name in TABLE_KEY)
    cursor.execute(
        f"delete from {table} where {experiment} = $1 and {campaign} = $2 and {date} = $3::text::date",
        this_list,
    )
    columns = Identifier.listed(names)
    cursor.execute(f"insert into {table} ({columns}) select {columns} from {INCOMING}")
