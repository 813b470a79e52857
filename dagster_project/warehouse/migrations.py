"""Bring a warehouse of an earlier version to this one, by the SQL files of ``sql/migrations``.

The file is copied first. Each migration is one transaction, with the row that records it: a process that
is killed leaves the old or the new version. A warehouse without a record is of version 1 or earlier.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb

from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.file_copy import copy_file
from dagster_project.warehouse.ledger_view import rows_table, show_parts
from dagster_project.warehouse.shape import Shape, differences, shape_of
from dagster_project.warehouse.sql import Identifier, render_text
from uplift_core.artifacts.files import sync_folder
from uplift_core.artifacts.home import Home
from uplift_core.command_words import spoken
from uplift_core.errors import UpliftError

RECORD = Identifier.of("quality", "migrations")
FILE = re.compile(r"(\d{4})_(\w+)\.sql")
ENGINE = "uplift-engine"  # the name of this distribution

Tell = Callable[[str], None]


class ShapeError(UpliftError):
    """A warehouse's tables are not those of its version."""


@dataclass(frozen=True)
class Migration:
    """One numbered change of the shared tables."""

    number: int
    name: str
    template: str

    def run(self, db: Warehouse) -> None:
        """Change the tables, and record it, in the caller's transaction."""
        text = render_text(self.template, treat_list=rows_table(db))
        for statement in db.con.extract_statements(text):
            db.rows(statement.query)
        show_parts(db)  # a view keeps the columns that it had
        if db.kind(RECORD):
            record(db, [self])


def read_migrations(folder: Path = SQL_FOLDER / "migrations") -> list[Migration]:
    """Read the migrations of a folder in the order of their numbers.

    Raises:
        UpliftError: a file's name is no number and name, or the numbers are not 1, 2, 3 and so on.
    """
    migrations: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        name = FILE.fullmatch(path.name)
        if name is None or int(name[1]) != len(migrations) + 1:
            raise UpliftError(
                f"{path}: a migration is called NNNN_name.sql and takes the next number, "
                f"{len(migrations) + 1:04}"
            )
        migrations.append(Migration(int(name[1]), name[2], path.read_text(encoding="utf-8")))
    return migrations


def record(db: Warehouse, migrations: Sequence[Migration]) -> None:
    """Record that the warehouse has these migrations; rows of earlier ones are added as well."""
    for migration in migrations:
        db.rows(
            f"insert into {RECORD} values ($number, $name, $engine, $now)",
            {
                "number": migration.number,
                "name": migration.name,
                "engine": version(ENGINE),
                "now": datetime.now(UTC).replace(tzinfo=None),
            },
        )


def version_of(db: Warehouse) -> int:
    """Return the version of a warehouse: 0 if it is empty, 1 if it has tables and no record."""
    if db.kind(RECORD):
        (number,) = db.one(f"select coalesce(max(number), 0) from {RECORD}")
        return int(number)
    return 1 if shape_of(db) else 0


def upgrade(db: Warehouse, home: Home, tell: Tell, migrations: Sequence[Migration]) -> int:
    """Run the migrations that the warehouse lacks, after a copy of its file; return its version.

    An empty warehouse needs none: its version is 0.

    Args:
        db: the warehouse, without an open transaction.
        home: its home.
        tell: logs where the copy is, and each migration.
        migrations: all migrations, in order.

    Raises:
        UpliftError: a later version made the warehouse, or there is no room for the copy.
        ShapeError: the tables are not those of the version.
    """
    before, newest = version_of(db), len(migrations)
    if before > newest:
        raise UpliftError(_too_new(db, home, before, newest))
    if before in {0, newest}:
        return before
    if not db.kind(RECORD):
        refuse_other_shape(db, home, shape_after(migrations[:1]), "version 1")
    copy = copy_aside(db, home, before)
    tell(f"{home.warehouse} is of version {before} and becomes version {newest}; its copy is {copy}")
    for migration in migrations[_first(db, before) :]:
        with transaction(db):
            migration.run(db)
        tell(f"{home.warehouse} is of version {migration.number} ({migration.name})")
    db.rows("checkpoint")
    return newest


def _first(db: Warehouse, before: int) -> int:
    """Return the place of the first migration to run; without a record, that is the first of all."""
    return before if db.kind(RECORD) else 0


@contextmanager
def transaction(db: Warehouse) -> Iterator[None]:
    """Commit what the block writes, or nothing."""
    db.rows("begin")
    try:
        yield
    except BaseException:
        db.rows("rollback")
        raise
    db.rows("commit")


def _too_new(db: Warehouse, home: Home, present: int, newest: int) -> str:
    (engine,) = db.one(f"select arg_max(engine, number) from {RECORD}")
    return (
        f"{home.warehouse} is of version {present}, which {ENGINE} {engine} made; this {ENGINE} "
        f"{version(ENGINE)} knows versions to {newest}. Run {ENGINE} {engine} or later, or put the copy "
        f"back that was made before the upgrade (in {home.upgrades}); nothing was changed"
    )


def shape_after(migrations: Sequence[Migration]) -> Shape:
    """Return the tables that migrations make of an empty warehouse."""
    with duckdb.connect(":memory:") as con:
        db = Warehouse(con)
        for migration in migrations:
            migration.run(db)
        return shape_of(db)


def refuse_other_shape(db: Warehouse, home: Home, wanted: Shape, what: str) -> None:
    """Refuse a warehouse whose tables differ from ``wanted``; a table that is missing is no difference.

    Raises:
        ShapeError: names the first difference and the remedy.
    """
    if wrong := differences(wanted, shape_of(db)):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        carry = spoken(f"carry-ledger FROM={home.warehouse}", f"carry-ledger {home.warehouse}")
        raise ShapeError(
            f"{home.warehouse} is not of {what}: {wrong[0]}{more}. An earlier version made it, or "
            f"somebody altered it. Run `{carry}`: it puts the file "
            "aside and carries lists, nights, suppressions, measured outcomes and models into a new "
            "one; then run again. The published snapshot does not change."
        )


def copy_aside(db: Warehouse, home: Home, number: int) -> Path:
    """Copy the warehouse's file to ``UPLIFT_HOME/upgrades``, whole or not at all; return the copy.

    Raises:
        UpliftError: the disk has no room, or the copy fails.
    """
    db.rows("checkpoint")  # all is in the one file
    home.upgrades.mkdir(parents=True, exist_ok=True)
    for left in home.upgrades.glob(".*.duckdb-*"):  # of a process that was killed
        left.unlink()
    needed, free = home.warehouse.stat().st_size, shutil.disk_usage(home.upgrades).free
    if needed > free:
        raise UpliftError(
            f"{home.upgrades}: the copy of the warehouse needs {needed:,} bytes, and {free:,} are free; "
            "make room and run again. Nothing was changed"
        )
    target = home.upgrades / f"warehouse-version-{number}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.duckdb"
    copy_file(home.warehouse, target)
    sync_folder(home.upgrades)
    return target
