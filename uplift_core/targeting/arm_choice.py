"""Choose a user's arm at a price: the rule that a list of several arms and the service share.

The price is the effect that one unit of cost must bring, lambda in the multiple-choice knapsack. A user
moves along the hull of their arms, see ``arm_path.py``, as long as a move's effect per cost reaches it.
A budget becomes a price on held-out users, as it becomes a threshold for one arm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.experiment.declaration import Experiment
from uplift_core.targeting.arm_path import NO_ARM, Path, find_path

BEST = "best"  # the name by which the best arm is requested
DRAW_BITS = 40  # of a draw's 53; the lower ones of them tell the arm of an explorer
EVERYBODY = 0.0  # the price at which every arm with a positive effect is worth its cost


@dataclass(frozen=True)
class Offers:
    """Users' moves from arm to arm as the price falls; a user's moves depend on no other user.

    Attributes:
        arm: (n_users, n_arms) the arm that each move leads to; NO_ARM after a user's last move.
        slope: (n_users, n_arms) effect per cost of each move, descending; -infinity after the last.
    """

    arm: npt.NDArray[np.int8]
    slope: Doubles

    @classmethod
    def of(cls, effects: Doubles, costs: Doubles) -> Offers:
        """Find the moves for calibrated effects (n_users, n_arms) and costs (n_arms,)."""
        if not len(effects):
            return cls(np.empty(effects.shape, np.int8), np.empty(effects.shape))
        return cls.along(find_path(effects, costs))

    @classmethod
    def along(cls, path: Path) -> Offers:
        """Return the moves of the users, or of the groups of users, of a path."""
        return cls(path.arm, np.append(path.slope, -np.inf)[path.level])

    def at(self, price: float) -> npt.NDArray[np.int64]:
        """Return each user's arm at a price: (n_users,) places of arms, or NO_ARM.

        Infinity, the price of a budget of 0, leaves only arms that are free.
        """
        moves = (self.slope >= price).sum(axis=1)
        last = self.arm[np.arange(len(moves)), np.maximum(moves - 1, 0)]
        return np.where(moves > 0, last, NO_ARM).astype(np.int64)


def arms_at(effects: Doubles, costs: Doubles, price: float) -> npt.NDArray[np.int64]:
    """Return each user's arm at a price, see ``Offers.at``; one user and many get the same."""
    return Offers.of(effects, costs).at(price)


class Prices:
    """The prices of budgets, from the effects of held-out users."""

    def __init__(self, effects: Doubles, n: Doubles, costs: Doubles) -> None:
        """Take effects (n_groups, n_arms), the users of each (n_groups,), and costs (n_arms,)."""
        self._path: Path = find_path(effects, costs, n)
        self._offers = Offers.along(self._path)
        self._n, self._costs = n, costs
        first, helped = self._offers.slope[:, 0], self._offers.arm[:, 0] != NO_ARM
        order = np.argsort(-first[helped], kind="stable")
        self._first, self._reached = -first[helped][order], np.cumsum(n[helped][order])
        paid = costs[costs > 0]
        self._half_a_user = 0.5 * float(paid.min() if len(paid) else 0.0) / self.n_users

    @property
    def n_users(self) -> float:
        """Number of held-out users."""
        return float(self._n.sum())

    def price(self, budget: float, least: float = EVERYBODY) -> float:
        """Return the price at which held-out users spend a budget.

        The move in which the budget ends is made by all users with that effect per cost, as a threshold
        treats all users with its score. With one arm of cost 1, the price is that threshold.

        Args:
            budget: cost per user of all users over the cost of the dearest arm, from 0 to 1.
            least: smallest price, such as the one at which an effect is worth its cost.
        """
        amount = budget * float(self._costs.max()) - self._half_a_user
        if amount < 0 or budget == 0:
            return math.inf
        reached = int(np.searchsorted(self._path.spend, amount, side="right"))
        if reached == len(self._path.spend):
            return least
        return max(float(self._path.slope[reached]), least)

    def share_from(self, slope: float) -> float:
        """Return the share of held-out users whose first move is at least as steep."""
        above = int(np.searchsorted(self._first, -slope, side="right"))
        return float(self._reached[above - 1]) / self.n_users if above else 0.0

    def shares(self, price: float) -> Doubles:
        """Return the share of held-out users who get each arm at a price: (n_arms,)."""
        arm = self._offers.at(price)
        users = [float(self._n[arm == a].sum()) for a in range(len(self._costs))]
        return np.asarray(users) / self.n_users


def arm_costs(experiment: Experiment) -> Doubles:
    """Return the cost of treating one user, by arm: (n_arms,); 1 for each if no cost is declared."""
    costs = np.asarray([experiment.arm(arm).cost for arm in experiment.treatments])
    return costs if costs.any() else np.ones(len(costs))


def value_per_cost(experiment: Experiment) -> float | None:
    """Return the value of the default outcome in the unit of the arms' costs; None if one is unknown."""
    value = experiment.outcome(experiment.defaults.outcome).value
    has_costs = any(experiment.arm(arm).cost for arm in experiment.treatments)
    return value if value and value > 0 and has_costs else None


def least_price(experiment: Experiment) -> float:
    """Return the effect per cost from which on a treatment is worth its cost.

    It is 0 where the budget is filled with everybody who is helped, or where no value is known.
    """
    value = value_per_cost(experiment)
    return EVERYBODY if experiment.decisions.fill or value is None else 1 / value


def share_of_users(costs: Doubles, arm: int, budget: float) -> float:
    """Return the share of users whom one arm alone treats for a budget of the dearest arm's cost."""
    most = budget * float(costs.max())
    return 1.0 if costs[arm] <= most else most / float(costs[arm])
