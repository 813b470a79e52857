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
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError

Places = npt.NDArray[np.int64]
DENSE = 4  # rows of a cluster are many if they are more than the groups divided by this
# Pairs of rows of one cluster, per row and in all: more take memory, and sparse products are as fast.
MOST_PAIRS, MOST_PAIRS_IN_ALL = 1.5, 3_000_000
SMALL = 8  # rows; clusters up to this size are added up row by row, which is faster
# Where outcomes are 0 or 1 and nobody weighs more, a user has 0 or 1 of these terms: four states.
ARM_TERMS, STATES = ("one", "treated", "control", "y_treated", "y_control"), 4

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
class Rows:
    """The users of each cluster, by kind; rows of a cluster are adjacent. Most have one user.

    Attributes:
        first: (n_clusters,) row with which each cluster begins, ascending from 0.
        kind: (n_rows,) place of the row's kind.
        sums: term of an influence -> (n_kinds,) its sum over the users of a row of that kind.
    """

    first: Places
    kind: Places
    sums: Mapping[str, Doubles]

    @cached_property
    def n_rows_of(self) -> Places:
        """(n_clusters,) rows of each cluster."""
        return np.diff(self.first, append=len(self.kind))

    @cached_property
    def n_of_kind(self) -> Doubles:
        """(n_kinds,) rows of each kind."""
        n_kinds = len(next(iter(self.sums.values())))
        return np.bincount(self.kind, minlength=n_kinds).astype(np.float64)

    def total(self, of_kind: Doubles) -> Doubles:
        """Add up by cluster what each row of a kind has: (n_clusters,) of (n_kinds,)."""
        return np.asarray(self.reduced(np.add, of_kind))

    def reduced(self, operation: np.ufunc, of_kind: npt.NDArray[np.generic]) -> npt.NDArray[Any]:
        """Reduce by cluster what each row of a kind has: (n_clusters,) of (n_kinds,)."""
        if self._seats is None:
            return np.asarray(operation.reduceat(of_kind[self.kind], self.first))
        (_, kind), *others = self._seats
        by_cluster = of_kind[kind]
        for clusters, kind in others:
            by_cluster[clusters] = operation(by_cluster[clusters], of_kind[kind])
        return by_cluster

    @cached_property
    def _seats(self) -> list[tuple[Places, Places]] | None:
        """List, for the first row of clusters, the second, ..., who has one and its kind."""
        largest = int(self.n_rows_of.max())
        if largest > SMALL:
            return None
        clusters = [np.flatnonzero(self.n_rows_of > seat) for seat in range(largest)]
        return [(each, self.kind[self.first[each] + seat]) for seat, each in enumerate(clusters)]

    @cached_property
    def states(self) -> tuple[Places, Mapping[str, Doubles]] | None:
        """Number the states of users by their ``ARM_TERMS``, if those are 0 or 1.

        Returns:
            (n_kinds,) state of each kind; term -> (n_states,) its value.
        """
        terms = [self.sums.get(term) for term in ARM_TERMS]
        if any(term is None or np.any((term != 0) & (term != 1)) for term in terms):
            return None
        treated, y = self.sums["treated"], self.sums["y_treated"] + self.sums["y_control"]
        w, outcome = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
        values = (np.ones(STATES), w, 1 - w, w * outcome, (1 - w) * outcome)
        return (2 * treated + y).astype(np.int64), dict(zip(ARM_TERMS, values, strict=True))

    @cached_property
    def size(self) -> Doubles:
        """(n_clusters,) users of each cluster."""
        return self.total(self.sums["one"])

    @cached_property
    def size_of_kind(self) -> Doubles:
        """(n_kinds,) the sum, over the rows of a kind, of their clusters' users."""
        size = np.repeat(self.size, self.n_rows_of)
        return np.bincount(self.kind, size, len(self.n_of_kind)).astype(np.float64)

    @cached_property
    def pairs(self) -> Pairs | None:
        """The rows of one cluster in pairs; None if there are too many, see ``MOST_PAIRS``."""
        return Pairs.of(self)


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
        added = self.within(a, b)
        for one, other in ((a, b), (b, a)):
            last, states = self._last_of_pairs, self._states_by_last
            added = added + pairs.summed(one, other, last, self.n_groups, states)
        return np.cumsum(added)

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


@dataclass(frozen=True)
class Pairs:
    """All pairs of different rows of one cluster, of clusters that are small.

    Attributes:
        kinds: kinds of a pair's rows, twice (n_pairs,).
        rows: the rows of all clusters.
    """

    kinds: tuple[Places, Places]
    rows: Rows = field(repr=False)

    @classmethod
    def of(cls, rows: Rows) -> Pairs | None:
        """List the pairs; None if there are too many, see ``MOST_PAIRS``."""
        n, size = len(rows.kind), rows.n_rows_of
        if np.sum(size * (size - 1) // 2) > min(MOST_PAIRS * n, MOST_PAIRS_IN_ALL):
            return None
        left = np.repeat(rows.first + size, size) - np.arange(n) - 1  # rows of the cluster that follow
        starts = [np.flatnonzero(left >= distance) for distance in range(1, int(size.max()))]
        ones = np.concatenate([np.zeros(0, dtype=np.int64), *starts])
        others = [row + distance for distance, row in enumerate(starts, start=1)]
        other = np.concatenate([np.zeros(0, dtype=np.int64), *others])
        return cls((rows.kind[ones], rows.kind[other]), rows)

    def summed(self, a: str, b: str, place: Places, n_places: int, states: Doubles | None) -> Doubles:
        """Sum term a of the first row times term b of the second by place: (n_places,).

        Args:
            a: term of the first row.
            b: term of the second row.
            place: (n_pairs,) place of each pair.
            n_places: number of places.
            states: the pairs ``counted`` by place, of which products of ``ARM_TERMS`` follow.
        """
        if states is not None and a in ARM_TERMS and b in ARM_TERMS:
            _, values = self.rows.states or (None, {})
            return np.asarray(states @ np.outer(values[a], values[b]).ravel())
        return np.bincount(place, self._product(a, b), n_places).astype(np.float64)

    def counted(self, place: Places, n_places: int) -> Doubles | None:
        """Count pairs by place and both rows' states: (n_places, n_states**2); None without states."""
        if self.rows.states is None:
            return None
        state, _ = self.rows.states
        one, other = (state[kinds] for kinds in self.kinds)
        key = (place * STATES + one) * STATES + other
        counts = np.bincount(key, minlength=n_places * STATES**2)
        return np.asarray(counts.reshape(n_places, STATES**2), dtype=np.float64)

    def _product(self, a: str, b: str) -> Doubles:
        if (a, b) not in self._products:
            one, other = self.kinds
            self._products[a, b] = self.rows.sums[a][one] * self.rows.sums[b][other]
        return self._products[a, b]

    @cached_property
    def _products(self) -> dict[tuple[str, str], Doubles]:
        return {}
