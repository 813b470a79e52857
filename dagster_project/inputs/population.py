"""Users to decide about who were not in the experiment: read, given features, scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import refuse_missing_clusters
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.raw import create_by, reason_of
from dagster_project.inputs.reading import TEXT, read_with_ids, refuse_changed, refuse_floats
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import number_sql
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.tombstones import leave_out_erased
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import FEATURES_SQL

POPULATION_SQL = "population.sql"
INCOMING = Identifier.of("incoming_population")


def load_population(db: Warehouse, experiment: BatchExperiment, file: SourceFile) -> int:
    """Write ``raw.<experiment>_population``: ids, and the columns that features and lists read.

    Columns get the types that they have in the experiment's raw table. A text id becomes the number that
    ``raw.sql`` makes of it in a draft; a ``population.sql`` that yields ``user_id`` decides by itself.

    Returns:
        How many users there are.

    Raises:
        DataError: the file cannot be read, or lacks a column: names key, column and remedy.
    """
    declaration, table = experiment.declaration, experiment.tables.population.raw
    where = f"{experiment.name}: population"
    declared = declaration.population.user_id if declaration.population else ""
    owner = declared or declaration.user_id
    columns = _read(db, experiment, file, where, owner)
    made = "user_id" in columns and (experiment.path / POPULATION_SQL).is_file()
    if owner not in columns and (declaration.id_column or not made):
        raise DataError(
            f"{where}.user_id = '{owner}' is no column of {file.path.name}; choose one of "
            f"{', '.join(columns)}"
        )
    needed = _needed_columns(experiment)
    present = {name.lower() for name in columns}  # SQL ignores case
    missing = [name for name in needed if name.lower() not in present]
    if missing:
        raise DataError(
            f"{where}: {file.path.name} lacks column '{missing[0]}', which {FEATURES_SQL} or the "
            f"declaration reads; let {POPULATION_SQL} yield it. There are {', '.join(columns)}"
        )
    items = {name: str(Identifier.of(name)) for name in needed}
    if declaration.id_column:
        items |= {declaration.id_column: str(Identifier.of(owner))}
    items |= {"user_id": '"user_id"' if made else _number(db, experiment, owner, where)}
    names, values = Identifier.listed(items), ", ".join(items.values())
    db.rows(f"create or replace table {table} as select {names} from {experiment.tables.raw} limit 0")
    try:
        db.rows(f"insert into {table} select {values} from {INCOMING} order by {items['user_id']}")
    except duckdb.Error as error:
        raise DataError(
            f"{where}: {file.path.name} does not have the types of raw.{experiment.name}: "
            f"{reason_of(error)}; cast in {POPULATION_SQL}"
        ) from error
    db.rows(f"drop table {INCOMING}")
    _check_users(db, experiment, file)
    refuse_missing_clusters(db, experiment, table)
    leave_out_erased(db, experiment.name, table)
    return db.count(table)


def compute_features(db: Warehouse, experiment: BatchExperiment) -> int:
    """Write ``features.<experiment>_population`` by the SQL of the experiment's features."""
    sql = f"select * from ({experiment.features_sql.text}\n) order by user_id"
    with _in_place_of_the_experiment(db, experiment):
        rows = create_by(
            db, experiment.tables.population.features, sql, where=f"{experiment.name}: {FEATURES_SQL}"
        )
    users = db.count(experiment.tables.population.raw)
    if rows != users:
        raise DataError(
            f"{experiment.name}: {FEATURES_SQL} makes {rows} rows of {users} users of the population; "
            "correct it"
        )
    return rows


def _read(
    db: Warehouse, experiment: BatchExperiment, file: SourceFile, where: str, owner: str
) -> list[str]:
    """Read the file into a temporary table, with unchanged ids in ``owner``; return its columns."""
    reader = experiment.path / POPULATION_SQL  # which your team writes, if the file needs one
    try:
        read = "" if reader.is_file() else read_with_ids(db, file.path, {owner})
        sql = reader.read_text(encoding="utf-8") if reader.is_file() else f"from {read}"
        db.create_temporary(INCOMING, sql, {"source": str(file.path)})
    except duckdb.Error as error:
        raise DataError(
            f"{where}.path = '{file.path.name}' cannot be read: {reason_of(error)}; correct the "
            f"file, or read it by a {POPULATION_SQL} in the experiment's folder"
        ) from error
    return [str(row[0]) for row in db.rows(f"describe {INCOMING}")]


def _number(db: Warehouse, experiment: BatchExperiment, owner: str, where: str) -> str:
    """Return the SQL of a user's number by the id in the file, as in the experiment."""
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {experiment.tables.raw}")}
    column, key = Identifier.of(owner), f"{where}.user_id"
    refuse_floats(db, INCOMING, owner, key, f"cast it in {POPULATION_SQL}")
    if types.get(experiment.declaration.id_column) == TEXT:
        return number_sql(column, experiment.declaration.id_hash)
    refuse_changed(db, INCOMING, owner, key, f"correct the file, or cast in {POPULATION_SQL}")
    return f"{column}::bigint"


def _needed_columns(experiment: BatchExperiment) -> list[str]:
    """List the raw columns that features.sql and lists read, and the cluster."""
    declaration, rules = experiment.declaration, experiment.declaration.decisions
    others = (rules.cost_column, rules.value_column, rules.usual_column, declaration.cluster)
    return list(dict.fromkeys([*experiment.features_sql.raw_columns, *filter(None, others)]))


def _check_users(db: Warehouse, experiment: BatchExperiment, file: SourceFile) -> None:
    raw = experiment.tables.population.raw
    users, known, distinct = db.one(
        f"select count(*), count(user_id), count(distinct user_id) from {raw}"
    )
    if not users or known < users or distinct < known:
        raise DataError(
            f"{experiment.name}: population: {file.path.name} has {users} rows, {users - known} without "
            f"a user_id and {known - distinct} that repeat one; it must have one row per user"
        )


@contextmanager
def _in_place_of_the_experiment(db: Warehouse, experiment: BatchExperiment) -> Iterator[None]:
    """Swap the population for ``raw.<experiment>`` in this block, inside the open transaction.

    So the features' SQL runs unchanged, as it does on a request of the service.
    """
    raw, population = experiment.tables.raw, experiment.tables.population.raw
    name, other = Identifier.of(experiment.name), Identifier.of(f"{experiment.name}_population")
    aside = Identifier.of(f"{experiment.name}__aside")
    db.rows(f"alter table {raw} rename to {aside}")
    db.rows(f"alter table {population} rename to {name}")
    yield
    db.rows(f"alter table {raw} rename to {other}")
    db.rows(f"alter table {Identifier.of('raw', experiment.name + '__aside')} rename to {name}")
