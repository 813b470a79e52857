"""Choose one of several arms for each user within a budget: the greedy path over convex hulls.

Each user's arms are points (cost, effect), and no treatment is (0, 0). Only points on the upper convex
hull can be part of a best policy. The path walks along all users' hulls at once and makes the steepest
move first, the one with the most effect for its cost. So it gives, for every budget, the policy with the
largest total effect: the fractional multiple-choice knapsack. It follows Sverdrup, Wu, Athey & Wager,
"Qini curves for multi-armed treatment rules" (2023), as grf-labs' maq computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError

NO_ARM = -1
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Path:
    """The order in which groups of equal users move from arm to arm as the budget grows.

    Moves of equal effect per cost form one level. A level enters as a whole; if a budget ends within a
    level, it takes an equal share of each of the level's moves. So no figure depends on the order of the
    groups.

    Attributes:
        arm: (n_groups, n_arms) the arm that each of a group's moves leads to; -1 after its last move.
        level: (n_groups, n_arms) the level of each move, ascending; n_levels after its last move.
        slope: (n_levels,) effect per cost, descending; infinite if the arms are free.
        spend: (n_levels,) total cost divided by the number of all users, after each level.
    """

    arm: npt.NDArray[np.int8]
    level: Places
    slope: Doubles
    spend: Doubles

    def cut(self, budget: float) -> tuple[int, float]:
        """Find where a budget ends: the number of complete levels, and the share of the next one.

        Args:
            budget: total cost divided by the number of all users, 0 or more.

        Raises:
            DataError: the budget is negative or not a number.
        """
        if not budget >= 0:
            raise DataError(f"budget {budget!r} per user: must be 0 or more")
        done = int(np.searchsorted(self.spend, budget, side="right"))
        if done == len(self.spend):
            return done, 0.0
        before = self.spend[done - 1] if done else 0.0
        return done, float((budget - before) / (self.spend[done] - before))

    def shares(self, budget: float) -> Doubles:
        """Return pi: (n_groups, n_arms), the share of each group's users that gets each arm."""
        done, share = self.cut(budget)
        groups = np.arange(len(self.arm))
        moves = (self.level < done).sum(axis=1)
        current = np.where(moves > 0, self.arm[groups, moves - 1], NO_ARM)
        shares = np.zeros(self.arm.shape)
        treated = current != NO_ARM
        shares[groups[treated], current[treated]] = 1.0
        if share > 0:
            on, move = np.nonzero(self.level == done)
            shares[on] *= 1 - share
            shares[on, self.arm[on, move]] = share
        return shares

    def spend_above(self, slope: float) -> float:
        """Return the cost per user of all moves that are steeper than ``slope``; infinite if all are."""
        steep = int(np.searchsorted(-self.slope, -slope))
        if steep == len(self.slope):
            return math.inf
        return float(self.spend[steep - 1]) if steep else 0.0

    def along(self, sums: Doubles) -> Doubles:
        """Return (n_levels,) totals of a quantity under the policy, after each level.

        Args:
            sums: (n_groups, n_arms) the quantity's sum over a group's users under each arm.
        """
        on, move = np.nonzero(self.level < len(self.slope))
        added = sums[on, self.arm[on, move]]
        later = move > 0
        added[later] -= sums[on[later], self.arm[on[later], move[later] - 1]]
        by_level = np.bincount(self.level[on, move], weights=added, minlength=len(self.slope))
        return np.asarray(np.cumsum(by_level))


def find_path(effect: Doubles, cost: npt.ArrayLike, n: Doubles | None = None) -> Path:
    """Find the path of best policies for predicted effects.

    No user gets an arm without a positive predicted effect, however large the budget is. Of arms with
    equal cost and effect for a user, the first one is taken.

    Args:
        effect: (n_groups, n_arms) predicted effect of each arm for a user of the group.
        cost: (n_arms,) or (n_groups, n_arms) cost of each arm for a user; 0 is free.
        n: (n_groups,) users of each group; default: one user each.

    Raises:
        DataError: a value is not finite, a cost is negative, or shapes do not fit.
    """
    users = np.ones(len(effect)) if n is None else n
    costs = np.asarray(cost, dtype=np.float64)
    if effect.ndim != 2 or not len(effect) or users.shape != (len(effect),):  # noqa: PLR2004
        raise DataError("multi-arm policy: needs effects by group and arm, and users by group")
    if costs.shape not in {effect.shape, effect.shape[1:]}:
        raise DataError(f"multi-arm policy: costs of shape {costs.shape} do not fit {effect.shape}")
    if not (np.all(np.isfinite(effect)) and np.all(np.isfinite(costs)) and np.all(costs >= 0)):
        raise DataError("multi-arm policy: effects must be finite, costs finite and 0 or more")
    costs = np.broadcast_to(costs, effect.shape)
    arm, slope = _hulls(effect, costs)
    on, move = np.nonzero(arm != NO_ARM)
    negative, place = np.unique(-slope[on, move], return_inverse=True)
    level = np.full(arm.shape, len(negative), dtype=np.int64)
    level[on, move] = place.ravel()
    path = Path(arm, level, -negative, np.zeros(len(negative)))
    spend = path.along(costs * users[:, None]) / users.sum()
    # Without this, rounding could let the spend decrease.
    return Path(arm, level, path.slope, np.maximum.accumulate(spend))


def _hulls(effect: Doubles, cost: Doubles) -> tuple[npt.NDArray[np.int8], Doubles]:
    """Find each group's moves: the target arm and the effect per cost, both (n_groups, n_arms)."""
    groups = np.arange(len(effect))
    arm = np.full(effect.shape, NO_ARM, dtype=np.int8)
    slope = np.full(effect.shape, -np.inf)
    at, spent, last = np.zeros(len(effect)), np.zeros(len(effect)), np.full(len(effect), np.inf)
    for move in range(effect.shape[1]):
        more, price = effect - at[:, None], cost - spent[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            steep = np.where((more > 0) & (price >= 0), more / price, -np.inf)
        best = steep.max(axis=1)
        moving = best > 0
        if not moving.any():
            break
        # Of equally steep moves take the shortest, as maq does; of free moves take the best.
        length = np.where(np.isinf(best), -1.0, 1.0)[:, None] * more
        chosen = np.where(steep == best[:, None], length, np.inf).argmin(axis=1)[moving]
        on = groups[moving]
        arm[on, move] = chosen
        # Slopes fall along a hull. Equal slopes become separate levels, the cheaper arm first.
        limit = np.nextafter(last[on], -np.inf) if move else last[on]
        slope[on, move] = np.minimum(best[on], limit)
        at[on], spent[on], last[on] = effect[on, chosen], cost[on, chosen], slope[on, move]
    return arm, slope
