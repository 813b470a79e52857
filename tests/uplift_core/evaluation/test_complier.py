"""The complier average effect equals two-stage least squares with robust errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uplift_core.errors import DataError
from uplift_core.evaluation.complier import WEAK_F, ComplierEffect

N = 900


def users(seed: int, compliance: float = 0.5) -> tuple[np.ndarray, ...]:
    """Assignment, exposure and outcome of users, some of whom would be exposed in any case."""
    rng = np.random.default_rng(seed)
    w = (rng.random(N) < 0.4).astype(float)
    kind = rng.random(N)
    d = np.where(kind < 0.1, 1.0, w * (kind < 0.1 + compliance))
    return w, d, 2 * kind + 1.5 * d + rng.normal(size=N)


def scores(w: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Each user's score of the difference in means: its mean is the difference."""
    means = {arm: outcome[w == arm].mean() for arm in (0.0, 1.0)}
    off = np.where(w == 1, (outcome - means[1.0]) / w.mean(), -(outcome - means[0.0]) / (1 - w.mean()))
    return means[1.0] - means[0.0] + off


def two_stage_least_squares(
    w: np.ndarray, d: np.ndarray, y: np.ndarray, cluster: np.ndarray
) -> tuple[float, float]:
    """Effect and sandwich error: (Z'X)^-1 [sum over clusters of Z'u u'Z] (X'Z)^-1, times C / (C - 1)."""
    z, x = np.column_stack([np.ones(len(w)), w]), np.column_stack([np.ones(len(w)), d])
    beta = np.linalg.solve(z.T @ x, z.T @ y)
    moments = z * (y - x @ beta)[:, None]
    by_cluster = np.stack([np.bincount(cluster, column) for column in moments.T], axis=1)
    inverse = np.linalg.inv(z.T @ x)
    count = len(np.unique(cluster))
    variance = inverse @ (by_cluster.T @ by_cluster) @ inverse.T * count / (count - 1)
    return float(beta[1]), float(np.sqrt(variance[1, 1]))


@pytest.mark.parametrize("seed", range(3))
def test_effect_and_error_are_those_of_two_stage_least_squares(seed: int) -> None:
    w, d, y = users(seed)
    found = ComplierEffect.of(scores(w, y), scores(w, d))
    effect, error = two_stage_least_squares(w, d, y, np.arange(N))
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(effect, rel=1e-9)
    assert found.estimate.std_error == pytest.approx(error * np.sqrt((N - 1) / N), rel=1e-9)
    assert found.on_outcome.value == pytest.approx(y[w == 1].mean() - y[w == 0].mean(), rel=1e-9)
    assert found.f == pytest.approx((found.exposure_effect / found.on_exposure.std_error) ** 2)


def test_errors_by_cluster_are_those_of_two_stage_least_squares() -> None:
    rng = np.random.default_rng(5)
    cluster = rng.integers(0, 60, N)
    w, d, _ = users(5)
    y = rng.normal(size=60)[cluster] + d
    found = ComplierEffect.of(scores(w, y), scores(w, d), cluster)
    effect, error = two_stage_least_squares(w, d, y, cluster)
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.std_error) == pytest.approx((effect, error), rel=1e-9)
    assert found.units == 60


def test_perfect_compliance_gives_the_effect_of_the_assignment() -> None:
    w, _, y = users(7)
    found = ComplierEffect.of(scores(w, y), scores(w, w))
    assert found.f > 1e20
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(found.on_outcome.value)
    assert found.estimate.std_error == pytest.approx(found.on_outcome.std_error)


def test_a_weak_first_stage_has_no_effect() -> None:
    w, d, y = users(8, compliance=0.0)
    found = ComplierEffect.of(scores(w, y), scores(w, d))
    assert found.f < WEAK_F
    assert found.weak
    assert found.estimate is None
    nobody = ComplierEffect.of(scores(w, y), np.zeros(N))
    assert math.isnan(nobody.f)
    assert nobody.estimate is None


def test_wrong_scores_are_refused() -> None:
    with pytest.raises(DataError, match="one length"):
        ComplierEffect.of(np.zeros(3), np.zeros(4))
    with pytest.raises(DataError, match="one cluster"):
        ComplierEffect.of(np.zeros(3), np.ones(3), np.zeros(3))
