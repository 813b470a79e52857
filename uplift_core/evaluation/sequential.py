"""Test rankings validly although they were learned from the same experiment.

The folds have an order, and each is judged by models of the folds before it. Given all earlier folds,
the gain in a fold has mean 0 if the ranking is worth nothing. So the weighted sum divided by its
standard error is standard normal however the models were learned (Luedtke & van der Laan 2016; Wager,
"Sequential validation of treatment heterogeneity", 2024). Folds that are judged by models of all *other*
folds share their users, and errors that take them as independent are too small by a fifth.

Two figures are summed: the gain over random averaged over budgets (``rate.mean_gain``), and its
difference to that of the response model. A fold has the weight sqrt(number of training folds).

Where users are in clusters, whole clusters are in one fold, and a cluster's influences are one
contribution: they are added up before squares and cubes are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import Estimate, Sums

LEVEL = 0.05  # chance that any ranking is called better where none is
DRAWS = 100_000
CHUNK = 250_000  # number of groups at a time


@dataclass(frozen=True)
class Evidence:
    """The test of several rankings against one other; see ``SequentialSums``.

    Attributes:
        value: (n_rankings,) mean over the judged users, weighted by fold.
        z: (n_rankings,) value over its standard error, lowered where skewness flatters it.
        critical: what the largest ``z`` exceeds in 5 % of experiments if no ranking is better.
    """

    value: Doubles
    z: Doubles
    critical: float


class SequentialSums:
    """Sums over the judged folds: of figures, of products of their influences, and of their cubes."""

    def __init__(self, n_rankings: int) -> None:
        self.users = 0.0
        self.total = np.zeros(n_rankings)
        self.products = np.zeros((n_rankings, n_rankings))
        self.cubes = np.zeros(n_rankings)

    def add(self, sums: Sums, figures: Sequence[Estimate], weight: float, less: int | None) -> None:
        """Add a fold.

        Args:
            sums: sums over the fold's users, by group.
            figures: one figure of each ranking, with influences given for the groups of ``sums``.
            weight: weight of the fold.
            less: place among ``figures`` of the figure that is subtracted from all others; None
                subtracts nothing.
        """
        value = np.array([figure.value for figure in figures])
        self.users += weight * sums.n_users
        self.total += weight * sums.n_users * _less(value, less)
        if sums.clusters is not None:
            self._add_clusters(sums.clusters, figures, weight, less)
            return
        for groups in _chunks(len(sums.n)):
            phi, one = (_less(_terms(figures, term, groups), less) for term in ("phi", "one"))
            n, first, second, third = (
                column[groups] for column in (sums.n, sums.phi, sums.phi_sq, sums.phi_cu)
            )
            crossed = (phi * first) @ one.T
            both = (phi * second) @ phi.T + crossed + crossed.T + (one * n) @ one.T
            self.products += weight**2 * both
            cubed = phi**3 @ third + 3 * (phi**2 * one) @ second + 3 * (phi * one**2) @ first
            self.cubes += weight**3 * (cubed + one**3 @ n)

    def add_moments(
        self, users: float, value: float, squares: float, cubes: float, weight: float
    ) -> None:
        """Add a fold's figure of one ranking: sums over users of its influence, squared and cubed."""
        self.users += weight * users
        self.total += weight * users * value
        self.products += weight**2 * squares
        self.cubes += weight**3 * cubes

    def _add_clusters(
        self, clusters: Clusters, figures: Sequence[Estimate], weight: float, less: int | None
    ) -> None:
        """Add the products and cubes of influences that are added up by cluster."""
        influences = [
            clusters.add_up(f.influence) if f.by_cluster is None else f.by_cluster for f in figures
        ]
        added = weight * clusters.factor**0.5 * _less(np.stack(influences), less)
        self.products += added @ added.T
        self.cubes += np.sum(added**3, axis=1)

    def evidence(self) -> Evidence:
        """Compute the test of all folds that were added.

        ``z`` is the lower of the plain z and Hall's (1992), which corrects for skewness. Events under
        control weigh most; if they are few, a plain one-sided test rejects too often.
        """
        variance = np.diag(self.products)
        known = variance > 0  # one score for all has no variance, and no value
        sd = np.sqrt(np.where(known, variance, 1.0))
        z = np.where(known, self.total / sd, 0.0)
        skewness = np.where(known, self.cubes / sd**3, 0.0)
        hall = z + skewness * (2 * z**2 + 1) / 6 + skewness**2 * z**3 / 27
        correlation = (self.products / np.outer(sd, sd))[np.ix_(known, known)]
        value = self.total / self.users if self.users else self.total
        return Evidence(value, np.minimum(z, hall), critical_value(correlation))


def critical_value(correlation: Doubles) -> float:
    """Compute the 95 % point of the largest of several standard normal variables.

    Args:
        correlation: (n, n) correlation of the variables; if n is 0, the point of one variable is
            returned.
    """
    if not len(correlation):
        correlation = np.ones((1, 1))
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0))
    largest = np.einsum("kd,lk->ld", _noise(len(values)), root).max(axis=0)
    return float(np.quantile(largest, 1 - LEVEL))


@cache
def _noise(n: int) -> Doubles:
    return np.random.default_rng(0).standard_normal((n, DRAWS))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _terms(figures: Sequence[Estimate], term: str, groups: slice) -> Doubles:
    """Stack one coefficient of all influences: (n_figures, n_groups); 0 where there is none."""
    none = np.zeros(groups.stop - groups.start)
    columns = [figure.influence.get(term) for figure in figures]
    return np.stack([none if c is None else c[groups] for c in columns])


def _less(rows: Doubles, place: int | None) -> Doubles:
    """Subtract the row in ``place`` from all other rows and leave it out; None returns all rows."""
    return rows if place is None else np.delete(rows, place, axis=0) - rows[place]
