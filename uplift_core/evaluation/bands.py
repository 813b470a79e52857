"""Compute bands that hold a whole true curve, at every budget at once, in 95 % of experiments.

A pointwise interval misses the truth at each budget in 5 % of experiments, so at *some* budget far more
often. A simultaneous band multiplies the same standard errors by a larger number: the 95 % point of the
largest |z| over all budgets (Montiel Olea & Plagborg-Møller 2019, "sup-t"). That point is the multiplier
bootstrap's (Chernozhukov, Chetverikov & Kato 2013): each user's influence gets a standard normal
multiplier; where users are in clusters, each cluster's sum does. Given the data, such a curve is normal
with the covariance of the influences, which follows exactly from the groups' sums. So curves are drawn
from that covariance, not by drawing for each user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.evaluation.estimate import Z95, covariance
from uplift_core.evaluation.groups import ScoreGroups
from uplift_core.evaluation.policy import effect_at_cut

DRAWS = 5_000
LEVEL = 0.95
LEAST_USERS = 50  # of each arm, above and below a cut; with fewer, figures are not normal enough
TINY = 1e-12  # of the largest variance; a smaller one is rounding


@dataclass(frozen=True)
class Band:
    """A curve at many budgets, each array (n_budgets,).

    Attributes:
        budget: share of users.
        value: the curve.
        std_error: its standard error, point by point.
        critical: what the standard error is multiplied with for the simultaneous 95 % band.
    """

    budget: Doubles
    value: Doubles
    std_error: Doubles
    critical: float

    @property
    def interval(self) -> tuple[Doubles, Doubles]:
        """Ends of the pointwise 95 % intervals."""
        return self.value - Z95 * self.std_error, self.value + Z95 * self.std_error

    @property
    def band(self) -> tuple[Doubles, Doubles]:
        """Ends of the simultaneous 95 % band."""
        reach = self.critical * self.std_error
        return self.value - reach, self.value + reach


def bands(groups: ScoreGroups, budgets: npt.ArrayLike) -> dict[str, Band]:
    """Compute the bands of all curves: name -> band.

    ``qini`` is the Qini curve, in outcomes added among the ``budget * n`` best users; ``toc`` is TOC,
    the mean effect of the best less that of all; ``policy_value`` and ``gain_over_random`` are those of
    ``policy.py``. The gain is budget * TOC, so both have the same critical value.

    Args:
        groups: users by score.
        budgets: shares of users, in (0, 1]. Left out are those that expect fewer than 50 users of an arm
            among the best or, unless everybody is treated, among the others.
    """
    b = np.asarray(budgets, dtype=np.float64)
    share = LEAST_USERS / (groups.n_users * min(groups.propensity, 1 - groups.propensity))
    b = b[(b >= share) & ((b <= 1 - share) | (b == 1))]
    if not len(b):
        return {}
    blocks = groups.between(b)
    pi = np.stack([blocks.treated_share(budget) for budget in b])
    effect = effect_at_cut(groups, groups.phi, b)[:, None]
    off = pi - b[:, None]
    users = groups.n_users
    gain = _band(blocks, b, off @ blocks.phi / users, {"phi": off, "one": -effect * off})
    value = _band(
        blocks,
        b,
        (blocks.phi0.sum() + pi @ blocks.phi) / users,
        {"phi": pi, "phi0": np.ones_like(pi), "one": -effect * off},
    )
    toc = Band(b, gain.value / b, gain.std_error / b, gain.critical)
    qini = _qini(groups, blocks, b, pi)
    return {"qini": qini, "toc": toc, "policy_value": value, "gain_over_random": gain}


def critical_value(correlation: Doubles) -> float:
    """Compute the 95 % point of the largest absolute value of several standard normal variables.

    Args:
        correlation: (n, n) correlation of the variables; if n is 0, the point of one variable is
            returned.
    """
    if not len(correlation):
        return Z95
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32)
    curves = root @ _noise(len(values))
    largest = np.abs(curves, out=curves).max(axis=0)  # in place: curves take megabytes
    return max(float(np.quantile(largest, LEVEL)), Z95)


@cache
def _noise(n: int) -> Floats:
    return np.random.default_rng(0).standard_normal((n, DRAWS), dtype=np.float32)


def _band(blocks: ScoreGroups, budgets: Doubles, value: Doubles, terms: Mapping[str, Doubles]) -> Band:
    """Make the band of a curve from the terms of its users' influence, each (n_budgets, n_blocks)."""
    covariances = covariance(blocks, terms)
    variance = np.maximum(np.diag(covariances), 0.0)
    known = variance > TINY * variance.max()  # at budget 1, every ranking is random targeting
    sd = np.sqrt(np.where(known, variance, 0.0))
    correlation = covariances[np.ix_(known, known)] / np.outer(sd[known], sd[known])
    return Band(budgets, value, sd, critical_value(correlation))


def _qini(groups: ScoreGroups, blocks: ScoreGroups, budgets: Doubles, pi: Doubles) -> Band:
    """Make the band of the Qini curve at shares of users.

    Among the best, a treated user adds y - r and a control -s (y - r): r is the mean outcome of the
    controls there, s the number of treated users per control.
    """
    n_c = pi @ blocks.n_control
    per_control = np.divide(1.0, n_c, out=np.zeros(len(n_c)), where=n_c > 0)
    rate, ratio = pi @ blocks.y_control * per_control, pi @ blocks.n_treated * per_control
    at_cut = {
        column: effect_at_cut(groups, getattr(groups, column), budgets)
        for column in ("y_treated", "y_control", "n_treated", "n_control")
    }
    cut = at_cut["y_treated"] - ratio * at_cut["y_control"]
    cut -= rate * (at_cut["n_treated"] - ratio * at_cut["n_control"])
    moved = cut[:, None] * (pi - budgets[:, None])
    users = blocks.n_users
    terms = {
        "y_treated": users * pi,
        "treated": -users * (rate[:, None] * pi + moved),
        "y_control": -users * ratio[:, None] * pi,
        "control": users * ((ratio * rate)[:, None] * pi - moved),
    }
    return _band(blocks, budgets, pi @ blocks.y_treated - ratio * (pi @ blocks.y_control), terms)
