"""Fit and judge the learners of one arm."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import predictions_of
from dagster_project.scores.score_groups import read_out_of_fold
from dagster_project.training.cells import read_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import call_all
from uplift_core.cells import BinEdges, Cells, distinct
from uplift_core.errors import DataError
from uplift_core.evaluation.gate import Judged, Verdict, compare, judge
from uplift_core.learners import LEARNER_NAMES, OutcomeModels
from uplift_core.learners.contrast import (
    ContrastModel,
    fit_learners,
    fits_of_contrast,
    sequential_fit,
)
from uplift_core.learners.nuisance import FittedModels


@dataclass(frozen=True)
class Recipe:
    """How the learners of an arm are trained.

    Attributes:
        edges: lower edges of the features' bins.
        parameters: parameters of the boosters.
        threads: number of threads to fit with; 0 means all cores.
        of_control: the control's models by outcome; arms with the same parameters may share them.
    """

    edges: BinEdges
    parameters: LearnerParameters
    threads: int
    of_control: dict[str, FittedModels] = field(default_factory=lambda: defaultdict(dict))


def fits_of_arm(experiment: BatchExperiment) -> int:
    """Return the number of fits that ``train_arm`` makes if every fold holds both arms."""
    other_outcomes = len(experiment.declaration.outcomes) - 1
    return fits_of_contrast(experiment.declaration.split.folds) + 2 * other_outcomes


def train_arm(
    db: Warehouse, experiment: BatchExperiment, arm: str, recipe: Recipe
) -> tuple[ContrastModel, Verdict]:
    """Fit all learners of one arm and both arms' models of the other outcomes; judge the learners."""
    model, predictions = fit_arm(db, experiment, arm, recipe)
    with db.relation(OUT_OF_FOLD, predictions):
        return model, judge_learners(db, experiment, arm, Identifier.of(OUT_OF_FOLD))


def fit_arm(
    db: Warehouse, experiment: BatchExperiment, arm: str, recipe: Recipe
) -> tuple[ContrastModel, pa.Table]:
    """Fit the models; return them with the out-of-fold predictions by which learners are judged."""

    def outcome_models(outcome: str) -> OutcomeModels:
        cells = read_cells(db, experiment, arm, recipe.edges, outcome)
        shared = recipe.of_control[outcome]
        return OutcomeModels.of(cells, recipe.parameters, recipe.threads, shared)

    default = experiment.declaration.defaults.outcome
    models = outcome_models(default)
    model = fit_learners(models)
    others = {}
    for outcome in experiment.declaration.outcomes:
        if outcome.name != default:
            other = outcome_models(outcome.name)
            call_all(other.fits(pooled=False), other.fitter.workers)
            others[outcome.name] = other.arms()
    return replace(model, others=others), out_of_fold(models.cells, recipe, arm, default)


OUT_OF_FOLD = "out_of_fold"


def out_of_fold(cells: Cells, recipe: Recipe, arm: str, outcome: str) -> pa.Table:
    """Predict by all learners, by cell and fold; models of the earlier folds predict a fold."""
    parts, shared = [], recipe.of_control[outcome]
    for fold, model in sequential_fit(cells, recipe.parameters, recipe.threads, shared):
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
    """Rank each fold's users by out-of-fold predictions; compare learners at the default budget."""
    declaration = experiment.declaration
    budget, names = declaration.defaults.budget, experiment.outcome(declaration.defaults.outcome)
    folds = read_out_of_fold(db, experiment, predictions, arm)
    judged = [fold for (fold,) in db.rows(f"select distinct fold from {predictions}")]
    binds = {"arm": arm, "control": declaration.contrast(arm).control}
    in_arms = "where split = 'train' and arm in ($arm, $control)"
    sql = (
        f"select sum(n), coalesce(sum({names.events}) filter ("
        f"list_contains($judged, fold)), 0) from {experiment.tables.cells} {in_arms} group by arm"
    )
    counts = db.rows(sql, binds | {"judged": judged})
    n, events = int(sum(users for users, _ in counts)), int(min(events for _, events in counts))
    if declaration.cluster:
        sql = (
            f"select count(distinct cluster) filter ({names.name} <> 0 and "
            f"list_contains($judged, fold)) from {experiment.tables.assignment} {in_arms} group by arm"
        )
        events = int(min(clusters for (clusters,) in db.rows(sql, binds | {"judged": judged})))
    who = Judged(n, events, clustered=bool(declaration.cluster))
    return judge(compare(folds, LEARNER_NAMES, budget), who, budget)
