"""The value of acting on a score: treat the best share ``b`` of users, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.evaluation.estimate import Estimate, Sums, estimate
from uplift_core.evaluation.groups import ScoreGroups


def policy_value(groups: ScoreGroups, budget: float) -> Estimate:
    """Mean outcome per user if the best ``budget`` of users is treated, doubly robust (AIPW).

    V = mean(phi0 + pi * phi); standard error sd / sqrt(n) of the same term.
    """
    return _value(groups, groups.treated_share(budget))


def random_value(groups: Sums, budget: float) -> Estimate:
    """Mean outcome per user if a random ``budget`` of users is treated (AIPW)."""
    return _value(groups, np.full(len(groups.n), budget))


def policy_value_ipw(groups: ScoreGroups, budget: float) -> Estimate:
    """The same by inverse propensity weighting alone: mean(pi W Y / e + (1 - pi)(1 - W) Y / (1 - e))."""
    e = groups.propensity
    treated = groups.treated_share(budget) / e
    control = (1 - groups.treated_share(budget)) / (1 - e)
    total = np.sum(treated * groups.y_treated + control * groups.y_control)
    value = float(total) / groups.n_users
    constant = np.full(len(groups.n), -value)
    influence = {"y_treated": treated, "y_control": control, "treated": constant, "control": constant}
    return estimate(groups, value, influence)


def gain_over_random(groups: ScoreGroups, budget: float) -> Estimate:
    """What the ranking adds to random targeting of the same size: mean((pi - b) * phi)."""
    return _effect(groups, groups.treated_share(budget) - budget)


def gain_over_none(groups: ScoreGroups, budget: float) -> Estimate:
    """What treating the best ``budget`` of users adds to treating nobody: mean(pi * phi)."""
    return _effect(groups, groups.treated_share(budget))


def average_effect(groups: Sums) -> Estimate:
    """The average treatment effect, mean(phi)."""
    return _effect(groups, np.ones(len(groups.n)))


def average_effect_ipw(groups: Sums) -> Estimate:
    """The same by inverse propensity weighting alone: mean(W Y / e - (1 - W) Y / (1 - e))."""
    e = groups.propensity
    value = float(np.sum(groups.y_treated / e - groups.y_control / (1 - e))) / groups.n_users
    constant, ones = np.full(len(groups.n), -value), np.ones(len(groups.n))
    influence = {
        "y_treated": ones / e,
        "y_control": -ones / (1 - e),
        "treated": constant,
        "control": constant,
    }
    return estimate(groups, value, influence)


@dataclass(frozen=True)
class PolicyCurve:
    """Values and standard errors at many budgets, each (n_budgets,).

    ``value`` and ``value_ipw`` are mean outcomes per user, ``random`` that of random targeting,
    ``gain`` is ``value`` over ``random``, ``incremental`` over treating nobody.
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


def policy_curve(groups: ScoreGroups, budgets: npt.ArrayLike) -> PolicyCurve:
    """The figures above at all ``budgets``, at the price of a few cumulative sums."""
    b = np.asarray(budgets, dtype=np.float64)
    n, e = groups.n_users, groups.propensity
    cut = _Cut.of(groups, b)
    first, second = cut.first, cut.second

    def mean(total: Doubles, squares: Doubles) -> tuple[Doubles, Doubles]:
        value = total / n
        return value, np.sqrt(np.maximum(squares / n - value**2, 0.0) / n)

    phi0, phi0_sq = groups.phi0.sum(), groups.phi0_sq.sum()
    phi, phi_sq, phi0_phi = groups.phi, groups.phi_sq, groups.phi0_phi
    value = mean(phi0 + first(phi), phi0_sq + 2 * first(phi0_phi) + second(phi_sq))
    incremental = mean(first(phi), second(phi_sq))
    squares = second(phi_sq) - 2 * b * first(phi_sq) + b**2 * phi_sq.sum()
    if len(groups.n) == 1:
        squares = np.zeros(len(b))  # one score for all is random targeting, to the bit
    gain = mean(first(phi) - b * phi.sum(), squares)
    y1, y0, yy1, yy0 = groups.y_treated, groups.y_control, groups.yy_treated, groups.yy_control
    ipw = mean(
        first(y1) / e + (y0.sum() - first(y0)) / (1 - e),
        second(yy1) / e**2 + (yy0.sum() - 2 * first(yy0) + second(yy0)) / (1 - e) ** 2,
    )
    random_ipw = (b * y1.sum() / e + (1 - b) * y0.sum() / (1 - e)) / n
    gain_ipw = mean(
        (first(y1) - b * y1.sum()) / e - (first(y0) - b * y0.sum()) / (1 - e),
        (second(yy1) - 2 * b * first(yy1) + b**2 * yy1.sum()) / e**2
        + (second(yy0) - 2 * b * first(yy0) + b**2 * yy0.sum()) / (1 - e) ** 2,
    )
    return PolicyCurve(
        b,
        *value,
        *ipw,
        (phi0 + b * phi.sum()) / n,
        random_ipw,
        *gain,
        *gain_ipw,
        *incremental,
    )


@dataclass(frozen=True)
class _Cut:
    """Where budgets cut the groups: whole groups before, and a share of the one that is cut."""

    group: npt.NDArray[np.int64]
    share: Doubles

    @classmethod
    def of(cls, groups: ScoreGroups, budgets: Doubles) -> _Cut:
        wanted, reached = budgets * groups.n_users, np.cumsum(groups.n)
        group = np.minimum(np.searchsorted(reached, wanted), len(groups.n) - 1)
        share = np.clip((wanted - reached[group] + groups.n[group]) / groups.n[group], 0, 1)
        return cls(group, budgets if len(groups.n) == 1 else share)

    def first(self, column: Doubles) -> Doubles:
        """Sum of pi * column at each budget."""
        return self._before(column) + self.share * column[self.group]

    def second(self, column: Doubles) -> Doubles:
        """Sum of pi**2 * column at each budget."""
        return self._before(column) + self.share**2 * column[self.group]

    def _before(self, column: Doubles) -> Doubles:
        return np.asarray(np.r_[0.0, np.cumsum(column)][self.group])


def _value(groups: Sums, pi: Doubles) -> Estimate:
    value = float(np.sum(groups.phi0 + pi * groups.phi)) / groups.n_users
    ones = np.ones(len(groups.n))
    return estimate(groups, value, {"phi": pi, "phi0": ones, "one": -value * ones})


def _effect(groups: Sums, weight: Doubles) -> Estimate:
    value = float(np.sum(weight * groups.phi)) / groups.n_users
    return estimate(groups, value, {"phi": weight, "one": np.full(len(groups.n), -value)})
