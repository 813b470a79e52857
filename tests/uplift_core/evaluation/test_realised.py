"""What a list will do, by held-out users; computed here user by user."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import random_users
from uplift_core.evaluation.policy import gain_over_none
from uplift_core.evaluation.realised import promised_uplift


def test_a_promise_is_the_weighted_mean_of_the_doubly_robust_scores() -> None:
    users = random_users(3, levels=12)
    groups = users.groups()
    weight = np.random.default_rng(4).random(len(groups.score))
    each = weight[np.searchsorted(-groups.score, -users.score)]
    promised = promised_uplift(groups, weight)
    assert promised is not None
    value = np.average(users.phi, weights=each)
    assert promised.value == pytest.approx(value)
    error = np.sqrt(np.sum((each * (users.phi - value)) ** 2)) / each.sum()
    assert promised.std_error == pytest.approx(error)


def test_for_the_best_share_of_users_it_is_what_the_evaluation_says() -> None:
    groups = random_users(5).groups()
    treated = groups.treated_share(0.25)
    promised = promised_uplift(groups, treated)
    assert promised is not None
    assert promised.value == pytest.approx(gain_over_none(groups, 0.25).value / 0.25)


def test_a_list_of_nobody_promises_nothing() -> None:
    groups = random_users(6).groups()
    assert promised_uplift(groups, np.zeros(len(groups.score))) is None
