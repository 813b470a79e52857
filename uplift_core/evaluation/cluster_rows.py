"""The users of clusters as rows, each of a kind of users whose influences have equal terms.

``clusters.py`` adds influences up from them: by cluster, and in products of two rows of one cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles

Places = npt.NDArray[np.int64]
# Pairs of rows of one cluster, per row and in all: more take memory, and sparse products are as fast.
MOST_PAIRS, MOST_PAIRS_IN_ALL = 1.5, 3_000_000
SMALL = 8  # rows; clusters up to this size are added up row by row, which is faster
# Where outcomes are 0 or 1 and nobody weighs more, a user has 0 or 1 of these terms: four states.
ARM_TERMS, STATES = ("one", "treated", "control", "y_treated", "y_control"), 4


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
