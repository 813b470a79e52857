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


def read_holdout(db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str) -> JointGroups:
    """Read the held-out users of one contrast in groups by their stored scores."""
    rows = _read(db, experiment, experiment.tables.predictions, arm, outcome, by_fold=False)
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
    rows = _read(db, experiment, predictions, arm, outcome, by_fold=True)
    fold = rows.column("fold").to_numpy()
    e = experiment.declaration.contrast(arm).propensity
    return [_groups(rows.filter(pa.array(fold == k)), e) for k in np.unique(fold)]


def _read(  # noqa: PLR0913 - the inputs of one query
    db: Warehouse,
    experiment: BatchExperiment,
    predictions: Identifier,
    arm: str,
    outcome: str,
    *,
    by_fold: bool,
) -> pa.Table:
    contrast = experiment.declaration.contrast(arm)
    mu0, mu1 = outcome_columns(outcome)
    sql = render(
        "evaluation/joint_groups.sql",
        cells=experiment.tables.cells,
        predictions=predictions,
        sums=experiment.outcome(outcome),
        score_names=[Identifier.of(column) for column in SCORES.values()],
        score_list=Identifier.listed(SCORES.values()),
        mu0=Identifier.of(mu0),
        mu1=Identifier.of(mu1),
        by_fold=by_fold,
    )
    binds = {
        "arm": arm,
        "control": contrast.control,
        "split": "train" if by_fold else "holdout",
        "propensity": contrast.propensity,
    }
    return db.arrow(sql, binds)


def _groups(rows: pa.Table, propensity: float) -> JointGroups:
    def doubles(column: str) -> np.ndarray:
        return rows.column(column).to_numpy().astype(np.float64)

    return JointGroups(
        **{column: doubles(column) for column in SUMS},
        propensity=propensity,
        scores={name: doubles(column) for name, column in SCORES.items()},
    )
