"""Compute what a budget earns: the value of the outcomes that it adds, less the cost of treatments.

The profit per user is ``value x incremental - cost x budget``. A budget b treats a share b of users,
whoever they are, so the cost is known. The influence of the profit is that of
``incremental = mean(pi phi)``, see ``policy.py``, times the value.

Two budgets treat nested sets of the same users, so the difference of their profits has a much smaller
error than either profit. With pi_b <= pi_a, E[pi_a pi_b phi^2] is E[pi_b^2 phi^2], or more where a
budget cuts users of equal score, and with V = mean(pi phi) and its standard error s

    Var(V_a - V_b) <= s_a^2 - s_b^2 + 2 V_b (V_a - V_b) / n,

with equality where no two scores are equal. Where users are in clusters, this does not hold: those who
are treated at the larger budget only share clusters with the others. Then the covariance is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles


@dataclass(frozen=True)
class Profit:
    """Profit per user at each budget, in money; each (n_budgets,).

    Attributes:
        value: profit, over treating nobody.
        std_error: its standard error.
        behind: how much less the profit is than at the best budget; 0 at the best budget.
        behind_std_error: standard error of that difference; at most too large where scores are equal.
        best: place of the budget with the largest profit; the smallest budget if several have it.
    """

    value: Doubles
    std_error: Doubles
    behind: Doubles
    behind_std_error: Doubles
    best: int


@dataclass(frozen=True)
class Prices:
    """The two prices of a campaign, in money.

    Attributes:
        value: value of one unit of the outcome.
        cost: cost of treating one user.
    """

    value: float
    cost: float


def profit(  # noqa: PLR0913 - a curve, and the prices
    budget: npt.ArrayLike,
    incremental: npt.ArrayLike,
    std_error: npt.ArrayLike,
    n: int,
    prices: Prices,
    *,
    covariance: npt.ArrayLike | None = None,
) -> Profit:
    """Compute the profit of one ranking at many budgets.

    Args:
        budget: (n_budgets,) shares of users, ascending.
        incremental: (n_budgets,) outcomes per user over treating nobody.
        std_error: (n_budgets,) standard error of ``incremental``.
        n: number of users that the figures were computed on.
        prices: value of the outcome and cost of a treatment.
        covariance: (n_budgets, n_budgets) of ``incremental``; None if users are independent.
    """
    value, cost = prices.value, prices.cost
    b, v, s = (np.asarray(column, dtype=np.float64) for column in (budget, incremental, std_error))
    net = value * v - cost * b
    best = int(np.argmax(net))
    if covariance is None:
        sign = np.where(b <= b[best], 1.0, -1.0)  # the best budget is the larger of two, or the smaller
        smaller = np.where(b <= b[best], v, v[best])
        variance = sign * (s[best] ** 2 - s**2 + 2 * smaller * (v[best] - v) / n)
    else:
        variance = s[best] ** 2 + s**2 - 2 * np.asarray(covariance, dtype=np.float64)[best]
        variance[best] = 0.0
    return Profit(
        value=net,
        std_error=abs(value) * s,
        behind=net[best] - net,
        behind_std_error=abs(value) * np.sqrt(np.maximum(variance, 0.0)),
        best=best,
    )


def profit_of_rows(rows: Sequence[Mapping[str, Any]], prices: Prices) -> Profit:
    """Compute the profit of one ranking from its rows of ``policy_value``, ascending by budget."""
    budget, incremental, error = (
        [row[name] for row in rows] for name in ("budget", "incremental", "incremental_std_error")
    )
    covariance = None
    if rows[0].get("incremental_covariance") is not None:
        covariance = [row["incremental_covariance"] for row in rows]
    return profit(budget, incremental, error, int(rows[0]["n"]), prices, covariance=covariance)
