"""What a policy over several arms gains on held-out users, with standard errors.

Sverdrup, Wu, Athey & Wager, "Qini curves for multi-armed treatment rules" (2023). The policy is held
fixed, as in all policy values here: the standard error is sd / sqrt(n) of each user's own term
sum_a pi_a(x) phi_a, exact on groups, without the bootstrap that maq takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate


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

    def gain(self, shares: Doubles) -> Estimate:
        """Mean outcome per user over treating nobody, of a policy.

        Args:
            shares: (n_groups, n_arms) share of each group's users that gets each arm, or the difference
                of two policies' shares: then the paired difference of their gains.
        """
        users = float(self.n.sum())
        value = float(np.sum(shares * self.phi)) / users
        within = np.einsum("gab,gb->ga", self.products, shares)
        squares = float(np.sum(shares * within)) / users
        return Estimate(value, float(np.sqrt(max(squares - value**2, 0.0) / users)))


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
