"""Standard errors: each influence is the statistic's own derivative, and its square is the variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.support import Users, random_users
from uplift_core.evaluation import calibration, curves, policy, rate
from uplift_core.evaluation.estimate import SUMS, Estimate, difference, pooled, spread
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups

Statistic = Callable[[ScoreGroups], Estimate]

# Treated shares at a fixed budget move with the ranks; these hold the rule fixed, as documented.
FIXED_RULE: dict[str, Statistic] = {
    "value": lambda g: policy.policy_value(g, 0.3),
    "value_ipw": lambda g: policy.policy_value_ipw(g, 0.3),
    "gain": lambda g: policy.gain_over_random(g, 0.3),
    "incremental": lambda g: policy.gain_over_none(g, 0.3),
    "uplift_at": lambda g: curves.uplift_at(g, 0.3),
    "uplift_at_by_group": lambda g: curves.uplift_at_by_group(g, 0.3),
}
SMOOTH: dict[str, Statistic] = {
    "ate": policy.average_effect,
    "ate_ipw": policy.average_effect_ipw,
    "autoc": rate.autoc,
    "qini": rate.qini,
    "mean_gain": lambda g: rate.mean_gain(g, 0.3),
    "auuc": curves.auuc,
    "slope": calibration.calibration_slope,
}
BINARY: dict[str, Statistic] = {"qini_auc": curves.qini_auc}
MOVED = 1e-4  # users


def users_of(*, binary: bool = True, levels: int = 12) -> Users:
    return random_users(31, 300, propensity=0.6, levels=levels, binary=binary)


def heavier(groups: ScoreGroups, users: Users, i: int, weight: float) -> ScoreGroups:
    """The groups with ``weight`` more of user i."""
    w, y, phi, phi0 = users.w[i], users.y[i], users.phi[i], users.phi0[i]
    terms = {
        "n": 1.0,
        "n_treated": w,
        "y_treated": w * y,
        "y_control": (1 - w) * y,
        "yy_treated": w * y * y,
        "yy_control": (1 - w) * y * y,
        "phi": phi,
        "phi_sq": phi**2,
        "phi_cu": phi**3,
        "phi0": phi0,
        "phi0_sq": phi0**2,
        "phi0_phi": phi0 * phi,
    }
    here = groups.score == users.score[i]
    return replace(groups, **{k: getattr(groups, k) + weight * v * here for k, v in terms.items()})


def influence_of(figure: Estimate, groups: ScoreGroups, users: Users, i: int) -> float:
    w, y = users.w[i], users.y[i]
    terms = {
        "one": 1.0,
        "phi": users.phi[i],
        "phi0": users.phi0[i],
        "treated": w,
        "y_treated": w * y,
        "control": 1 - w,
        "y_control": (1 - w) * y,
    }
    place = int(np.flatnonzero(groups.score == users.score[i])[0])
    return sum(float(c[place]) * terms[term] for term, c in figure.influence.items())


@pytest.mark.parametrize("levels", [12, 0], ids=["tied", "distinct"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "continuous"])
@pytest.mark.parametrize("name", [*SMOOTH, *BINARY])
def test_an_influence_is_the_derivative_by_the_users_weight(
    name: str, levels: int, *, binary: bool
) -> None:
    users = users_of(binary=binary or name in BINARY, levels=levels)
    statistic = (SMOOTH | BINARY)[name]
    groups = users.groups()
    figure = statistic(groups)
    slopes, influences = [], []
    for i in range(len(users.w)):
        more, less = (statistic(heavier(groups, users, i, s * MOVED)).value for s in (1, -1))
        slopes.append(groups.n_users * (more - less) / (2 * MOVED))
        influences.append(influence_of(figure, groups, users, i))
    expected = np.array(slopes) - np.mean(slopes)
    assert influences == pytest.approx(expected, abs=1e-5 * expected.std())


@pytest.mark.parametrize("name", [*SMOOTH, *BINARY, *FIXED_RULE])
def test_influences_have_mean_0_and_the_standard_error_is_theirs(name: str) -> None:
    users = users_of()
    groups = users.groups()
    figure = (SMOOTH | BINARY | FIXED_RULE)[name](groups)
    influences = np.array([influence_of(figure, groups, users, i) for i in range(len(users.w))])
    assert influences.mean() == pytest.approx(0, abs=1e-9)
    assert figure.std_error == pytest.approx(influences.std() / np.sqrt(len(influences)), rel=1e-9)


@pytest.mark.parametrize("name", ["autoc", "qini", "auuc", "qini_auc", "gain", "slope"])
def test_the_standard_error_is_that_of_the_half_sample_bootstrap(name: str) -> None:
    """grf's own way: the spread over half-samples is the spread of the estimate."""
    statistic = (SMOOTH | BINARY | FIXED_RULE)[name]
    users = random_users(5, 1200, levels=40)
    rng = np.random.default_rng(1)
    halves = []
    for _ in range(400):
        half = rng.permutation(1200)[:600]
        halves.append(statistic(users.take(half).groups()).value)
    assert statistic(users.groups()).std_error == pytest.approx(np.std(halves), rel=0.15)


def two_rankings() -> tuple[Users, JointGroups]:
    users = users_of()
    other = np.random.default_rng(2).permutation(users.score)
    scores = {"a": users.score, "b": other}
    return users, joint_groups(
        scores, users.w, users.y, mu0=users.mu0, mu1=users.mu1, propensity=users.propensity
    )


def test_joint_groups_add_up_to_each_rankings_groups() -> None:
    users, joint = two_rankings()
    groups, place = joint.by("a")
    expected = users.groups()
    for column in (*SUMS, "score"):
        assert getattr(groups, column) == pytest.approx(getattr(expected, column), rel=1e-12)
    assert (groups.score[place] == users.score).all()


@pytest.mark.parametrize("name", ["gain", "autoc", "qini_auc", "value_ipw"])
def test_a_paired_difference_has_the_spread_of_the_users_own_differences(name: str) -> None:
    users, joint = two_rankings()
    statistic = (SMOOTH | BINARY | FIXED_RULE)[name]
    sides, influences = [], []
    for ranking in ("a", "b"):
        groups, place = joint.by(ranking)
        figure = statistic(groups)
        sides.append(spread(figure, place))
        as_users = replace(users, score=np.asarray(joint.scores[ranking]))
        influences.append([influence_of(figure, groups, as_users, i) for i in range(len(users.w))])
    gap = difference(joint, *sides)
    assert gap.value == pytest.approx(sides[0].value - sides[1].value)
    expected = np.std(np.subtract(*influences)) / np.sqrt(len(users.w))
    assert gap.std_error == pytest.approx(expected, rel=1e-9)


def test_a_ranking_differs_from_itself_by_exactly_0() -> None:
    _, joint = two_rankings()
    groups, place = joint.by("a")
    figure = spread(rate.autoc(groups), place)
    assert difference(joint, figure, figure) == Estimate(0.0, 0.0)


def test_figures_of_disjoint_users_are_pooled_by_their_numbers() -> None:
    figure = pooled([(100, Estimate(1.0, 0.3)), (300, Estimate(2.0, 0.1))])
    assert figure.value == pytest.approx(1.75)
    assert figure.std_error == pytest.approx(np.hypot(0.25 * 0.3, 0.75 * 0.1))
