"""The value of acting on a score: treat the best share ``b`` of users, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uplift_core.evaluation.groups import ScoreGroups

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error."""

    value: float
    std_error: float

    @property
    def ci_low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - Z95 * self.std_error

    @property
    def ci_high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + Z95 * self.std_error


def policy_value(groups: ScoreGroups, budget: float) -> Estimate:
    """Mean outcome per user if the best ``budget`` of users is treated, doubly robust (AIPW).

    V = mean(phi0 + pi * phi); standard error sd / sqrt(n) of the same term.
    """
    pi = groups.treated_share(budget)
    total = np.sum(groups.phi0 + pi * groups.phi)
    squares = np.sum(groups.phi0_sq + 2 * pi * groups.phi0_phi + pi**2 * groups.phi_sq)
    return _mean(float(total), float(squares), groups.n_users)


def policy_value_ipw(groups: ScoreGroups, budget: float) -> Estimate:
    """The same by inverse propensity weighting alone: mean(pi W Y / e + (1 - pi)(1 - W) Y / (1 - e))."""
    e = groups.propensity
    pi = groups.treated_share(budget)
    total = np.sum(pi * groups.y_treated / e + (1 - pi) * groups.y_control / (1 - e))
    squares = np.sum(pi**2 * groups.yy_treated / e**2 + (1 - pi) ** 2 * groups.yy_control / (1 - e) ** 2)
    return _mean(float(total), float(squares), groups.n_users)


def random_value(groups: ScoreGroups, budget: float) -> Estimate:
    """Mean outcome per user if a random ``budget`` of users is treated (AIPW)."""
    total = np.sum(groups.phi0 + budget * groups.phi)
    squares = np.sum(groups.phi0_sq + 2 * budget * groups.phi0_phi + budget**2 * groups.phi_sq)
    return _mean(float(total), float(squares), groups.n_users)


def gain_over_random(groups: ScoreGroups, budget: float) -> Estimate:
    """What the ranking adds to random targeting of the same size: mean((pi - b) * phi)."""
    excess = groups.treated_share(budget) - budget
    total, squares = np.sum(excess * groups.phi), np.sum(excess**2 * groups.phi_sq)
    return _mean(float(total), float(squares), groups.n_users)


def _mean(total: float, squares: float, n: float) -> Estimate:
    mean = total / n
    variance = max(squares / n - mean**2, 0.0)
    return Estimate(mean, float(np.sqrt(variance / n)))
