"""A forest on cells: the mean of many trees, each fitted to its own draw of users.

XGBoost's own forests draw rows. A row here is a cell of many users, so users are drawn instead: of the
``n`` users of a cell each is drawn with the same chance, which is a binomial number of them. All trees
have the gradient at the base score, not at the trees before them, and add 1 / trees of their value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import ONE_THREAD_ROWS
from uplift_core.boosting.parameters import ForestParameters
from uplift_core.boosting.side_by_side import stop_callbacks

# Returns, by row of features, the sum of weight * label and of the weights of the drawn users.
Draw = Callable[[np.random.Generator], tuple[Doubles, Doubles]]


@dataclass(frozen=True)
class ForestData:
    """The data of one forest.

    Attributes:
        x: (n, n_features) float32, lower edges of bins; NaN is missing.
        draw: draws users for one tree.
        base: the weighted mean label of all users, which every tree starts from.
        smallest_leaf: smallest weight of the drawn users in a leaf.
        max_bin: at least the number of bins of every feature.
    """

    x: Floats
    draw: Draw
    base: float
    smallest_leaf: float
    max_bin: int


def fit_forest(
    data: ForestData, parameters: ForestParameters, *, seed: int, threads: int
) -> xgboost.Booster:
    """Fit a forest by squared error; equal seeds give equal bytes for any number of threads."""
    random = np.random.default_rng(seed)

    def gradient(_predicted: Any, _matrix: Any) -> tuple[Doubles, Doubles]:
        label_sum, weight = data.draw(random)
        return data.base * weight - label_sum, weight

    threads = 1 if len(data.x) < ONE_THREAD_ROWS else threads
    matrix = xgboost.QuantileDMatrix(data.x, max_bin=data.max_bin, nthread=threads or None)
    return xgboost.train(
        {
            "tree_method": "hist",
            "max_bin": data.max_bin,
            "max_depth": parameters.max_depth,
            "eta": 1 / parameters.trees,
            "colsample_bynode": parameters.columns,
            "min_child_weight": data.smallest_leaf,
            "lambda": 0.0,
            "base_score": data.base,
            "seed": seed,
            "nthread": threads,
            "disable_default_eval_metric": True,
        },
        matrix,
        num_boost_round=parameters.trees,
        obj=gradient,
        callbacks=stop_callbacks(),
    )


@dataclass(frozen=True)
class Draws:
    """Draws how many of the users of each cell a tree sees; most cells have one user or none."""

    size: int
    single: npt.NDArray[np.int64]
    several: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    share: float

    @classmethod
    def of(cls, counts: Doubles, share: float) -> Draws:
        """Prepare draws of ``share`` of the users; ``counts`` (n_cells,) are whole numbers."""
        whole = counts.astype(np.int64)
        several = np.flatnonzero(whole > 1)
        return cls(len(whole), np.flatnonzero(whole == 1), several, whole[several], share)

    def draw(self, random: np.random.Generator) -> Doubles:
        """Draw the number of users of each cell: (n_cells,)."""
        drawn = np.zeros(self.size)
        drawn[self.single] = random.random(len(self.single), dtype=np.float32) < self.share
        drawn[self.several] = random.binomial(self.counts, self.share)
        return drawn
