"""Users in clusters: households, shops, school classes, whose outcomes go together.

Users of one cluster are not independent, so their influences are added up before they are squared: the
cluster-robust variance of a figure is ``C / (C - 1) * sum over clusters (sum of influences)^2 / n^2``
for C clusters and n users (Liang & Zeger 1986; Cameron & Miller 2015). The factor C / (C - 1) is that of
statsmodels and Stata, without their (n - 1) / (n - k), which belongs to regressions.

A user's influence is linear in a few terms, see ``estimate.py``, with coefficients that are constant
within a group of users. So the terms' sums over each cluster's users in each group are all that is
needed, besides the groups' sums: a table of at most one row per user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError

Places = npt.NDArray[np.int64]
DENSE = 4  # rows of a cluster are many if they are more than the groups divided by this
# Pairs of rows of one cluster, per row and in all: more take memory, and sparse products are as fast.
MOST_PAIRS, MOST_PAIRS_IN_ALL = 1.5, 3_000_000

# Sums over fewer independent parts are not normal enough: 95 % intervals hold the truth less often, and
# the error itself is too small (Cameron & Miller 2015, section VI).
LEAST_CLUSTERS = 40


@dataclass(frozen=True)
class ClusterSquares:
    """The influences on one figure, added up by cluster.

    Attributes:
        clusters: number of clusters.
        users: number of users.
        squares: sum over clusters of the squared sum of influences.
        largest: the largest of these squares.
    """

    clusters: int
    users: float
    squares: float
    largest: float

    @property
    def error(self) -> float:
        """The figure's cluster-robust standard error.

        Raises:
            DataError: there is one cluster.
        """
        refuse_one_cluster(self.clusters)
        return math.sqrt(self.clusters / (self.clusters - 1) * self.squares) / self.users

    @property
    def largest_share(self) -> float:
        """Share of the cluster that weighs most in the sum of squares."""
        return self.largest / self.squares if self.squares > 0 else 0.0


def refuse_one_cluster(clusters: int) -> None:
    """Refuse fewer than two clusters, of which no variance can be estimated."""
    if clusters < 2:  # noqa: PLR2004 - a variance needs two
        raise DataError(
            "clusters: all users of an arm and the control are in one cluster; standard errors need two "
            "at least. Declare a finer cluster, or take users of more clusters"
        )


@dataclass(frozen=True)
class Clusters:
    """Sums over the users of each cluster in each group, one row each; rows of a cluster are adjacent.

    Attributes:
        first: (n_clusters,) row with which each cluster begins, ascending from 0.
        group: (n_rows,) place of the row's group.
        sums: term of an influence -> (n_rows,) its sum over the row's users.
        n_groups: number of groups.
        pairs: the rows of one cluster in pairs, of clusters that are small.
        finer: the clusters of which these were ``merged``, and the place of each of their groups.
    """

    first: Places
    group: Places
    sums: Mapping[str, Doubles]
    n_groups: int
    pairs: Pairs | None = field(default=None, repr=False, compare=False)
    finer: tuple[Clusters, Places] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        refuse_one_cluster(len(self.first))

    @classmethod
    def of(
        cls, cluster: npt.NDArray[np.generic], group: Places, sums: Mapping[str, Doubles], n_groups: int
    ) -> Clusters:
        """Order rows by cluster; ``cluster`` (n_rows,) identifies each row's, by number or text."""
        names, number = np.unique(cluster, return_inverse=True)
        order = np.argsort(number.ravel(), kind="stable")
        first = np.searchsorted(number.ravel()[order], np.arange(len(names)))
        ordered = {term: np.asarray(column)[order] for term, column in sums.items()}
        return cls.in_order(first, group[order], ordered, n_groups)

    @classmethod
    def in_order(
        cls, first: Places, group: Places, sums: Mapping[str, Doubles], n_groups: int
    ) -> Clusters:
        """Take rows that are in the order of their clusters; see the attributes."""
        pairs = Pairs.of(first, sums) if len(first) > 1 else None
        return cls(first, group, sums, n_groups, pairs)

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.first)

    @property
    def factor(self) -> float:
        """C / (C - 1), with which a sum of squares over clusters is multiplied."""
        return len(self) / (len(self) - 1)

    def total(self, term: str) -> Doubles:
        """Add up a term by cluster: (n_clusters,)."""
        return np.asarray(np.add.reduceat(self.sums[term], self.first))

    def add_up(self, influence: Mapping[str, Doubles]) -> Doubles:
        """Add up the influences of each cluster's users: (n_clusters,).

        Args:
            influence: term -> its coefficient, (n_groups,), or (1,) if it is the same in all.
        """
        added: Doubles = np.zeros(len(self))
        for term, coefficient in influence.items():
            if len(coefficient) > 1:
                added += self._matrix(term) @ coefficient
            else:
                added += coefficient * self.total(term)
        return added

    def error(self, by_cluster: Doubles, n_users: float) -> float:
        """Compute the standard error of a figure from its influences, added up by cluster."""
        return float(np.sqrt(self.factor * (by_cluster @ by_cluster)) / n_users)

    def weighted(self, term: str, weight: Doubles) -> Doubles:
        """Sum weight * term over clusters, by group: (n_groups,); ``weight`` is (n_clusters,)."""
        return np.asarray(self._matrix(term).T @ weight)

    def with_any(self, term: str) -> tuple[Places, Places]:
        """Count clusters whose sum of a term is above 0 in each group, and outside it: (n_groups,) each.

        The term must not be negative.
        """
        number = np.repeat(np.arange(len(self)), np.diff(self.first, append=len(self.group)))
        happened = self.sums[term] > 0
        present = np.zeros((len(self), self.n_groups), dtype=bool)
        present[number[happened], self.group[happened]] = True
        groups_of_cluster = present.sum(axis=1)
        inside, only_here = present.sum(axis=0), present[groups_of_cluster == 1].sum(axis=0)
        return inside, np.count_nonzero(groups_of_cluster) - only_here

    def merged(self, place: Places, n_groups: int) -> Clusters:
        """Merge groups: group j becomes a part of group ``place[j]`` of ``n_groups``."""
        return replace(self, group=place[self.group], n_groups=n_groups, finer=(self, place))

    def products(self, a: str, b: str) -> Doubles:
        """Sum, over clusters, the product of term a in one group with term b in another.

        Returns:
            (n_groups, n_groups); it is kept, because several curves need it. For few groups only.
        """
        if (a, b) not in self._products:
            pairs = self.pairs
            products = (
                self._sparse_products(a, b) if pairs is None else self._paired_products(pairs, a, b)
            )
            self._products[a, b], self._products[b, a] = products, products.T
        return self._products[a, b]

    def _sparse_products(self, a: str, b: str) -> Doubles:
        left, right = self._matrix(a), self._matrix(b)
        if len(self.group) > len(self) * self.n_groups / DENSE:
            return np.asarray(left.toarray().T @ right.toarray())
        return np.asarray((left.T @ right).toarray())

    def _paired_products(self, pairs: Pairs, a: str, b: str) -> Doubles:
        one, other = self._groups_of_pairs
        size, key = self.n_groups, one * self.n_groups + other
        products = np.diag(self.within(a, b))
        products += np.bincount(key, pairs.product(a, b), size**2).reshape(size, size)
        products += np.bincount(key, pairs.product(b, a), size**2).reshape(size, size).T
        return np.asarray(products)

    def products_above(self, a: str, b: str) -> Doubles:
        """Sum, over clusters, the product of two terms' sums over each group and all before it.

        Returns:
            (n_groups,).
        """
        if self.pairs is None:
            rows, so_far = self._ranked
            a_row, b_row, a_sum, b_sum = self.sums[a][rows], self.sums[b][rows], so_far(a), so_far(b)
            # What a row adds to the product of its cluster's sums over the groups so far.
            steps = a_row * b_sum + a_sum * b_row - a_row * b_row
            return np.cumsum(np.bincount(self.group[rows], steps, self.n_groups))
        last = np.maximum(*self._groups_of_pairs)
        added = self.within(a, b)
        for product in (self.pairs.product(a, b), self.pairs.product(b, a)):
            added = added + np.bincount(last, product, self.n_groups)
        return np.cumsum(added)

    @cached_property
    def _ranked(self) -> tuple[Places, Callable[[str], Doubles]]:
        """Order the rows of each cluster by group; add up a term over them, up to each row."""
        sizes = np.diff(self.first, append=len(self.group))
        number = np.repeat(np.arange(len(self)), sizes)
        rows = np.argsort(number * self.n_groups + self.group, kind="stable")

        @cache
        def so_far(term: str) -> Doubles:
            column = self.sums[term][rows]
            reached = np.cumsum(column)
            return np.asarray(reached - np.repeat(reached[self.first] - column[self.first], sizes))

        return rows, so_far

    def within(self, a: str, b: str) -> Doubles:
        """Sum the products of two terms' sums in the same row, by group: (n_groups,)."""
        if (a, b) not in self._within:
            if self.finer is None:
                place, products = self.group, self.sums[a] * self.sums[b]
            else:
                clusters, place = self.finer
                products = clusters.within(a, b)
            by_group = np.bincount(place, products, self.n_groups).astype(np.float64)
            self._within[a, b] = self._within[b, a] = by_group
        return self._within[a, b]

    @cached_property
    def _within(self) -> dict[tuple[str, str], Doubles]:
        return {}

    @cached_property
    def _products(self) -> dict[tuple[str, str], Doubles]:
        return {}

    @cached_property
    def _groups_of_pairs(self) -> tuple[Places, Places]:
        rows = self.pairs.rows if self.pairs else (self.first[:0], self.first[:0])
        one, other = (self.group[some] for some in rows)
        return one, other

    @cached_property
    def _structure(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        return self.group.astype(np.int32), np.append(self.first, len(self.group)).astype(np.int32)

    def _matrix(self, term: str) -> sparse.csr_matrix:
        """Return a term's sums as a sparse matrix (n_clusters, n_groups)."""
        matrix = sparse.csr_matrix((len(self), self.n_groups))
        matrix.indices, matrix.indptr = self._structure
        matrix.data = self.sums[term]
        return matrix


@dataclass(frozen=True)
class Pairs:
    """All pairs of different rows of one cluster, of clusters that are small.

    Attributes:
        rows: rows of a pair, twice (n_pairs,); the first has the lower number.
        sums: see ``Clusters``.
    """

    rows: tuple[Places, Places]
    sums: Mapping[str, Doubles]

    @classmethod
    def of(cls, first: Places, sums: Mapping[str, Doubles]) -> Pairs | None:
        """List the pairs; None if there are too many, see ``MOST_PAIRS``."""
        n = len(next(iter(sums.values())))
        size = np.diff(first, append=n)
        if np.sum(size * (size - 1) // 2) > min(MOST_PAIRS * n, MOST_PAIRS_IN_ALL):
            return None
        left = np.repeat(first + size, size) - np.arange(n) - 1  # rows of the cluster that follow
        starts = [np.flatnonzero(left >= distance) for distance in range(1, int(size.max()))]
        ones = np.concatenate([np.zeros(0, dtype=np.int64), *starts])
        others = [rows + distance for distance, rows in enumerate(starts, start=1)]
        return cls((ones, np.concatenate([np.zeros(0, dtype=np.int64), *others])), sums)

    def product(self, a: str, b: str) -> Doubles:
        """Multiply term a of the first row with term b of the second: (n_pairs,); it is kept."""
        if (a, b) not in self._products:
            one, other = self.rows
            self._products[a, b] = self.sums[a][one] * self.sums[b][other]
        return self._products[a, b]

    @cached_property
    def _products(self) -> dict[tuple[str, str], Doubles]:
        return {}
