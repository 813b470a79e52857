"""Figures of users whose chance of the treatment differs: equal to plain numpy, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from uplift_core.evaluation import curves, policy
from uplift_core.evaluation.estimate import SUMS, Estimate
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups

N, BUDGET, OVERALL = 400, 0.3, 0.45
LEVELS = 12
FIGURES: dict[str, Callable[[ScoreGroups], Estimate]] = {
    "ate": policy.average_effect,
    "ate_ipw": policy.average_effect_ipw,
    "value_ipw": lambda groups: policy.policy_value_ipw(groups, 1.0),
    "auuc": curves.auuc,
    "qini_auc": curves.qini_auc,
    "uplift_at_everybody": lambda groups: curves.uplift_at(groups, 1.0),
}


@dataclass(frozen=True)
class Drawn:
    """Users with a chance of the treatment from .1 to .9, on which the outcome depends, too."""

    e: np.ndarray
    w: np.ndarray
    y: np.ndarray
    score: np.ndarray
    mu0: np.ndarray
    mu1: np.ndarray

    def joint(self, **changed: object) -> JointGroups:
        return joint_groups(
            {"s": self.score},
            self.w,
            self.y,
            mu0=self.mu0,
            mu1=self.mu1,
            **{"propensity": OVERALL, "propensities": self.e, **changed},
        )

    @property
    def phi0(self) -> np.ndarray:
        return self.mu0 + (1 - self.w) * (self.y - self.mu0) / (1 - self.e)

    @property
    def phi(self) -> np.ndarray:
        return self.mu1 + self.w * (self.y - self.mu1) / self.e - self.phi0

    @property
    def treated(self) -> np.ndarray:
        """The share of each user among the best of the budget; users of the cut share what is left."""
        above = (self.score[None, :] > self.score[:, None]).sum(axis=1)
        tied = (self.score[None, :] == self.score[:, None]).sum(axis=1)
        return np.clip((BUDGET * N - above) / tied, 0, 1)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    rng = np.random.default_rng(4)
    e = rng.choice(np.linspace(0.1, 0.9, 9), N)
    w = (rng.random(N) < e).astype(float)
    score = np.floor(LEVELS * rng.random(N)) / LEVELS
    y = (rng.random(N) < 0.1 + 0.5 * e + 0.2 * w * score).astype(float)
    mu0, mu1 = 0.3 + 0.1 * rng.random(N), 0.4 + 0.1 * rng.random(N)
    return Drawn(e, w, y, score, mu0, mu1)


@pytest.fixture(scope="module")
def groups(drawn: Drawn) -> ScoreGroups:
    return drawn.joint().by("s")[0]


def test_effect_value_and_gain_are_means_over_users(drawn: Drawn, groups: ScoreGroups) -> None:
    pi, phi, phi0 = drawn.treated, drawn.phi, drawn.phi0
    assert policy.average_effect(groups).value == pytest.approx(phi.mean(), abs=1e-9)
    assert policy.average_effect(groups).std_error == pytest.approx(phi.std() / np.sqrt(N), abs=1e-9)
    assert policy.policy_value(groups, BUDGET).value == pytest.approx((phi0 + pi * phi).mean(), abs=1e-9)
    gain = policy.gain_over_random(groups, BUDGET)
    assert gain.value == pytest.approx(((pi - BUDGET) * phi).mean(), abs=1e-9)


def test_inverse_propensity_weights_are_those_of_each_user(drawn: Drawn, groups: ScoreGroups) -> None:
    treated, control = drawn.w * drawn.y / drawn.e, (1 - drawn.w) * drawn.y / (1 - drawn.e)
    of_user = treated - control
    found = policy.average_effect_ipw(groups)
    assert found.value == pytest.approx(of_user.mean(), abs=1e-9)
    assert found.std_error == pytest.approx(of_user.std() / np.sqrt(N), abs=1e-9)
    of_user = drawn.treated * treated + (1 - drawn.treated) * control
    curve = policy.policy_curve(groups, [BUDGET])
    found = policy.policy_value_ipw(groups, BUDGET)
    assert found.value == pytest.approx(of_user.mean(), abs=1e-9)
    assert curve.value_ipw[0] == pytest.approx(of_user.mean(), abs=1e-9)
    assert curve.value_ipw_error[0] == pytest.approx(found.std_error, rel=1e-9)


def test_deciles_compare_weighted_means(drawn: Drawn, groups: ScoreGroups) -> None:
    (row,) = curves.uplift_by_decile(groups, n_bins=1)
    weights = {1: 1 / drawn.e, 0: 1 / (1 - drawn.e)}
    means, variance = {}, 0.0
    for w, weight in weights.items():
        arm = drawn.w == w
        means[w] = np.average(drawn.y[arm], weights=weight[arm])
        off = weight[arm] * (drawn.y[arm] - means[w]) / weight[arm].sum()
        variance += float(off @ off)
    assert row.uplift == pytest.approx(means[1] - means[0], abs=1e-9)
    assert row.std_error == pytest.approx(np.sqrt(variance), rel=1e-9)
    end = curves.qini_curve(groups).incremental[-1]
    assert end / (OVERALL * (drawn.w / drawn.e).sum()) == pytest.approx(row.uplift, abs=1e-9)
    assert curves.qini_curve_error(groups)[-1] > 0


@pytest.mark.parametrize("name", FIGURES)
def test_one_chance_for_all_gives_the_figures_of_one_number(drawn: Drawn, name: str) -> None:
    same = drawn.joint(propensities=np.full(N, OVERALL)).by("s")[0]
    one = drawn.joint(propensities=None).by("s")[0]
    found, expected = FIGURES[name](same), FIGURES[name](one)
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-9)


@pytest.mark.parametrize("name", FIGURES)
def test_errors_are_those_of_the_statistics_own_derivatives(drawn: Drawn, name: str) -> None:
    figure, moved = FIGURES[name], 1e-4
    joint = drawn.joint()

    def at(weight: np.ndarray) -> float:
        columns = {column: weight * getattr(joint, column) for column in SUMS}
        weighted = {column: weight * values for column, values in (joint.weighted or {}).items()}
        return figure(replace(joint, **columns, weighted=weighted).by("s")[0]).value

    influences = []
    for i in range(N):
        step = moved * (np.arange(N) == i)
        influences.append(N * (at(1 + step) - at(1 - step)) / (2 * moved))
    error = np.sqrt(np.square(influences).sum()) / N
    assert figure(joint.by("s")[0]).std_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("name", FIGURES)
def test_each_user_a_cluster_gives_the_errors_of_independent_users(drawn: Drawn, name: str) -> None:
    clustered = FIGURES[name](drawn.joint(cluster=np.arange(N)).by("s")[0])
    alone = FIGURES[name](drawn.joint().by("s")[0])
    assert clustered.value == pytest.approx(alone.value, abs=1e-12)
    assert clustered.std_error == pytest.approx(alone.std_error * np.sqrt(N / (N - 1)), rel=1e-6)


def test_a_difference_that_ignores_the_chances_is_biased_where_the_weighted_one_is_not() -> None:
    rng = np.random.default_rng(9)
    n, effect = 40_000, 0.2
    e = rng.choice([0.1, 0.8], n)
    w = (rng.random(n) < e).astype(float)
    y = 3.0 * (e > 0.5) + effect * w + rng.normal(size=n)
    zero = np.zeros(n)
    joint = joint_groups({"s": zero}, w, y, mu0=zero, mu1=zero, propensity=e.mean(), propensities=e)
    naive = y[w == 1].mean() - y[w == 0].mean()
    for figure in (policy.average_effect(joint), policy.average_effect_ipw(joint)):
        assert abs(figure.value - effect) < 4 * figure.std_error < abs(naive - effect)
