"""Estimates with standard errors from the influence of each user (the infinitesimal jackknife).

A smooth statistic of the users moves by ``influence_i / n`` when user i is given a little more weight
(Efron 1982, chapter 6; Hampel 1974). The influences have mean 0, and sqrt(sum(influence_i**2)) / n is
the statistic's standard error.

On grouped users an influence is a linear function of what differs between the users of a group: of
phi and phi0, or of the arm and the outcome. Its coefficients are constant within a group, so the sum
of its squares follows exactly from the group's sums. Neither single users nor resampling are needed.

Where e differs between users, the arms' terms and sums weigh a user by ``balance_weights``: the outcome
of a treated user counts e / e_i times, with e over all users, and that of a control (1 - e) / (1 - e_i)
times. Means by arm are then those of all users, as where e is one number, and every formula stays as it
is, with these sums.

Where users are in clusters, the influences are added up by cluster before they are squared, see
``clusters.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import Clusters

FEW = 300  # groups whose products by cluster are taken, which many figures share
Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile
BETTER, WORSE, INCONCLUSIVE = "better", "worse", "inconclusive"  # verdicts on differences

# A user's influence is the sum over terms of coefficient * term. The terms: 1, phi, phi0; the arm's
# indicators W ('treated') and 1 - W ('control'); W * Y ('y_treated') and (1 - W) * Y ('y_control'). The
# last four are weighted by ``balance_weights`` where e differs between users.
Influence = Mapping[str, Doubles]

# The sum over a group's users of a product of two terms is one of the group's columns, or 0.
PRODUCTS = {
    ("one", "one"): "n",
    ("one", "phi"): "phi",
    ("one", "phi0"): "phi0",
    ("phi", "phi"): "phi_sq",
    ("phi", "phi0"): "phi0_phi",
    ("phi0", "phi0"): "phi0_sq",
    ("one", "y_treated"): "y_treated",
    ("one", "y_control"): "y_control",
    ("treated", "treated"): "nn_treated",
    ("treated", "y_treated"): "ny_treated",
    ("y_treated", "y_treated"): "yy_treated",
    ("control", "control"): "nn_control",
    ("control", "y_control"): "ny_control",
    ("y_control", "y_control"): "yy_control",
}

# The sum of each term over the users of a group.
SUM_OF = {
    "one": "n",
    "phi": "phi",
    "phi0": "phi0",
    "treated": "n_treated",
    "control": "n_control",
    "y_treated": "y_treated",
    "y_control": "y_control",
}


@dataclass(frozen=True)
class Sums:
    """Sums over the users of each group of one contrast; each array is (n_groups,) float64.

    phi is a user's doubly robust score of the effect, phi0 that of the outcome under control
    (Robins, Rotnitzky & Zhao 1994), both with outcome models that did not see the user and with the
    user's designed propensity.

    Attributes:
        n: users.
        n_treated: users under treatment.
        y_treated: sum of outcomes under treatment.
        y_control: sum of outcomes under control.
        yy_treated: sum of squared outcomes under treatment.
        yy_control: sum of squared outcomes under control.
        phi: sum of phi.
        phi_sq: sum of phi squared.
        phi_cu: sum of phi cubed; only the skewness of a test needs it.
        phi0: sum of phi0.
        phi0_sq: sum of phi0 squared.
        phi0_phi: sum of phi0 * phi.
        propensity: e, by design, over all users.
        clusters: the users of the groups by cluster; None if users are independent.
        weighted: where e differs between users, the sums of ``WEIGHTED``; else None. Then ``n_treated``,
            ``y_treated`` and ``y_control`` are sums of weighted users, too, and ``yy_treated`` and
            ``yy_control`` sums of squares of weighted outcomes.
    """

    n: Doubles
    n_treated: Doubles
    y_treated: Doubles
    y_control: Doubles
    yy_treated: Doubles
    yy_control: Doubles
    phi: Doubles
    phi_sq: Doubles
    phi_cu: Doubles
    phi0: Doubles
    phi0_sq: Doubles
    phi0_phi: Doubles
    propensity: float
    clusters: Clusters | None = None
    weighted: Mapping[str, Doubles] | None = None

    def __post_init__(self) -> None:
        columns = [*(getattr(self, name) for name in SUMS), *(self.weighted or {}).values()]
        if len({len(column) for column in columns}) != 1 or not len(self.n):
            raise DataError("score groups: columns must be of one length, at least 1")

    @property
    def n_users(self) -> float:
        """Number of all users."""
        return float(self.n.sum())

    @property
    def n_control(self) -> Doubles:
        """(n_groups,) users under control, weighted where e differs between users."""
        return self.n - self.n_treated if self.weighted is None else self.weighted["n_control"]

    @property
    def nn_treated(self) -> Doubles:
        """(n_groups,) sum of the squared weights of users under treatment."""
        return self.n_treated if self.weighted is None else self.weighted["nn_treated"]

    @property
    def ny_treated(self) -> Doubles:
        """(n_groups,) sum of squared weight times outcome under treatment."""
        return self.y_treated if self.weighted is None else self.weighted["ny_treated"]

    @property
    def nn_control(self) -> Doubles:
        """(n_groups,) sum of the squared weights of users under control."""
        return self.n_control if self.weighted is None else self.weighted["nn_control"]

    @property
    def ny_control(self) -> Doubles:
        """(n_groups,) sum of squared weight times outcome under control."""
        return self.y_control if self.weighted is None else self.weighted["ny_control"]

    def for_everybody(self, constant: Doubles) -> Influence:
        """Return an influence that is the same for the users of both arms.

        It is written by arm where weights are 1, so that figures of one e stay equal to the bit.
        """
        return {"treated": constant, "control": constant} if self.weighted is None else {"one": constant}

    def added_up(self, add_up: Callable[[Doubles], Doubles]) -> dict[str, Any]:
        """Return all sums of merged groups, as arguments; ``add_up`` merges a column (n_groups,)."""
        sums: dict[str, Any] = {name: add_up(getattr(self, name)) for name in SUMS}
        if self.weighted is not None:
            sums["weighted"] = {name: add_up(column) for name, column in self.weighted.items()}
        return sums


SUMS = tuple(f.name for f in fields(Sums) if f.name not in ("propensity", "clusters", "weighted"))
WEIGHTED = ("n_control", "nn_treated", "ny_treated", "nn_control", "ny_control")


def balance_weights(w: Doubles, propensity: float, propensities: Doubles) -> Doubles:
    """Compute e / e_i of the treated and (1 - e) / (1 - e_i) of the controls: (n,).

    Args:
        w: (n,) 1 under treatment, 0 under control.
        propensity: e over all users.
        propensities: (n,) e_i of each user.
    """
    treated = w * (propensity / propensities)
    return np.asarray(treated + (1 - w) * ((1 - propensity) / (1 - propensities)), dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error, and the influence of each group's users on it.

    ``by_cluster`` is the sum of the influences of each cluster's users, (n_clusters,), if it was needed.
    """

    value: float
    std_error: float
    influence: Influence = field(default_factory=dict, repr=False, compare=False)
    by_cluster: Doubles | None = field(default=None, repr=False, compare=False)

    @property
    def ci_low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - Z95 * self.std_error

    @property
    def ci_high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + Z95 * self.std_error

    @property
    def z(self) -> float:
        """Value over standard error; 0 where both are 0."""
        return self.value / self.std_error if self.std_error > 0 else 0.0

    @property
    def verdict(self) -> str:
        """Of a difference: ``better`` or ``worse`` if the 95 % interval leaves out 0."""
        if self.ci_low > 0:
            return BETTER
        return WORSE if self.ci_high < 0 else INCONCLUSIVE


def estimate(sums: Sums, value: float, influence: Influence) -> Estimate:
    """Return a figure with the standard error that follows from its influence."""
    if sums.clusters is not None:
        if influence and sums.clusters.n_groups <= FEW:
            variance = covariance(sums, {t: c[None, :] for t, c in influence.items()})[0, 0]
            return Estimate(value, float(np.sqrt(max(variance, 0.0))), influence)
        by_cluster = sums.clusters.add_up(influence)
        return Estimate(value, sums.clusters.error(by_cluster, sums.n_users), influence, by_cluster)
    squares = 0.0
    for pair in combinations_with_replacement(sorted(influence), 2):
        column = PRODUCTS.get(pair)
        if column is not None:
            a, b = pair
            times = 1.0 if a == b else 2.0
            squares += times * float(np.sum(influence[a] * influence[b] * getattr(sums, column)))
    return Estimate(value, float(np.sqrt(max(squares, 0.0)) / sums.n_users), influence)


def difference(sums: Sums, a: Estimate, b: Estimate) -> Estimate:
    """Compute the paired difference a - b of two figures on the same users.

    Args:
        sums: sums of the groups for which both influences are given.
        a: the first figure with its influence, see ``spread``.
        b: the second figure with its influence.
    """
    zero = np.zeros(1)
    terms = {*a.influence, *b.influence}
    influence = {t: a.influence.get(t, zero) - b.influence.get(t, zero) for t in terms}
    if sums.clusters is None or a.by_cluster is None or b.by_cluster is None:
        return estimate(sums, a.value - b.value, influence)
    by_cluster = a.by_cluster - b.by_cluster
    error = sums.clusters.error(by_cluster, sums.n_users)
    return Estimate(a.value - b.value, error, influence, by_cluster)


def ratio(sums: Sums, a: Estimate, b: Estimate) -> Estimate:
    """Compute a / b of two figures on the same users; the error is that of the delta method.

    Args:
        sums: sums of the groups for which both influences are given.
        a: the first figure with its influence, see ``spread``.
        b: the second figure with its influence; not 0.
    """
    value = a.value / b.value
    error = difference(sums, _times(a, 1 / b.value), _times(b, value / b.value))
    return Estimate(value, error.std_error, error.influence, error.by_cluster)


def _times(figure: Estimate, factor: float) -> Estimate:
    influence = {term: factor * each for term, each in figure.influence.items()}
    by_cluster = None if figure.by_cluster is None else factor * figure.by_cluster
    return Estimate(factor * figure.value, abs(factor) * figure.std_error, influence, by_cluster)


def covariance(sums: Sums, terms: Influence) -> Doubles:
    """Compute the covariance of several figures on the same users: (n_figures, n_figures).

    Args:
        sums: sums of the groups.
        terms: term -> its coefficients in the influences, (n_figures, n_groups). Influences are
            centred here, so what is the same for every user may be left out.
    """
    users, figures = sums.n_users, len(next(iter(terms.values())))
    mean = np.zeros(figures)
    for term, coefficient in terms.items():
        mean += coefficient @ getattr(sums, SUM_OF[term])
    total = np.zeros((figures, figures))
    if sums.clusters is None:
        for a, b in product(terms, repeat=2):
            column = PRODUCTS.get((a, b)) or PRODUCTS.get((b, a))
            if column is not None:
                total += (terms[a] * getattr(sums, column)) @ terms[b].T
        return np.asarray((total - np.outer(mean, mean) / users) / users**2)
    centred = {**terms, "one": terms.get("one", 0.0) - mean[:, None] / users + np.zeros(len(sums.n))}
    for a, b in product(centred, repeat=2):
        total += centred[a] @ sums.clusters.products(a, b) @ centred[b].T
    return np.asarray(sums.clusters.factor * total / users**2)


def spread(figure: Estimate, place: npt.NDArray[np.int64]) -> Estimate:
    """Give a figure's influence for finer groups: finer group j is a part of group ``place[j]``."""
    influence = {t: c[place] for t, c in figure.influence.items()}
    return Estimate(figure.value, figure.std_error, influence, figure.by_cluster)


def pooled(parts: list[tuple[float, Estimate]]) -> Estimate:
    """Average figures on disjoint users, weighted by their numbers: [(users, figure), ...]."""
    total = sum(n for n, _ in parts)
    value = sum(n * part.value for n, part in parts) / total
    error = np.sqrt(sum((n * part.std_error) ** 2 for n, part in parts)) / total
    return Estimate(float(value), float(error))
