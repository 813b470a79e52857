"""From a bundle to one row of predictions per cell and arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from dagster_project.warehouse.table_names import Tables
from uplift_core.arrays import Floats
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel

RESPONSE = "response"
# The columns that rank users, by what ranks them.
SCORES = {name: f"cate_{name}" for name in LEARNER_NAMES} | {RESPONSE: RESPONSE}
PREDICTIONS = "/* What all models predict of the users of each cell.  Grain: arm, cell. */"
# For people.
NAMES = {name: f"{name.upper()}-learner" for name in LEARNER_NAMES} | {RESPONSE: "response model"}


def outcome_columns(outcome: str) -> tuple[str, str]:
    """Columns of the predicted outcome under control and under treatment."""
    return f"mu0_{outcome}", f"mu1_{outcome}"


def predictions_of(model: ContrastModel, x: Floats, arm: str, outcome: str) -> pa.Table:
    """Predictions of every row of ``x`` (n, n_features), whose number is the cell's.

    Args:
        model: of the contrast.
        x: features of the cells.
        arm: its treatment arm.
        outcome: that the learners were fitted on.
    """
    found = model.predict_all(x)
    columns: dict[str, pa.Array] = {
        "cell": pa.array(np.arange(len(x))),
        "arm": pa.repeat(arm, len(x)),
        RESPONSE: pa.array(found.mu0),
    }
    columns |= {SCORES[learner]: pa.array(found.cate[learner]) for learner in LEARNER_NAMES}
    outcomes = {outcome: (found.mu0, found.mu1)}
    outcomes |= {name: model.predict_outcomes(x, name) for name in model.others}
    for name, both in outcomes.items():
        columns |= {c: pa.array(mu) for c, mu in zip(outcome_columns(name), both, strict=True)}
    return pa.table(columns)


def predictions_of_arms(models: Mapping[str, ContrastModel], x: Floats, outcome: str) -> pa.Table:
    """The same for every arm."""
    return pa.concat_tables([predictions_of(model, x, arm, outcome) for arm, model in models.items()])


def write_predictions(db: Warehouse, tables: Tables, predictions: pa.Table) -> None:
    """Replace the table of predictions."""
    with db.relation("new_predictions", predictions):
        db.create(tables.predictions, f"{PREDICTIONS}\nfrom new_predictions order by arm, cell")


def scores_select(tables: Tables) -> str:
    """The SELECT that hands every user the predictions of their cell."""
    return render(
        "scores/scores.sql",
        predictions=tables.predictions,
        user_cells=tables.user_cells,
        assignment=tables.assignment,
    )


BUDGETS = tuple(k / 100 for k in range(1, 101))


Rows = list[dict[str, Any]]
