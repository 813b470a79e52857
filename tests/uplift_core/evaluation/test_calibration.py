"""Calibration: equal to plain regressions and means on users."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import random_users
from uplift_core.evaluation.calibration import calibration_slope, group_effects


def test_the_slope_is_least_squares_with_a_robust_error() -> None:
    users = random_users(8, 700, levels=30)
    slope = calibration_slope(users.groups())
    x = np.c_[np.ones(700), users.score]
    beta = np.linalg.lstsq(x, users.phi, rcond=None)[0]
    bread = np.linalg.inv(x.T @ x)
    residual = users.phi - x @ beta
    sandwich = bread @ (x.T * residual**2) @ x @ bread
    assert slope.value == pytest.approx(beta[1], rel=1e-9)
    assert slope.std_error == pytest.approx(np.sqrt(sandwich[1, 1]), rel=1e-9)


def test_one_score_for_all_has_no_slope() -> None:
    assert np.isnan(calibration_slope(random_users(1, levels=1).groups()).value)


def test_group_effects_are_means_over_fifths() -> None:
    users = random_users(9, 500)
    order = np.argsort(-users.score)
    rows = group_effects(users.groups())
    assert [row.quantile for row in rows] == [1, 2, 3, 4, 5]
    for row, fifth in zip(rows, np.split(order, 5), strict=True):
        phi = users.phi[fifth]
        assert row.n == pytest.approx(100)
        assert row.effect == pytest.approx(phi.mean())
        assert row.predicted == pytest.approx(users.score[fifth].mean())
        assert row.std_error == pytest.approx(phi.std() / 10)


def test_fifths_of_tied_users_add_up_to_the_average_effect() -> None:
    users = random_users(10, 430, levels=3)
    rows = group_effects(users.groups())
    assert sum(row.n for row in rows) == pytest.approx(430)
    assert sum(row.n * row.effect for row in rows) / 430 == pytest.approx(users.phi.mean())
