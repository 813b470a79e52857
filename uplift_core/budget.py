"""From a budget - a share of users, a number of them, or money - to a list's size and threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.boosting import Floats
from uplift_core.errors import DataError


@dataclass(frozen=True)
class Plan:
    """What a budget allows.

    Attributes:
        size: users to treat at most.
        share: of all users; what the threshold is looked up for.
        least_score: users are only treated above this score; minus infinity where money is no matter.
    """

    size: int
    share: float
    least_score: float = -math.inf


def plan_share(share: float, n_users: int) -> Plan:
    """A share of all users."""
    return Plan(list_size(share, n_users), share)


def plan_users(users: int, n_users: int) -> Plan:
    """A number of users."""
    if not 0 <= users <= n_users:
        raise DataError(f"budget of {users} users: must be from 0 to {n_users}")
    return Plan(users, users / n_users if n_users else 0.0)


def plan_money(money: float, n_users: int, *, cost: float, value: float | None) -> Plan:
    """An amount of money: users whose effect is worth more than its cost, until the money is spent.

    Args:
        money: to spend, in the unit of the cost.
        n_users: all users.
        cost: of treating one user, from the arm's declaration.
        value: of one unit of the outcome, from the outcome's declaration.

    Raises:
        DataError: the declaration lacks cost or value, or the amount is negative or not finite.
    """
    if not (math.isfinite(money) and money >= 0):
        raise DataError(f"budget of {money} in money: must be 0 or more")
    if cost <= 0 or value is None or value <= 0:
        raise DataError(
            "a budget in money needs the arm's cost and the outcome's value, both above 0; "
            "declare them in experiment.toml"
        )
    size = min(math.floor(money / cost), n_users)
    while size * cost > money:  # rounding of the quotient must not overspend
        size -= 1
    return Plan(size, size / n_users if n_users else 0.0, cost / value)


def list_size(budget: float, n_users: int) -> int:
    """round(budget * n_users), halves up: how many users a list of exact size holds."""
    _check(budget)
    return math.floor(budget * n_users + 0.5)


def threshold(scores: Floats, counts: npt.NDArray[np.int64], budget: float) -> float:
    """The (1 - budget) quantile of a score distribution, as a value that occurs in it.

    Treating all users whose score is at least this value treats the share ``budget`` of them, and
    more where the value is tied.

    Args:
        scores: (n,) distinct float32 scores, descending.
        counts: (n,) users of each score.
        budget: share of users to treat, from 0 to 1.

    Returns:
        The score of the user in place round(budget * N); infinity where that place is 0.
    """
    if len(scores) == 0 or not np.all(np.isfinite(scores)):
        raise DataError("scores: a threshold needs at least one user and finite scores only")
    reached = np.cumsum(counts)
    place = list_size(budget, int(reached[-1]))
    if place == 0:
        return math.inf
    return float(scores[int(np.searchsorted(reached, place))])


def _check(budget: float) -> None:
    if not 0 <= budget <= 1:
        raise DataError(f"budget {budget!r}: must be a share from 0 to 1")
