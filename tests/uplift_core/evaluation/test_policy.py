"""Policy values: equal to a plain computation on users, and 0 gain where there is no ranking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import Users, random_users
from uplift_core.evaluation.estimate import Z95, Estimate
from uplift_core.evaluation.groups import ScoreGroups
from uplift_core.evaluation.policy import (
    gain_over_random,
    policy_curve,
    policy_value,
    policy_value_ipw,
    random_value,
)

BUDGETS = [0.0, 0.01, 0.137, 0.3, 0.5, 0.999, 1.0]


def at_cut(users: Users, effect: np.ndarray, budget: float) -> np.ndarray:
    """c * (pi - b), c the mean effect of those whose group reaches within 5 % of users of the cut."""
    if len(set(users.score)) == 1:
        return np.zeros(len(users.score))
    better = np.mean(users.score[:, None] < users.score, axis=1)
    as_good = np.mean(users.score[:, None] <= users.score, axis=1)
    near = (as_good > budget - 0.05 + 1e-12) & (better < budget + 0.05 - 1e-12)
    return effect[near].mean() * (users.treated_share(budget) - budget)


def aipw_terms(users: Users, budget: float) -> np.ndarray:
    return users.phi0 + users.treated_share(budget) * users.phi - at_cut(users, users.phi, budget)


def ipw_terms(users: Users, budget: float) -> np.ndarray:
    pi, e = users.treated_share(budget), users.propensity
    treated, control = users.w * users.y / e, (1 - users.w) * users.y / (1 - e)
    return pi * treated + (1 - pi) * control - at_cut(users, treated - control, budget)


def random_terms(users: Users, budget: float) -> np.ndarray:
    return users.phi0 + budget * users.phi


def gain_terms(users: Users, budget: float) -> np.ndarray:
    return (users.treated_share(budget) - budget) * users.phi - at_cut(users, users.phi, budget)


FIGURES = {
    "aipw": (policy_value, aipw_terms),
    "ipw": (policy_value_ipw, ipw_terms),
    "random": (random_value, random_terms),
    "gain": (gain_over_random, gain_terms),
}


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(("figure", "terms"), FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize(
    "users",
    [
        random_users(1),
        random_users(2, levels=6),
        random_users(3, propensity=0.85, levels=50),
        random_users(4, levels=11, binary=False),
    ],
    ids=["distinct", "tied", "imbalanced", "continuous"],
)
def test_the_estimate_is_mean_and_standard_error_of_the_users_terms(
    users: Users,
    figure: Callable[[ScoreGroups, float], Estimate],
    terms: Callable[[Users, float], np.ndarray],
    budget: float,
) -> None:
    expected = terms(users, budget)
    result = figure(users.groups(), budget)
    assert result.value == pytest.approx(expected.mean(), rel=1e-10, abs=1e-12)
    error = expected.std() / np.sqrt(len(expected))
    assert result.std_error == pytest.approx(error, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("budget", BUDGETS)
def test_gain_is_the_difference_to_random_of_the_same_size(budget: float) -> None:
    groups = random_users(7, levels=30).groups()
    difference = policy_value(groups, budget).value - random_value(groups, budget).value
    assert gain_over_random(groups, budget).value == pytest.approx(difference, abs=1e-12)


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_treating_nobody_or_everybody_leaves_nothing_to_rank(budget: float) -> None:
    groups = random_users(7).groups()
    assert gain_over_random(groups, budget) == Estimate(0.0, 0.0)
    assert policy_value(groups, budget).value == pytest.approx(random_value(groups, budget).value)


@given(seed=st.integers(0, 10_000), budget=st.floats(0, 1), n=st.integers(3, 300))
def test_one_score_for_all_gains_exactly_nothing(seed: int, budget: float, n: int) -> None:
    groups = random_users(seed, n, propensity=0.3, levels=1).groups()
    assert gain_over_random(groups, budget).value == 0
    assert policy_value(groups, budget).value == random_value(groups, budget).value


@pytest.mark.parametrize("figure", [figure for figure, _ in FIGURES.values()], ids=FIGURES)
def test_no_figure_depends_on_row_order(figure: Callable[[ScoreGroups, float], Estimate]) -> None:
    users = random_users(11, levels=8)
    reversed_ = users.permuted(np.arange(len(users.w))[::-1])
    assert figure(users.groups(), 0.3) == figure(reversed_.groups(), 0.3)


def test_ipw_needs_no_models_and_aipw_forgives_bad_ones() -> None:
    """On many users both estimate the same value whatever the outcome models say."""
    users = random_users(12, 20_000, levels=100)
    wrong = Users(users.score, users.w, users.y, users.mu0 + 5, users.mu1 - 3, users.propensity)
    assert policy_value_ipw(wrong.groups(), 0.3) == policy_value_ipw(users.groups(), 0.3)
    good, bad = policy_value(users.groups(), 0.3), policy_value(wrong.groups(), 0.3)
    assert bad.std_error > good.std_error
    assert abs(bad.value - good.value) < 4 * bad.std_error


def test_the_interval_covers_the_truth_19_times_in_20() -> None:
    truth, covered = 0.0, 0
    for seed in range(300):  # the score of these users is pure noise where nobody is affected
        rng = np.random.default_rng(seed)
        users = random_users(seed, 400, levels=50)
        y = (rng.random(400) < 0.3).astype(float)
        blind = Users(users.score, users.w, y, users.mu0, users.mu0, users.propensity)
        gain = gain_over_random(blind.groups(), 0.3)
        covered += gain.ci_low <= truth <= gain.ci_high
    assert 0.91 <= covered / 300 <= 0.985


@pytest.mark.parametrize("effect", [0.0, 1.0, 4.0])
def test_the_interval_covers_the_truth_however_large_the_effect_is(effect: float) -> None:
    """The cut is estimated: errors that take it as given are up to three times too wide."""
    runs, n = 500, 1_000
    covers = {"gain": [], "value": [], "gain_ipw": []}
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        score, w = rng.standard_normal(n), (rng.random(n) < 0.5).astype(float)
        y = effect * w + rng.standard_normal(n)  # the ranking is worth nothing
        groups = Users(score, w, y, np.zeros(n), np.full(n, 0.8 * effect), 0.5).groups()
        gain, value = gain_over_random(groups, 0.3), policy_value(groups, 0.3)
        curve = policy_curve(groups, [0.3])
        assert curve.gain_error[0] == pytest.approx(gain.std_error)
        covers["gain"].append(abs(gain.z) <= Z95)
        covers["value"].append(abs(value.value - 0.3 * effect) <= Z95 * value.std_error)
        covers["gain_ipw"].append(abs(curve.gain_ipw[0]) <= Z95 * curve.gain_ipw_error[0])
    for name, covered in covers.items():
        assert np.mean(covered) == pytest.approx(0.95, abs=0.03), name  # three Monte-Carlo errors
