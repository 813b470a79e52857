"""Profit: errors equal to those of a plain computation on users, intervals that hold a known truth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from tests.support import Users, random_users
from uplift_core.evaluation.estimate import Z95
from uplift_core.evaluation.policy import policy_curve
from uplift_core.evaluation.profit import Prices, Profit, profit

BUDGETS = np.arange(1, 101) / 100
VALUE, COST = 12.0, 0.5


def profit_of(users: Users, value: float = VALUE, cost: float = COST) -> Profit:
    curve = policy_curve(users.groups(), BUDGETS)
    n = len(users.score)
    return profit(BUDGETS, curve.incremental, curve.incremental_error, n, Prices(value, cost))


def terms_of(users: Users) -> np.ndarray:
    """What each user adds to profit at each budget: (n_budgets, n_users)."""
    shares = np.stack([users.treated_share(budget) for budget in BUDGETS])
    return VALUE * shares * users.phi - COST * BUDGETS[:, None]


def errors(terms: np.ndarray) -> np.ndarray:
    return terms.std(axis=1) / math.sqrt(terms.shape[1])


@pytest.mark.parametrize("users", [random_users(1), random_users(3, propensity=0.85, binary=False)])
def test_errors_are_those_of_the_users_own_terms(users: Users) -> None:
    net, terms = profit_of(users), terms_of(users)
    assert net.value == pytest.approx(terms.mean(axis=1))
    assert net.std_error == pytest.approx(errors(terms))
    assert net.best == int(np.argmax(terms.mean(axis=1)))
    assert net.behind == pytest.approx(terms.mean(axis=1)[net.best] - terms.mean(axis=1))
    assert net.behind_std_error == pytest.approx(errors(terms[net.best] - terms), abs=1e-9)


def test_between_users_of_equal_score_the_error_of_a_difference_is_at_most_too_large() -> None:
    users = random_users(2, levels=6)
    net, terms = profit_of(users), terms_of(users)
    assert net.std_error == pytest.approx(errors(terms))
    assert (net.behind_std_error >= errors(terms[net.best] - terms) - 1e-9).all()


def test_the_best_budget_is_behind_nothing() -> None:
    net = profit_of(random_users(5))
    assert (net.behind >= 0).all()
    assert (net.behind[net.best], net.behind_std_error[net.best]) == (0, 0)


def test_money_scales_profit_and_its_error() -> None:
    users = random_users(6)
    one, ten = profit_of(users, 1.0, 0.1), profit_of(users, 10.0, 1.0)
    for name in ("value", "std_error", "behind", "behind_std_error"):
        assert getattr(ten, name) == pytest.approx(10 * getattr(one, name))


def test_a_harm_that_is_avoided_has_an_error_too() -> None:
    users = random_users(7)
    assert profit_of(users, -VALUE).std_error == pytest.approx(profit_of(users).std_error)


def test_intervals_hold_the_true_profit_as_often_as_they_say() -> None:
    """The effect of a user of score s is 0.1 s, so the best b of users add 0.1 x density(cut) each."""
    normal, draws = NormalDist(), 600
    budget = 0.3
    truth = VALUE * 0.1 * normal.pdf(normal.inv_cdf(1 - budget)) - COST * budget
    place = int(np.argmin(np.abs(BUDGETS - budget)))
    covered = 0
    for seed in range(draws):
        net = profit_of(random_users(seed))
        covered += abs(net.value[place] - truth) <= Z95 * net.std_error[place]
    chance = math.sqrt(0.95 * 0.05 / draws)
    assert covered / draws == pytest.approx(0.95, abs=3 * chance)
