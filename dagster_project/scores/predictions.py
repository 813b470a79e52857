"""Predict by a bundle: one row of predictions per cell and arm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from dagster_project.warehouse.table_names import Tables
from uplift_core.arrays import Floats
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel, Predictions

# Learner (or response model) -> the column of its scores, which rank users.
SCORES = {name: f"cate_{name}" for name in LEARNER_NAMES} | {RESPONSE: RESPONSE}
STD_ERROR = "cate_std_error"  # of the learner that has bags; the column is there if one has
PREDICTIONS = "/* Predictions of all models for the users of each cell.  Grain: arm, cell. */"


def outcome_columns(outcome: str) -> tuple[str, str]:
    """Return the columns of the predicted outcome under control and under treatment."""
    return f"mu0_{outcome}", f"mu1_{outcome}"


def predictions_of(model: ContrastModel, x: Floats, arm: str, outcome: str) -> pa.Table:
    """Predict every row of ``x``, shape (n, n_features); a row's number is its cell.

    Args:
        model: the contrast's model.
        x: features of the cells.
        arm: the contrast's treatment arm.
        outcome: the outcome that the learners were fitted on.
    """
    predictions = model.predict_all(x)
    columns: dict[str, pa.Array] = {
        "cell": pa.array(np.arange(len(x))),
        "arm": pa.repeat(arm, len(x)),
        **score_columns(predictions),
    }
    outcomes = {outcome: (predictions.mu0, predictions.mu1)}
    outcomes |= {name: model.predict_outcomes(x, name) for name in model.others}
    for name, both in outcomes.items():
        columns |= {c: pa.array(mu) for c, mu in zip(outcome_columns(name), both, strict=True)}
    return pa.table(columns)


def score_columns(predictions: Predictions) -> dict[str, pa.Array]:
    """Return the columns of scores: the response, each learner's effect, and its error from bags."""
    columns = {RESPONSE: pa.array(predictions.mu0)}
    columns |= {SCORES[learner]: pa.array(predictions.cate[learner]) for learner in LEARNER_NAMES}
    if predictions.std_error is not None:
        columns[STD_ERROR] = pa.array(predictions.std_error)
    return columns


def predictions_of_arms(models: Mapping[str, ContrastModel], x: Floats, outcome: str) -> pa.Table:
    """Predict every row of ``x`` for every arm, in one table."""
    return pa.concat_tables([predictions_of(model, x, arm, outcome) for arm, model in models.items()])


def write_predictions(db: Warehouse, tables: Tables, predictions: pa.Table) -> None:
    """Replace the table of predictions."""
    with db.relation("new_predictions", predictions):
        db.create(tables.predictions, f"{PREDICTIONS}\nfrom new_predictions order by arm, cell")


def scores_select(tables: Tables, *, bagged: bool = False) -> str:
    """Return the SELECT that gives every user the predictions of their cell.

    ``bagged`` says whether the predictions have standard errors.
    """
    return render(
        "scores/scores.sql",
        predictions=tables.predictions,
        user_cells=tables.user_cells,
        assignment=tables.assignment,
        bagged=bagged,
    )
