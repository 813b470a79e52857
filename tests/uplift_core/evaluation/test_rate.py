"""AUTOC and QINI as grf defines them: means of TOC(q) and of q * TOC(q) over q = 1/n, ..., 1."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import Users, random_users
from uplift_core.evaluation.rate import autoc, qini, toc


def by_the_definition(users: Users) -> tuple[float, float]:
    """grf's rank_average_treatment_effect on users: ties take their group's mean score."""
    score, phi = users.score, users.phi
    level = {s: phi[score == s].mean() for s in np.unique(score)}
    ranked = np.array([level[s] for s in sorted(score, reverse=True)])
    n = len(ranked)
    q = np.arange(1, n + 1) / n
    above_average = np.cumsum(ranked) / np.arange(1, n + 1) - phi.mean()
    return above_average.mean(), (q * above_average).mean()


@pytest.mark.parametrize("levels", [0, 1, 2, 9, 60])
def test_autoc_and_qini_are_the_means_of_toc(levels: int) -> None:
    users = random_users(12, 500, propensity=0.85, levels=levels)
    expected = by_the_definition(users)
    groups = users.groups()
    assert (autoc(groups).value, qini(groups).value) == pytest.approx(expected, abs=1e-12)


def test_a_worked_example() -> None:
    """Four users with phi 4, 2, 1, 1: TOC is 2, 1, 1/3, 0."""
    phi = np.array([4.0, 2.0, 1.0, 1.0])
    users = random_users(1, 4)
    known = Users(np.array([4.0, 3.0, 2.0, 1.0]), users.w, users.y, np.zeros(4), phi, 0.5)
    shifted = known.phi - phi  # what the outcomes add; the definition takes whatever phi there is
    groups = known.groups()
    object.__setattr__(groups, "phi", groups.phi - shifted)
    assert toc(groups)[1].tolist() == pytest.approx([2, 1, 1 / 3, 0])
    assert autoc(groups).value == pytest.approx((2 + 1 + 1 / 3) / 4)
    assert qini(groups).value == pytest.approx((2 / 4 + 1 * 2 / 4 + 3 / 4 / 3) / 4)


def test_one_score_for_all_gives_exactly_0() -> None:
    groups = random_users(3, 200, levels=1).groups()
    for statistic in (autoc, qini):
        assert (statistic(groups).value, statistic(groups).std_error) == (0.0, 0.0)
