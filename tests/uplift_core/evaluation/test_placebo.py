"""Permuted arms: what is permuted, what is compared, and what a strong effect gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinnedUsers
from uplift_core.errors import DataError
from uplift_core.evaluation import placebo
from uplift_core.evaluation.placebo import PlaceboRun, cheaper, p_value, permuted, placebo_runs
from uplift_core.evaluation.procedure import binned_users, judge_users
from uplift_core.simulation.gate_designs import draw

FEW = LearnerParameters.model_validate(
    {kind: {"rounds": 30, "learning_rate": 0.15} for kind in ("outcome", "effect")} | {"max_bins": 8}
)


def users_of(design: str) -> BinnedUsers:
    return binned_users(draw(design, 1_500, 3), propensity=0.5, binary=True, max_bins=FEW.max_bins)


def test_run_0_is_the_arms_as_drawn_and_others_keep_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[BinnedUsers] = []

    def judged(users: BinnedUsers, **options: object):
        seen.append(users)
        return verdict

    users = users_of("no effect")
    verdict = judge_users(users, budget=0.3, parameters=cheaper(FEW))
    monkeypatch.setattr(placebo, "judge_users", judged)
    runs = list(placebo_runs(users, 3, budget=0.3, parameters=FEW))
    assert runs == [PlaceboRun.of(verdict)] * 4
    best = verdict.comparison.candidates[verdict.champion]
    assert (runs[0].z_random, runs[0].z_response) == (best.z_random, best.z_response)
    assert (seen[0].w == users.w).all()
    for other in seen[1:]:
        assert other.w.sum() == users.w.sum()
        assert (other.w != users.w).any()
        assert other.y is users.y
    assert len({other.w.tobytes() for other in seen}) == 4
    again = list(placebo_runs(users, 3, budget=0.3, parameters=FEW))
    assert again == runs
    assert seen[5].w.tobytes() == seen[1].w.tobytes()


def clustered(w: np.ndarray, cluster: np.ndarray) -> BinnedUsers:
    users = users_of("no effect")
    some = {name: getattr(users, name)[: len(w)] for name in ("cell", "y", "fold")}
    return replace(users, **some, w=w.astype(np.int8), cluster=cluster)


def test_clusters_that_were_assigned_as_a_whole_swap_their_arms() -> None:
    cluster = np.random.default_rng(0).permutation(np.repeat(np.arange(100), np.arange(100) % 5 + 1))
    users = clustered(cluster % 3 == 0, cluster)
    moved = [permuted(users, np.random.default_rng(seed)) for seed in (1, 2, 1)]
    for w in moved:
        arms = [set(w[cluster == c]) for c in range(100)]
        assert all(len(arm) == 1 for arm in arms)
        assert sum(arm == {1} for arm in arms) == len(range(0, 100, 3))  # as many clusters, not users
        assert (w != users.w).any()
    assert (moved[0] != moved[1]).any()
    assert (moved[0] == moved[2]).all()


def test_arms_within_clusters_stay_there_and_whole_clusters_swap_with_those_of_their_size() -> None:
    cluster = np.repeat(np.arange(90), np.arange(90) % 3 + 1)
    w = np.random.default_rng(1).random(len(cluster)) < 0.5
    users = clustered(w, cluster)
    size, treated = np.bincount(cluster), np.bincount(cluster, w)
    mixed = (treated > 0) & (treated < size)
    assert mixed.any()
    found = np.array(
        [np.bincount(cluster, permuted(users, np.random.default_rng(seed))) for seed in range(20)]
    )
    assert (found[:, mixed] == treated[mixed]).all()
    for s in (1, 2, 3):
        some = ~mixed & (size == s)
        assert (found[:, some].sum(axis=1) == treated[some].sum()).all()
        assert np.isin(found[:, some], [0, s]).all()
        assert (found[:, some] != treated[some]).any()
    each = [permuted(users, np.random.default_rng(seed)) for seed in range(20)]
    assert any((one != w)[mixed[cluster]].any() for one in each)


def test_a_strong_effect_is_above_all_permutations() -> None:
    runs = list(placebo_runs(users_of("marketing, strong"), 4, budget=0.3, parameters=FEW))
    assert p_value(runs[0], runs) == 1 / 5


def test_the_p_value_counts_ties_and_the_run_itself() -> None:
    runs = [PlaceboRun("s", z, 0.0, opens=False) for z in (1.0, 1.0, 2.0, -1.0)]
    assert [p_value(run, runs) for run in runs] == [0.75, 0.75, 0.25, 1.0]


def test_fewer_rounds_learn_as_far() -> None:
    given = LearnerParameters()
    given = replace_rate(given, 0.5)
    found = cheaper(given)
    assert found.outcome.rounds == 50
    assert found.effect.rounds == 34
    assert found.effect.learning_rate == pytest.approx(0.15)
    assert found.outcome.learning_rate == 1.0
    assert found.max_bins == given.max_bins


def replace_rate(parameters: LearnerParameters, rate: float) -> LearnerParameters:
    faster = parameters.outcome.model_copy(update={"learning_rate": rate})
    return parameters.model_copy(update={"outcome": faster})


def test_users_of_one_chance_swap_their_arms_and_others_draw_anew() -> None:
    rng = np.random.default_rng(2)
    e = np.r_[np.repeat((0.1, 0.8), 500), rng.uniform(0.05, 0.95, 500)]
    w = (rng.random(1_500) < e).astype(np.int8)
    users = replace(users_of("no effect"), w=w, propensities=e)
    other = permuted(users, np.random.default_rng(3))
    for stratum in (slice(0, 500), slice(500, 1_000)):
        assert other[stratum].sum() == w[stratum].sum()
        assert (other[stratum] != w[stratum]).any()
    alone = slice(1_000, 1_500)
    error = np.sqrt((e[alone] * (1 - e[alone])).sum())
    assert (other[alone] != w[alone]).any()
    assert abs(other[alone].sum() - e[alone].sum()) < 4 * error
    with pytest.raises(DataError, match="set placebo_runs = 0"):
        permuted(replace(users, cluster=np.arange(1_500)), rng)
