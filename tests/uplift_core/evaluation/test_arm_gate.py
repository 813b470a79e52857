"""Which policy over several arms decides: figures of users one by one, and how often it is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import (
    MULTI_ARM,
    NOBODY,
    ArmDesign,
    ArmFold,
    ArmVerdict,
    PolicyVerdict,
    judge_arms,
    single_policy,
)
from uplift_core.targeting.arm_path import find_path

SHARES = np.array([0.4, 0.35, 0.25])
DESIGN = ArmDesign(("a", "b"), np.ones(2), SHARES)
GROUPS = 60


def experiment(
    seed: int, tau: np.ndarray, n: int = 4_000, *, score_noise: float = 0.0
) -> tuple[list[ArmFold], list[dict[str, np.ndarray]]]:
    """Four judged folds of users in groups with true effects ``tau`` (GROUPS, 2), and the users."""
    rng = np.random.default_rng(seed)
    base = 0.1 + 0.2 * rng.random(GROUPS)
    score = tau + score_noise * rng.normal(size=tau.shape)
    folds, users = [], []
    for k in range(1, 5):
        group, w = rng.integers(0, GROUPS, n // 4), rng.choice(3, n // 4, p=SHARES)
        p = (base[:, None] + np.column_stack([np.zeros(GROUPS), tau]))[group, w]
        y = (rng.random(n // 4) < p).astype(float)
        sums = np.zeros((2, GROUPS, 3))
        np.add.at(sums, (0, group, w), 1.0)
        np.add.at(sums, (1, group, w), y)
        mu = base[:, None] + 0.5 * np.column_stack([np.zeros(GROUPS), tau])
        folds.append(ArmFold(sums[0], sums[1], sums[1], sums[1], mu, score, k))
        users.append({"group": group, "w": w, "y": y})
    return folds, users


def differing(size: float) -> np.ndarray:
    """Effects of two arms, each the better one for half of the groups."""
    x = np.linspace(-1, 1, GROUPS)
    return np.column_stack([0.08 + size * x, 0.08 - size * x])


def at(verdict: ArmVerdict, budget: float) -> PolicyVerdict:
    return next(each for each in verdict.policies if each.budget == budget)


def test_figures_are_those_of_the_users_one_by_one() -> None:
    folds, users = experiment(1, differing(0.1), score_noise=0.05)
    design = ArmDesign(("a", "b"), np.array([1.0, 0.4]), SHARES, value=2.0)
    verdict = judge_arms(folds, design, [0.3])
    leads, squares, cubes, total, weights = [], 0.0, 0.0, 0.0, 0.0
    scores = [fold.score for fold in folds]
    for k, (fold, who) in enumerate(zip(folds, users, strict=True)):
        earlier = judge_arms(folds[:k], design, [0.3]).calibrations if k else {}
        maps = [each.effect_map for each in earlier.values()]
        effects = scores[k].copy()
        for a, each in enumerate(maps):
            effects[:, a] = each.effects(effects[:, a].astype(np.float32))
        n = fold.n.sum(axis=1)
        g, w, y = who["group"], who["w"], who["y"]
        dr = [fold.mu[g, a] + (w == a) * (y - fold.mu[g, a]) / SHARES[a] for a in range(3)]
        phi = np.column_stack([dr[1] - dr[0], dr[2] - dr[0]])
        terms = {}
        for name, of_arms in (("all", effects), ("b", single_policy(effects, 1))):
            path = find_path(of_arms, design.costs, n)
            shares, near = path.shares(0.3), path.shares(0.33) - path.shares(0.27)
            cost = shares @ design.costs
            slope = np.sum(near[g] * phi) / np.sum(near[g] @ design.costs) - 1 / 2.0
            term = np.sum(shares[g] * phi, axis=1) - cost[g] / 2.0
            terms[name] = term, slope * (cost[g] - np.mean(cost[g]))
        gap = terms["all"][0] - terms["b"][0]
        moved = gap - gap.mean() - (terms["all"][1] - terms["b"][1])
        leads.append((len(g), gap.mean(), np.sqrt(np.sum(moved**2)) / len(g)))
        weight = np.sqrt(k + 1)
        total += weight * gap.sum()
        weights += weight * len(g)
        squares += weight**2 * np.sum(moved**2)
        cubes += weight**3 * np.sum(moved**3)
    found = next(each for each in at(verdict, 0.3).findings if each.policy == "b")
    users_n = sum(n for n, *_ in leads)
    assert found.lead.value == pytest.approx(sum(n * v for n, v, _ in leads) / users_n, abs=1e-7)
    error = np.sqrt(sum((n * e) ** 2 for n, _, e in leads)) / users_n
    assert found.lead.std_error == pytest.approx(error, rel=1e-5)
    z, skew = total / np.sqrt(squares), cubes / squares**1.5
    hall = z + skew * (2 * z**2 + 1) / 6 + skew**2 * z**3 / 27
    assert found.z == pytest.approx(min(z, hall), rel=1e-4)


def test_one_arm_that_is_best_for_all_is_hardly_ever_left() -> None:
    """Scores are noise: choosing among arms is worth nothing, or less."""
    tau = np.column_stack([np.full(GROUPS, 0.1), np.full(GROUPS, 0.08)])
    passed = [
        at(judge_arms(experiment(seed, tau, score_noise=0.05)[0], DESIGN, [0.3]), 0.3).word == "passed"
        for seed in range(200)
    ]
    assert np.mean(passed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_equal_arms_are_told_apart_by_chance_alone() -> None:
    """The bound is reached where it is hardest to keep: all policies have the same value."""
    tau = np.full((GROUPS, 2), 0.1)
    passed = [
        at(judge_arms(experiment(seed, tau, score_noise=0.05)[0], DESIGN, [1.0]), 1.0).word == "passed"
        for seed in range(200)
    ]
    assert np.mean(passed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_where_arms_suit_different_users_choosing_decides() -> None:
    verdict = judge_arms(experiment(2, differing(0.15), 20_000)[0], DESIGN, [0.4, 0.6, 1.0])
    assert [each.decider for each in verdict.policies] == ["multi_arm"] * 3
    whole = at(verdict, 1.0)
    multi, *alone = whole.findings
    assert multi.policy == MULTI_ARM
    assert all(each.z > each.critical and each.lead.value > 0 for each in alone)
    assert multi.gain.value > max(each.gain.value for each in alone)
    assert "choosing each user's arm decides" in whole.reason
    assert set(multi.arm_shares) == {"a", "b"}
    assert min(multi.arm_shares.values()) > 0.3


def test_otherwise_the_best_arm_decides_alone() -> None:
    tau = np.column_stack([np.full(GROUPS, 0.15), np.full(GROUPS, 0.02)])
    found = at(judge_arms(experiment(3, tau, 20_000, score_noise=0.02)[0], DESIGN, [0.3]), 0.3)
    assert (found.decider, found.best_single, found.word) == ("a", "a", "inconclusive")
    assert "So 'a' alone decides" in found.reason


def test_nobody_is_treated_where_that_is_shown_to_be_better() -> None:
    folds, _ = experiment(4, np.full((GROUPS, 2), -0.1), 20_000)
    flattering = [replace(fold, score=fold.score + 0.2) for fold in folds[:1]]  # the first has no map
    found = at(judge_arms(flattering, DESIGN, [0.5]), 0.5)
    assert found.decider == NOBODY
    assert "Treating nobody is shown to be better" in found.reason


def test_few_events_cannot_be_tested() -> None:
    folds, _ = experiment(5, differing(0.15), 20_000)
    few = [replace(fold, events=fold.events * 0) for fold in folds]
    found = at(judge_arms(few, DESIGN, [1.0]), 1.0)
    assert found.word == "inconclusive"
    assert "cannot be tested yet" in found.reason


def test_effects_that_are_not_worth_their_cost_are_left_out() -> None:
    folds, _ = experiment(6, differing(0.15), 20_000)
    worth = replace(DESIGN, value=5.0, least_price=1 / 5.0)
    found = at(judge_arms(folds, worth, [1.0]), 1.0).findings[0]
    tau = differing(0.15)
    assert found.spend == pytest.approx(np.mean(tau.max(axis=1) > 1 / 5.0), abs=0.05)


def test_arms_and_folds_are_needed() -> None:
    with pytest.raises(DataError, match="two treatment arms and one judged fold are needed"):
        judge_arms([], DESIGN, [0.3])
