"""What a policy over several arms gains on held-out users, with standard errors.

Sverdrup, Wu, Athey & Wager, "Qini curves for multi-armed treatment rules" (2023). The standard error is
sd / sqrt(n) of sum_a pi_a(x) phi_a - slope * (sum_a pi_a(x) cost_a - budget), exact on groups, without
the bootstrap that maq takes. A user who costs more than the budget moves everybody's cut, and ``slope``
is what a unit of cost gains there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate

NEAR_CUT = 0.1  # of the budget, to each side: where the gain of a unit of cost is read off
SPENT = 1e-9  # that a budget may be short of for rounding


@dataclass(frozen=True)
class ArmScores:
    """Doubly robust scores of every arm's effect, added up over groups of users.

    A user's score of arm a is phi_a = mu_a - mu_0 + 1[W=a] (Y - mu_a) / e_a - 1[W=0] (Y - mu_0) / e_0.

    Attributes:
        n: (n_groups,) users.
        phi: (n_groups, n_arms) sums of phi_a.
        products: (n_groups, n_arms, n_arms) sums of phi_a * phi_b.
    """

    n: Doubles
    phi: Doubles
    products: Doubles

    def gain(self, shares: Doubles, at_cut: Doubles | float = 0.0) -> Estimate:
        """Mean outcome per user over treating nobody, of a policy.

        Args:
            shares: (n_groups, n_arms) share of each group's users that gets each arm, or the difference
                of two policies' shares: then the paired difference of their gains.
            at_cut: (n_groups,) what a user moves the cut, from ``at_cut``, or such a difference.
        """
        users = float(self.n.sum())
        terms = np.sum(shares * self.phi, axis=1)
        value = float(terms.sum()) / users
        within = np.einsum("gab,gb->ga", self.products, shares)
        squares = float(np.sum(shares * within) + np.sum(at_cut * (at_cut * self.n - 2 * terms)))
        squares /= users
        return Estimate(value, float(np.sqrt(max(squares - value**2, 0.0) / users)))

    def at_cut(self, policy: PolicyAt, cost: Doubles) -> Doubles:
        """What a user of each group moves the cut of a policy: slope * (cost of the user - mean cost).

        Args:
            policy: at its budget.
            cost: (n_arms,) of treating one user.

        Returns:
            (n_groups,); 0 where the budget is not spent: more of it would treat nobody more.
        """
        cost_of = np.asarray(policy.shares @ cost, dtype=np.float64)
        mean = float(self.n @ cost_of / self.n.sum())
        dearer = float(self.n @ (policy.about_cut @ cost))
        if dearer <= 0 or mean < policy.budget * (1 - SPENT):
            return np.zeros(len(self.n))
        return float(np.sum(policy.about_cut * self.phi)) / dearer * (cost_of - mean)


@dataclass(frozen=True)
class PolicyAt:
    """A policy at one budget.

    Attributes:
        budget: cost per user of all users.
        shares: (n_groups, n_arms) share of each group's users that gets each arm.
        about_cut: (n_groups, n_arms) what a tenth more budget treats beyond a tenth less.
    """

    budget: float
    shares: Doubles
    about_cut: Doubles

    @classmethod
    def of(cls, policy: Callable[[float], Doubles], budget: float) -> PolicyAt:
        """``policy`` goes from a budget to shares."""
        more, less = policy(budget * (1 + NEAR_CUT)), policy(budget * (1 - NEAR_CUT))
        return cls(budget, policy(budget), more - less)


def arm_scores(n: Doubles, y: Doubles, yy: Doubles, *, mu: Doubles, propensity: Doubles) -> ArmScores:
    """Scores of groups of users with equal predictions; column 0 of each argument is the control.

    Args:
        n: (n_groups, 1 + n_arms) users of each arm.
        y: (n_groups, 1 + n_arms) sums of their outcomes.
        yy: (n_groups, 1 + n_arms) sums of their squared outcomes.
        mu: (n_groups, 1 + n_arms) predicted outcome under each arm, by models that did not see them.
        propensity: (1 + n_arms,) designed share of each arm among all users; they add up to 1.

    Raises:
        DataError: propensities are not shares of a whole.
    """
    if not (np.all(propensity > 0) and np.isclose(propensity.sum(), 1.0)):
        raise DataError(f"propensities {propensity.tolist()}: must be above 0 and add up to 1")
    residual = (y - n * mu) / propensity
    squared = (yy - 2 * mu * y + n * mu**2) / propensity**2
    users, effect = n.sum(axis=1), mu[:, 1:] - mu[:, :1]
    noise = residual[:, 1:] - residual[:, :1]
    crossed = effect[:, :, None] * (users[:, None] * effect / 2 + noise)[:, None, :]
    products = crossed + crossed.transpose(0, 2, 1) + squared[:, 0, None, None]
    arms = np.arange(effect.shape[1])
    products[:, arms, arms] += squared[:, 1:]
    return ArmScores(users, users[:, None] * effect + noise, products)
