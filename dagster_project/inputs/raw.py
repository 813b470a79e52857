"""Load files into the raw tables of an experiment, and check their columns against the declaration."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.reading import TEXT, read_with_ids, refuse_floats
from dagster_project.inputs.signs import with_signs
from dagster_project.inputs.sources import provided_file
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from dagster_project.warehouse.tombstones import leave_out_erased
from uplift_core.errors import DataError, ExperimentError
from uplift_core.experiment.declaration import RAW_SQL, Experiment

TIMES = ("TIMESTAMP", "DATE")
REASON = 400  # largest number of characters of DuckDB's message


def load_raw(
    db: Warehouse, experiment: BatchExperiment, source: SourceFile, cache: Path | None = None
) -> tuple[int, str]:
    """Write ``raw.<experiment>`` and its history tables.

    Args:
        db: the warehouse.
        experiment: the experiment.
        source: the users' file.
        cache: folder of copies of histories; None: the folder of temporary files.

    Returns:
        The number of users, and the sha256 of all files that were read.

    Raises:
        DataError: raw.sql cannot read the file, or a history file does not agree with its declaration.
        ExperimentError: raw.sql lacks a declared column.
    """
    read_users(db, experiment, source.path)
    check_columns(db, experiment)
    leave_out_erased(db, experiment.name, experiment.tables.raw)
    rows = db.count(experiment.tables.raw)
    digests = [source.sha256]
    places = {"cache": cache or Path(tempfile.gettempdir()), "folder": experiment.path}
    for name in experiment.declaration.tables:
        with provided_file(experiment.declaration, f"tables.{name}", **places) as file:
            load_history(db, experiment, name, file)
        digests.append(file.sha256)
    whole = (
        source.sha256 if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    )
    return rows, whole


def read_users(db: Warehouse, experiment: BatchExperiment, path: Path) -> None:
    """Write ``raw.<experiment>`` by the experiment's SQL.

    Raises:
        DataError: the SQL cannot read the file.
    """
    sql = (experiment.path / RAW_SQL).read_text(encoding="utf-8")
    try:
        binds = {"source": str(path)}
        db.create(experiment.tables.raw, with_signs(db, sql, binds), binds)
    except duckdb.Error as error:
        raise DataError(
            f"{experiment.name}: {path.name} cannot be read by {RAW_SQL}: {reason_of(error)}. "
            f"Replace the file, or correct {RAW_SQL}"
        ) from error


def create_by(
    db: Warehouse, table: Identifier, sql: str, binds: Mapping[str, object] = {}, *, where: str
) -> int:
    """Create a table by SQL that a user wrote; return its number of rows.

    Raises:
        ExperimentError: the SQL fails; the message begins with ``where``, its experiment and file.
    """
    try:
        return db.create(table, sql, binds)
    except duckdb.Error as error:
        raise ExperimentError(f"{where} fails: {reason_of(error)}; correct it") from error


def reason_of(error: duckdb.Error) -> str:
    """Return DuckDB's message in one line, without the SQL."""
    return " ".join(str(error).partition("LINE 1:")[0].split())[:REASON]


def check_columns(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse a raw table without a declared column, or with a column of a wrong type.

    Raises:
        ExperimentError: names the key and the column.
    """
    for fault in column_faults(db, experiment):
        raise ExperimentError(fault)


def column_faults(db: Warehouse, experiment: BatchExperiment) -> Iterator[str]:
    """Find what ``check_columns`` refuses: each fault names the key and the column."""
    declaration = experiment.declaration
    columns = {row[0]: row[1] for row in db.rows(f"describe {experiment.tables.raw}")}
    if columns.get("user_id") != "BIGINT":
        yield (
            f"{experiment.name}: {RAW_SQL} yields user_id as {columns.get('user_id', 'nothing')}; it "
            "must be BIGINT: cast a whole number, or hash a text by raw.keyed_id(id)"
        )
    for key, column in _declared_columns(declaration).items():
        if column not in columns:
            yield (
                f"{experiment.name}: {key} = '{column}' is no column of raw.{experiment.name}; correct "
                f"the key, or let {RAW_SQL} yield it. The columns are {', '.join(columns)}"
            )
    moment = declaration.assigned_at
    if moment and not columns.get(moment, TIMES[0]).startswith(TIMES):
        yield (
            f"{experiment.name}: assigned_at = '{moment}' is {columns[moment]}; cast it to TIMESTAMP in "
            f"{RAW_SQL}"
        )


def _declared_columns(experiment: Experiment) -> dict[str, str]:
    columns = {"arm_column": experiment.arm_column}
    columns |= {f"outcomes '{o.name}': column": o.column for o in experiment.outcomes}
    if experiment.user_id != "row_number":
        columns["user_id"] = experiment.user_id
    if experiment.cluster:
        columns["cluster"] = experiment.cluster
    columns |= {f"strata: '{column}'": column for column in experiment.strata}
    if experiment.propensity_column:
        columns["propensity_column"] = experiment.propensity_column
    if experiment.exposure:
        columns["exposure"] = experiment.exposure
    if experiment.weight:
        columns["weight"] = experiment.weight
    if experiment.assigned_at:
        columns["assigned_at"] = experiment.assigned_at
    return columns


def load_history(db: Warehouse, experiment: BatchExperiment, name: str, file: SourceFile) -> None:
    """Write one history table: the rows that were known of each user at the time of assignment."""
    declaration, table = experiment.declaration, experiment.declaration.tables[name]
    where = f"{experiment.name}: tables.{name}"
    incoming = Identifier.of("incoming_history")
    owner = table.user_id or declaration.user_id
    history_sql = experiment.path / f"{name}.sql"
    columns = {}
    try:
        texts = {owner} if _type_of(db, experiment.tables.raw, declaration.user_id) == TEXT else ()
        read = "" if history_sql.is_file() else read_with_ids(db, file.path, texts)
        sql = history_sql.read_text(encoding="utf-8") if history_sql.is_file() else f"from {read}"
        binds = {"source": str(file.path)}
        db.create_temporary(incoming, with_signs(db, sql, binds), binds)
        columns = {row[0]: row[1] for row in db.rows(f"describe {incoming}")}
    except duckdb.Error as error:
        raise DataError(f"{where}.{table.origin} cannot be read: {error}") from error
    for key, column in {"user_id": owner, "available_at": table.available_at}.items():
        if column not in columns:
            raise DataError(
                f"{where}.{key} = '{column}' is no column of {file.path.name}; choose one of "
                f"{', '.join(columns)}"
            )
    if not columns[table.available_at].startswith(TIMES):
        raise DataError(
            f"{where}.available_at = '{table.available_at}' is {columns[table.available_at]}; it must "
            f"be a TIMESTAMP or DATE: cast it in {name}.sql"
        )
    refuse_floats(db, incoming, owner, f"{where}.user_id", f"cast it in {name}.sql")
    db.create(
        experiment.tables.histories[name],
        render(
            "raw/history.sql",
            raw=experiment.tables.raw,
            incoming=incoming,
            id_column=Identifier.of(declaration.user_id),
            owner=Identifier.of(owner),
            owners=Identifier.listed(dict.fromkeys(c for c in (owner, "user_id") if c in columns)),
            available_at=Identifier.of(table.available_at),
            assigned_at=Identifier.of(declaration.assigned_at),
        ),
    )
    db.rows(f"drop table {incoming}")


def _type_of(db: Warehouse, table: Identifier, column: str) -> str:
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {table}")}
    return types.get(column, "")
