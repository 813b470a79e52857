"""Rows of ``decisions.thresholds``: from which score on a user is treated, by budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from dagster_project.evaluation import BUDGETS, Rows
from dagster_project.folders import ExperimentFolder
from dagster_project.models import current_version
from dagster_project.predictions import SCORES
from dagster_project.sqlfiles import Identifier, render
from dagster_project.warehouse import Warehouse
from uplift_core.boosting import Floats
from uplift_core.budget import threshold
from uplift_core.learners import LEARNER_NAMES


def threshold_rows(
    db: Warehouse,
    folder: ExperimentFolder,
    *,
    arms: Sequence[str] | None = None,
    learners: Sequence[str] = LEARNER_NAMES,
    budgets: Sequence[float] = BUDGETS,
) -> Rows:
    """Rows of ``decisions.thresholds``, by default for every arm, learner and whole percent."""
    version = current_version(db, folder.name)
    rows: Rows = []
    for arm, learner in product(arms or folder.experiment.treatments, learners):
        label = {
            "model_version": version,
            "experiment": folder.name,
            "arm": arm,
            "learner": learner,
        }
        scores, counts = _holdout_scores(db, folder, arm, learner)
        n = int(counts.sum())
        for budget in budgets:
            value = threshold(scores, counts, budget)
            treated = int(counts[scores >= np.float32(value)].sum())
            row = {"budget": budget, "threshold": value, "treated_share": treated / n, "n": n}
            rows.append(label | row)
    return rows


def _holdout_scores(
    db: Warehouse, folder: ExperimentFolder, arm: str, learner: str
) -> tuple[Floats, npt.NDArray[np.int64]]:
    sql = render(
        "decisions/holdout_scores.sql",
        scores=folder.tables.scores,
        score=Identifier.of(SCORES[learner]),
    )
    found = db.arrow(sql, {"arm": arm})
    return found.column("score").to_numpy(), found.column("n").to_numpy().astype(np.int64)
