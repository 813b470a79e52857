"""Arms with quotas: no limit is exceeded, nothing better is left out, larger budgets keep everybody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from uplift_core.experiment.decision_rules import ArmQuota
from uplift_core.targeting.arm_choice import arms_at
from uplift_core.targeting.arm_path import NO_ARM
from uplift_core.targeting.arm_quotas import TIES, assign, without_ties

BUDGETS = (0.05, 0.2, 0.45, 0.8)


def draw(seed: int, *, tied: bool, equal: bool) -> tuple[np.ndarray, ...]:
    """Return effects, those told apart, costs and places of a small list."""
    rng = np.random.default_rng(seed)
    n, arms = int(rng.integers(3, 40)), int(rng.integers(1, 5))
    effects = rng.normal(0.05, 0.2, (n, arms))
    if tied:
        effects = np.round(effects, 1)
    costs = np.ones(arms) if equal else rng.choice([1.0, 0.5, 0.25, 2.0], arms)
    places = np.where(rng.random(arms) < 0.7, rng.integers(0, n // 2 + 1, arms), np.inf)
    return effects, without_ties(effects, rng.integers(0, 2**32, n).astype(np.uint32)), costs, places


def best_gain(effects: np.ndarray, costs: np.ndarray, places: np.ndarray, amount: float) -> float:
    """The largest total effect within quotas and money, if users could be divided."""
    n, arms = effects.shape
    of_user = np.kron(np.eye(n), np.ones(arms))
    of_arm = np.kron(np.ones(n), np.eye(arms))[np.isfinite(places)]
    limits = np.concatenate([np.ones(n), places[np.isfinite(places)], [amount]])
    rows = np.vstack([of_user, of_arm, np.tile(costs, n)])
    return float(-linprog(-effects.ravel(), A_ub=rows, b_ub=limits, bounds=(0, 1)).fun)


@given(seed=st.integers(0, 10**6), tied=st.booleans(), equal=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_limit_is_exceeded_and_no_other_choice_gains_more(
    seed: int, *, tied: bool, equal: bool
) -> None:
    effects, different, costs, places = draw(seed, tied=tied, equal=equal)
    treated: list[set[int]] = [set()]
    for budget in BUDGETS:
        amount = budget * len(effects) * costs.max()
        assigned = assign(different, costs, places, amount)
        on = np.flatnonzero(assigned.arm != NO_ARM)
        users = np.bincount(assigned.arm[on], minlength=len(costs))
        assert np.all(users <= places)
        spent = float(users @ costs)
        assert spent <= amount * (1 + 1e-9)
        assert np.all(effects[on, assigned.arm[on]] > 0)
        # What is left over would buy at most its price: the last user whom the money does not pay for.
        gain = float(effects[on, assigned.arm[on]].sum())
        rounding = 4 * TIES * float(np.abs(effects).sum()) + 1e-9
        left = assigned.prices.price * (amount - spent)
        left += tied * effects.max()  # among many equal users, one more may stay without an arm
        assert gain >= best_gain(effects, costs, places, amount) - left - rounding
        treated.append(set(on.tolist()))
    assert all(less <= more for less, more in itertools.pairwise(treated))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_without_quotas_the_arms_are_those_of_the_path(seed: int) -> None:
    effects, _, costs, places = draw(seed, tied=False, equal=False)
    assigned = assign(effects, costs, np.full(len(places), np.inf), 0.4 * len(effects) * costs.max())
    assert np.array_equal(
        assigned.arm, arms_at(effects, costs, assigned.prices.price * (1 + 1e-12) + 1e-15)
    )


def test_a_full_arm_is_filled_to_its_last_place_and_ties_go_by_their_number() -> None:
    effects = np.full((100, 2), [0.3, 0.1])
    tie = np.random.default_rng(1).permutation(100).astype(np.uint32) * 40_000_000
    assigned = assign(without_ties(effects, tie), np.ones(2), np.array([30.0, 50.0]), 100.0)
    assert np.bincount(assigned.arm + 1).tolist() == [20, 30, 50]
    order = np.argsort(tie)
    assert np.all(assigned.arm[order[80:]] == NO_ARM)


def test_prices_choose_the_same_arms_for_others() -> None:
    effects, different, costs, places = draw(8, tied=False, equal=False)
    assigned = assign(different, costs, places, 0.4 * len(effects) * costs.max())
    by_price = assigned.prices.choose(different, costs)
    assert np.sum(by_price != assigned.arm) <= len(costs)


@pytest.mark.parametrize(
    ("quota", "places"),
    [
        (ArmQuota(max_users=7), 7),
        (ArmQuota(max_money=0.3), 3),
        (ArmQuota(max_users=2, max_money=0.3), 2),
        (ArmQuota(max_money=0.05), 0),
    ],
)
def test_a_quotas_places_follow_from_users_and_money(quota: ArmQuota, places: int) -> None:
    assert quota.places(0.1) == places
