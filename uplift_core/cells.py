"""Cells: all users with equal binned features, arm and fold, as one weighted row.

Histogram trees see only binned features. A cell of ``n`` users with outcomes ``y`` therefore stands
for them exactly: the logistic loss with label ``sum(y)/n`` and weight ``n`` has the gradient and the
hessian of its users, and so has squared error on any pseudo-outcome that is affine in y within the
cell, as those of the X-, R- and DR-learner are.

A bin is known by its lower edge, a value of the feature itself, and closed on the left. XGBoost's
cut points on such data are edges, and ``x < cut`` sends a raw value and its bin's edge the same
way. A model trained on cells thus scores raw features directly.

NaN is a bin of its own, and XGBoost's missing-value direction is learned for it as on rows.
Infinite values are refused before features are written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.workers import max_over_workers, sum_over_workers
from uplift_core.errors import DataError

MAX_BINS = 256  # XGBoost keeps a bin number of at most one byte in one byte


@dataclass(frozen=True)
class BinEdges:
    """Lower edges of each feature's bins, ascending, unique and finite; from the train split only."""

    features: tuple[str, ...]
    edges: tuple[Floats, ...]

    def __post_init__(self) -> None:
        for name, edge in zip(self.features, self.edges, strict=True):
            if edge.dtype != np.float32 or not np.all(np.isfinite(edge)):
                raise DataError(f"feature '{name}': edges must be finite float32 values")
            if len(edge) == 0 or np.any(np.diff(edge) <= 0):
                raise DataError(f"feature '{name}': edges must be ascending and at least one")

    @property
    def max_bin(self) -> int:
        """The largest number of bins of any feature, and never below XGBoost's default."""
        return max(MAX_BINS, *(len(edge) for edge in self.edges))

    def bin(self, x: Floats) -> Floats:
        """Replace each value of ``x`` (n, n_features) by its bin's lower edge; NaN stays NaN.

        Values below the first edge belong to the first bin.
        """
        binned = np.empty_like(x, dtype=np.float32)
        for j, edge in enumerate(self.edges):
            column = x[:, j]
            index = np.searchsorted(edge, column, side="right") - 1
            binned[:, j] = np.where(np.isnan(column), np.nan, edge[np.maximum(index, 0)])
        return binned

    @classmethod
    def of(cls, features: Sequence[str], x: Floats, max_bins: int = MAX_BINS) -> Self:
        """Edges of the columns of ``x`` (n, n_features), as ``sql/training/edges.sql`` finds them.

        Every distinct value where there are at most ``max_bins``, else quantiles of equal shares:
        the values in places floor(k * (n - 1) / max_bins) of the sorted ones.
        """
        edges = []
        for column in x.T:
            known = column[~np.isnan(column)]
            values = np.unique(known) if len(known) else np.zeros(1)
            if len(values) > max_bins:
                places = np.arange(max_bins) * (len(known) - 1) // max_bins
                values = np.unique(np.sort(known)[places])
            edges.append(values.astype(np.float32))
        return cls(tuple(features), tuple(edges))

    def to_dict(self) -> dict[str, list[float]]:
        """For JSON: feature -> edges. float32 values survive the trip through float64 exactly."""
        pairs = zip(self.features, self.edges, strict=True)
        return {name: [float(v) for v in edge] for name, edge in pairs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[float]]) -> Self:
        """The inverse of ``to_dict``; features keep their order."""
        edges = tuple(np.asarray(edge, dtype=np.float32) for edge in data.values())
        return cls(features=tuple(data), edges=edges)


@dataclass(frozen=True)
class Cells:
    """The train cells of one contrast and one outcome.

    Features are stored once per distinct combination: row ``i`` has features ``x[cell[i]]``.

    Attributes:
        x: (n_feature_cells, n_features) float32 lower edges.
        cell: (n_cells,) index into ``x``.
        w: (n_cells,) 1 under treatment, 0 under control.
        fold: (n_cells,) cross-fitting fold.
        n: (n_cells,) users.
        y_sum: (n_cells,) sum of their outcomes.
        events: (n_cells,) users among them with a non-zero outcome.
        propensity: e = P(W = 1), by design.
        binary: whether every outcome is 0 or 1.
        max_bin: bins that XGBoost must be able to tell apart.
    """

    x: Floats
    cell: npt.NDArray[np.int64]
    w: npt.NDArray[np.int8]
    fold: npt.NDArray[np.int8]
    n: Doubles
    y_sum: Doubles
    events: Doubles
    propensity: float
    binary: bool
    max_bin: int = MAX_BINS

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.cell, self.w, self.fold, self.n, self.y_sum, self.events)}
        if len(lengths) != 1:
            raise DataError(f"cells: columns differ in length: {sorted(lengths)}")
        for value, name in ((0, "control"), (1, "treatment")):
            if not np.any(self.w == value):
                raise DataError(f"cells: the train split holds no user under {name}")

    @property
    def y_mean(self) -> Doubles:
        """(n_cells,) mean outcome."""
        return np.asarray(self.y_sum / self.n, dtype=np.float64)

    @property
    def features(self) -> Floats:
        """(n_cells, n_features) float32 features of each cell."""
        return self.x[self.cell]

    @property
    def event_rate(self) -> float:
        """Share of users under control with a non-zero outcome; at least one event is assumed."""
        control = self.w == 0
        events, users = sum_over_workers([self.events[control].sum(), self.n[control].sum()])
        return float(max(events, 1.0) / users)

    @property
    def n_folds(self) -> int:
        """Number of cross-fitting folds."""
        return max_over_workers(int(self.fold.max())) + 1

    def outside(self, folds: Collection[int]) -> npt.NDArray[np.bool_]:
        """(n_cells,) which cells are of none of these folds."""
        return ~np.isin(self.fold, list(folds))

    def without(self, folds: Collection[int]) -> Cells:
        """The cells of all other folds, which keep their numbers."""
        if not folds:
            return self
        kept = self.outside(folds)
        names = ("cell", "w", "fold", "n", "y_sum", "events")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})


def cells_of_rows(  # noqa: PLR0913 - an experiment is made of exactly these
    edges: BinEdges,
    x: Floats,
    w: npt.ArrayLike,
    y: npt.ArrayLike,
    fold: npt.ArrayLike,
    *,
    propensity: float,
    binary: bool,
) -> Cells:
    """Cells of users in memory, in the order of ``sql/training/cells.sql``.

    Args:
        edges: of the features.
        x: (n, n_features) raw features.
        w: (n,) 1 under treatment, 0 under control.
        y: (n,) outcomes.
        fold: (n,) cross-fitting folds.
        propensity: e, by design.
        binary: whether every outcome is 0 or 1.
    """
    w, fold = np.asarray(w, dtype=np.int8), np.asarray(fold, dtype=np.int8)
    y = np.asarray(y, dtype=np.float64)
    distinct, cell = np.unique(edges.bin(x), axis=0, return_inverse=True)
    n_folds = int(fold.max()) + 1
    key = (cell.ravel().astype(np.int64) * 2 + w) * n_folds + fold
    kept, group = np.unique(key, return_inverse=True)
    return Cells(
        x=distinct,
        cell=kept // (2 * n_folds),
        w=(kept // n_folds % 2).astype(np.int8),
        fold=(kept % n_folds).astype(np.int8),
        n=np.bincount(group).astype(np.float64),
        y_sum=np.bincount(group, weights=y).astype(np.float64),
        events=np.bincount(group, weights=y != 0).astype(np.float64),
        propensity=propensity,
        binary=binary,
        max_bin=edges.max_bin,
    )


@dataclass(frozen=True)
class Regression:
    """What one booster is fitted on: rows of features with a label and a weight each."""

    x: Floats
    label: Doubles
    weight: Doubles


def distinct(cell: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The feature cells that occur in ``cell``, ascending; as ``np.unique`` without its sort."""
    return np.flatnonzero(np.bincount(cell))


def add_up(
    key: npt.NDArray[np.int64], label: Doubles, weight: Doubles
) -> tuple[npt.NDArray[np.int64], Doubles, Doubles]:
    """Add up rows of equal keys: the keys that carry weight, their mean labels and their weights.

    The gradient and the hessian of both losses in use are linear in the labels, so the sum of the
    weights and the weighted mean of the labels leave the fit as it was, on fewer rows.

    Args:
        key: (n,) what makes a row's features.
        label: (n,) labels.
        weight: (n,) weights.
    """
    total: Doubles = np.bincount(key, weights=weight).astype(np.float64)
    sums = np.bincount(key, weights=weight * label)
    kept = np.flatnonzero(total)
    return kept, sums[kept] / total[kept], total[kept]


def merge(x: Floats, key: npt.NDArray[np.int64], label: Doubles, weight: Doubles) -> Regression:
    """``add_up`` where ``key`` is a row of ``x`` (n_keys, n_features), the features."""
    kept, labels, weights = add_up(key, label, weight)
    return Regression(x=x[kept], label=labels, weight=weights)
