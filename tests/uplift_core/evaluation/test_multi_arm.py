"""Gains of multi-arm policies: equal to each user's own term, and honest about their error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.multi_arm import ArmScores, PolicyAt, arm_scores, arm_terms
from uplift_core.targeting.arm_path import find_path

SHARES = np.array([0.5, 0.2, 0.3])


def trial(seed: int, n: int = 1_000) -> dict[str, np.ndarray]:
    """Users of a three-arm RCT with noisy predictions, in groups of equal x."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 40, n)
    tau = np.column_stack([0.3 * np.sin(x), 0.2 * np.cos(x)])
    w = rng.choice(3, n, p=SHARES)
    y = rng.normal(size=n) + np.column_stack([np.zeros(n), tau])[np.arange(n), w]
    mu = np.column_stack([0.1 * np.ones(n), 0.1 + tau + 0.05])
    return {"x": x, "w": w, "y": y, "mu": mu, "effect": tau + 0.1 * np.cos(3 * x)[:, None]}


def by_group(users: dict[str, np.ndarray]) -> tuple[ArmScores, np.ndarray, np.ndarray]:
    """Scores by x, with the groups' effects and users."""
    groups, first, place = np.unique(users["x"], return_index=True, return_inverse=True)
    n, y, yy = (np.zeros((len(groups), 3)) for _ in range(3))
    for power, sums in enumerate((n, y, yy)):
        np.add.at(sums, (place, users["w"]), users["y"] ** power)
    scores = arm_scores(n, y, yy, mu=users["mu"][first], propensity=SHARES)
    return scores, users["effect"][first], place


def phi(users: dict[str, np.ndarray]) -> np.ndarray:
    """Each user's doubly robust scores, written out."""
    w, y, mu = users["w"], users["y"], users["mu"]
    gamma = [mu[:, a] + (w == a) * (y - mu[:, a]) / SHARES[a] for a in range(3)]
    return np.column_stack([gamma[1] - gamma[0], gamma[2] - gamma[0]])


def test_a_gain_and_its_error_are_those_of_the_users_own_terms() -> None:
    users = trial(1)
    scores, effect, place = by_group(users)
    path = find_path(effect, [1.0, 0.4], scores.n)
    for budget in (0.1, 0.33, 5.0):
        shares = path.shares(budget)
        terms = np.sum(shares[place] * phi(users), axis=1)
        estimate = scores.gain(shares)
        assert estimate.value == pytest.approx(terms.mean())
        assert estimate.std_error == pytest.approx(terms.std() / np.sqrt(len(terms)))
        other = find_path(effect[:, :1], [1.0], scores.n).shares(budget)
        moved = shares - np.column_stack([other, np.zeros(len(other))])
        terms = np.sum(moved[place] * phi(users), axis=1)
        paired = scores.gain(moved)
        assert paired.value == pytest.approx(terms.mean())
        assert paired.std_error == pytest.approx(terms.std() / np.sqrt(len(terms)))


def test_where_users_are_in_clusters_their_terms_are_added_up() -> None:
    users = trial(4)
    scores, effect, place = by_group(users)
    cluster = np.random.default_rng(2).integers(0, 300, 1_000)
    terms = arm_terms(users["w"], users["y"], mu=users["mu"], propensity=SHARES)
    assert np.column_stack([terms["phi_0"], terms["phi_1"]]) == pytest.approx(phi(users))
    clustered = replace(scores, clusters=Clusters.of(cluster, place, terms, len(scores.n)))
    path, cost = find_path(effect, [1.0, 0.4], scores.n), np.array([1.0, 0.4])
    policy = PolicyAt.of(path.shares, 0.15)
    at_cut = scores.at_cut(policy, cost)
    found = clustered.gain(policy.shares, at_cut)
    each = np.sum(policy.shares[place] * phi(users), axis=1) - at_cut[place]
    sums = np.bincount(cluster, each - each.mean())
    clusters = len(np.unique(cluster))
    expected = np.sqrt(clusters / (clusters - 1) * (sums @ sums)) / 1_000
    assert found.std_error == pytest.approx(expected, rel=1e-9)
    assert found.value == scores.gain(policy.shares, at_cut).value


def test_the_standard_error_is_that_of_the_half_sample_bootstrap() -> None:
    """maq's own way, which walks the path anew on every half."""
    users = trial(2)
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(300):
        half = rng.permutation(1_000)[:500]
        scores, effect, _ = by_group({name: values[half] for name, values in users.items()})
        estimates.append(scores.gain(find_path(effect, [1.0, 0.4], scores.n).shares(0.15)).value)
    scores, effect, _ = by_group(users)
    whole = scores.gain(find_path(effect, [1.0, 0.4], scores.n).shares(0.15))
    assert whole.std_error == pytest.approx(np.std(estimates), rel=0.15)


def test_intervals_hold_the_true_gain() -> None:
    x = np.arange(40)
    tau = np.column_stack([0.3 * np.sin(x), 0.2 * np.cos(x)])
    effect = tau + 0.1 * np.cos(3 * x)[:, None]
    truth = float(np.sum(find_path(effect, [1.0, 0.4]).shares(0.15) * tau)) / 40
    covers = []
    for seed in range(400):
        scores, predicted, _ = by_group(trial(seed, 600))
        estimate = scores.gain(find_path(predicted, [1.0, 0.4], scores.n).shares(0.15))
        covers.append(estimate.ci_low <= truth <= estimate.ci_high)
    assert np.mean(covers) == pytest.approx(0.95, abs=0.033)  # three Monte-Carlo errors


@pytest.mark.parametrize("base", [0.0, 4.0])
def test_intervals_hold_the_true_gain_however_large_the_effects_are(base: float) -> None:
    """The cut is estimated, too: with it as given, intervals hold .99 where effects are large."""
    cost, share, runs, n = np.array([1.0, 2.0]), np.full(3, 1 / 3), 400, 1_000

    def draw(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((users, 2))
        return x, np.column_stack([base + 0.5 * x[:, 0], 1.5 * base + 0.8 * x[:, 1]])

    _, effect = draw(np.random.default_rng(7), 100_000)
    truth = float(np.sum(find_path(effect, cost).shares(0.4) * effect)) / len(effect)
    covers = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        x, tau = draw(rng, n)
        w = rng.choice(3, n, p=share)
        received = np.column_stack([np.zeros(n), tau])[np.arange(n), w]
        y = 0.3 * x[:, 0] + received + rng.standard_normal(n)
        arms = (w[:, None] == np.arange(3)).astype(float)
        mu = np.tile([0.0, 0.8 * base, 1.2 * base], (n, 1))
        scores = arm_scores(arms, arms * y[:, None], arms * y[:, None] ** 2, mu=mu, propensity=share)
        policy = PolicyAt.of(find_path(tau, cost).shares, 0.4)
        estimate = scores.gain(policy.shares, scores.at_cut(policy, cost))
        covers.append(estimate.ci_low <= truth <= estimate.ci_high)
    assert np.mean(covers) == pytest.approx(0.95, abs=0.033)  # three Monte-Carlo errors


def test_a_budget_that_is_not_spent_has_no_cut() -> None:
    scores, effect, _ = by_group(trial(1))
    policy = PolicyAt.of(find_path(effect, [1.0, 0.4], scores.n).shares, 5.0)
    assert not scores.at_cut(policy, np.array([1.0, 0.4])).any()


def test_shares_that_are_no_whole_are_refused() -> None:
    one = np.ones((1, 3))
    with pytest.raises(DataError, match="add up to 1"):
        arm_scores(one, one, one, mu=one, propensity=np.array([0.5, 0.2, 0.2]))
