"""Estimate the value of acting on a score: treat the best share ``b`` of users, and nobody else.

The cut lies at a rank, not at a score: one more good user pushes out the last one that is treated. So
the influence of a user on a value or a gain contains ``-c (pi - b)`` besides the user's direct term;
``c`` is the mean effect about the cut. Without it, standard errors would be too large, and the more so
the larger that effect is compared with the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.evaluation.estimate import Estimate, Sums, covariance, estimate
from uplift_core.evaluation.groups import ScoreGroups

NEAR_CUT = 0.05  # share of all users, to each side of the cut, who measure the effect at the cut
ROUNDING = 1e-6  # users


def policy_value(groups: ScoreGroups, budget: float) -> Estimate:
    """Estimate the mean outcome per user if the best ``budget`` of users is treated (AIPW).

    It is doubly robust: V = mean(phi0 + pi * phi). The standard error is sd / sqrt(n) of
    phi0 + pi * phi - c * (pi - b).
    """
    pi = groups.treated_share(budget)
    at_cut = effect_at_cut(groups, groups.phi, budget) * (pi - budget)
    return _value(groups, pi, at_cut)


def random_value(groups: Sums, budget: float) -> Estimate:
    """Estimate the mean outcome per user if a random ``budget`` of users is treated (AIPW)."""
    return _value(groups, np.full(len(groups.n), budget))


def policy_value_ipw(groups: ScoreGroups, budget: float) -> Estimate:
    """Estimate ``policy_value`` by inverse propensity weighting alone.

    V = mean(pi W Y / e + (1 - pi)(1 - W) Y / (1 - e)).
    """
    e = groups.propensity
    treated = groups.treated_share(budget) / e
    control = (1 - groups.treated_share(budget)) / (1 - e)
    total = np.sum(treated * groups.y_treated + control * groups.y_control)
    value = float(total) / groups.n_users
    weighted = groups.y_treated / e - groups.y_control / (1 - e)
    at_cut = effect_at_cut(groups, weighted, budget) * (groups.treated_share(budget) - budget)
    influence = {"y_treated": treated, "y_control": control, **groups.for_everybody(-value - at_cut)}
    return estimate(groups, value, influence)


def gain_over_random(groups: ScoreGroups, budget: float) -> Estimate:
    """Estimate what the ranking adds to random targeting of the same size: mean((pi - b) * phi).

    The standard error is sd / sqrt(n) of (pi - b) * (phi - c).
    """
    weight = groups.treated_share(budget) - budget
    return _effect(groups, weight, effect_at_cut(groups, groups.phi, budget) * weight)


def gain_over_none(groups: ScoreGroups, budget: float) -> Estimate:
    """Estimate what treating the best ``budget`` of users adds to treating nobody: mean(pi * phi).

    The standard error takes the cut as fixed; ``profit.py`` needs it in this form to compare budgets.
    """
    return _effect(groups, groups.treated_share(budget))


def average_effect(groups: Sums) -> Estimate:
    """Estimate the average treatment effect, mean(phi)."""
    return _effect(groups, np.ones(len(groups.n)))


def effect_within(groups: Sums, inside: npt.NDArray[np.bool_]) -> Estimate:
    """Estimate the average effect among the users of some groups, chosen by (n_groups,) ``inside``."""
    weight = inside * (groups.n_users / groups.n[inside].sum())
    value = float(np.sum(weight * groups.phi)) / groups.n_users
    return estimate(groups, value, {"phi": weight, "one": -value * weight})


def average_effect_ipw(groups: Sums) -> Estimate:
    """Estimate ``average_effect`` by inverse propensity weighting alone.

    The estimate is mean(W Y / e - (1 - W) Y / (1 - e)).
    """
    e = groups.propensity
    value = float(np.sum(groups.y_treated / e - groups.y_control / (1 - e))) / groups.n_users
    constant, ones = np.full(len(groups.n), -value), np.ones(len(groups.n))
    influence = {
        "y_treated": ones / e,
        "y_control": -ones / (1 - e),
        **groups.for_everybody(constant),
    }
    return estimate(groups, value, influence)


def effect_at_cut(groups: ScoreGroups, effect: Doubles, budgets: npt.ArrayLike) -> Doubles:
    """Compute c, the mean effect about the cut of each budget, in the shape of ``budgets``.

    About the cut are all groups with users within ``NEAR_CUT`` of it. The group that is cut is always
    one of them, and each group enters as a whole.

    Args:
        groups: users by score.
        effect: (n_groups,) sums of each user's score of the effect.
        budgets: shares of users.
    """
    b, users = np.asarray(budgets, dtype=np.float64), groups.n_users
    first = np.searchsorted(np.cumsum(groups.n), (b - NEAR_CUT) * users + ROUNDING, side="right")
    first = np.minimum(first, len(groups.n) - 1)
    last = np.maximum(
        np.searchsorted(groups.before, (b + NEAR_CUT) * users - ROUNDING, side="left"), first + 1
    )
    effects, n = (np.r_[0.0, np.cumsum(column)] for column in (effect, groups.n))
    return np.asarray((effects[last] - effects[first]) / (n[last] - n[first]))


@dataclass(frozen=True)
class PolicyCurve:
    """Values and standard errors at many budgets, each (n_budgets,).

    ``value`` and ``value_ipw`` are mean outcomes per user, ``random`` that of random targeting, ``gain``
    is the difference between ``value`` and ``random``; ``incremental`` is that between ``value`` and
    treating nobody. ``incremental_covariance`` (n_budgets, n_budgets) is known where users are in
    clusters; for independent users it follows from the errors, see ``profit.py``.
    """

    budget: Doubles
    value: Doubles
    value_error: Doubles
    value_ipw: Doubles
    value_ipw_error: Doubles
    random: Doubles
    random_ipw: Doubles
    gain: Doubles
    gain_error: Doubles
    gain_ipw: Doubles
    gain_ipw_error: Doubles
    incremental: Doubles
    incremental_error: Doubles
    incremental_covariance: Doubles | None = None


def policy_curve(groups: ScoreGroups, budgets: npt.ArrayLike) -> PolicyCurve:
    """Compute the figures above at all ``budgets``, from a few cumulative sums."""
    b = np.asarray(budgets, dtype=np.float64)
    n, e = groups.n_users, groups.propensity
    cut = _Cut.of(groups, b)
    first, second = cut.first, cut.second

    def mean(total: Doubles, squares: Doubles) -> tuple[Doubles, Doubles]:
        value = total / n
        return value, np.sqrt(np.maximum(squares / n - value**2, 0.0) / n)

    def off_budget(column: Doubles) -> Doubles:
        """Sum (pi - b)**2 * column."""
        return np.asarray(second(column) - 2 * b * first(column) + b**2 * column.sum())

    def between(column: Doubles) -> Doubles:
        """Sum (pi - b) * (1 - pi) * column."""
        return np.asarray((1 + b) * first(column) - second(column) - b * column.sum())

    phi0, phi0_sq = groups.phi0.sum(), groups.phi0_sq.sum()
    phi, phi_sq, phi0_phi = groups.phi, groups.phi_sq, groups.phi0_phi
    spread, at_cut = off_budget(groups.n), effect_at_cut(groups, phi, b)
    crossed = first(groups.phi0) - b * phi0 + second(phi) - b * first(phi)
    squares = phi0_sq + 2 * first(phi0_phi) + second(phi_sq)
    value = mean(phi0 + first(phi), squares - 2 * at_cut * crossed + at_cut**2 * spread)
    incremental = mean(first(phi), second(phi_sq))
    squares = off_budget(phi_sq) - 2 * at_cut * off_budget(phi) + at_cut**2 * spread
    if len(groups.n) == 1:
        squares = np.zeros(len(b))  # one score for all is random targeting, to the bit
    gain = mean(first(phi) - b * phi.sum(), squares)
    y1, y0, yy1, yy0 = groups.y_treated, groups.y_control, groups.yy_treated, groups.yy_control
    weighted = y1 / e - y0 / (1 - e)
    at_cut = effect_at_cut(groups, weighted, b)
    crossed = (second(y1) - b * first(y1)) / e + between(y0) / (1 - e)
    squares = second(yy1) / e**2 + (yy0.sum() - 2 * first(yy0) + second(yy0)) / (1 - e) ** 2
    ipw = mean(
        first(y1) / e + (y0.sum() - first(y0)) / (1 - e),
        squares - 2 * at_cut * crossed + at_cut**2 * spread,
    )
    random_ipw = (b * y1.sum() / e + (1 - b) * y0.sum() / (1 - e)) / n
    squares = off_budget(yy1) / e**2 + off_budget(yy0) / (1 - e) ** 2
    gain_ipw = mean(
        (first(y1) - b * y1.sum()) / e - (first(y0) - b * y0.sum()) / (1 - e),
        squares - 2 * at_cut * off_budget(weighted) + at_cut**2 * spread,
    )
    curve = PolicyCurve(
        b,
        *value,
        *ipw,
        (phi0 + b * phi.sum()) / n,
        random_ipw,
        *gain,
        *gain_ipw,
        *incremental,
    )
    return curve if groups.clusters is None else replace(curve, **_clustered_errors(groups, b))


def _clustered_errors(groups: ScoreGroups, b: Doubles) -> dict[str, Doubles]:
    """Compute the cluster-robust errors of ``PolicyCurve``, and the covariance of ``incremental``."""
    blocks, e = groups.between(b), groups.propensity
    pi = np.stack([blocks.treated_share(budget) for budget in b])
    off = pi - b[:, None]
    weighted = groups.y_treated / e - groups.y_control / (1 - e)
    at_cut, at_cut_ipw = (effect_at_cut(groups, c, b)[:, None] * off for c in (groups.phi, weighted))
    influences = {
        "value_error": {"phi": pi, "phi0": np.ones_like(pi), "one": -at_cut},
        "incremental_error": {"phi": pi},
        "gain_error": {"phi": off, "one": -at_cut},
        "value_ipw_error": {"y_treated": pi / e, "y_control": (1 - pi) / (1 - e), "one": -at_cut_ipw},
        "gain_ipw_error": {"y_treated": off / e, "y_control": -off / (1 - e), "one": -at_cut_ipw},
    }
    covariances = {name: covariance(blocks, terms) for name, terms in influences.items()}
    errors = {
        name: np.sqrt(np.maximum(np.diag(of_curve), 0.0)) for name, of_curve in covariances.items()
    }
    return errors | {"incremental_covariance": covariances["incremental_error"]}


@dataclass(frozen=True)
class _Cut:
    """The group that each budget cuts, and its treated share; all groups before are treated whole."""

    group: npt.NDArray[np.int64]
    share: Doubles

    @classmethod
    def of(cls, groups: ScoreGroups, budgets: Doubles) -> _Cut:
        treated_users, reached = budgets * groups.n_users, np.cumsum(groups.n)
        group = np.minimum(np.searchsorted(reached, treated_users), len(groups.n) - 1)
        share = np.clip((treated_users - reached[group] + groups.n[group]) / groups.n[group], 0, 1)
        return cls(group, budgets if len(groups.n) == 1 else share)

    def first(self, column: Doubles) -> Doubles:
        """Sum pi * column at each budget."""
        return self._before(column) + self.share * column[self.group]

    def second(self, column: Doubles) -> Doubles:
        """Sum pi**2 * column at each budget."""
        return self._before(column) + self.share**2 * column[self.group]

    def _before(self, column: Doubles) -> Doubles:
        return np.asarray(np.r_[0.0, np.cumsum(column)][self.group])


def _value(groups: Sums, pi: Doubles, at_cut: Doubles | float = 0.0) -> Estimate:
    value = float(np.sum(groups.phi0 + pi * groups.phi)) / groups.n_users
    ones = np.ones(len(groups.n))
    return estimate(groups, value, {"phi": pi, "phi0": ones, "one": -value * ones - at_cut})


def _effect(groups: Sums, weight: Doubles, at_cut: Doubles | float = 0.0) -> Estimate:
    value = float(np.sum(weight * groups.phi)) / groups.n_users
    constant = np.full(len(groups.n), -value) - at_cut
    return estimate(groups, value, {"phi": weight, "one": constant})
