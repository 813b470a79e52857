"""Rows of ``decisions.thresholds``: the lowest score that is treated, by budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.registry import current_version
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.tables import BUDGETS, Rows
from uplift_core.learners import LEARNER_NAMES
from uplift_core.targeting.budget import Distribution


def threshold_rows(
    db: Warehouse,
    experiment: BatchExperiment,
    *,
    arms: Sequence[str] | None = None,
    learners: Sequence[str] = LEARNER_NAMES,
    budgets: Sequence[float] = BUDGETS,
) -> Rows:
    """Return rows of ``decisions.thresholds``, by default for every arm, learner and whole percent."""
    version = current_version(db, experiment.name)
    rows: Rows = []
    for arm, learner in product(arms or experiment.declaration.treatments, learners):
        label = {
            "model_version": version,
            "experiment": experiment.name,
            "arm": arm,
            "learner": learner,
        }
        scores = held_out_scores(db, experiment, arm, learner)
        for budget in budgets:
            value = scores.threshold(budget)
            row = {"budget": budget, "threshold": value, "treated_share": scores.share_from(value)}
            rows.append(label | row | {"n": scores.n_users})
    return rows


def held_out_scores(db: Warehouse, experiment: BatchExperiment, arm: str, learner: str) -> Distribution:
    """Read the scores of held-out users.

    Raises:
        DataError: there are none, or they are not finite.
    """
    held_out = db.arrow(
        "from decisions.holdout_scores($experiment, $arm, $learner)",
        {"experiment": experiment.name, "arm": arm, "learner": learner},
    )
    counts = held_out.column("n").to_numpy().astype(np.int64)
    return Distribution(held_out.column("score").to_numpy(), counts)
