"""Sums over folds: equal to sums over users, and safe where few events are skewed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from uplift_core.evaluation.estimate import spread
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.evaluation.rate import mean_gain
from uplift_core.evaluation.sequential import SequentialSums, critical_value

RANKINGS = ("a", "b", "response")


def fold(seed: int, n: int = 400, e: float = 0.5, rate: float = 0.3) -> JointGroups:
    """Users whom chance ranks, some with equal scores."""
    rng = np.random.default_rng(seed)
    w, y = (rng.random(n) < e).astype(float), (rng.random(n) < rate).astype(float)
    scores = {name: rng.integers(0, 150, n).astype(float) for name in RANKINGS}
    mu = np.full(n, rate)
    return joint_groups(scores, w, y, mu0=mu, mu1=mu, propensity=e)


def figures(joint: JointGroups):
    sides = (joint.by(name) for name in RANKINGS)
    return [spread(mean_gain(groups, 0.3), place) for groups, place in sides]


def influences(joint: JointGroups) -> np.ndarray:
    """(n_rankings, n_users): each group is one user."""
    return np.stack([f.influence["phi"] * joint.phi + f.influence["one"] for f in figures(joint)])


@pytest.mark.parametrize("less", [None, 2], ids=["over random", "over the response model"])
def test_sums_are_those_of_the_users_influences(less: int | None, monkeypatch) -> None:
    monkeypatch.setattr("uplift_core.evaluation.sequential.CHUNK", 150)
    sums, total, products, cubes = SequentialSums(3 if less is None else 2), 0.0, 0.0, 0.0
    for k in (1, 2):
        joint = fold(k)
        estimates, psi = figures(joint), influences(joint)
        value = np.array([f.value for f in estimates])
        if less is not None:
            psi, value = psi[:2] - psi[2], value[:2] - value[2]
        sums.add(joint, estimates, k**0.5, less)
        total = total + k**0.5 * 400 * value
        products, cubes = products + k * psi @ psi.T, cubes + k**1.5 * np.sum(psi**3, axis=1)
    assert sums.total == pytest.approx(total)
    assert sums.products == pytest.approx(products)
    assert sums.cubes == pytest.approx(cubes)
    result = sums.evidence()
    z, g = total / np.sqrt(np.diag(products)), cubes / np.diag(products) ** 1.5
    hall = z + g * (2 * z**2 + 1) / 6 + g**2 * z**3 / 27
    assert result.z == pytest.approx(np.minimum(z, hall))


def test_the_critical_value_is_that_of_the_largest() -> None:
    assert critical_value(np.eye(1)) == pytest.approx(1.645, abs=0.02)
    assert critical_value(np.eye(5)) == pytest.approx(2.319, abs=0.02)  # .95 ** (1 / 5)
    assert critical_value(np.ones((5, 5))) == pytest.approx(1.645, abs=0.02)
    together = critical_value(0.7 + 0.3 * np.eye(5))
    assert 1.9 < together < 2.25
    assert critical_value(np.empty((0, 0))) == pytest.approx(1.645, abs=0.02)


def test_a_ranking_without_variance_is_no_candidate() -> None:
    joint = fold(1)
    scores = dict(joint.scores) | {"a": np.zeros(400)}
    flat = joint_groups(
        scores, joint.n_treated, joint.y_treated + joint.y_control, mu0=joint.n * 0.3, mu1=joint.n * 0.3,
        propensity=0.5,
    )  # fmt: skip
    sums = SequentialSums(3)
    sums.add(flat, figures(flat), 1.0, less=None)
    result = sums.evidence()
    assert result.z[0] == 0
    sd = np.sqrt(np.diag(sums.products)[1:])
    assert result.critical == pytest.approx(critical_value(sums.products[1:, 1:] / np.outer(sd, sd)))


def test_rankings_of_equal_scores_show_nothing() -> None:
    """As where events are so rare that no tree splits."""
    joint = fold(1)
    flat = JointGroups(**{**vars(joint), "scores": dict.fromkeys(RANKINGS, np.zeros(400))})
    sums = SequentialSums(2)
    sums.add(flat, figures(flat), 1.0, less=2)
    result = sums.evidence()
    assert not result.z.any()
    assert not result.value.any()
    assert result.critical > 1.6


def test_averaged_over_budgets_it_is_the_mean_of_the_gains() -> None:
    from uplift_core.evaluation.policy import gain_over_random  # noqa: PLC0415

    groups, _ = fold(3).by("a")
    for budget in (0.05, 0.3, 0.7):
        budgets = (np.arange(4_000) + 0.5) / 4_000 * min(2 * budget, 1)
        gains = [gain_over_random(groups, b).value for b in budgets[::4]]
        assert mean_gain(groups, budget).value == pytest.approx(np.mean(gains), abs=2e-5)


def test_few_events_do_not_flatter() -> None:
    """With 34 events under control, a plain one-sided test at 5 % rejects in 7 %."""
    plain, safe, runs = 0, 0, 1_500
    for seed in range(runs):
        joint = fold(seed, 3_400, e=0.9, rate=0.1)
        sums = SequentialSums(1)
        groups, place = joint.by("a")
        figure = spread(mean_gain(groups, 0.3), place)
        sums.add(joint, [figure], 1.0, less=None)
        plain += figure.z > 1.645
        safe += sums.evidence().z[0] > 1.645
    assert safe < plain
    assert safe / runs < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_weights_of_later_folds_are_larger() -> None:
    alone = []
    for k in (1, 2, 3):
        sums = SequentialSums(3)
        sums.add(fold(k), figures(fold(k)), k**0.5, less=None)
        alone.append(sums.users)
    assert all(later > earlier for earlier, later in pairwise(alone))
