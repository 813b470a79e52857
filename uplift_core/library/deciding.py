"""Choose whom to treat within a budget, as a run's list does: ``sql/decisions`` on arrays.

There are no draws here: nobody is held out, explores or is suppressed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.library.evaluation import Evidence
from uplift_core.targeting.budget import Budget

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
MILLIONTHS = 1_000_000  # of one unit of money: sums are exact to a millionth
TIE = np.uint64(2**32 - 1)  # equal priorities are ordered by these bits of the hash


@dataclass(frozen=True)
class Candidates:
    """The users among whom a list chooses; each array is (n,).

    Attributes:
        score: effect by the learner that decides.
        cost: cost of treating the user.
        value: value of one unit of the user's outcome; NaN where it is not known.
        user_id: number of the user.
        hash: salted hash of the user, or of their cluster if clusters are treated as a whole.
        by_cluster: whether clusters are treated as a whole; users of equal hash are one.
        own_prices: whether costs or values differ between users; the score alone ranks otherwise.
    """

    score: Floats
    cost: Doubles
    value: Doubles
    user_id: npt.NDArray[np.integer]
    hash: Hashes
    by_cluster: bool = False
    own_prices: bool = False

    @property
    def net(self) -> Doubles:
        """What treating each user brings: in money after cost, or the effect if no value is known."""
        score = self.score.astype(np.float64)
        return np.where(np.isnan(self.value), score, self.value * score - self.cost)


@dataclass(frozen=True, repr=False)
class Decisions:
    """Whom to treat, in the order of the table's rows.

    Attributes:
        treat: (n,) whether the user is treated.
        score: (n,) float32 effect by the learner that decides.
        rank: (n,) place of the user, from 1: the larger score first (or what ``Model.decide`` says
            where users have prices of their own), and a salted hash of the id among equal ones.
        threshold: the smallest score among treated users; infinite if nobody is treated.
        spent: what the list costs, in money; 0 if no cost is known.
        arm: the arm that treated users get.
        learner: the learner that decides.
        evidence: the gate's word on it; None for a model that was loaded without it.
    """

    treat: Flags
    score: Floats
    rank: Numbers
    threshold: float
    spent: float
    arm: str
    learner: str
    evidence: Evidence | None

    def __repr__(self) -> str:
        word = f" ({self.evidence.word})" if self.evidence else ""
        cost = f" for {self.spent:,.2f}" if self.spent else ""
        return (
            f"<Decisions: {int(self.treat.sum()):,} of {len(self.treat):,} users get {self.arm}{cost}, "
            f"by {self.learner}{word}, from a score of {self.threshold:.4g} on>"
        )


@dataclass(frozen=True)
class Order:
    """The order in which users are treated as the budget grows.

    Attributes:
        users: (n,) row of the user in each place.
        eligible: number of users whom a list may treat: the first ones of the order.
    """

    users: Numbers
    eligible: int


def choose(users: Candidates, budget: Budget, *, fill: bool) -> tuple[Order, int]:
    """Return the order of the users, and how many of them, from the first on, are treated.

    Args:
        users: the users.
        budget: a share, a number of users, or an amount of money.
        fill: whether a share or a number is filled with users who are not worth their cost.

    Raises:
        DataError: the budget is out of range.
    """
    size, money = budget.size(len(users.score)), budget.kind == "money"
    order = _order(users, money=money, fill=fill)
    if size is None:
        spent = np.rint(users.cost[order.users] * MILLIONTHS).astype(np.int64)
        size = int(np.searchsorted(np.cumsum(spent), round(budget.amount * MILLIONTHS), side="right"))
    size = min(size, order.eligible)
    if users.by_cluster and size:
        # A cluster that does not fit as a whole ends the list.
        clusters = users.hash[order.users]
        last = np.flatnonzero(np.append(clusters[1:] != clusters[:-1], values=True)) + 1
        fits = int(np.searchsorted(last, size, side="right"))
        size = int(last[fits - 1]) if fits else 0
    return order, size


def _order(users: Candidates, *, money: bool, fill: bool) -> Order:
    """Order the users, see ``sql/decisions/roles.sql`` and ``places.sql``."""
    score = users.score.astype(np.float64)
    priority = score
    if users.own_prices:
        priority = users.value * score / users.cost if money else users.net
    worth = np.ones(len(score), dtype=np.bool_)
    if money or not fill:
        # Not the net value: a rounded difference may be 0 where the product is above the cost.
        worth = np.where(np.isnan(users.value), score > 0, users.value * score > users.cost)
    if users.by_cluster:
        priority, worth = _means(users, priority, money=money, all_worth=fill and not money)
    order = np.lexsort((users.user_id, users.hash, users.hash & TIE, -priority, ~worth))
    return Order(order, int(worth.sum()))


def _means(
    users: Candidates, priority: Doubles, *, money: bool, all_worth: bool
) -> tuple[Doubles, Flags]:
    """Return priority and worth of each user's cluster: means over its members, (n,) each."""
    order = np.lexsort((users.user_id, users.hash))
    starts = np.flatnonzero(np.r_[True, np.diff(users.hash[order]) != 0])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))

    def sums(column: Doubles) -> Doubles:
        return np.asarray(np.add.reduceat(column[order], starts), dtype=np.float64)

    if money and users.own_prices:
        means = sums(users.value * users.score.astype(np.float64)) / sums(users.cost)
    else:
        means = sums(priority) / np.bincount(place)
    worth = np.full(len(starts), fill_value=True) if all_worth else sums(users.net) > 0
    return means[place], worth[place]
