"""Predict every user: cells once, then each user by their cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import (
    RESPONSE,
    SCORES,
    predictions_of_arms,
    scores_select,
    write_predictions,
)
from dagster_project.training.cells import read_feature_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.bundle import Bundle
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel


def score_users(db: Warehouse, experiment: BatchExperiment, loaded: Bundle) -> int:
    """Predict each distinct cell once, and hand the scores to its users; returns rows of scores."""
    x = read_feature_cells(db, experiment, loaded.manifest.features)
    write_predictions(
        db, experiment.tables, predictions_of_arms(loaded.models, x, loaded.manifest.outcome)
    )
    return db.create(experiment.tables.scores, scores_select(experiment.tables))


CHUNK = 1_000_000  # users that are scored at a time


def score_population(
    db: Warehouse,
    experiment: BatchExperiment,
    models: Mapping[str, ContrastModel],
    features: tuple[str, ...],
) -> int:
    """Write ``scores.<experiment>_population``; returns its rows, one per user and treatment arm."""
    tables = experiment.tables.population
    db.rows(f"create or replace table {tables.scores} as from {experiment.tables.scores} limit 0")
    users = db.arrow(
        f"select user_id, {Identifier.listed(features)} from {tables.features} order by user_id"
    )
    for arm in experiment.declaration.treatments:
        for start in range(0, users.num_rows, CHUNK):
            part = users.slice(start, CHUNK)
            with db.relation("new_scores", _scored(models[arm], part, arm, features)):
                db.rows(f"insert into {tables.scores} by name from new_scores")
    return db.count(tables.scores)


def _scored(model: ContrastModel, users: pa.Table, arm: str, features: tuple[str, ...]) -> pa.Table:
    x = np.column_stack([users.column(name).to_numpy() for name in features]).astype(np.float32)
    return pa.table(
        {
            "user_id": users.column("user_id"),
            "arm": pa.repeat(arm, len(x)),
            "split": pa.repeat("population", len(x)),
            **{SCORES[learner]: model.predict(x, learner) for learner in LEARNER_NAMES},
            RESPONSE: model.predict_response(x),
        }
    )
