"""Predict every user: predict each cell once, and give its prediction to the cell's users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import (
    predictions_of_arms,
    score_columns,
    scores_select,
    write_predictions,
)
from dagster_project.training.cells import read_feature_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.bundle import Bundle
from uplift_core.learners.contrast import ContrastModel

CHUNK = 1_000_000  # number of users that are scored at a time
SMALLEST_ID, LARGEST_ID = -(2**63), 2**63 - 1  # of a bigint


def score_users(db: Warehouse, experiment: BatchExperiment, loaded: Bundle) -> int:
    """Predict each distinct cell once for all its users; return the number of rows of scores."""
    x = read_feature_cells(db, experiment, loaded.manifest.features)
    write_predictions(
        db, experiment.tables, predictions_of_arms(loaded.models, x, loaded.manifest.outcome)
    )
    bagged = bool(loaded.manifest.experiment.learners.bags)
    return db.create(experiment.tables.scores, scores_select(experiment.tables, bagged=bagged))


def score_population(
    db: Warehouse,
    experiment: BatchExperiment,
    models: Mapping[str, ContrastModel],
    features: tuple[str, ...],
) -> int:
    """Write ``scores.<experiment>_population``, one row per user and arm; return the number of rows."""
    tables = experiment.tables.population
    db.rows(f"create or replace table {tables.scores} as from {experiment.tables.scores} limit 0")
    for users in _users_in_chunks(db, tables.features, features):
        for arm in experiment.declaration.treatments:
            with db.relation("new_scores", _scored(models[arm], users, arm, features)):
                db.rows(f"insert into {tables.scores} by name from new_scores")
    return db.count(tables.scores)


def _users_in_chunks(db: Warehouse, table: Identifier, features: tuple[str, ...]) -> Iterator[pa.Table]:
    """Read users in the order of their ids, at most ``CHUNK`` at once."""
    sql = (
        f"select user_id, {Identifier.listed(features)} from {table} "
        "where user_id >= $first order by user_id limit $chunk"
    )
    first = SMALLEST_ID
    while (users := db.arrow(sql, {"first": first, "chunk": CHUNK})).num_rows:
        yield users
        last = users.column("user_id")[-1].as_py()
        if users.num_rows < CHUNK or last == LARGEST_ID:
            return
        first = last + 1


def _scored(model: ContrastModel, users: pa.Table, arm: str, features: tuple[str, ...]) -> pa.Table:
    x = np.column_stack([users.column(name).to_numpy() for name in features]).astype(np.float32)
    predictions = model.predict_all(x)
    columns = {
        "user_id": users.column("user_id"),
        "arm": pa.repeat(arm, len(x)),
        "split": pa.repeat("population", len(x)),
        **score_columns(predictions),
    }
    return pa.table(columns)
