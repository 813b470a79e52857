"""Paths of multi-arm policies: the hulls that maq publishes, a knapsack solver's gains, identities."""

from __future__ import annotations

import heapq
import time

import numpy as np
import pytest
from scipy.optimize import linprog

from uplift_core.errors import DataError
from uplift_core.targeting.arm_path import NO_ARM, Path, find_path


def offers(seed: int, n: int = 60, arms: int = 4, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Effects of which some are harmful, and costs of each user; ``levels`` > 0 ties both."""
    rng = np.random.default_rng(seed)
    effect, cost = 0.1 + rng.normal(size=(n, arms)), 0.05 + rng.random((n, arms))
    if levels:
        effect, cost = np.round(effect * levels) / levels, np.ceil(cost * levels) / levels
    return effect, cost


def hull(effect: list[float], cost: list[float]) -> list[int]:
    """The arms of one user's hull, numbered from 1."""
    (arms,) = find_path(np.array([effect], float), np.array([cost], float)).arm
    return [int(arm) + 1 for arm in arms if arm != NO_ARM]


def gain_at(path: Path, effect: np.ndarray, budget: float) -> float:
    return float(np.sum(path.shares(budget) * effect)) / len(effect)


def greedy(effect: np.ndarray, cost: np.ndarray) -> list[tuple[float, float]]:
    """Spend and gain per user after each move of the steepest next step of all users, one by one."""

    def step(user: int, at: int | None) -> tuple[float, int, int] | None:
        r, c = (effect[user, at], cost[user, at]) if at is not None else (0.0, 0.0)
        ways = [
            (-(effect[user, a] - r) / (cost[user, a] - c), user, a)
            for a in range(effect.shape[1])
            if effect[user, a] > r and cost[user, a] > c
        ]
        return min(ways) if ways else None

    at: dict[int, int] = {}
    queue = [s for s in (step(user, None) for user in range(len(effect))) if s]
    heapq.heapify(queue)
    spend = gain = 0.0
    points = []
    while queue:
        _, user, arm = heapq.heappop(queue)
        if user in at:
            spend -= cost[user, at[user]]
            gain -= effect[user, at[user]]
        spend, gain = spend + cost[user, arm], gain + effect[user, arm]
        at[user] = arm
        points.append((spend / len(effect), gain / len(effect)))
        if following := step(user, arm):
            heapq.heappush(queue, following)
    return points


def knapsack(effect: np.ndarray, cost: np.ndarray, budget: float) -> float:
    """The largest gain within a budget, by a general solver of linear programs."""
    n, arms = effect.shape
    one_arm_each = np.kron(np.eye(n), np.ones(arms))
    solved = linprog(
        -effect.ravel() / n,
        A_ub=np.vstack([one_arm_each, cost.ravel() / n]),
        b_ub=np.r_[np.ones(n), budget],
    )
    return float(-solved.fun)


@pytest.mark.parametrize(
    ("effect", "cost", "expected"),
    [  # figures of grf-labs/maq, r-package/maq/tests/testthat/test_convex_hull.R
        ([3, 2, 4, 2, 3.9], [5, 0.5, 3, 1, 4], [2, 3]),
        ([3, 2, 3.8, 2, 3.9], [5, 0.5, 3, 1, 4], [2, 3, 5]),
        ([3, 0.5, 3.8, 2, 3.9], [5, 0.5, 3, 1, 4], [4, 3, 5]),
        ([3.91, 2, 3.8, 2, 3.9], [5, 0.5, 3, 1, 4], [2, 3, 5, 1]),
        ([3.9, 2, 3.8, 2, 3.9], [5, 0.5, 3, 1, 4], [2, 3, 5]),
        ([3, 2, 4, 2, 3.9], [2, 2, 3, 1, 4], [4, 1, 3]),
        ([4, 2, 4, 2.3, 4], [4, 2, 3, 1, 4.2], [4, 3]),
        ([4, 2, -2, 2.3, 4], [4, 2, 3, 1, 4.2], [4, 1]),
        ([4, 2, -2, -1, 4], [4, 2, 3, 1, 4.2], [2, 1]),
        ([-4, -2, 2, -1, -4], [4, 2, 3, 1, 4.2], [3]),
        ([-4, -1.2, -2, -1, -1], [4, 2, 3, 1, 4.2], []),
        ([0, 0], [1, 0.5], []),
        ([10, 10.1], [1, 1], [2]),
        ([-10, -10.1], [0, 0], []),
        ([10, 10, 10, 10], [1, 0.5, 10, 0.1], [4]),
        ([-13, 12, 10, 19, -9], [0.5, 1, 1, 1, 1], [4]),
        ([13, 13, 13, 14, 14], [1, 1, 1, 2, 2], [1, 4]),
    ],
)
def test_hulls_are_those_that_maq_publishes(
    effect: list[float], cost: list[float], expected: list[int]
) -> None:
    assert hull(effect, cost) == expected


def test_the_documented_example_of_maq_comes_out_as_documented() -> None:
    """The docstring of class MAQ in maq's Python package: gain and allocation at a spend of 0.1."""
    random = np.random.RandomState(42)
    effect, cost, scores = random.randn(1000, 5), random.rand(1000, 5), random.randn(1000, 5)
    shares = find_path(effect, cost).shares(0.1)
    assert np.sum(shares * scores) / 1000 == pytest.approx(0.005729002695991717, abs=1e-15)
    arms = [3, 4, NO_ARM, 4, 3, 2]
    for user, arm in zip([0, 1, 2, -3, -2, -1], arms, strict=True):
        assert shares[user].tolist() == [float(k == arm) for k in range(5)]


def test_on_a_line_the_cheaper_arm_comes_first_and_free_arms_before_all() -> None:
    assert hull([1, 3, 2], [1, 3, 2]) == [1, 3, 2]
    assert hull([0.5, 0.7, 2], [0, 0, 1]) == [2, 3]
    path = find_path(np.array([[0.5, 2.0]]), [0.0, 1.0])
    assert path.slope[0] == np.inf
    assert path.shares(0.0).tolist() == [[1.0, 0.0]]
    assert path.shares(0.25).tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_that_of_single_moves(seed: int) -> None:
    effect, cost = offers(seed)
    path = find_path(effect, cost)
    spend, gain = np.array(greedy(effect, cost)).T
    assert path.spend == pytest.approx(spend, abs=1e-12)
    assert path.along(effect) / len(effect) == pytest.approx(gain, abs=1e-12)
    assert np.all(np.diff(path.slope) < 0)


@pytest.mark.parametrize("levels", [0, 3], ids=["distinct", "tied"])
@pytest.mark.parametrize("seed", range(3))
def test_gains_are_the_largest_that_any_budget_allows(seed: int, levels: int) -> None:
    effect, cost = offers(seed, levels=levels)
    path = find_path(effect, cost)
    for budget in np.random.default_rng(seed).random(6) * path.spend[-1]:
        shares = path.shares(budget)
        assert np.sum(shares * cost) / len(cost) == pytest.approx(budget, abs=1e-12)
        assert shares.sum(axis=1).max() <= 1 + 1e-12
        gain = gain_at(path, effect, budget)
        assert gain == pytest.approx(knapsack(effect, cost, budget), abs=1e-9)
        corner = np.interp(budget, np.r_[0, path.spend], np.r_[0, path.along(effect)]) / len(effect)
        assert gain == pytest.approx(corner, abs=1e-12)


def test_a_large_budget_gives_everybody_their_best_arm_and_nobody_a_harmful_one() -> None:
    effect, cost = offers(9)
    path = find_path(effect, cost)
    assert gain_at(path, effect, 1e9) == pytest.approx(np.maximum(effect.max(axis=1), 0).mean())
    assert find_path(-np.abs(effect), cost).shares(1e9).sum() == 0


def test_units_do_not_matter_and_equal_costs_are_one_cost() -> None:
    effect, cost = offers(3)
    path, dear = find_path(effect, cost), find_path(1000 * effect, 20 * cost)
    assert (dear.arm == path.arm).all()
    assert dear.spend == pytest.approx(20 * path.spend)
    by_arm, by_user = (find_path(effect, c) for c in ([0.4, 2, 1, 1], [[0.4, 2, 1, 1]] * len(effect)))
    assert (by_arm.level == by_user.level).all()
    assert (by_arm.spend == by_user.spend).all()


def test_with_equal_costs_the_budget_is_the_share_of_users_with_the_largest_effects() -> None:
    effect, _ = offers(4, n=100)
    shares = find_path(effect, np.ones(4)).shares(0.2)
    best = np.argsort(-effect.max(axis=1))[:20]
    assert set(np.flatnonzero(shares.sum(axis=1) > 1e-9)) == set(best)
    assert (shares[best].argmax(axis=1) == effect[best].argmax(axis=1)).all()


@pytest.mark.parametrize("levels", [0, 2], ids=["distinct", "tied"])
def test_neither_the_order_of_users_nor_their_grouping_matters(levels: int) -> None:
    effect, cost = offers(5, levels=levels)
    path = find_path(effect, cost)
    order = np.random.default_rng(1).permutation(len(effect))
    mixed = find_path(effect[order], cost[order])
    often = np.arange(len(effect)) % 3 + 1
    weighted = find_path(effect, cost, often.astype(float))
    repeated = find_path(effect.repeat(often, axis=0), cost.repeat(often, axis=0))
    for budget in (0.05, 0.2, 0.37):
        assert mixed.shares(budget) == pytest.approx(path.shares(budget)[order], abs=1e-9)
        expected = repeated.shares(budget)
        assert weighted.shares(budget).repeat(often, axis=0) == pytest.approx(expected, abs=1e-9)


def test_users_that_are_tied_at_the_cut_get_equal_shares() -> None:
    path = find_path(np.array([[2.0, 3.0]] * 3 + [[5.0, 1.0]]), [1.0, 1.0])
    assert path.shares(0.5).tolist() == [[0, 1 / 3]] * 3 + [[1, 0]]


@pytest.mark.parametrize(
    ("effect", "cost", "words"),
    [
        ([[1.0, np.nan]], [1, 1], "finite"),
        ([[1.0, 2.0]], [1, -1], "0 or more"),
        ([[1.0, 2.0]], [1, 1, 1], "do not fit"),
        ([1.0, 2.0], [1, 1], "by group and arm"),
    ],
)
def test_what_cannot_be_meant_is_refused(effect: list, cost: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        find_path(np.array(effect), cost)


def test_a_budget_below_zero_is_refused() -> None:
    with pytest.raises(DataError, match="budget -1"):
        find_path(np.ones((1, 1)), [1.0]).shares(-1)


def test_a_million_users_and_four_arms_take_seconds() -> None:
    effect = np.random.default_rng(0).normal(size=(1_000_000, 4))
    started = time.process_time()
    shares = find_path(effect, [1.0, 2.0, 0.5, 3.0]).shares(0.3)
    assert time.process_time() - started < 5
    assert np.sum(shares * [1.0, 2.0, 0.5, 3.0]) / 1e6 == pytest.approx(0.3)
