"""Find all problems of an experiment's folder: of its declaration, its SQL and its files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
from pydantic import ValidationError

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.declared.feature_sql import FeatureSql, feature_faults
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.clusters import refuse_missing_clusters
from dagster_project.inputs.exposure import refuse_odd_exposures
from dagster_project.inputs.features import check_features
from dagster_project.inputs.own_files import SourceFile, own_file
from dagster_project.inputs.population import load_population
from dagster_project.inputs.propensities import refuse_unfit_propensities, refuse_unknown_propensities
from dagster_project.inputs.raw import column_faults, create_by, load_history, read_users
from dagster_project.inputs.sources import fetch_provided, provided_by
from dagster_project.inputs.sources.tables import copy_table
from dagster_project.inputs.text_ids import refuse_unhashed
from dagster_project.inputs.weights import refuse_odd_weights
from dagster_project.settings import SQL_FOLDER, Settings
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import key_for_trial, use_id_key
from dagster_project.warehouse.schema import create_shared_tables
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import Tables
from uplift_core.errors import ExperimentError, UpliftError
from uplift_core.experiment.declaration import (
    DECLARATION,
    FEATURES_SQL,
    RAW_SQL,
    Experiment,
    load_experiment,
)
from uplift_core.experiment.messages import lines
from uplift_core.experiment.sources import OwnFile, TableSource

SOURCE = "source"


def folder_of(name: str) -> Path:
    """Find an experiment's folder.

    Raises:
        ExperimentError: there is none of this name.
    """
    roots = [SQL_FOLDER / "experiments", *Settings().experiment_roots]
    folders = {folder.name: folder for root in roots for folder in root.glob("*") if folder.is_dir()}
    if name not in folders:
        raise ExperimentError(
            f"NAME '{name}': no experiment has a folder of this name; there are "
            f"{', '.join(sorted(folders))}"
        )
    return folders[name]


def problems_of(folder: Path) -> list[str]:
    """List all problems of an experiment, in the order in which to correct them; empty: none.

    What depends on a part that is wrong is not looked at: wrong keys hide rules between keys, for
    example, and a file that cannot be read hides its columns.
    """
    problems: list[str] = []
    experiment = _declaration(folder, problems)
    if experiment is None:
        return problems
    faults = feature_faults(experiment, folder)
    problems += faults
    # The data are looked at even if the features are wrong.
    batch = (
        BatchExperiment(experiment, folder, FeatureSql("", (), {}), Tables.of(experiment))
        if faults
        else BatchExperiment.read(experiment, folder)
    )
    if isinstance(experiment.source, OwnFile | TableSource):
        with _scratch() as db:
            _look_at_data(db, batch, problems, with_features=not faults)
    return problems


@contextmanager
def _scratch() -> Iterator[Warehouse]:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/file.duckdb") as con:
        db = Warehouse(con)
        create_shared_tables(db)
        use_id_key(db, key_for_trial())
        yield db


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except UpliftError as error:
        problems.append(str(error))


def _declaration(folder: Path, problems: list[str]) -> Experiment | None:
    try:
        return load_experiment(folder)
    except ExperimentError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            problems += [f"{DECLARATION}: {line}" for line in lines(cause, Experiment)]
        else:
            problems.append(str(error))
    return None


def _files(experiment: BatchExperiment, copies: Path, problems: list[str]) -> dict[str, SourceFile]:
    """Return the declared files by their keys; those that are not there are problems."""
    declaration, name = experiment.declaration, experiment.name
    source, files = declaration.source, {}
    for key in provided_by(declaration):
        with _collected(problems):
            files[key] = fetch_provided(declaration, key, cache=copies, folder=experiment.path)
    with _collected(problems):
        if isinstance(source, OwnFile):
            files[SOURCE] = own_file(name, "source.path", experiment.path, source.path)
        if isinstance(source, TableSource):
            files[SOURCE] = copy_table(name, source, copies)
    return files


def _look_at_data(
    db: Warehouse, experiment: BatchExperiment, problems: list[str], *, with_features: bool
) -> None:
    with tempfile.TemporaryDirectory() as copies:
        files = _files(experiment, Path(copies), problems)
        if SOURCE in files:
            _look_at_files(db, experiment, files, problems, with_features=with_features)


def _look_at_files(
    db: Warehouse,
    experiment: BatchExperiment,
    files: Mapping[str, SourceFile],
    problems: list[str],
    *,
    with_features: bool,
) -> None:
    declaration, name = experiment.declaration, experiment.name
    before = len(problems)
    with _collected(problems):
        read_users(db, experiment, files[SOURCE].path)
    if len(problems) > before:
        return
    wrong = list(column_faults(db, experiment)) + list(_money_faults(db, experiment))
    problems += wrong
    if wrong:
        return
    with _collected(problems):
        refuse_unhashed(db, experiment)
    problems += _row_faults(db, experiment)
    with _collected(problems):
        refuse_missing_clusters(db, experiment, experiment.tables.raw)
    with _collected(problems):
        refuse_odd_exposures(db, experiment)
    with _collected(problems):
        refuse_odd_weights(db, experiment)
    _look_at_chances(db, experiment, problems)
    for table in declaration.tables:
        if f"tables.{table}" in files:
            with _collected(problems):
                load_history(db, experiment, table, files[f"tables.{table}"])
    if with_features and len(problems) == before:
        with _collected(problems):
            where = f"{name}: {FEATURES_SQL}"
            create_by(db, experiment.tables.features, experiment.features_sql.text, where=where)
            check_features(db, experiment)
    if "population" in files:
        with _collected(problems):
            load_population(db, experiment, files["population"])


def _money_faults(db: Warehouse, experiment: BatchExperiment) -> Iterator[str]:
    columns = {str(row[0]) for row in db.rows(f"describe {experiment.tables.raw}")}
    rules = experiment.declaration.decisions
    named = {
        "cost_column": rules.cost_column,
        "value_column": rules.value_column,
        "usual_rule": rules.usual_column,
    }
    for key, column in named.items():
        if column and column not in columns:
            yield (
                f"{experiment.name}: decisions.{key} = '{column}' is no column of "
                f"raw.{experiment.name}; correct the key, or let {RAW_SQL} yield it"
            )


def _row_faults(db: Warehouse, experiment: BatchExperiment) -> Iterator[str]:
    """Find rows that are no users of a declared arm, and outcomes that are not of their kind."""
    name, raw = experiment.name, experiment.tables.raw
    rows, users, known = db.one(f"select count(*), count(distinct user_id), count(user_id) from {raw}")
    if users < rows:
        yield (
            f"{name}: of {rows} rows, {rows - known} have no user_id and {known - users} repeat one; "
            f"one row must be one user: aggregate the rows in {RAW_SQL}"
        )
    yield from _arm_faults(db, experiment)
    for outcome in experiment.declaration.outcomes:
        number = f"try_cast({Identifier.of(outcome.column)} as double)"
        odd = f"not coalesce(isfinite({number}), false)"
        if outcome.kind == "binary":
            odd += f" or {number} not in (0, 1)"
        elif outcome.kind == "count":
            odd += f" or {number} < 0 or {number} <> floor({number})"
        wrong, first = db.one(f"select count(*), min(user_id) from {raw} where {odd}")
        if wrong:
            yield (
                f"{name}: outcome '{outcome.name}' is not {outcome.must_be} in {wrong} rows, the first "
                f"of them user_id {first}; correct the file, {RAW_SQL} or the kind"
            )


def _arm_faults(db: Warehouse, experiment: BatchExperiment) -> Iterator[str]:
    declaration, raw = experiment.declaration, experiment.tables.raw
    where = f"{experiment.name}: arm_column '{declaration.arm_column}'"
    declared = {str(arm.value): arm.name for arm in declaration.arms}
    column = Identifier.of(declaration.arm_column)
    counts = dict(db.rows(f"select {column}::varchar, count(*) from {raw} group by 1 order by 1"))
    for value, count in counts.items():
        if value not in declared:
            holds = "no value" if value is None else repr(value)
            yield (
                f"{where} holds {holds} in {count} rows, which no arm declares; declare it, or leave "
                f"these rows out in {RAW_SQL}"
            )
    for value, arm in declared.items():
        if value not in counts:
            yield f"{where} holds {value!r} in no row, the value of arm '{arm}'; correct the value"


def _look_at_chances(db: Warehouse, experiment: BatchExperiment, problems: list[str]) -> None:
    with _collected(problems):
        refuse_unknown_propensities(db, experiment)
    if experiment.declaration.propensity_varies and not problems:
        db.create(experiment.tables.assignment, *assignment_query(experiment))
        with _collected(problems):
            refuse_unfit_propensities(db, experiment)
