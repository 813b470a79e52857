"""Choose users' arms where arms have quotas: the best assignment within places and money.

A user takes the arm with the largest surplus, ``effect - price * cost - surcharge``, if one is above 0.
The surcharge of an arm is 0 unless its places are all taken; then it is what the first user without a
place would gain by one. So arms are the goods and users the buyers of an assignment market at the prices
of its equilibrium (Shapley & Shubik 1971; Demange, Gale & Sotomayor 1986): no other choice within quotas
and money gains more, up to the last user whom the money pays for.

The price of money is a reserve price of every arm. If it falls, no arm's whole price, ``price * cost +
surcharge``, rises. So a larger budget treats everybody whom a smaller one treats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.targeting.arm_path import NO_ARM, Places

TIES = 1e-7  # share of an effect by which equal users are told apart; scores are float32
ROUNDS, TRIALS = 200, 200
NEAR = 1e-11  # relative distance of two prices that are not told apart
ROUNDING = 1e-9  # share of a sum by which it may be off


@dataclass(frozen=True)
class ArmPrices:
    """What decides about a user's arm beside the effects.

    Attributes:
        price: effect that one unit of cost must bring.
        surcharges: (n_arms,) effect that a full arm must bring beyond its cost; 0 of others.
    """

    price: float
    surcharges: Doubles

    def choose(self, effects: Doubles, costs: Doubles) -> Places:
        """Return the arms for effects (n_users, n_arms): (n_users,) their places, or NO_ARM."""
        return _choose(effects - self.price * costs, self.surcharges)


@dataclass(frozen=True)
class Assigned:
    """Users' arms within quotas and money.

    Attributes:
        arm: (n_users,) the place of each user's arm, or NO_ARM.
        prices: the prices at which these users choose these arms, but for one user at the edge of each.
    """

    arm: Places
    prices: ArmPrices


def without_ties(effects: Doubles, tie: npt.NDArray[np.uint32]) -> Doubles:
    """Return effects (n_users, n_arms) in which users of equal effects differ: smaller ties come first.

    Arms differ in how much, so that the tie decides, too, who of them changes to another arm.
    """
    ahead = 1.0 - tie.astype(np.float64) / 2**32
    arms = effects.shape[1]
    by_arm = 1.0 + np.arange(arms) / arms
    return np.asarray(effects * (1 + TIES * ahead[:, None] * np.sign(effects) * by_arm))


def assign(
    effects: Doubles, costs: Doubles, places: Doubles, amount: float, least: float = 0.0
) -> Assigned:
    """Give users the arms that gain most in all, where neither a quota nor the money is exceeded.

    Args:
        effects: (n_users, n_arms) effects; of equal users, see ``without_ties``.
        costs: (n_arms,) cost of treating one user, above 0.
        places: (n_arms,) largest number of users of each arm; infinite: no quota.
        amount: largest cost of all users together.
        least: smallest price, such as the one at which an effect is worth its cost.
    """
    effects = np.asfortranarray(effects)
    most = amount * (1 + ROUNDING)
    assigned = _assigned_at(least, effects, costs, places, np.zeros(len(costs)))
    spent = _spent(assigned, costs)
    if spent <= most:
        return assigned
    low, high = least, max(float((effects / costs).max(initial=least)), least)
    too_much, too_little = spent - amount, -amount
    nobody = np.full(len(effects), NO_ARM, dtype=np.int64)
    within, most_gain = Assigned(nobody, ArmPrices(high, np.zeros(len(costs)))), 0.0
    for trial in range(TRIALS):
        # Any nearer, rounding would decide about moves that the price makes worth nothing.
        if high - low <= high * NEAR:
            break
        # Interpolation finds the price in few steps where many users move one by one, halving otherwise.
        share = too_much / (too_much - too_little) if trial % 2 else 0.5
        price = low + (high - low) * share
        if not low < price < high:
            price = (low + high) / 2
        assigned = _assigned_at(price, effects, costs, places, assigned.prices.surcharges)
        spent = _spent(assigned, costs)
        if spent > most:
            low, too_much = price, spent - amount
        else:
            high, too_little, gain = price, spent - amount, _gain(assigned, effects)
            if gain >= most_gain:
                within, most_gain = assigned, gain
            if amount - spent < costs.min() * (1 - ROUNDING):
                break
    return within


def _gain(assigned: Assigned, effects: Doubles) -> float:
    on = np.flatnonzero(assigned.arm != NO_ARM)
    return float(effects[on, assigned.arm[on]].sum())


def _spent(assigned: Assigned, costs: Doubles) -> float:
    return float(np.bincount(assigned.arm + 1, minlength=len(costs) + 1)[1:] @ costs)


def _assigned_at(
    price: float, effects: Doubles, costs: Doubles, places: Doubles, start: Doubles
) -> Assigned:
    """Give users arms within quotas at a price of money; ``start`` are surcharges to begin with."""
    net = effects - price * costs
    limited = np.flatnonzero(places < len(net)).tolist()
    surcharges = np.zeros(len(costs))
    surcharges[limited] = start[limited]
    if not limited:
        return Assigned(_choose(net, surcharges), ArmPrices(price, surcharges))
    # Each arm in turn takes the surcharge that fills its places, given those of the others.
    for _ in range(ROUNDS):
        before = surcharges.copy()
        for arm in limited:
            surcharges[arm] = _filling(net, surcharges, arm, int(places[arm]))
        if np.array_equal(surcharges, before):
            break
    chosen = _without_excess(net, _choose(net, surcharges), places)
    return Assigned(chosen, ArmPrices(price, surcharges))


def _choose(net: Doubles, surcharges: Doubles) -> Places:
    chosen = np.full(len(net), NO_ARM, dtype=np.int64)
    best = np.zeros(len(net))
    for arm, surcharge in enumerate(surcharges):
        surplus = net[:, arm] - surcharge
        better = surplus > best
        chosen[better], best[better] = arm, surplus[better]
    return chosen


def _filling(net: Doubles, surcharges: Doubles, arm: int, places: int) -> float:
    """Return the surcharge of an arm that fills its places: the gain of the first user without one."""
    gain = net[:, arm].copy()
    wanting = gain > 0
    gain = gain[wanting]
    if len(gain) <= places:
        return 0.0
    other = np.zeros(len(gain))
    for each, surcharge in enumerate(surcharges):
        if each != arm:
            np.maximum(other, net[wanting, each] - surcharge, out=other)
    gain -= other
    first_without = len(gain) - 1 - places
    return max(float(np.partition(gain, first_without)[first_without]), 0.0)


def _without_excess(net: Doubles, chosen: Places, places: Doubles) -> Places:
    """Move users out of arms with too many, one by one, each time on the way that costs least.

    Surcharges leave at most one user too many in an arm. A way leads over other arms to one with a free
    place, or to none; each step moves the user who loses least by it. So the choice stays the best one
    of all with its numbers of users (successive shortest paths).
    """
    none = len(places)
    # Nobody gets an arm that brings nothing: not to be treated is as good.
    net = np.column_stack([np.where(net > 0, net, -np.inf), np.zeros(len(net))])
    at = np.where(chosen == NO_ARM, none, chosen)
    room = np.append(places, np.inf)
    while True:
        users = np.bincount(at, minlength=none + 1)
        full = np.flatnonzero(users > room)
        if not len(full):
            return np.where(at == none, NO_ARM, at)
        loss, mover = _exchanges(net, at, none)
        for user, target in _cheapest_way(int(full[0]), users < room, loss, mover):
            at[user] = target


def _exchanges(net: Doubles, at: Places, none: int) -> tuple[Doubles, Places]:
    """Return, by arm and target, the smallest loss of a user of the arm by a move, and that user."""
    loss = np.full((none + 1, none + 1), np.inf)
    mover = np.full((none + 1, none + 1), NO_ARM)
    for arm in range(none):
        on = np.flatnonzero(at == arm)
        if len(on):
            losses = net[on, arm][:, None] - net[on]
            first = losses.argmin(axis=0)
            loss[arm], mover[arm] = losses[first, np.arange(none + 1)], on[first]
    np.fill_diagonal(loss, np.inf)
    return loss, mover


def _cheapest_way(
    start: int, free: npt.NDArray[np.bool_], loss: Doubles, mover: Places
) -> list[tuple[int, int]]:
    """Return the moves (user, target) of the cheapest way from an arm to a free one (Bellman-Ford)."""
    way = {start: (0.0, list[tuple[int, int]]())}
    for _ in loss:
        for here, (so_far, moves) in list(way.items()):
            for there in np.flatnonzero(np.isfinite(loss[here])).tolist():
                cost = so_far + float(loss[here, there])
                passed = {start, *(target for _, target in moves)}
                if there not in passed and cost < way.get(there, (np.inf,))[0]:
                    way[there] = (cost, [*moves, (int(mover[here, there]), there)])
    ends = [(cost, end) for end, (cost, _) in way.items() if free[end]]
    return way[min(ends)[1]][1]
