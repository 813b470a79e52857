"""Carry the ledger of an earlier warehouse into a new one.

The ledger is everything that no run can make again: lists, nights, gates, measured outcomes,
suppressions, models and tuned parameters. The next run makes all else in a warehouse from files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.ledger_view import REGISTRY, rows_table, show_parts
from dagster_project.warehouse.partitions import PATTERN
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import LEDGER, LEDGER_ROWS, VIEW
from uplift_core.errors import DataError, UpliftError

EARLIER = "earlier"  # the name under which the other file is attached
KNOWN = Identifier.of("known_keys")
NIGHT = ("decision_date", "experiment", "campaign")
# The tables to carry, and the key of each. Rows that the new warehouse has under a key stay.
KEYS = {
    ("decisions", "suppressions"): ("experiment", "user_id"),
    LEDGER: NIGHT,
    REGISTRY: NIGHT,
    ("decisions", "nights"): NIGHT,
    ("decisions", "gates"): NIGHT,
    ("decisions", "realised"): NIGHT,
    ("decisions", "night_arms"): NIGHT,
    ("decisions", "realised_arms"): NIGHT,
    ("decisions", "outcomes"): ("experiment", "outcome", "user_id", "moment"),
    ("decisions", "outcome_files"): ("experiment", "file", "sha256"),
    ("decisions", "measured"): NIGHT,
    ("decisions", "realised_over_time"): NIGHT,
    ("models", "registry"): ("model_version", "arm", "learner"),
    ("models", "cards"): ("model_version",),
    ("models", "tuning"): ("experiment",),
    ("models", "learned"): ("experiment", "learned_at"),
}


@dataclass(frozen=True)
class Carried:
    """Row counts of one table: in the earlier file, carried, and in the warehouse afterwards.

    ``left`` are columns that this version no longer has.
    """

    table: str
    earlier: int
    carried: int
    after: int
    left: Sequence[str] = ()


@dataclass(frozen=True)
class Column:
    """A column of a table, as DuckDB describes it."""

    name: str
    type: str
    nullable: bool
    default: str | None


def carry(db: Warehouse, source: Path, *, without: Sequence[str] = ()) -> list[Carried]:
    """Carry the ledger of ``source`` in one transaction: all of it, or nothing.

    Rows whose keys the warehouse already has stay; a night stays or comes as a whole. A second call
    changes nothing.

    Args:
        db: the warehouse, of this version.
        source: a DuckDB file with a ledger of this version or an earlier one.
        without: tables to leave behind, such as ``decisions.treat_list``.

    Raises:
        UpliftError: the file cannot be opened.
        DataError: a column cannot be filled, a value would change, or rows are missing afterwards.
    """
    db.rows("commit")  # databases cannot be attached inside a transaction
    try:
        db.rows(f"attach $path as {EARLIER} (read_only)", {"path": str(source)})
    except duckdb.Error as error:
        raise UpliftError(
            f"{source} cannot be opened: {error}. Is it a warehouse, and does no run have it open?"
        ) from error
    try:
        db.rows("begin")
        try:
            carried = _carry_all(db, without)
        except BaseException:
            db.rows("rollback")
            raise
        db.rows("commit")
    finally:
        db.rows(f"detach {EARLIER}")
    db.rows("begin")
    return carried


def _carry_all(db: Warehouse, without: Sequence[str]) -> list[Carried]:
    nights = " union ".join(
        f"select {Identifier.listed(NIGHT)} from {Identifier.of(*place)}"
        for place, key in KEYS.items()
        if key == NIGHT
    )
    db.create_temporary(Identifier.of("known_nights"), nights)
    carried = []
    for place, key in KEYS.items():
        source = _source(db, place)
        if not source or ".".join(place) in without:
            continue
        known = "from known_nights" if key == NIGHT else f"from {Identifier.of(*place)}"
        db.create_temporary(KNOWN, f"select distinct {Identifier.listed(key)} {known}")
        carried.append(_carry_table(db, place, source, key))
    show_parts(db)
    return carried


def _source(db: Warehouse, place: tuple[str, str]) -> tuple[str, str] | None:
    """Return the table's name in the earlier file; the ledger may be a view there."""
    kind = db.kind(Identifier.of(*place), EARLIER)
    return (LEDGER_ROWS if kind == VIEW else place) if kind else None


def _carry_table(
    db: Warehouse, place: tuple[str, str], source: tuple[str, str], key: Sequence[str]
) -> Carried:
    table, earlier = ".".join(place), Identifier.of(EARLIER, *source)
    target = rows_table(db) if place == LEDGER else Identifier.of(*place)
    columns = _columns(db, "", target)
    theirs = {column.name: column for column in _columns(db, EARLIER, Identifier.of(*source))}
    same_key = " and ".join(f"known.{c} is not distinct from old.{c}" for c in map(Identifier.of, key))
    rows = f"from {earlier} as old where not exists (from {KNOWN} as known where {same_key})"
    (new_rows,) = db.one(f"select count(*) {rows}")
    for column in columns if new_rows else ():
        _check_column(db, table, column, theirs.get(column.name), rows)
    if place == REGISTRY:
        _check_parts(db, rows, _columns(db, "", rows_table(db)))
    items = {c.name: f"old.{Identifier.of(c.name)}::{c.type}" for c in columns if c.name in theirs}
    if "is_current" in items:  # only one version is current: the one that made the warehouse's scores
        scored = (
            f"select 1 from {target} as now where now.experiment = old.experiment and now.is_current"
        )
        items["is_current"] = f"old.is_current and not exists ({scored})"
    before = db.count(target)
    select = f"select {', '.join(items.values())} {rows}"
    try:
        db.rows(f"insert into {target} ({Identifier.listed(items)}) {select}")
    except duckdb.ConstraintException as error:
        raise DataError(
            f"{table}: earlier rows break a constraint: {error}; {_remedy(table)}"
        ) from error
    after = db.count(target)
    if after != before + new_rows:
        raise DataError(f"{table}: {before} rows and {new_rows} more make {after}; nothing was carried")
    left = sorted(theirs.keys() - {column.name for column in columns})
    return Carried(table, db.count(earlier), new_rows, after, left)


def _remedy(table: str) -> str:
    return f"nothing was carried. With OPTIONS='--without {table}' that table stays behind"


def _columns(db: Warehouse, database: str, table: Identifier) -> list[Column]:
    rows = db.rows(
        "select column_name, data_type, is_nullable, column_default from duckdb_columns() "
        "where database_name = coalesce(nullif($database, ''), current_database()) "
        "and concat('\"', schema_name, '\".\"', table_name, '\"') = $table order by column_index",
        {"database": database, "table": str(table)},
    )
    return [Column(*row) for row in rows]


def _check_column(db: Warehouse, table: str, column: Column, theirs: Column | None, rows: str) -> None:
    """Refuse a column for which earlier rows have no value, or whose values would change.

    Raises:
        DataError: names the column, a value and the remedy.
    """
    remedy = _remedy(table)
    if theirs is None:
        if not column.nullable and column.default is None:
            raise DataError(
                f"{table}.{column.name}: earlier rows have no value for it, and no default is declared; "
                f"{remedy}"
            )
        return
    name = f"old.{Identifier.of(column.name)}"
    if not column.nullable:
        (gaps,) = db.one(f"select count(*) {rows} and {name} is null")
        if gaps:
            raise DataError(f"{table}.{column.name}: {gaps} earlier rows have no value for it; {remedy}")
    if column.type != theirs.type:
        back = f"try_cast(try_cast({name} as {column.type}) as {theirs.type})"
        changed, first = db.one(
            f"select count(*), min({name}::varchar) {rows} and {back} is distinct from {name}"
        )
        if changed:
            raise DataError(
                f"{table}.{column.name} = {first!r} and {changed - 1} more are {theirs.type} and would "
                f"change as {column.type}; {remedy}"
            )


def _check_parts(db: Warehouse, rows: str, columns: Sequence[Column]) -> None:
    """Refuse nights whose files in ``partitions`` are missing or have other columns.

    Raises:
        DataError: names the night and the folder.
    """
    remedy = _remedy(".".join(REGISTRY))
    for date, experiment, folder, files in db.rows(
        f"select decision_date::varchar, experiment, folder, files {rows} order by all"
    ):
        night = f"{experiment}, list of {date}"
        if len(list(Path(folder).glob(PATTERN))) != files:
            raise DataError(f"{night}: its {files} files are not in {folder}; {remedy}")
        described = db.rows(
            "describe from read_parquet($files, hive_partitioning = false)",
            {"files": f"{folder}/{PATTERN}"},
        )
        types = {str(row[0]): str(row[1]) for row in described}
        for column in columns:
            name = column.name
            if types.get(name, column.type) != column.type or not (name in types or column.nullable):
                raise DataError(f"{night}: its files in {folder} lack {name} as {column.type}; {remedy}")
