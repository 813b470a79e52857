"""Cells: one weighted row for all users with equal binned features, arm and fold.

Histogram trees see only binned features. A cell of ``n`` users with outcomes ``y`` therefore stands
for them exactly: the logistic loss with label ``sum(y)/n`` and weight ``n`` has the same gradient and
hessian as its users. So has the squared error on any pseudo-outcome that is affine in y within the
cell; the pseudo-outcomes of the X-, R- and DR-learner are.

A bin is represented by its lower edge, a value of the feature itself, and is closed on the left.
XGBoost's cut points on such data are edges, and ``x < cut`` sends a raw value and its bin's edge the
same way. So a model that is trained on cells scores raw features directly.

NaN is a separate bin, for which XGBoost learns its missing-value direction as on rows. Infinite values
are refused before features are written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.workers import max_over_workers, sum_over_workers
from uplift_core.errors import DataError

LARGEST_KEY = 2**62
MAX_BINS = 256  # XGBoost keeps a bin number of at most one byte in one byte


@dataclass(frozen=True)
class BinEdges:
    """Lower edges of each feature's bins: ascending, unique and finite; from the train split only."""

    features: tuple[str, ...]
    edges: tuple[Floats, ...]

    def __post_init__(self) -> None:
        for name, edge in zip(self.features, self.edges, strict=True):
            if edge.dtype != np.float32 or not np.all(np.isfinite(edge)):
                raise DataError(f"feature '{name}': edges must be finite float32 values")
            if len(edge) == 0 or np.any(np.diff(edge) <= 0):
                raise DataError(f"feature '{name}': edges must be ascending, and at least one")

    @property
    def max_bin(self) -> int:
        """The largest number of bins of any feature; at least XGBoost's default."""
        return max(MAX_BINS, *(len(edge) for edge in self.edges))

    def bin(self, x: Floats) -> Floats:
        """Replace each value of ``x`` (n, n_features) by its bin's lower edge; NaN stays NaN.

        Values below the first edge belong to the first bin.
        """
        return self.values(self.codes(x))

    def codes(self, x: Floats) -> npt.NDArray[np.int64]:
        """Number the bin of each value of ``x`` (n, n_features), from 0; NaN is the last one."""
        codes = np.empty(x.shape, dtype=np.int64)
        for j in range(len(self.edges)):
            codes[:, j] = self.codes_of(j, x)
        return codes

    def codes_of(self, feature: int, x: Floats) -> npt.NDArray[np.int64]:
        """Number the bin of one feature, by its place, of each row of ``x``: (n,); see ``codes``."""
        edge, column = self.edges[feature], x[:, feature]
        index = np.maximum(np.searchsorted(edge, column, side="right") - 1, 0)
        return np.where(np.isnan(column), len(edge), index)

    def values(self, codes: npt.NDArray[np.int64]) -> Floats:
        """Return the lower edges of the bins ``codes`` (n, n_features) as float32."""
        columns = [np.append(edge, np.float32(np.nan))[codes[:, j]] for j, edge in enumerate(self.edges)]
        return np.column_stack(columns).astype(np.float32, copy=False)

    @classmethod
    def of(cls, features: Sequence[str], x: Floats, max_bins: int = MAX_BINS) -> Self:
        """Compute the edges of the columns of ``x`` (n, n_features), as ``sql/training/edges.sql`` does.

        A feature with at most ``max_bins`` distinct values has one bin for each of them. Other features
        have quantiles of equal shares: the sorted values in places floor(k * (n - 1) / max_bins).
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
        """Convert to JSON's types: feature -> edges. float64 holds float32 values exactly."""
        pairs = zip(self.features, self.edges, strict=True)
        return {name: [float(v) for v in edge] for name, edge in pairs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[float]]) -> Self:
        """Invert ``to_dict``; features keep their order."""
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
        n: (n_cells,) number of users.
        y_sum: (n_cells,) sum of the users' outcomes.
        events: (n_cells,) number of users with a non-zero outcome.
        propensity: e = P(W = 1), by design, over all users.
        binary: whether every outcome is 0 or 1.
        max_bin: number of bins that XGBoost must distinguish.
        propensities: (n_cells,) each cell's own e, where e differs between users; a cell holds users of
            one e. None: ``propensity`` is that of every user.
        squares: (n_cells,) sum of the users' squared outcomes, which bags need if these are not binary;
            None: not known, or the outcome is binary, so that they are ``y_sum``.
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
    propensities: Doubles | None = None
    squares: Doubles | None = None

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in self._columns}
        if len(lengths) != 1:
            raise DataError(f"cells: columns differ in length: {sorted(lengths)}")
        for value, name in ((0, "control"), (1, "treatment")):
            if not np.any(self.w == value):
                raise DataError(
                    f"cells: the train split has no user under {name}; check the arms' shares"
                )

    @property
    def _columns(self) -> tuple[str, ...]:
        some = (name for name in ("propensities", "squares") if getattr(self, name) is not None)
        return ("cell", "w", "fold", "n", "y_sum", "events", *some)

    @property
    def e(self) -> Doubles | float:
        """Each cell's e, (n_cells,), or the one number that is every user's."""
        return self.propensity if self.propensities is None else self.propensities

    @property
    def balanced_n(self) -> Doubles:
        """(n_cells,) users, weighted so that each arm stands for all users, where e differs; else ``n``.

        A treated user weighs e over their own e, a control (1 - e) over 1 - their own e. Without weights
        an arm has more of the users who were likely to be in it, and what made them likely may move the
        outcome without being a feature.
        """
        if self.propensities is None:
            return self.n
        treated = self.w * (self.propensity / self.propensities)
        control = (1 - self.w) * ((1 - self.propensity) / (1 - self.propensities))
        return np.asarray(self.n * (treated + control), dtype=np.float64)

    @property
    def mean_overlap(self) -> float:
        """Mean of e (1 - e) over users: the mean weight of a user in the R-loss."""
        if self.propensities is None:
            return self.propensity * (1 - self.propensity)
        overlap = self.propensities * (1 - self.propensities)
        total, users = sum_over_workers([(self.n * overlap).sum(), self.n.sum()])
        return float(total / users)

    @property
    def y_mean(self) -> Doubles:
        """(n_cells,) mean outcome of each cell."""
        return np.asarray(self.y_sum / self.n, dtype=np.float64)

    @property
    def features(self) -> Floats:
        """(n_cells, n_features) float32 features of each cell."""
        return self.x[self.cell]

    @property
    def event_rate(self) -> float:
        """Share of control users with a non-zero outcome; at least one such user is assumed."""
        control = self.w == 0
        events, users = sum_over_workers([self.events[control].sum(), self.n[control].sum()])
        return float(max(events, 1.0) / users)

    @property
    def n_folds(self) -> int:
        """Number of cross-fitting folds."""
        return max_over_workers(int(self.fold.max())) + 1

    def outside(self, folds: Collection[int]) -> npt.NDArray[np.bool_]:
        """Return (n_cells,) flags: True for cells in none of these folds."""
        return ~np.isin(self.fold, list(folds))

    def without(self, folds: Collection[int]) -> Cells:
        """Select the cells of all other folds; the folds keep their numbers."""
        return self.at(self.outside(folds)) if folds else self

    def at(self, rows: npt.NDArray[Any], **changed: Doubles) -> Cells:
        """Select cells by flags (n_cells,) or by numbers; ``changed`` replaces columns, by name."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self._columns} | changed)


@dataclass(frozen=True)
class UserRows:
    """Users of one contrast in memory, one row each.

    Attributes:
        x: (n, n_features) float32 features.
        w: (n,) 1 under treatment, 0 under control.
        y: (n,) outcomes.
        fold: (n,) cross-fitting folds, from 0.
        propensity: e = P(W = 1), by design, over all users.
        binary: whether every outcome is 0 or 1.
        propensities: (n,) each user's e, where it differs between users; else None.
    """

    x: Floats
    w: npt.NDArray[Any]
    y: npt.NDArray[Any]
    fold: npt.NDArray[Any]
    propensity: float
    binary: bool
    propensities: Doubles | None = None

    def at(self, rows: npt.NDArray[Any]) -> UserRows:
        """Select users by flags (n,) or by row numbers."""
        names = ["x", "w", "y", "fold"]
        if self.propensities is not None:
            names.append("propensities")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True)
class BinnedUsers:
    """Users of one contrast in memory with their features binned: user i has ``x[cell[i]]``.

    Attributes:
        x: (n_feature_cells, n_features) float32 lower edges, one row per combination.
        cell: (n,) index into ``x``.
        w: (n,) int8, 1 under treatment, 0 under control.
        y: (n,) float64 outcomes.
        fold: (n,) int8 cross-fitting folds, from 0.
        propensity: e = P(W = 1), by design, over all users.
        binary: whether every outcome is 0 or 1.
        max_bin: number of bins that XGBoost must distinguish.
        cluster: (n,) number of the user's cluster, from 0; None if users are independent.
        propensities: (n,) each user's e, where it differs between users; else None.
    """

    x: Floats
    cell: npt.NDArray[np.int64]
    w: npt.NDArray[np.int8]
    y: Doubles
    fold: npt.NDArray[np.int8]
    propensity: float
    binary: bool
    max_bin: int = MAX_BINS
    cluster: npt.NDArray[np.int64] | None = None
    propensities: Doubles | None = None

    @classmethod
    def of(cls, edges: BinEdges, users: UserRows) -> Self:
        """Bin the features of users."""
        codes = edges.codes(users.x)
        first, cell = _combinations(codes, [len(edge) + 1 for edge in edges.edges])
        return cls(
            x=edges.values(codes[first]),
            cell=cell,
            w=np.asarray(users.w, dtype=np.int8),
            y=np.asarray(users.y, dtype=np.float64),
            fold=np.asarray(users.fold, dtype=np.int8),
            propensity=users.propensity,
            binary=users.binary,
            max_bin=edges.max_bin,
            propensities=users.propensities,
        )

    def cells(self) -> Cells:
        """Add up users of equal features, arm, fold and e, in the order of ``training/cells.sql``."""
        n_folds = int(self.fold.max()) + 1
        key, propensities = (self.cell * 2 + self.w) * n_folds + self.fold, self.propensities
        if propensities is None:
            keys, group = np.unique(key, return_inverse=True)
        else:
            of_e, number = np.unique(propensities, return_inverse=True)
            keys, group = np.unique(key * len(of_e) + number.ravel(), return_inverse=True)
            propensities, keys = of_e[keys % len(of_e)], keys // len(of_e)
        return Cells(
            x=self.x,
            cell=keys // (2 * n_folds),
            w=(keys // n_folds % 2).astype(np.int8),
            fold=(keys % n_folds).astype(np.int8),
            n=np.bincount(group).astype(np.float64),
            y_sum=np.bincount(group, weights=self.y).astype(np.float64),
            events=np.bincount(group, weights=self.y != 0).astype(np.float64),
            propensity=self.propensity,
            binary=self.binary,
            max_bin=self.max_bin,
            propensities=propensities,
            squares=None if self.binary else np.bincount(group, weights=self.y**2).astype(np.float64),
        )


def _combinations(
    codes: npt.NDArray[np.int64], sizes: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number the distinct rows of ``codes`` (n, n_features) from 0, in their order.

    Args:
        codes: numbers from 0.
        sizes: (n_features,) how many numbers a column may have.

    Returns:
        The first row with each combination, (n_combinations,); and each row's combination, (n,).
    """
    key, largest = np.zeros(len(codes), dtype=np.int64), 1
    for column, size in zip(codes.T, sizes, strict=True):
        if largest * size > LARGEST_KEY:
            _, key = np.unique(key, return_inverse=True)
            largest = int(key.max()) + 1
        key, largest = key * size + column, largest * size
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return first.astype(np.int64), number.astype(np.int64)


def cells_of_rows(edges: BinEdges, users: UserRows) -> Cells:
    """Add up users in memory to cells."""
    return BinnedUsers.of(edges, users).cells()


@dataclass(frozen=True)
class Regression:
    """The data of one booster: rows of features, each with a label and a weight."""

    x: Floats
    label: Doubles
    weight: Doubles


def distinct(cell: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the feature cells that occur in ``cell``, ascending: ``np.unique`` without its sort."""
    return np.flatnonzero(np.bincount(cell))


def add_up(
    key: npt.NDArray[np.int64], label: Doubles, weight: Doubles
) -> tuple[npt.NDArray[np.int64], Doubles, Doubles]:
    """Add up rows of equal keys; return the keys with weight, their mean labels and their weights.

    The gradient and the hessian of both losses in use are linear in the labels. So the sum of the
    weights and the weighted mean of the labels give the same fit on fewer rows.

    Args:
        key: (n,) identifies a row's features.
        label: (n,) labels.
        weight: (n,) weights.
    """
    total: Doubles = np.bincount(key, weights=weight).astype(np.float64)
    sums = np.bincount(key, weights=weight * label)
    keys = np.flatnonzero(total)
    return keys, sums[keys] / total[keys], total[keys]


def merge(x: Floats, key: npt.NDArray[np.int64], label: Doubles, weight: Doubles) -> Regression:
    """Add up rows as ``add_up`` does; ``key`` is a row number of ``x`` (n_keys, n_features)."""
    keys, labels, weights = add_up(key, label, weight)
    return Regression(x=x[keys], label=labels, weight=weights)
