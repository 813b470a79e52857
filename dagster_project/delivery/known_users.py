"""Data about known users in a snapshot: newest lists, contacts and the rules of lists.

The service decides about a known user by these rules; the same rules made the lists.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

from dagster_project.decisions.records import NIGHTS, TREAT_LIST
from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.comments import comments_for
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.schema import CONTACTS
from dagster_project.warehouse.sql import Identifier, render

LISTED = Identifier.of("decisions", "listed")
NEWEST_LISTS = f"""
select max(decision_date)::varchar as decision_date, experiment, campaign
from {NIGHTS}
where experiment not in (select distinct experiment from {LISTED})
group by all
order by all
"""
NEWEST_CAPS = """
select min(contact_cap) as cap, max(cap_days) as days, max(decision_date) as newest
from (
    from decisions.list_rules where experiment = $experiment
    qualify row_number() over (partition by campaign order by decision_date desc) = 1
)
where contact_cap is not null
"""


def create_tables(db: Warehouse) -> None:
    """Create the tables that only a snapshot has, in the current database."""
    for path in snapshot_files():
        db.rows(path.read_text(encoding="utf-8"))


def comments(db: Warehouse, database: str) -> dict[tuple[str, str, str], str]:
    """Return the comments of the tables of ``create_tables`` and of their columns."""
    known = db.columns(database)
    texts: dict[tuple[str, str, str], str] = {}
    for path in snapshot_files():
        schema, _, table = path.stem.partition(".")
        texts |= comments_for(schema, table, path.read_text(encoding="utf-8"), known)
    return texts


def copy_contacts(db: Warehouse, experiment: str, database: str) -> None:
    """Copy an experiment's contacts that a cap may still count to another database."""
    cap, days, newest = db.one(NEWEST_CAPS, {"experiment": experiment})
    if cap is None:
        return
    sql = render("decisions/capped_contacts.sql", contacts=Identifier.of(*CONTACTS))
    binds = {"experiment": experiment, "cap": cap, "since": newest - timedelta(days=days)}
    db.rows(f"insert into {Identifier.of(database, *CONTACTS)} by name {sql}", binds)


def sort_newest_lists(db: Warehouse) -> None:
    """Fill ``decisions.listed`` of the current database for experiments that it does not hold yet."""
    sql = render("decisions/listed.sql", treat_list=TREAT_LIST)
    for date, experiment, campaign in db.rows(NEWEST_LISTS):
        binds = {"decision_date": date, "experiment": experiment, "campaign": campaign}
        db.rows(f"insert into {LISTED} by name {sql}", binds)


@cache
def snapshot_files() -> tuple[Path, ...]:
    """List the SQL files of the tables that only a snapshot has."""
    return tuple(sorted((SQL_FOLDER / "published").glob("*.sql")))
