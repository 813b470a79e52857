"""The arm at a price: the threshold's rule for one arm, the knapsack's policy for several."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import folder_of, with_experiment
from uplift_core.targeting.arm_choice import (
    EVERYBODY,
    Prices,
    arm_costs,
    arms_at,
    least_price,
    value_per_cost,
)
from uplift_core.targeting.arm_path import NO_ARM, find_path
from uplift_core.targeting.budget import Distribution

COSTS = np.array([1.0, 0.5, 0.25])


def offers(seed: int, n: int = 400, *, tied: bool = False) -> np.ndarray:
    """Effects of three arms; ``tied`` gives many users the same ones."""
    effects = np.random.default_rng(seed).normal(0.02, 0.1, (n, 3))
    return np.round(effects, 1) if tied else effects.astype(np.float32).astype(float)


def test_with_one_arm_the_price_is_the_threshold() -> None:
    rng = np.random.default_rng(0)
    scores = np.unique(rng.integers(1, 400, 300).astype(np.float32) / np.float32(1000))[::-1]
    n = rng.integers(1, 9, len(scores))
    one, prices = Distribution(scores, n), Prices(scores[:, None].astype(float), n * 1.0, np.ones(1))
    for budget in np.arange(0, 1001) / 1000:
        price = prices.price(budget)
        assert price == one.threshold(budget)
        treated = arms_at(scores[:, None].astype(float), np.ones(1), price) != NO_ARM
        assert np.array_equal(treated, scores >= np.float32(one.threshold(budget)))
        assert prices.shares(price)[0] == pytest.approx(one.share_from(price))


def best_at(effects: np.ndarray, price: float) -> float:
    """The largest effect less the price of the cost, over every choice of one user."""
    return max(0.0, *(effect - price * cost for effect, cost in zip(effects, COSTS, strict=True)))


@pytest.mark.parametrize("price", [0.0, 0.01, 0.07, 0.3])
def test_each_user_gets_the_arm_that_is_worth_most_at_the_price(price: float) -> None:
    effects = offers(1)
    arm = arms_at(effects, COSTS, price)
    chosen = np.where(arm == NO_ARM, 0.0, effects[np.arange(400), arm] - price * COSTS[arm])
    assert chosen == pytest.approx([best_at(each, price) for each in effects], abs=1e-12)


def test_no_other_choice_within_the_money_has_a_larger_effect() -> None:
    """All choices of six users, tried one by one; the price spends what the policy spends."""
    effects = offers(2, 6)
    choices = list(itertools.product(range(-1, 3), repeat=6))
    with_none, costs = np.column_stack([effects, np.zeros(6)]), np.append(COSTS, 0.0)
    spent = np.array([sum(costs[a] for a in choice) for choice in choices])
    gained = np.array([sum(with_none[i, a] for i, a in enumerate(choice)) for choice in choices])
    for price in np.unique(find_path(effects, COSTS).slope):
        arm = arms_at(effects, COSTS, price)
        spend, gain = costs[arm].sum(), with_none[np.arange(6), arm].sum()
        assert gain == pytest.approx(gained[spent <= spend + 1e-9].max())


@given(st.integers(0, 10_000), st.floats(0.02, 1.0), st.booleans())
@settings(max_examples=60)
def test_held_out_users_spend_the_budget_at_its_price(seed: int, budget: float, tied: bool) -> None:
    effects = offers(seed, tied=tied)
    prices = Prices(effects, np.ones(400), COSTS)
    price = prices.price(budget)
    spend = float(prices.shares(price) @ COSTS)
    level = find_path(effects, COSTS).slope == price
    whole_level = spend - float(prices.shares(np.nextafter(price, math.inf)) @ COSTS)
    if price == EVERYBODY:
        assert spend <= budget + 1e-9
    else:
        assert level.sum() == 1
        assert budget - 0.25 / 400 <= spend <= budget + whole_level + 1e-9


def test_one_user_and_many_get_the_same_arm() -> None:
    effects = offers(3, 2_000, tied=True)
    prices = Prices(effects, np.ones(2_000), COSTS)
    for budget in (0.05, 0.2, 0.5, 1.0):
        price = prices.price(budget)
        together = arms_at(effects, COSTS, price)
        alone = [arms_at(effects[i : i + 1], COSTS, price)[0] for i in range(2_000)]
        assert np.array_equal(together, alone)
        assert len(np.unique(together)) > 1


def test_a_larger_budget_treats_all_whom_a_smaller_one_treats() -> None:
    effects = offers(4)
    prices = Prices(effects, np.ones(400), COSTS)
    treated = [arms_at(effects, COSTS, prices.price(b)) != NO_ARM for b in np.arange(0, 1.01, 0.05)]
    assert all(np.all(less <= more) for less, more in itertools.pairwise(treated))
    assert not treated[0].any()
    assert np.array_equal(treated[-1], effects.max(axis=1) > 0)
    assert len(arms_at(effects[:0], COSTS, 0.1)) == 0


def test_costs_and_values_are_those_of_the_declaration() -> None:
    hillstrom = folder_of("hillstrom")
    declared = hillstrom.declaration
    assert arm_costs(declared).tolist() == [1.0, 1.0]
    costs = {"womens": 0.2, "mens": 0.1}
    arms = tuple(a.model_copy(update={"cost": costs.get(a.name, 0.0)}) for a in declared.arms)
    priced = with_experiment(hillstrom, arms=arms).declaration
    assert arm_costs(priced).tolist() == [costs[arm] for arm in priced.treatments]
    assert value_per_cost(priced) == priced.outcome("visit").value
    outcomes = tuple(o.model_copy(update={"value": 4.0}) for o in declared.outcomes)
    valued = with_experiment(hillstrom, arms=arms, outcomes=outcomes).declaration
    assert value_per_cost(valued) == 4.0
    assert least_price(valued) == EVERYBODY
    rules = valued.decisions.model_copy(update={"fill": False})
    assert (
        least_price(
            with_experiment(hillstrom, arms=arms, outcomes=outcomes, decisions=rules).declaration
        )
        == 0.25
    )
