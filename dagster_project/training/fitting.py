"""Fit and judge the learners of one arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES, outcome_columns, predictions_of
from dagster_project.scores.score_groups import read_out_of_fold
from dagster_project.training.cells import read_cells
from dagster_project.training.rules import learn_rules
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import call_all
from uplift_core.cells import BinEdges, Cells, distinct
from uplift_core.errors import DataError
from uplift_core.evaluation.gate import Judged, Verdict, compare, judge
from uplift_core.learners import LEARNER_NAMES, LearnerName, OutcomeModels
from uplift_core.learners.contrast import (
    ContrastModel,
    fit_learners,
    fits_of_contrast,
)
from uplift_core.learners.nuisance import FittedModels
from uplift_core.learners.sequential import sequential_fit
from uplift_core.targeting.policy_tree import PolicyTree

CellNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How the learners of an arm are trained.

    Attributes:
        edges: lower edges of the features' bins.
        parameters: parameters of the boosters.
        threads: number of threads to fit with; 0 means all cores.
        of_control: the control's models by outcome; arms with the same parameters may share them.
        with_rules: whether rules that a person can read are learned, too.
        decides: the learner that is fitted on bags, if the parameters ask for some.
    """

    edges: BinEdges
    parameters: LearnerParameters
    threads: int
    of_control: dict[str, FittedModels] = field(default_factory=lambda: defaultdict(dict))
    with_rules: bool = True
    decides: LearnerName = "stack"


@dataclass(frozen=True)
class Trained:
    """What the training of one arm yields.

    Attributes:
        model: the fitted learners.
        verdict: what is proven of each.
        deciding: out-of-fold predictions by the learner that decides: cell, fold, score, mu0 and mu1, by
            fold and cell. None where the experiment has no other treatment to compare them with.
        rules: rules that a person can read, from simple to deep; a cluster learns none.
    """

    model: ContrastModel
    verdict: Verdict
    deciding: pa.Table | None = None
    rules: tuple[PolicyTree, ...] = ()


def fits_of_arm(experiment: BatchExperiment) -> int:
    """Return the number of fits that ``train_arm`` makes if every fold holds both arms."""
    other_outcomes = len(experiment.declaration.outcomes) - 1
    declaration = experiment.declaration
    of_contrast = fits_of_contrast(declaration.split.folds, declaration.learners.bags)
    return of_contrast + 2 * other_outcomes


def train_arm(db: Warehouse, experiment: BatchExperiment, arm: str, recipe: Recipe) -> Trained:
    """Fit all learners of one arm and both arms' models of the other outcomes; judge the learners."""
    model, predictions = fit_arm(db, experiment, arm, recipe)
    with db.relation(OUT_OF_FOLD, predictions):
        table = Identifier.of(OUT_OF_FOLD)
        judged = judge_arm(db, experiment, arm, table)
        rules = learn_rules(db, experiment, arm, recipe.edges, table) if recipe.with_rules else ()
        return Trained(model, *judged, rules)


def judge_arm(
    db: Warehouse, experiment: BatchExperiment, arm: str, predictions: Identifier
) -> tuple[Verdict, pa.Table | None]:
    """Judge an arm's learners; return the predictions of the one that decides, see ``Trained``."""
    declaration = experiment.declaration
    verdict = judge_learners(db, experiment, arm, predictions)
    if len(declaration.treatments) == 1:
        return verdict, None
    learner = declaration.defaults.learner or verdict.champion
    mu0, mu1 = outcome_columns(declaration.defaults.outcome)
    deciding = db.arrow(
        f"select cell, fold, {Identifier.of(SCORES[learner])} as score, {Identifier.of(mu0)} as mu0, "
        f"{Identifier.of(mu1)} as mu1 from {predictions} where arm = $arm order by fold, cell",
        {"arm": arm},
    )
    return verdict, deciding


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
    model = fit_learners(models, decides=recipe.decides)
    others = {}
    for outcome in experiment.declaration.outcomes:
        if outcome.name != default:
            other = outcome_models(outcome.name)
            call_all(other.fits(pooled=False), other.fitter.workers)
            others[outcome.name] = other.arms()
    predicted = (
        _cells_of_all_arms(db, experiment) if len(experiment.declaration.treatments) > 1 else None
    )
    return replace(model, others=others), out_of_fold(models.cells, recipe, arm, default, predicted)


def _cells_of_all_arms(db: Warehouse, experiment: BatchExperiment) -> dict[int, CellNumbers]:
    """Return the feature cells with train users of any arm, by fold: policies choose among all arms."""
    rows = db.arrow(
        f"select distinct fold, cell from {experiment.tables.cells} where split = 'train' order by all"
    )
    fold, cell = (rows.column(name).to_numpy() for name in ("fold", "cell"))
    return {int(k): cell[fold == k] for k in np.unique(fold)}


OUT_OF_FOLD = "out_of_fold"


def out_of_fold(
    cells: Cells,
    recipe: Recipe,
    arm: str,
    outcome: str,
    predicted: Mapping[int, CellNumbers] | None = None,
) -> pa.Table:
    """Predict by all learners, by cell and fold; models of the earlier folds predict a fold.

    Folds whose users chose the parameters are left out. ``predicted`` has the feature cells to predict,
    by fold; default: those of the contrast.
    """
    parts, shared = [], recipe.of_control[outcome]
    models = sequential_fit(cells, recipe.parameters, recipe.threads, shared, decides=recipe.decides)
    for fold, model in models:
        if fold < recipe.parameters.tuned_folds:
            continue
        present = predicted[fold] if predicted else distinct(cells.cell[cells.fold == fold])
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
