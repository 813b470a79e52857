"""Predict single rows without XGBoost's fixed cost of some 200 µs per call.

XGBoost converts the row, makes a configuration and starts a predictor for every call of every booster.
For one row it is faster to walk all trees of a booster at once, one level after the other, with NumPy:
some 20 µs. The arithmetic is XGBoost's own, operation by operation, so the results are equal to the bit;
``equal_trees`` compares them before they are used, because XGBoost does not promise how it adds up.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Floats

Ints = npt.NDArray[np.intp]
ONE: Final = np.float32(1)
# Constants of XGBoost's logistic function, which is computed in single precision.
LARGEST_EXPONENT: Final = np.float32(88.7)
TINY: Final = np.float32(1e-16)
SINGLE: Final = 20  # rows that are also compared one by one, the last ones: at splits, and all missing


@dataclass(frozen=True)
class TreeArrays:
    """All trees of one booster, one node after the other; a leaf is its own child.

    Attributes:
        roots: (n_trees,) the trees' first nodes.
        depth: number of levels below the roots.
        feature: (n_nodes,) the feature that splits the node.
        value: (n_nodes,) float32: the threshold of a split, the value of a leaf.
        missing_left: (n_nodes,) whether a missing value goes left.
        children: (n_nodes, 2) the right and the left child.
        base: float32, the margin of a row before the first tree.
        logistic: whether the margin is turned into a probability.
    """

    roots: Ints
    depth: int
    feature: Ints
    value: Floats
    missing_left: npt.NDArray[np.bool_]
    children: Ints
    base: np.float32
    logistic: bool

    def predict(self, x: Floats) -> Floats:
        """Predict the mean of each row of ``x``: (n,) float32."""
        if len(x) == 1:  # as below, in two thirds of the time
            return np.array([self._predict_row(x[0])], dtype=np.float32)
        node, rows = np.broadcast_to(self.roots, (len(x), len(self.roots))), np.arange(len(x))[:, None]
        for _ in range(self.depth):
            node = self._below(node, x[rows, self.feature[node]])
        terms = np.column_stack([np.full(len(x), self.base), self.value[node]])
        margins = np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1]  # in turn, as XGBoost adds
        if self.logistic:
            return np.array([_logistic(margin) for margin in margins], dtype=np.float32)
        return margins

    def _predict_row(self, row: Floats) -> np.float32:
        node = self.roots
        for _ in range(self.depth):
            node = self._below(node, row[self.feature[node]])
        terms = np.concatenate([[self.base], self.value[node]])
        margin = np.add.accumulate(terms, dtype=np.float32)[-1]
        return _logistic(margin) if self.logistic else margin

    def _below(self, node: Ints, values: Floats) -> Ints:
        """Return the children of nodes on the path of rows with these values of their features."""
        left = np.where(np.isnan(values), self.missing_left[node], values < self.value[node])
        return self.children[node, left.astype(np.intp)]


def equal_trees(boosters: Iterable[xgboost.Booster], x: Floats) -> dict[int, TreeArrays]:
    """Return the arrays of those boosters which they predict equally, to the bit.

    Args:
        boosters: of one contrast; a booster may have more features than ``x``, which are 0 then and 1.
        x: (n, n_features) float32, rows to compare on; values at the splits are added to them.

    Returns:
        The arrays by ``id`` of the booster; the caller keeps the boosters.
    """
    equal = {}
    for booster in boosters:
        arrays = tree_arrays(booster)
        if arrays is not None:
            rows = _rows_of(booster, arrays, x)
            expected = booster.inplace_predict(rows)
            singly = np.concatenate([arrays.predict(row) for row in np.split(rows[-SINGLE:], SINGLE)])
            if np.array_equal(arrays.predict(rows), expected) and np.array_equal(
                singly, expected[-SINGLE:]
            ):
                equal[id(booster)] = arrays
    return equal


def _rows_of(booster: xgboost.Booster, arrays: TreeArrays, x: Floats) -> Floats:
    """Return the rows to compare on: ``x``, and rows with a value at a split and next to it."""
    more = booster.num_features() - x.shape[1]
    rows = np.vstack([np.column_stack([x, np.full((len(x), more), w, np.float32)]) for w in (0, 1)])
    splits = np.flatnonzero(arrays.children[:, 0] != np.arange(len(arrays.children)))[: len(rows)]
    at_splits = [rows[: len(splits)].copy() for _ in range(2)]
    place = np.arange(len(splits)), arrays.feature[splits]
    at_splits[0][place] = arrays.value[splits]
    at_splits[1][place] = np.nextafter(arrays.value[splits], np.float32(-np.inf))
    return np.vstack([rows, *at_splits, np.full((1, rows.shape[1]), np.nan, np.float32)])


def tree_arrays(booster: xgboost.Booster) -> TreeArrays | None:
    """Read the trees of a booster; None if it has another form than the learners' boosters."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    logistic = learner["objective"]["name"] == "binary:logistic"
    (base,) = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"]))
    model = learner["gradient_booster"].get("model")
    if model is None or any(model["tree_info"]) or _libm() is None:
        return None
    trees = model["trees"]
    left, right = (_joined(trees, f"{side}_children", np.intp) for side in ("left", "right"))
    sizes = [len(tree["left_children"]) for tree in trees]
    roots = np.cumsum([0, *sizes])[:-1]
    starts, nodes, is_leaf = np.repeat(roots, sizes), np.arange(sum(sizes)), left < 0
    children = np.where(is_leaf, nodes, starts + np.array([right, left])).T.copy()
    return TreeArrays(
        roots=roots,
        depth=_depth(roots, children),
        feature=np.where(is_leaf, 0, _joined(trees, "split_indices", np.intp)),
        # A leaf has its value in place of a split's threshold.
        value=_joined(trees, "split_conditions", np.float32),
        missing_left=_joined(trees, "default_left", np.bool_),
        children=children,
        base=_margin(np.float32(base)) if logistic else np.float32(base),
        logistic=logistic,
    )


def _joined(trees: Sequence[Mapping[str, Any]], name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.array([*chain.from_iterable(tree[name] for tree in trees)], dtype)


def _depth(roots: Ints, children: Ints) -> int:
    """Count the levels below the roots; a leaf is its own child."""
    depth, level = 0, roots
    while True:
        below = children[level]
        level = np.unique(below[below != level[:, None]])
        if not level.size:
            return depth
        depth += 1


@cache
def _libm() -> ctypes.CDLL | None:
    """Load the C library's mathematics, which XGBoost calls: NumPy's differs in the last bit."""
    name = ctypes.util.find_library("m")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    for function in (library.expf, library.logf):
        function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return library


def _logistic(margin: np.float32) -> np.float32:
    library = _libm()
    assert library is not None  # noqa: S101 - otherwise there are no arrays
    power = np.float32(library.expf(min(-margin, LARGEST_EXPONENT)))
    return np.float32(ONE / (power + ONE + TINY))


def _margin(probability: np.float32) -> np.float32:
    library = _libm()
    assert library is not None  # noqa: S101 - otherwise there are no arrays
    return np.float32(-library.logf(ONE / probability - ONE))
