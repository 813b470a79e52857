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

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError

Places = npt.NDArray[np.int64]

# Sums over fewer independent parts are not normal enough: 95 % intervals hold the truth less often, and
# the error itself is too small (Cameron & Miller 2015, section VI).
LEAST_CLUSTERS = 40


@dataclass(frozen=True)
class Clusters:
    """Sums over the users of each cluster in each group, one row each; rows of a cluster are adjacent.

    Attributes:
        first: (n_clusters,) row with which each cluster begins, ascending from 0.
        group: (n_rows,) place of the row's group.
        sums: term of an influence -> (n_rows,) its sum over the row's users.
        n_groups: number of groups.
    """

    first: Places
    group: Places
    sums: Mapping[str, Doubles]
    n_groups: int
    _products: dict[tuple[str, str], Doubles] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.first) < 2:  # noqa: PLR2004 - a variance needs two
            raise DataError(
                "clusters: all users of an arm and the control are in one cluster; standard errors need "
                "two at least. Declare a finer cluster, or hold more users out"
            )

    @classmethod
    def of(
        cls, cluster: npt.NDArray[np.generic], group: Places, sums: Mapping[str, Doubles], n_groups: int
    ) -> Clusters:
        """Order rows by cluster; ``cluster`` (n_rows,) identifies each row's, by number or text."""
        names, number = np.unique(cluster, return_inverse=True)
        order = np.argsort(number.ravel(), kind="stable")
        first = np.searchsorted(number.ravel()[order], np.arange(len(names)))
        ordered = {term: np.asarray(column)[order] for term, column in sums.items()}
        return cls(first, group[order], ordered, n_groups)

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.first)

    @property
    def factor(self) -> float:
        """C / (C - 1), with which a sum of squares over clusters is multiplied."""
        return len(self) / (len(self) - 1)

    @property
    def number(self) -> Places:
        """(n_rows,) number of each row's cluster, from 0."""
        return np.repeat(np.arange(len(self)), np.diff(self.first, append=len(self.group)))

    def total(self, term: str) -> Doubles:
        """Add up a term by cluster: (n_clusters,)."""
        return np.asarray(np.add.reduceat(self.sums[term], self.first))

    def add_up(self, influence: Mapping[str, Doubles]) -> Doubles:
        """Add up the influences of each cluster's users: (n_clusters,).

        Args:
            influence: term -> its coefficient, (n_groups,), or (1,) if it is the same in all.
        """
        rows: Doubles = np.zeros(len(self.group))
        for term, coefficient in influence.items():
            at_row = coefficient[self.group] if len(coefficient) > 1 else coefficient
            rows += at_row * self.sums[term]
        return np.asarray(np.add.reduceat(rows, self.first))

    def error(self, by_cluster: Doubles, n_users: float) -> float:
        """Compute the standard error of a figure from its influences, added up by cluster."""
        return float(np.sqrt(self.factor * (by_cluster @ by_cluster)) / n_users)

    def merged(self, place: Places, n_groups: int) -> Clusters:
        """Merge groups: group j becomes a part of group ``place[j]`` of ``n_groups``."""
        return Clusters(self.first, place[self.group], self.sums, n_groups)

    def products(self, a: str, b: str) -> Doubles:
        """Sum, over clusters, the product of term a in one group with term b in another.

        Returns:
            (n_groups, n_groups); it is kept, because several curves need it. For few groups only.
        """
        if (a, b) not in self._products:
            found = (self._matrix(a).T @ self._matrix(b)).toarray()
            self._products[a, b], self._products[b, a] = found, found.T
        return self._products[a, b]

    def _matrix(self, term: str) -> sparse.csr_matrix:
        """Return a term's sums as a sparse matrix (n_clusters, n_groups)."""
        rows = np.append(self.first, len(self.group))
        shape = (len(self), self.n_groups)
        return sparse.csr_matrix((self.sums[term], self.group, rows), shape=shape)


@dataclass(frozen=True)
class RankedClusters:
    """Clusters with the rows of each in the order of their groups, for sums over the best groups."""

    clusters: Clusters

    @classmethod
    def of(cls, clusters: Clusters) -> RankedClusters:
        """Order the rows."""
        order = np.argsort(clusters.number * clusters.n_groups + clusters.group, kind="stable")
        sums = {term: column[order] for term, column in clusters.sums.items()}
        return cls(Clusters(clusters.first, clusters.group[order], sums, clusters.n_groups))

    def so_far(self, term: str) -> Doubles:
        """Add up a term over the rows of the same cluster up to each row: (n_rows,)."""
        column, first = self.clusters.sums[term], self.clusters.first
        reached = np.cumsum(column)
        before = reached[first] - column[first]
        return np.asarray(reached - before[self.clusters.number])

    def cumulative(self, rows: Doubles) -> Doubles:
        """Sum over the rows of each group and of all groups before it: (n_groups,)."""
        by_group = np.bincount(self.clusters.group, weights=rows, minlength=self.clusters.n_groups)
        return np.asarray(np.cumsum(by_group))
