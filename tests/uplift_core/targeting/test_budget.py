"""Budgets become thresholds that occur and lists of exact size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift_core.errors import DataError
from uplift_core.targeting.budget import (
    Budget,
    Distribution,
    Explorers,
    list_size,
    quota,
    smallest_score_worth,
)

BUDGETS = st.one_of(st.floats(0, 1), st.integers(0, 100).map(lambda k: k / 100))


@st.composite
def distributions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Distinct float32 scores, descending, and how many users have each."""
    floats = st.floats(-1, 1, width=32)
    scores = draw(st.lists(floats, min_size=1, max_size=30, unique_by=lambda v: np.float32(v) + 0))
    counts = draw(st.lists(st.integers(1, 50), min_size=len(scores), max_size=len(scores)))
    return -np.sort(-np.asarray(scores, np.float32)), np.asarray(counts, np.int64)


def treated(scores: np.ndarray, counts: np.ndarray, value: float) -> int:
    return int(counts[scores >= np.float32(value)].sum())


@given(distributions(), BUDGETS)
def test_a_threshold_treats_the_budget_and_would_not_without_its_last_score(
    distribution: tuple[np.ndarray, np.ndarray], budget: float
) -> None:
    scores, counts = distribution
    size = list_size(budget, int(counts.sum()))
    value = Distribution(scores, counts).threshold(budget)
    assert treated(scores, counts, value) >= size
    assert (
        Distribution(scores, counts).share_from(value) == treated(scores, counts, value) / counts.sum()
    )
    if size:
        assert value in scores.tolist()
        strictly_above = int(counts[scores > np.float32(value)].sum())
        assert strictly_above < size
    else:
        assert value == math.inf


@given(distributions(), BUDGETS, BUDGETS)
def test_a_larger_budget_never_has_a_higher_threshold(
    distribution: tuple[np.ndarray, np.ndarray], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert Distribution(*distribution).threshold(low) >= Distribution(*distribution).threshold(high)


@given(distributions())
def test_the_whole_budget_treats_everybody(distribution: tuple[np.ndarray, np.ndarray]) -> None:
    scores, counts = distribution
    assert treated(scores, counts, Distribution(scores, counts).threshold(1.0)) == counts.sum()


def test_ties_are_treated_together() -> None:
    scores, counts = np.asarray([0.3, 0.2, 0.1], np.float32), np.asarray([1, 8, 1])
    assert Distribution(scores, counts).threshold(0.2) == float(np.float32(0.2))
    assert treated(scores, counts, Distribution(scores, counts).threshold(0.2)) == 9


@given(st.floats(0, 1), st.integers(0, 10**8))
def test_list_size_is_the_nearest_whole_number(budget: float, n: int) -> None:
    size = list_size(budget, n)
    assert 0 <= size <= n
    assert abs(size - budget * n) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("budget", "n", "size"),
    [
        (0.3, 64_000, 19_200),
        (0.5, 5, 3),
        (0.5, 3, 2),
        (0.1, 4, 0),
        (0, 9, 0),
        (1, 9, 9),
        (0.29, 100, 29),
    ],
)
def test_list_size_rounds_halves_up(budget: float, n: int, size: int) -> None:
    assert list_size(budget, n) == size


@pytest.mark.parametrize("budget", [-0.01, 1.01, math.nan, math.inf])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(DataError, match=r"budget .*must be a share from 0 to 1"):
        list_size(budget, 10)
    with pytest.raises(DataError, match="must be a share from 0 to 1"):
        Distribution(np.asarray([0.5], np.float32), np.asarray([10])).threshold(budget)


@pytest.mark.parametrize("scores", [[], [math.nan], [math.inf, 0.1], [0.1, -math.inf]])
def test_scores_without_users_or_not_finite_are_refused(scores: list[float]) -> None:
    with pytest.raises(DataError, match="finite scores only"):
        Distribution(np.asarray(scores, np.float32), np.ones(len(scores), np.int64))


@pytest.mark.parametrize("money", [-1.0, math.nan, math.inf])
def test_no_amount_is_no_budget(money: float) -> None:
    with pytest.raises(DataError, match="must be 0 or more"):
        Budget(money=money).size(10)


def test_each_kind_of_budget_has_its_size() -> None:
    assert Budget(users=7).size(10) == 7
    assert Budget(share=0.25).size(10) == 3
    assert Budget(money=5.0).size(10) is None
    with pytest.raises(DataError, match="11 users: must be from 0 to 10"):
        Budget(users=11).size(10)


@pytest.mark.parametrize("given_", [{}, {"share": 0.1, "users": 3}])
def test_a_budget_is_one_of_three(given_: dict[str, float]) -> None:
    with pytest.raises(DataError, match="must be one of share, users or money"):
        assert Budget(**given_).kind


@given(ranked=st.integers(0, 60), explorers=st.integers(0, 60))
def test_explorers_get_their_share_of_every_list(ranked: int, explorers: int) -> None:
    before = quota(0, ranked, explorers)
    assert (before.ranked, before.explorers) == (0, 0)
    for size in range(1, ranked + explorers + 3):
        now = quota(size, ranked, explorers)
        assert now.ranked + now.explorers == min(size, ranked + explorers)
        assert 0 <= now.ranked <= ranked
        assert 0 <= now.explorers <= explorers
        assert now.ranked >= before.ranked
        assert now.explorers >= before.explorers
        if size <= ranked + explorers:
            assert abs(now.explorers - size * explorers / (ranked + explorers)) <= 0.5
        before = now


@given(st.integers(1, 30), st.integers(0, 200), st.integers(0, 50), BUDGETS, st.randoms())
def test_explorers_are_treated_in_the_places_that_the_list_gives_them(
    n: int, ranked: int, kept_out: int, budget: float, random
) -> None:
    users = ranked + n + kept_out
    draws = sorted(random.choice((0.05, 0.052, random.uniform(0.05, 0.06))) for _ in range(n))
    ids = np.arange(100, 100 + n)
    explorers = Explorers(np.asarray(draws), ids, users, ranked)
    # As sql/decisions/places.sql: the k-th one has this rank in the whole list.
    ranks = [((2 * k - 1) * (ranked + n) + 2 * n - 1) // (2 * n) for k in range(1, n + 1)]
    expected = [rank <= list_size(budget, users) for rank in ranks]
    order = list(range(n))
    random.shuffle(order)
    treats = explorers.treated(budget, np.asarray(draws)[order], ids[order])
    assert treats.tolist() == [expected[i] for i in order]


def test_without_explorers_there_is_nobody_to_draw() -> None:
    nobody = Explorers(np.empty(0), np.empty(0, np.int64), 10, 10)
    assert not nobody.treated(1.0, np.asarray([0.051]), np.asarray([1])).any()


def test_a_newcomer_among_explorers_is_treated_if_the_draw_comes_before_the_last_ones() -> None:
    explorers = Explorers(np.asarray([0.051, 0.055]), np.asarray([4, 2]), 4, 2)
    newcomers = np.asarray([0.0505, 0.054, 0.059]), np.asarray([9, 9, 9])
    assert explorers.treated(0.5, *newcomers).tolist() == [True, False, False]
    assert explorers.treated(1.0, *newcomers).tolist() == [True, True, False]


@given(value=st.floats(1e-3, 1e3), cost=st.floats(0, 1e3))
def test_the_smallest_score_worth_it_is_worth_it_and_the_next_smaller_is_not(
    value: float, cost: float
) -> None:
    score = np.float32(smallest_score_worth(value, cost))
    assert value * float(score) > cost
    assert not value * float(np.nextafter(score, np.float32(-np.inf))) > cost


@pytest.mark.parametrize(("value", "cost"), [(None, None), (None, 3.0), (2.0, None)])
def test_without_money_every_positive_score_is_worth_it(value: float | None, cost: float | None) -> None:
    assert smallest_score_worth(value, cost) == float(np.nextafter(np.float32(0), np.float32(1)))
