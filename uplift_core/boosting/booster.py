"""The one place that calls XGBoost.

Learners have outcome models and effect models; this module translates them to XGBoost: histograms with
the cells' bins as cut points, an explicit base score, leaves sized by expected events, one seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

import numpy as np
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.parameters import BoostingParameters
from uplift_core.boosting.side_by_side import stop_callbacks
from uplift_core.boosting.tree_arrays import TreeArrays
from uplift_core.boosting.workers import weighted_mean

Objective = Literal["binary:logistic", "reg:squarederror"]


# Below this number of rows one thread is nearly as fast as two, and does not stall when other work uses
# a core: threads wait for each other at every level of every tree.
ONE_THREAD_ROWS = 50_000
# Up to this number of rows, converting them takes longer than predicting them.
FEW_ROWS: Final = 32
VERY_FEW_ROWS: Final = 8  # up to here, walking trees row by row is faster than a call of XGBoost


def fit_booster(  # noqa: PLR0913 - the data and the settings of one booster
    x: Floats,
    label: Doubles,
    weight: Doubles,
    *,
    objective: Objective,
    min_child_weight: float,
    parameters: BoostingParameters,
    max_bin: int,
    seed: int,
    threads: int,
) -> xgboost.Booster:
    """Fit one booster.

    Args:
        x: (n, n_features) float32, lower edges of bins; NaN is missing.
        label: (n,) mean outcome or pseudo-outcome of each cell.
        weight: (n,) users in each cell, times the weight of the loss.
        objective: the loss; logistic takes labels in [0, 1], squared error takes any.
        min_child_weight: smallest sum of hessians in a leaf: of weights under squared error, of
            weight * p * (1 - p) under the logistic loss.
        parameters: boosting parameters.
        max_bin: at least the number of bins of every feature, or XGBoost would merge some.
        seed: XGBoost's seed; equal seeds and threads give equal bytes.
        threads: largest number of threads; 0 means all cores.
    """
    base = weighted_mean(label, weight)
    if objective == "binary:logistic":
        base = min(max(base, 1e-7), 1 - 1e-7)
    threads = 1 if len(x) < ONE_THREAD_ROWS else threads
    data = xgboost.QuantileDMatrix(
        x, label=label, weight=weight, max_bin=max_bin, nthread=threads or None
    )
    return xgboost.train(
        {
            "objective": objective,
            "tree_method": "hist",
            "max_bin": max_bin,
            "max_depth": parameters.max_depth,
            "eta": parameters.learning_rate,
            "min_child_weight": min_child_weight,
            "lambda": parameters.reg_lambda,
            "base_score": base,
            "seed": seed,
            "nthread": threads,
        },
        data,
        num_boost_round=parameters.rounds,
        callbacks=stop_callbacks(),
    )


def predict_booster(booster: xgboost.Booster, x: Floats) -> Floats:
    """Predict the mean of each row of ``x``: (n,) float32. One row and many give equal results."""
    return Rows(x).predict(booster)


@dataclass(frozen=True)
class Rows:
    """Rows that one or more boosters predict. Few rows are converted for XGBoost once, not per booster.

    Attributes:
        x: (n, n_features) float32; NaN is missing.
        trees: the trees of boosters by ``id``, which predict very few rows, see ``tree_arrays``.
    """

    x: Floats
    trees: Mapping[int, TreeArrays] = field(default_factory=dict)

    def predict(self, booster: xgboost.Booster) -> Floats:
        """Predict the mean of each row: (n,) float32. One row and many give equal results.

        Raises:
            ValueError: the booster has another number of features.
        """
        if not len(self.x):
            return np.empty(0, dtype=np.float32)
        if len(self.x) > FEW_ROWS:
            return np.asarray(booster.inplace_predict(self.x), dtype=np.float32)
        if booster.num_features() != self.x.shape[1]:
            raise ValueError(f"{self.x.shape[1]} features, but the model has {booster.num_features()}")
        if len(self.x) <= VERY_FEW_ROWS and id(booster) in self.trees:
            return self.trees[id(booster)].predict(self.x)
        predicted = booster.predict(self._matrix, validate_features=False)
        return np.asarray(predicted, dtype=np.float32)

    @cached_property
    def _matrix(self) -> xgboost.DMatrix:
        return xgboost.DMatrix(self.x, nthread=1)
