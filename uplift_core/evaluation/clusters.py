"""Users in clusters: households, shops, school classes, whose outcomes go together.

Users of one cluster are not independent, so their influences are added up before they are squared: the
cluster-robust variance of a figure is ``C / (C - 1) * sum over clusters (sum of influences)^2 / n^2``
for C clusters and n users (Liang & Zeger 1986; Cameron & Miller 2015). The factor C / (C - 1) is that of
statsmodels and Stata, without their (n - 1) / (n - k), which belongs to regressions.

A user's influence is linear in a few terms, see ``estimate.py``, with coefficients that are constant
within a group of users. Users of one group, arm and outcome have equal terms, so they are of one kind:
terms are kept and multiplied by kind, and of each user only the kind is kept, cluster by cluster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.cluster_rows import Pairs, Places, Rows

DENSE = 4  # rows of a cluster are many if they are more than the groups divided by this

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
    """Sums over the users of each cluster in each group.

    Attributes:
        rows: the users by cluster.
        group: (n_kinds,) place of each kind's group.
        n_groups: number of groups.
        finer: the clusters of which these were ``merged``, and the place of each of their groups.
    """

    rows: Rows
    group: Places
    n_groups: int
    finer: tuple[Clusters, Places] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        refuse_one_cluster(len(self))

    @classmethod
    def of(
        cls, cluster: npt.NDArray[np.generic], group: Places, sums: Mapping[str, Doubles], n_groups: int
    ) -> Clusters:
        """Order rows by cluster, each a kind; ``cluster`` (n_rows,) is each row's number or text."""
        names, number = np.unique(cluster, return_inverse=True)
        order = np.argsort(number.ravel(), kind="stable")
        first = np.searchsorted(number.ravel()[order], np.arange(len(names)))
        return cls(Rows(first, order, sums), group, n_groups)

    @classmethod
    def in_order(
        cls, first: Places, group: Places, sums: Mapping[str, Doubles], n_groups: int
    ) -> Clusters:
        """Take rows, each a kind, that are in the order of their clusters; ``first`` as in ``Rows``."""
        return cls(Rows(first, np.arange(len(group)), sums), group, n_groups)

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.rows.first)

    @property
    def sums(self) -> Mapping[str, Doubles]:
        """Term of an influence -> (n_kinds,) its sum over the users of a row of that kind."""
        return self.rows.sums

    @property
    def size(self) -> Doubles:
        """(n_clusters,) users of each cluster."""
        return self.rows.size

    @property
    def factor(self) -> float:
        """C / (C - 1), with which a sum of squares over clusters is multiplied."""
        return len(self) / (len(self) - 1)

    def add_up(self, influence: Mapping[str, Doubles]) -> Doubles:
        """Add up the influences of each cluster's users: (n_clusters,).

        Args:
            influence: term -> its coefficient, (n_groups,), or (1,) if it is the same in all.
        """
        of_kind: Doubles = np.zeros(len(self.group))
        for term, coefficient in influence.items():
            by_kind = coefficient[self.group] if len(coefficient) > 1 else coefficient
            of_kind += by_kind * self.sums[term]
        return self.rows.total(of_kind)

    def error(self, by_cluster: Doubles, n_users: float) -> float:
        """Compute the standard error of a figure from its influences, added up by cluster."""
        return float(np.sqrt(self.factor * (by_cluster @ by_cluster)) / n_users)

    def times_size(self, term: str) -> Doubles:
        """Sum term * users of the cluster over clusters, by group: (n_groups,)."""
        weight = self.sums[term] * self.rows.size_of_kind
        return np.bincount(self.group, weight, self.n_groups).astype(np.float64)

    def with_any(self, term: str) -> tuple[Places, Places]:
        """Count clusters whose sum of a term is above 0 in each group, and outside it: (n_groups,) each.

        The term must not be negative. A cluster's groups are bits of one number, so for few groups only.
        """
        bit = np.where(self.sums[term] > 0, 1 << self.group, 0)
        sets = self.rows.reduced(np.bitwise_or, bit)
        n_of_set = np.bincount(sets, minlength=1 << self.n_groups)
        member = np.arange(len(n_of_set)) >> np.arange(self.n_groups)[:, None] & 1
        only_here = n_of_set[1 << np.arange(self.n_groups)]
        return member @ n_of_set, n_of_set[1:].sum() - only_here

    def merged(self, place: Places, n_groups: int) -> Clusters:
        """Merge groups: group j becomes a part of group ``place[j]`` of ``n_groups``."""
        return Clusters(self.rows, place[self.group], n_groups, finer=(self, place))

    def products(self, a: str, b: str) -> Doubles:
        """Sum, over clusters, the product of term a in one group with term b in another.

        Returns:
            (n_groups, n_groups); it is kept, because several curves need it. For few groups only.
        """
        if (a, b) not in self._products:
            pairs = self.rows.pairs
            products = (
                self._sparse_products(a, b) if pairs is None else self._paired_products(pairs, a, b)
            )
            self._products[a, b], self._products[b, a] = products, products.T
        return self._products[a, b]

    def _sparse_products(self, a: str, b: str) -> Doubles:
        left, right = self._matrix(a), self._matrix(b)
        if len(self.rows.kind) > len(self) * self.n_groups / DENSE:
            return np.asarray(left.toarray().T @ right.toarray())
        return np.asarray((left.T @ right).toarray())

    def _paired_products(self, pairs: Pairs, a: str, b: str) -> Doubles:
        size, key, states = self.n_groups, self._key_of_pairs, self._states_by_key
        products = np.diag(self.within(a, b))
        one_way = pairs.summed(a, b, key, size**2, states).reshape(size, size)
        products += one_way
        other_way = one_way if a == b else pairs.summed(b, a, key, size**2, states).reshape(size, size)
        products += other_way.T
        return np.asarray(products)

    def products_above(self, a: str, b: str) -> Doubles:
        """Sum, over clusters, the product of two terms' sums over each group and all before it.

        Returns:
            (n_groups,).
        """
        if (pairs := self.rows.pairs) is None:
            kind, so_far = self._ranked
            a_row, b_row, a_sum, b_sum = self.sums[a][kind], self.sums[b][kind], so_far(a), so_far(b)
            # What a row adds to the product of its cluster's sums over the groups so far.
            steps = a_row * b_sum + a_sum * b_row - a_row * b_row
            return np.cumsum(np.bincount(self.group[kind], steps, self.n_groups))
        size, last, states = self.n_groups, self._last_of_pairs, self._states_by_last
        one_way = pairs.summed(a, b, last, size, states)
        other_way = one_way if a == b else pairs.summed(b, a, last, size, states)
        return np.cumsum(self.within(a, b) + one_way + other_way)

    @cached_property
    def _ranked(self) -> tuple[Places, Callable[[str], Doubles]]:
        """Order the rows of each cluster by group, as kinds; add up a term over them, up to each row."""
        sizes, first = self.rows.n_rows_of, self.rows.first
        number = np.repeat(np.arange(len(self)), sizes)
        order = np.argsort(number * self.n_groups + self.group[self.rows.kind], kind="stable")
        kind = self.rows.kind[order]

        @cache
        def so_far(term: str) -> Doubles:
            column = self.sums[term][kind]
            reached = np.cumsum(column)
            return np.asarray(reached - np.repeat(reached[first] - column[first], sizes))

        return kind, so_far

    def within(self, a: str, b: str) -> Doubles:
        """Sum the products of two terms' sums in the same row, by group: (n_groups,)."""
        if (a, b) not in self._within:
            if self.finer is None:
                place, products = self.group, self.sums[a] * self.sums[b] * self.rows.n_of_kind
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
        none = self.group[:0]
        one, other = self.rows.pairs.kinds if self.rows.pairs else (none, none)
        return self.group[one], self.group[other]

    @cached_property
    def _key_of_pairs(self) -> Places:
        one, other = self._groups_of_pairs
        return one * self.n_groups + other

    @cached_property
    def _last_of_pairs(self) -> Places:
        return np.maximum(*self._groups_of_pairs)

    @cached_property
    def _states_by_key(self) -> Doubles | None:
        pairs = self.rows.pairs
        return None if pairs is None else pairs.counted(self._key_of_pairs, self.n_groups**2)

    @cached_property
    def _states_by_last(self) -> Doubles | None:
        pairs = self.rows.pairs
        return None if pairs is None else pairs.counted(self._last_of_pairs, self.n_groups)

    def _matrix(self, term: str) -> sparse.csr_matrix:
        """Return a term's sums as a sparse matrix (n_clusters, n_groups)."""
        kind = self.rows.kind
        ends = np.append(self.rows.first, len(kind))
        return sparse.csr_matrix(
            (self.sums[term][kind], self.group[kind], ends), shape=(len(self), self.n_groups)
        )
