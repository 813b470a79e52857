"""Check the learners against econml, in two tiers.

Tier 1: econml gets the same folds, models, seed and designed propensity. Only the learners' arithmetic
can then differ, and the largest absolute difference says whether the two agree. Tier 2: econml draws its
folds itself. Most of the difference is then the noise of the folds. So the rank correlation is reported
beside the noise floor: that of two of our fits with different folds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.side_by_side import call_all
from uplift_core.cells import BinEdges, cells_of_rows
from uplift_core.learners import LEARNER_NAMES, LearnerName, OutcomeModels
from uplift_core.learners.contrast import ContrastModel, fit_learners
from uplift_core.learners.nuisance import Fitter

MAX_USERS = 20_000  # a sample, which takes seconds, is enough: it checks the code, not each experiment
TIER_2: tuple[LearnerName, ...] = ("r", "dr")  # the learners with folds
OTHER_SEED = 2


@dataclass(frozen=True)
class Rows:
    """Users of one contrast: features, arm, outcome, fold and split."""

    x: Floats
    w: npt.NDArray[np.int8]
    y: Doubles
    fold: npt.NDArray[np.int8]
    train: npt.NDArray[np.bool_]


def read_rows(
    db: Warehouse, experiment: BatchExperiment, arm: str, max_users: int
) -> tuple[tuple[str, ...], Rows]:
    """Read feature names and at most ``max_users`` users of the contrast, by salted md5; 0: all."""
    declaration = experiment.declaration
    contrast = declaration.contrast(arm)
    sql = render(
        "evaluation/crosscheck_rows.sql",
        features=experiment.tables.features,
        assignment=experiment.tables.assignment,
        outcome=Identifier.of(declaration.defaults.outcome),
    )
    binds = {
        "arm": arm,
        "control": contrast.control,
        "salt": declaration.split.salt,
        "max_users": max_users or db.count(experiment.tables.assignment),
    }
    users = db.arrow(sql, binds)
    no_features = ("crosscheck_w", "crosscheck_y", "crosscheck_fold", "crosscheck_train", "user_id")
    names = tuple(name for name in users.column_names if name not in no_features)
    x = np.column_stack([users.column(name).to_numpy() for name in names]).astype(np.float32)
    w, y, fold, train = (
        users.column(name).to_numpy(zero_copy_only=False) for name in no_features if name != "user_id"
    )
    return names, Rows(x, w.astype(np.int8), y.astype(np.float64), fold.astype(np.int8), train)


def crosscheck(
    experiment: BatchExperiment, arm: str, names: tuple[str, ...], rows: Rows, *, threads: int = 0
) -> list[dict[str, Any]]:
    """Return the rows of ``evaluation.crosscheck`` for one contrast; ``threads`` 0 means all cores."""
    e = experiment.declaration.contrast(arm).propensity
    binary = experiment.declaration.outcome(experiment.declaration.defaults.outcome).kind == "binary"
    train, held_out = rows.train, ~rows.train
    edges = BinEdges.of(names, rows.x[train], experiment.declaration.learners.max_bins)
    x, x_new = edges.bin(rows.x[train]), rows.x[held_out]
    w, y, fold = rows.w[train], rows.y[train], rows.fold[train]

    def ours(folds: npt.NDArray[np.int8]) -> tuple[ContrastModel, Fitter]:
        cells = cells_of_rows(edges, x, w, y, folds, propensity=e, binary=binary)
        models = OutcomeModels.of(cells, experiment.declaration.learners, threads)
        return fit_learners(models), models.fitter

    model, fitter = ours(fold)
    other, _ = ours(np.random.default_rng(OTHER_SEED).permutation(fold))
    # scikit-learn takes seconds to import, and most runs have a stored comparison.
    from dagster_project.evaluation.econml_peers import Folds, econml_effects  # noqa: PLC0415

    folds_of: dict[int, Folds | int] = {1: _splits(fold), 2: int(fold.max()) + 1}
    compared = [*((name, 1) for name in LEARNER_NAMES), *((name, 2) for name in TIER_2)]
    fits = [
        partial(econml_effects, learner, fitter, e, x, w, y, folds_of[tier], x_new)
        for learner, tier in compared
    ]
    with warnings.catch_warnings():
        # econml warns of missing values; both sides handle them, and chance alone assigned the arm.
        warnings.filterwarnings("ignore", ".* contains NaN", UserWarning)
        effects = call_all(fits, fitter.workers)
    predicted = {name: model.predict(x_new, name).astype(np.float64) for name in LEARNER_NAMES}
    figures = []
    for (name, tier), peer in zip(compared, effects, strict=True):
        if tier == 1:
            difference = float(np.abs(predicted[name] - peer).max())
            figures.append((name, tier, "max_abs_difference", difference))
        else:
            floor = other.predict(x_new, name).astype(np.float64)
            figures.append((name, tier, "spearman", spearman(predicted[name], peer)))
            figures.append((name, tier, "spearman_own_folds", spearman(predicted[name], floor)))
    label = {
        "experiment": experiment.name,
        "arm": arm,
        "outcome": experiment.declaration.defaults.outcome,
    }
    return [
        label
        | {"learner": name, "tier": tier, "metric": metric, "value": value, "n": int(held_out.sum())}
        for name, tier, metric, value in figures
    ]


def spearman(a: Doubles, b: Doubles) -> float:
    """Compute Spearman's rank correlation of two score arrays (n,)."""
    from scipy.stats import spearmanr  # noqa: PLC0415 - takes seconds to import

    return float(spearmanr(a, b).statistic)


def _splits(fold: npt.NDArray[np.int8]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(int(fold.max()) + 1)]
