"""Estimate what a policy over several arms gains on held-out users, with standard errors.

The method is that of Sverdrup, Wu, Athey & Wager, "Qini curves for multi-armed treatment rules" (2023).
The standard error is sd / sqrt(n) of sum_a pi_a(x) phi_a - slope * (sum_a pi_a(x) cost_a - budget). It
is exact on groups; maq uses a bootstrap instead. A user who costs more than the budget leaves less for
all others, so the cut moves; ``slope`` is what a unit of cost gains at the cut. Where users are in
clusters, these terms are added up by cluster before they are squared, see ``clusters.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import Estimate

NEAR_CUT = 0.1  # share of the budget to each side, within which the gain of a unit of cost is measured
SPENT = 1e-9  # share of a spent budget that may be left over by rounding


@dataclass(frozen=True)
class ArmScores:
    """Doubly robust scores of every arm's effect, added up over groups of users.

    A user's score of arm a is phi_a = mu_a - mu_0 + 1[W=a] (Y - mu_a) / e_a - 1[W=0] (Y - mu_0) / e_0.

    Attributes:
        n: (n_groups,) users.
        phi: (n_groups, n_arms) sums of phi_a.
        products: (n_groups, n_arms, n_arms) sums of phi_a * phi_b.
        clusters: the users by cluster and group, with the terms ``one`` and ``phi_<a>``, a from 0; None
            if users are independent.
    """

    n: Doubles
    phi: Doubles
    products: Doubles
    clusters: Clusters | None = None

    def gain(self, shares: Doubles, at_cut: Doubles | float = 0.0) -> Estimate:
        """Estimate the mean outcome per user of a policy, less that of treating nobody.

        Args:
            shares: (n_groups, n_arms) share of each group's users that gets each arm; or the difference
                of two policies' shares, which gives the paired difference of their gains.
            at_cut: (n_groups,) how far a user moves the cut, from the method ``at_cut``; or the
                difference of two policies' values.
        """
        users = float(self.n.sum())
        terms = np.einsum("ga,ga->g", shares, self.phi)
        value = float(terms.sum()) / users
        if self.clusters is not None:
            influence = {f"phi_{a}": share for a, share in enumerate(shares.T)}
            influence["one"] = np.full(len(self.n), -value) - at_cut
            return Estimate(value, self.clusters.error(self.clusters.add_up(influence), users))
        within = np.einsum("gab,gb->ga", self.products, shares)
        squares = float(np.sum(shares * within) + np.sum(at_cut * (at_cut * self.n - 2 * terms)))
        squares /= users
        return Estimate(value, float(np.sqrt(max(squares - value**2, 0.0) / users)))

    def at_cut(self, policy: PolicyAt, cost: Doubles, per_cost: float = 0.0) -> Doubles:
        """Compute how far a user of each group moves a policy's cut: slope * (user's cost - mean cost).

        Args:
            policy: the policy at its budget.
            cost: (n_arms,) cost of treating one user.
            per_cost: outcome that a unit of cost is worth, if the gain is counted after cost.

        Returns:
            (n_groups,); 0 where the budget is not spent, since a larger one would treat nobody more.
        """
        cost_of = np.asarray(policy.shares @ cost, dtype=np.float64)
        mean = float(self.n @ cost_of / self.n.sum())
        dearer = float(self.n @ (policy.about_cut @ cost))
        if dearer <= 0 or mean < policy.budget * (1 - SPENT):
            return np.zeros(len(self.n))
        slope = float(np.sum(policy.about_cut * self.phi)) / dearer - per_cost
        return slope * (cost_of - mean)


@dataclass(frozen=True)
class PolicyAt:
    """A policy at one budget.

    Attributes:
        budget: cost per user of all users.
        shares: (n_groups, n_arms) share of each group's users that gets each arm.
        about_cut: (n_groups, n_arms) shares at a tenth more budget less those at a tenth less.
    """

    budget: float
    shares: Doubles
    about_cut: Doubles

    @classmethod
    def of(cls, policy: Callable[[float], Doubles], budget: float) -> PolicyAt:
        """Evaluate ``policy``, which maps a budget to shares, at one budget and near it."""
        more, less = policy(budget * (1 + NEAR_CUT)), policy(budget * (1 - NEAR_CUT))
        return cls(budget, policy(budget), more - less)


def arm_terms(
    arm: npt.NDArray[np.int64], y: Doubles, *, mu: Doubles, propensity: Doubles
) -> dict[str, Doubles]:
    """Compute each user's scores, the terms of ``ArmScores.clusters``: (n,) each.

    Args:
        arm: (n,) arm, from 0, the control.
        y: (n,) outcomes.
        mu: (n, 1 + n_arms) predicted outcome under each arm, by models that did not see the user.
        propensity: (1 + n_arms,) designed share of each arm among all users.
    """
    noise = (arm[:, None] == np.arange(mu.shape[1])) * (y[:, None] - mu) / propensity
    phi = (mu + noise)[:, 1:] - (mu + noise)[:, :1]
    return {"one": np.ones(len(y))} | {f"phi_{a}": column for a, column in enumerate(phi.T)}


def arm_scores(n: Doubles, y: Doubles, yy: Doubles, *, mu: Doubles, propensity: Doubles) -> ArmScores:
    """Compute the scores of groups of users with equal predictions; column 0 is the control.

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
