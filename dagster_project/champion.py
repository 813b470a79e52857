"""Which learner decides: compared on out-of-fold scores inside the train split."""

from __future__ import annotations

import pyarrow as pa

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.scores.predictions import predictions_of
from dagster_project.scores.score_groups import read_out_of_fold
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.cells import distinct
from uplift_core.evaluation.gate import Verdict, compare, judge
from uplift_core.learners import LEARNER_NAMES, OutcomeModels, cross_fit

OUT_OF_FOLD = "out_of_fold"
REGISTRY = Identifier.of("models", "registry")


def out_of_fold(models: OutcomeModels, arm: str, outcome: str) -> pa.Table:
    """All learners' predictions by cell and fold, each by models that were fitted on the other folds."""
    cells, parts = models.cells, []
    for fold, model in cross_fit(models):
        present = distinct(cells.cell[cells.fold == fold])
        rows = predictions_of(model, cells.x[present], arm, outcome)
        rows = rows.set_column(0, "cell", pa.array(present))
        parts.append(rows.append_column("fold", pa.repeat(pa.scalar(fold, pa.int8()), len(present))))
    return pa.concat_tables(parts)


def judge_learners(
    db: Warehouse, folder: ExperimentFolder, arm: str, predictions: Identifier
) -> Verdict:
    """Rank the users of each fold by out-of-fold predictions, and compare at the default budget."""
    budget = folder.experiment.defaults.budget
    folds = read_out_of_fold(db, folder, predictions, arm)
    n = int(sum(joint.n_users for joint in folds))
    return judge(compare(folds, LEARNER_NAMES, budget), n, budget)


def deciding_learner(db: Warehouse, folder: ExperimentFolder, arm: str) -> str:
    """The learner that decides for an arm: the declared one, else the current champion."""
    declared = folder.experiment.defaults.learner
    if declared:
        return declared
    (champion,) = db.one(
        f"select learner from {REGISTRY} "
        "where experiment = $experiment and arm = $arm and is_current and champion",
        {"experiment": folder.name, "arm": arm},
    )
    return str(champion)
