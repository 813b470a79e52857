"""Three versions after this one, made for tests; as a command: kill upgrades to them at every write."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import duckdb

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.migrations import (
    Migration,
    read_migrations,
    shape_after,
    upgrade,
    version_of,
)
from dagster_project.warehouse.shape import Shape, shape_of
from uplift_core.artifacts.home import Home

KILLED = 9
# Statements that write nothing, or nothing where the table is there.
HARMLESS = ("select", "create schema if not exists", "create table if not exists")
FURTHER = {
    "more_about_nights": """
        alter table decisions.nights add column if not exists weather varchar default 'unknown';
        alter table decisions.nights alter column weather set not null;
        alter table {{ treat_list }} add column if not exists channel varchar;
    """,
    "limits_are_texts": """
        alter table decisions.gates alter column "limit" type varchar;
        create table if not exists decisions.notes (experiment varchar primary key, note varchar);
        drop table if exists evaluation.metrics;
    """,
    "budget_in_percent": """
        create temporary table moved as from decisions.list_rules;
        drop table decisions.list_rules;
        create table decisions.list_rules (
            decision_date date, experiment varchar, campaign varchar, percent double not null,
            primary key (decision_date, experiment, campaign)
        );
        insert into decisions.list_rules
        select decision_date, experiment, campaign, 100 * budget from moved;
        drop table moved;
    """,
}


def further() -> list[Migration]:
    """The migrations of this version and three made-up ones."""
    migrations = read_migrations()
    for name, template in FURTHER.items():
        migrations.append(Migration(len(migrations) + 1, name, template))
    return migrations


def upgrade_further(home: Home) -> list[str]:
    """Upgrade a home's warehouse by all of them; return what was told."""
    told: list[str] = []
    with duckdb.connect(str(home.warehouse)) as con:
        upgrade(Warehouse(con), home, told.append, further())
    return told


def die_before_write(home: Home, number: int) -> None:
    """Upgrade; end this process before the statement of that number which writes."""
    left, rows = number, Warehouse.rows

    def counted(
        db: Warehouse, sql: str, binds: Mapping[str, object] = MappingProxyType({})
    ) -> list[tuple]:
        nonlocal left
        left -= not sql.lstrip().startswith(HARMLESS)
        if not left:
            os._exit(KILLED)
        return rows(db, sql, binds)

    Warehouse.rows = counted
    upgrade_further(home)


def look(home: Home, shapes: Sequence[Shape]) -> int:
    """Print the version, whether the tables are its tables, and the rows of the ledger; return it."""
    with duckdb.connect(str(home.warehouse)) as con:
        db = Warehouse(con)
        version = version_of(db)
        (rows,) = db.one("select count(*) from decisions.treat_list")
        sys.stdout.write(f"{version} {shape_of(db) == shapes[version - 1]} {rows}\n")
        sys.stdout.flush()
    return version


def in_child(work: Callable[..., int | None], *arguments: object) -> int:
    """Run a function in a forked process; return its exit code, which is what it returns."""
    child = os.fork()
    if not child:
        os._exit(work(*arguments) or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    place, number, code = Home(Path(sys.argv[1])), 0, KILLED
    stored, stored_version = place.warehouse.read_bytes(), 1
    all_shapes = [shape_after(further()[: n + 1]) for n in range(len(further()))]
    while code == KILLED:
        number += 1
        place.warehouse.with_name("warehouse.duckdb.wal").unlink(missing_ok=True)
        shutil.rmtree(place.upgrades, ignore_errors=True)
        place.warehouse.write_bytes(stored)
        code = in_child(die_before_write, place, number)
        version = in_child(look, place, all_shapes)
        if version > stored_version:  # go on from here: what comes before was killed everywhere
            stored, stored_version, number = place.warehouse.read_bytes(), version, 0
    sys.exit(code)
