"""A forest on cells: the mean of many trees, each fitted to its own draw of users.

XGBoost's own forests draw rows. A row here is a cell of many users, so users are drawn instead, each
with the chance 1/2. All trees have the gradient at the base score, not at the trees before them, and
add 1 / trees of their value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import ONE_THREAD_ROWS
from uplift_core.boosting.parameters import ForestParameters
from uplift_core.boosting.side_by_side import stop_callbacks

# Of a tree's number: by row of features, the sum of weight * label and of weights of the drawn users.
Draw = Callable[[int], tuple[Doubles, Doubles]]
DRAWN = 0.5  # share of the users that a tree draws


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
    trees = count()

    def gradient(_predicted: Any, _matrix: Any) -> tuple[Doubles, Doubles]:
        label_sum, weight = data.draw(next(trees))
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


MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
STEP = np.uint64(0x9E3779B97F4A7C15)
WORD = 64  # users that one random number draws


def keys_of(*columns: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Hash rows to 64 bits: (n,); each column is (n,) or (n, k), with numbers of 32 or 64 bits."""
    keys = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        numbers = np.ascontiguousarray(column).reshape(len(keys), -1)
        bits = numbers.view(np.uint32 if numbers.itemsize == np.uint32().itemsize else np.uint64)
        for place in bits.T:
            keys = _mixed(keys + STEP ^ place.astype(np.uint64))
    return keys


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatter the bits of each number: the output function of SplitMix64 (Steele et al. 2014)."""
    z = (z ^ (z >> np.uint64(30))) * MIX[0]
    z = (z ^ (z >> np.uint64(27))) * MIX[1]
    return z ^ (z >> np.uint64(31))


@dataclass(frozen=True)
class Halves:
    """Draws a half of the users of each cell, each user by one random bit: a binomial number of them.

    The bits follow from the cell's key and the tree, not from the order of cells: each worker of several
    that train together draws the users that one worker alone would.

    Attributes:
        size: number of cells.
        cell: (n_words,) the cell of each word of at most 64 users.
        keys: (n_words,) uint64.
        users: (n_words,) uint64 with one bit for each of the word's users.
    """

    size: int
    cell: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    users: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, counts: Doubles, keys: npt.NDArray[np.uint64]) -> Halves:
        """Prepare draws of ``counts`` (n_cells,) users, whole numbers; ``keys`` differ between cells."""
        whole = counts.astype(np.int64)
        words = -(-whole // WORD)
        cell = np.repeat(np.arange(len(whole)), words)
        number = np.arange(len(cell)) - np.repeat(np.cumsum(words) - words, words)
        rest = np.minimum(whole[cell] - number * WORD, WORD).astype(np.uint64)
        full = ~np.uint64(0)
        users = full >> (np.uint64(WORD) - rest)
        return cls(len(whole), cell, _mixed(keys[cell] + STEP * number.astype(np.uint64)), users)

    def draw(self, tree: int) -> Doubles:
        """Draw the number of users of each cell for one tree: (n_cells,)."""
        random = _mixed(self.keys ^ _mixed(np.array([tree + 1], dtype=np.uint64) * STEP))
        drawn = np.bitwise_count(random & self.users)
        return np.bincount(self.cell, drawn, self.size).astype(np.float64)
