"""From fitted learners to a bundle and its rows of the registry."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import predictions_of
from dagster_project.scores.score_groups import read_out_of_fold
from dagster_project.training.cells import read_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells, distinct
from uplift_core.errors import DataError
from uplift_core.evaluation.gate import Verdict, compare, judge
from uplift_core.learners import LEARNER_NAMES, OutcomeModels
from uplift_core.learners.contrast import ContrastModel, fit_learners, sequential_fit


def train_arm(  # noqa: PLR0913 - whose cells, how they are trained
    db: Warehouse,
    experiment: BatchExperiment,
    arm: str,
    edges: BinEdges,
    parameters: LearnerParameters,
    *,
    threads: int,
) -> tuple[ContrastModel, Verdict]:
    """Fit all learners of one arm, both arms' models of the other outcomes, and judge the learners."""
    model, predictions = fit_arm(db, experiment, arm, edges, parameters, threads=threads)
    with db.relation(OUT_OF_FOLD, predictions):
        return model, judge_learners(db, experiment, arm, Identifier.of(OUT_OF_FOLD))


def fit_arm(  # noqa: PLR0913 - whose cells, how they are trained
    db: Warehouse,
    experiment: BatchExperiment,
    arm: str,
    edges: BinEdges,
    parameters: LearnerParameters,
    *,
    threads: int,
) -> tuple[ContrastModel, pa.Table]:
    """The same without a judgement: the models, and the out-of-fold predictions to judge by."""
    default = experiment.declaration.defaults.outcome
    cells = read_cells(db, experiment, arm, edges)
    models = OutcomeModels.of(cells, parameters, threads)
    model = fit_learners(models)
    others = {}
    for outcome in experiment.declaration.outcomes:
        if outcome.name != default:
            own = read_cells(db, experiment, arm, edges, outcome.name)
            others[outcome.name] = OutcomeModels.of(own, parameters, threads).arms()
    return replace(model, others=others), out_of_fold(cells, parameters, arm, default, threads=threads)


OUT_OF_FOLD = "out_of_fold"


def out_of_fold(
    cells: Cells, parameters: LearnerParameters, arm: str, outcome: str, *, threads: int
) -> pa.Table:
    """All learners' predictions by cell and fold, each by models of the folds before it."""
    parts = []
    for fold, model in sequential_fit(cells, parameters, threads):
        present = distinct(cells.cell[cells.fold == fold])
        rows = predictions_of(model, cells.x[present], arm, outcome)
        rows = rows.set_column(0, "cell", pa.array(present))
        parts.append(rows.append_column("fold", pa.repeat(pa.scalar(fold, pa.int8()), len(present))))
    if not parts:
        raise DataError(
            f"{arm}: no train user of all folds but the last is under it or under the control; "
            "learners cannot be compared"
        )
    return pa.concat_tables(parts)


def judge_learners(
    db: Warehouse, experiment: BatchExperiment, arm: str, predictions: Identifier
) -> Verdict:
    """Rank the users of each fold by out-of-fold predictions, and compare at the default budget."""
    declaration = experiment.declaration
    budget, names = declaration.defaults.budget, experiment.outcome(declaration.defaults.outcome)
    folds = read_out_of_fold(db, experiment, predictions, arm)
    judged = [fold for (fold,) in db.rows(f"select distinct fold from {predictions}")]
    sql = (
        f"select sum(n), coalesce(sum({names.events}) filter ("
        f"list_contains($judged, fold)), 0) from {experiment.tables.cells} "
        "where split = 'train' and arm in ($arm, $control) group by arm"
    )
    binds = {"arm": arm, "control": declaration.contrast(arm).control, "judged": judged}
    counts = db.rows(sql, binds)
    n, events = int(sum(users for users, _ in counts)), int(min(events for _, events in counts))
    return judge(compare(folds, LEARNER_NAMES, budget), n, events, budget)
