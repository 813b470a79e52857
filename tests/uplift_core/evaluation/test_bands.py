"""Bands of whole curves, against each budget alone, the bootstrap, and multipliers of single users."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import Users, random_users
from uplift_core.evaluation.bands import LEAST_USERS, bands
from uplift_core.evaluation.curves import qini_curve
from uplift_core.evaluation.policy import gain_over_random, policy_value
from uplift_core.evaluation.rate import toc

BUDGETS = np.arange(1, 21) / 20


@pytest.fixture(scope="module", params=[0, 7], ids=["distinct", "tied"])
def users(request: pytest.FixtureRequest) -> Users:
    return random_users(8, 2_000, propensity=0.6, levels=request.param)


def test_values_and_errors_are_those_of_each_budget_alone(users: Users) -> None:
    groups = users.groups()
    found = bands(groups, BUDGETS)
    budgets = found["toc"].budget
    assert len(budgets) > 15
    for i, budget in enumerate(budgets):
        for name, figure in (("policy_value", policy_value), ("gain_over_random", gain_over_random)):
            alone = figure(groups, budget)
            assert found[name].value[i] == pytest.approx(alone.value, abs=1e-12)
            assert found[name].std_error[i] == pytest.approx(alone.std_error, rel=1e-6, abs=1e-9)
    assert found["toc"].value == pytest.approx(found["gain_over_random"].value / budgets)
    if len(groups.n) == len(users.y):
        q, height = toc(groups)
        assert found["toc"].value == pytest.approx(np.interp(budgets, q, height))
        curve = qini_curve(groups)
        at = np.searchsorted(curve.targeted, 2_000 * budgets)
        assert found["qini"].value == pytest.approx(curve.incremental[at])


def test_the_qini_curves_error_is_the_bootstraps_at_equal_shares() -> None:
    users, rng = random_users(3, 1_000), np.random.default_rng(0)
    found = bands(users.groups(), BUDGETS)["qini"]
    resampled = []
    for _ in range(300):
        some = rng.integers(0, 1_000, 1_000)
        order = some[np.argsort(-users.score[some])]
        w, y = users.w[order], users.y[order]
        n_t, n_c = np.cumsum(w), np.cumsum(1 - w)
        height = np.cumsum(w * y) - np.cumsum((1 - w) * y) * n_t / np.maximum(n_c, 1)
        resampled.append(height[(1_000 * found.budget).round().astype(int) - 1])
    assert found.std_error == pytest.approx(np.std(resampled, axis=0), rel=0.2)


def test_the_critical_value_is_the_multiplier_bootstraps(users: Users) -> None:
    found = bands(users.groups(), BUDGETS)["gain_over_random"]
    budgets, error = found.budget[:-1], found.std_error[:-1]
    assert found.std_error[-1] == 0  # everybody is treated in any order
    ranks = users.score.argsort()[::-1]
    influence = []
    for budget, value in zip(budgets, found.value, strict=False):
        pi = users.treated_share(budget)
        near = users.phi[ranks][
            slice(*(2_000 * np.clip([budget - 0.05, budget + 0.05], 0, 1)).astype(int))
        ]
        influence.append((pi - budget) * (users.phi - near.mean()) - value)
    multipliers = np.random.default_rng(1).standard_normal((4_000, 2_000))
    largest = np.abs(multipliers @ np.array(influence).T / 2_000 / error).max(axis=1)
    assert found.critical == pytest.approx(np.quantile(largest, 0.95), rel=0.05)
    assert (found.band[0] <= found.interval[0]).all()


def test_few_users_and_one_score_have_no_band_to_be_wrong_about() -> None:
    users = random_users(2, 400)
    budgets = bands(users.groups(), BUDGETS)["toc"].budget
    assert min(budgets) * 200 >= LEAST_USERS
    assert 1 - max(budgets[:-1]) >= LEAST_USERS / 200
    assert budgets[-1] == 1
    assert bands(random_users(2, 50).groups(), BUDGETS) == {}
    blind = Users(np.zeros(400), users.w, users.y, users.mu0, users.mu1, users.propensity)
    found = bands(blind.groups(), BUDGETS)["gain_over_random"]
    assert (found.value == 0).all()
    assert (found.std_error == 0).all()
