"""Check the learners against econml, in two tiers.

Tier 1: econml gets the same folds, models, seed and designed propensity. Only the learners' arithmetic
can then differ, and the largest absolute difference says whether the two agree. Tier 2: econml draws its
folds itself. Most of the difference is then the noise of the folds. So the rank correlation is reported
beside the noise floor: that of two of our fits with different folds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.boosting.side_by_side import call_all
from uplift_core.cells import BinEdges, UserRows, cells_of_rows
from uplift_core.experiment.declaration import Experiment
from uplift_core.learners import SINGLE_LEARNERS, OutcomeModels, SingleLearner
from uplift_core.learners.contrast import ContrastModel, fit_learners
from uplift_core.learners.nuisance import Fitter

MAX_USERS = 20_000  # a sample, which takes seconds, is enough: it checks the code, not each experiment
TIER_2: tuple[SingleLearner, ...] = ("r", "dr")  # the learners with folds
OTHER_SEED = 2
NO_PEERS = "chances of the treatment or weights differ between users, which the comparison does not know"


def comparable(experiment: Experiment) -> bool:
    """Return whether econml's learners can be compared: users have one chance and one weight."""
    return not (experiment.propensity_varies or experiment.weight)


@dataclass(frozen=True)
class Sample:
    """Users of one contrast, train and held-out.

    Attributes:
        features: names of the features.
        users: the users.
        train: (n,) True for train users.
    """

    features: tuple[str, ...]
    users: UserRows
    train: npt.NDArray[np.bool_]


def read_sample(db: Warehouse, experiment: BatchExperiment, arm: str, max_users: int) -> Sample:
    """Read at most ``max_users`` users of the contrast, by salted md5; 0: all."""
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
    rows = UserRows(
        x,
        w.astype(np.int8),
        y.astype(np.float64),
        fold.astype(np.int8),
        propensity=contrast.propensity,
        binary=declaration.outcome(declaration.defaults.outcome).kind == "binary",
    )
    return Sample(names, rows, train)


def crosscheck(
    experiment: BatchExperiment, arm: str, sample: Sample, *, threads: int = 0
) -> list[dict[str, Any]]:
    """Return the rows of ``evaluation.crosscheck`` for one contrast; ``threads`` 0 means all cores."""
    train, x_new = sample.users.at(sample.train), sample.users.x[~sample.train]
    edges = BinEdges.of(sample.features, train.x, experiment.declaration.learners.max_bins)
    train = replace(train, x=edges.bin(train.x))
    fold = train.fold

    # Single learners are compared.
    parameters = experiment.declaration.learners.model_copy(update={"bags": 0})

    def ours(folds: npt.NDArray[np.int8]) -> tuple[ContrastModel, Fitter]:
        cells = cells_of_rows(edges, replace(train, fold=folds))
        models = OutcomeModels.of(cells, parameters, threads)
        return fit_learners(models), models.fitter

    model, fitter = ours(fold)
    other, _ = ours(np.random.default_rng(OTHER_SEED).permutation(fold))
    # scikit-learn takes seconds to import, and most runs have a stored comparison.
    from dagster_project.evaluation.econml_peers import Folds, econml_effects  # noqa: PLC0415

    folds_of: dict[int, Folds | int] = {1: _splits(fold), 2: int(fold.max()) + 1}
    compared = [*((name, 1) for name in SINGLE_LEARNERS), *((name, 2) for name in TIER_2)]
    fits = [
        partial(econml_effects, learner, fitter, train, folds_of[tier], x_new)
        for learner, tier in compared
    ]
    with warnings.catch_warnings():
        # econml warns of missing values; both sides handle them, and chance alone assigned the arm.
        warnings.filterwarnings("ignore", ".* contains NaN", UserWarning)
        effects = call_all(fits, fitter.workers)
    predicted = {name: model.predict(x_new, name).astype(np.float64) for name in SINGLE_LEARNERS}
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
        label | {"learner": name, "tier": tier, "metric": metric, "value": value, "n": len(x_new)}
        for name, tier, metric, value in figures
    ]


def spearman(a: Doubles, b: Doubles) -> float:
    """Compute Spearman's rank correlation of two score arrays (n,)."""
    from scipy.stats import spearmanr  # noqa: PLC0415 - takes seconds to import

    return float(spearmanr(a, b).statistic)


def _splits(fold: npt.NDArray[np.int8]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(int(fold.max()) + 1)]
