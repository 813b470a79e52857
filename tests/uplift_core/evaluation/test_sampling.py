"""A user who stands for k users of the population is k copies of this user, who are one cluster."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.support import random_users
from uplift_core.evaluation import calibration, curves, policy, rate
from uplift_core.evaluation.bands import bands
from uplift_core.evaluation.estimate import Estimate, difference, spread
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups

N, BUDGET = 300, 0.3
BUDGETS = tuple(k / 100 for k in range(1, 101))
USERS = random_users(4, N)
TIMES = np.random.default_rng(1).integers(1, 5, N)
FIGURES: dict[str, Callable[[ScoreGroups], Estimate]] = {
    "ate": policy.average_effect,
    "ate_ipw": policy.average_effect_ipw,
    "value": lambda groups: policy.policy_value(groups, BUDGET),
    "gain": lambda groups: policy.gain_over_random(groups, BUDGET),
    "autoc": rate.autoc,
    "qini": rate.qini,
    "qini_auc": curves.qini_auc,
    "auuc": curves.auuc,
    "uplift_at": lambda groups: curves.uplift_at(groups, BUDGET),
    "slope": calibration.calibration_slope,
}


def joint(rows: np.ndarray, **options: np.ndarray) -> JointGroups:
    users = USERS.take(rows)
    scores = {"a": users.score, "b": np.round(users.mu0, 3)}
    given = {"mu0": users.mu0, "mu1": users.mu1, "propensity": users.propensity}
    return joint_groups(scores, users.w, users.y, **given, **options)


@pytest.fixture(scope="module")
def weighted() -> JointGroups:
    return joint(np.arange(N), sampling=TIMES.astype(float))


@pytest.fixture(scope="module")
def copied() -> JointGroups:
    rows = np.repeat(np.arange(N), TIMES)
    return joint(rows, cluster=rows)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_and_errors_are_those_of_copies(
    name: str, weighted: JointGroups, copied: JointGroups
) -> None:
    found, expected = (FIGURES[name](groups.by("a")[0]) for groups in (weighted, copied))
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-9)
    alone = FIGURES[name](joint(np.arange(N)).by("a")[0])
    assert found.std_error != pytest.approx(alone.std_error, rel=1e-3)


def test_paired_differences_deciles_and_bands_are_those_of_copies(
    weighted: JointGroups, copied: JointGroups
) -> None:
    of_pairs, of_deciles, of_bands = [], [], []
    for groups in (weighted, copied):
        (one, place), (other, other_place) = groups.by("a"), groups.by("b")
        gains = [
            spread(policy.gain_over_random(some, BUDGET), where)
            for some, where in ((one, place), (other, other_place))
        ]
        paired = difference(groups, *gains)
        of_pairs.append((paired.value, paired.std_error))
        of_deciles.append([(d.uplift, d.std_error, d.n) for d in curves.uplift_by_decile(one, 5)])
        of_bands.append(bands(one, BUDGETS)["toc"])
    assert of_pairs[0] == pytest.approx(of_pairs[1], rel=1e-9)
    np.testing.assert_allclose(of_deciles[0], of_deciles[1], rtol=1e-9)
    np.testing.assert_allclose(of_bands[0].value, of_bands[1].value, rtol=1e-9)
    np.testing.assert_allclose(of_bands[0].std_error, of_bands[1].std_error, rtol=1e-9)


def test_equal_weights_are_no_weights_but_for_one_user() -> None:
    plain = policy.average_effect(joint(np.arange(N)).by("a")[0])
    equal = policy.average_effect(joint(np.arange(N), sampling=np.ones(N)).by("a")[0])
    assert equal.value == pytest.approx(plain.value, rel=1e-12)
    assert equal.std_error == pytest.approx(plain.std_error * np.sqrt(N / (N - 1)), rel=1e-9)
