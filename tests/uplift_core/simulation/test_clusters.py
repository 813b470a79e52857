"""Experiments on clusters: single users as in the marketing RCT, members alike, errors of their size."""

from __future__ import annotations

import numpy as np
import pytest

from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.groups import joint_groups
from uplift_core.evaluation.policy import average_effect
from uplift_core.simulation.clusters import ClusterDesign
from uplift_core.simulation.rct import marketing_rct


def pairs(values: np.ndarray, size: int) -> float:
    """The correlation of the first two members of a cluster."""
    by_cluster = values.reshape(-1, size)
    return float(np.corrcoef(by_cluster[:, 0], by_cluster[:, 1])[0, 1])


def test_members_are_alike_and_treated_together() -> None:
    users, cluster = ClusterDesign(size=3, icc=0.2).draw(20_000, 1)
    assert (np.bincount(cluster) == 3).all()
    assert all(len(np.unique(arms)) == 1 for arms in users.w.reshape(-1, 3)[:500])
    assert pairs(users.x[:, 0], 3) == pytest.approx(0.2, abs=0.03)
    chance = np.where(users.w == 1, users.mu1, users.mu0)
    residual = (users.y - chance) / np.sqrt(chance * (1 - chance))
    assert 0.1 < pairs(residual, 3) < 0.22  # less than .2 where the chances differ
    assert residual.mean() == pytest.approx(0, abs=0.01)
    assert residual.var() == pytest.approx(1, abs=0.02)


def test_a_single_user_is_one_of_the_marketing_rct() -> None:
    users, _ = ClusterDesign(size=2, icc=0.3).draw(60_000, 2)
    others = next(marketing_rct(120_000, 3, chunk=120_000))
    assert users.x.std(axis=0) == pytest.approx(np.ones(10), abs=0.02)
    assert users.mu0.mean() == pytest.approx(others.mu0.mean(), abs=0.004)
    assert users.ate == pytest.approx(others.ate, abs=0.002)
    null, _ = ClusterDesign(size=2, icc=0.3, pays=False).draw(100, 2)
    assert (null.cate == 0).all()


def test_errors_by_cluster_have_the_size_of_the_spread_and_others_are_half_of_it() -> None:
    design, found = ClusterDesign(size=25, icc=0.2), {"clusters": [], "independent": []}
    truth = next(marketing_rct(200_000, 4, chunk=200_000)).ate
    for seed in range(150):
        users, cluster = design.draw(60, seed)
        flat = np.full(len(cluster), 0.3)
        for name, of_users in (("clusters", cluster), ("independent", None)):
            joint = joint_groups(
                {"flat": flat}, users.w, users.y, mu0=flat, mu1=flat, propensity=0.5, cluster=of_users
            )
            effect = average_effect(joint)
            found[name].append(Estimate(effect.value - truth, effect.std_error).z)
    assert 0.8 < np.std(found["clusters"]) < 1.2
    assert np.std(found["independent"]) > 1.7
