"""Row numbers as ids: refuse a file whose rows moved since lists were made for them.

A row's number is all that is known of its user. If one line is removed, each later user gets the number
of the user before: lists, holdout group, suppressions and contacts would go over to other people.
"""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError

BEFORE = Identifier.of("rows_before")
LISTS, STOPS = Identifier.of("decisions", "nights"), Identifier.of("decisions", "suppressions")
SAMPLE = 100_000  # rows to compare, about
COMMON = 5  # rows that moved by equally many places do not do so by chance
REMEDY = (
    "users are known by their row's number, so lists, holdout group and suppressions would go over to "
    "other users. Restore the file's order and append new lines at its end; or declare a column with "
    "the users' id as user_id, in a new UPLIFT_HOME"
)


def remember_rows(db: Warehouse, experiment: BatchExperiment) -> int:
    """Remember what stands in the numbered rows before the file is read again.

    Returns:
        The last row's number; 0 if ids are no row numbers, or nothing was decided about them.
    """
    tables = experiment.tables
    if not experiment.declaration.has_row_numbers or not db.kind(tables.raw):
        return 0
    if not is_decided_about(db, experiment.name):
        return 0
    (last,) = db.one(f"select coalesce(max(user_id), 0) from {tables.raw}")
    db.create_temporary(BEFORE, _contents(db, experiment), {"step": _step(last)})
    return int(last)


def is_decided_about(db: Warehouse, experiment: str) -> bool:
    """Return true if lists or suppressions name users of an experiment."""
    decided = " union all ".join(
        f"from {table} select 1 where experiment = $name" for table in (LISTS, STOPS)
    )
    return bool(db.rows(f"{decided} limit 1", {"name": experiment}))


def refuse_moved_rows(db: Warehouse, experiment: BatchExperiment, last: int) -> None:
    """Compare the file's rows with the remembered ones; ``last`` is the number of the last of these.

    Raises:
        DataError: the file lost lines, or rows have other numbers than before.
    """
    if not last:
        return
    (now,) = db.one(f"select coalesce(max(user_id), 0) from {experiment.tables.raw}")
    if now < last:
        raise DataError(
            f"{experiment.name}: the file has {now:,} rows, and had {last:,} when lists were "
            f"made; {REMEDY}"
        )
    sql = render(
        "raw/row_shifts.sql",
        contents_before=BEFORE,
        contents_after=Identifier(_contents(db, experiment)),
    )
    shifts = dict(db.rows(sql, {"step": _step(last)}))
    db.rows(f"drop table {BEFORE}")
    stayed = shifts.pop(0, 0)
    shift, moved = next(iter(shifts.items()), (0, 0))
    if moved >= COMMON or sum(shifts.values()) > stayed:
        places = f"{abs(shift)} place{'s' if abs(shift) > 1 else ''} {'down' if shift > 0 else 'up'}"
        raise DataError(
            f"{experiment.name}: rows of the file moved since lists were made, most of them {places}; "
            f"{REMEDY}"
        )


def _contents(db: Warehouse, experiment: BatchExperiment) -> str:
    outcomes = {outcome.column.lower() for outcome in experiment.declaration.outcomes}
    present = [str(row[0]) for row in db.rows(f"describe {experiment.tables.raw}")]
    excluded = [name for name in present if name == "user_id" or name.lower() in outcomes]
    return render(
        "raw/row_contents.sql",
        raw=experiment.tables.raw,
        excluded_columns=Identifier.listed(excluded),
    )


def _step(rows: int) -> int:
    return max(1, rows // SAMPLE)
