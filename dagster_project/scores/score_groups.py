"""Read the users of one contrast in groups by score, see ``sql/evaluation/joint_groups.sql``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES, outcome_columns
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import SUMS
from uplift_core.evaluation.groups import JointGroups

ALL_SCORES = Identifier.listed(SCORES.values())


def read_holdout(db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str) -> JointGroups:
    """Read the held-out users of one contrast in groups by their stored scores."""
    predictions = experiment.tables.predictions
    sql = sums_select(experiment, predictions, outcome, by=ALL_SCORES, by_fold=False)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    if not rows.num_rows:
        raise DataError(f"{experiment.name}: no held-out user is in '{arm}' or the control")
    return _groups(rows, experiment.declaration.contrast(arm).propensity)


def read_out_of_fold(
    db: Warehouse, experiment: BatchExperiment, predictions: Identifier, arm: str
) -> list[JointGroups]:
    """Read the train users of one contrast, fold by fold, in groups by out-of-fold predictions.

    ``predictions`` has one row per cell and fold.
    """
    outcome = experiment.declaration.defaults.outcome
    sql = sums_select(experiment, predictions, outcome, by=ALL_SCORES, by_fold=True)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=True))
    fold = rows.column("fold").to_numpy()
    e = experiment.declaration.contrast(arm).propensity
    return [_groups(rows.filter(pa.array(fold == k)), e) for k in np.unique(fold)]


def sums_select(
    experiment: BatchExperiment,
    predictions: Identifier,
    outcome: str,
    *,
    by: Identifier,
    by_fold: bool,
) -> str:
    """Return the SELECT that adds up the users of one contrast by the columns ``by``: cell or scores."""
    mu0, mu1 = outcome_columns(outcome)
    return render(
        "evaluation/joint_groups.sql",
        cells=experiment.tables.cells,
        predictions=predictions,
        sums=experiment.outcome(outcome),
        score_names=[Identifier.of(column) for column in SCORES.values()],
        score_list=by,
        mu0=Identifier.of(mu0),
        mu1=Identifier.of(mu1),
        by_fold=by_fold,
    )


def sums_binds(experiment: BatchExperiment, arm: str, *, by_fold: bool) -> dict[str, object]:
    """Return the parameters of ``sums_select``."""
    contrast = experiment.declaration.contrast(arm)
    return {
        "arm": arm,
        "control": contrast.control,
        "split": "train" if by_fold else "holdout",
        "propensity": contrast.propensity,
    }


def _groups(rows: pa.Table, propensity: float) -> JointGroups:
    def doubles(column: str) -> np.ndarray:
        return rows.column(column).to_numpy().astype(np.float64)

    return JointGroups(
        **{column: doubles(column) for column in SUMS},
        propensity=propensity,
        scores={name: doubles(column) for name, column in SCORES.items()},
    )
