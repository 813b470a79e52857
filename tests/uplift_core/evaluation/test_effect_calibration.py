"""Maps from scores to effects: the regression user by user, and no correction without proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from uplift_core.evaluation.effect_calibration import ScoredFold, calibrate
from uplift_core.targeting.effect_map import IDENTITY, SMALLEST_SLOPE, EffectMap


def fold(
    seed: int, n: int, *, slope: float = 1.0, level: float = 0.0, weight: float = 1.0
) -> tuple[ScoredFold, np.ndarray, np.ndarray]:
    """Users with mean effect level + slope * score, in groups of equal scores; their own values."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.1, 0.3, 50)
    place = rng.integers(0, 50, n)
    phi = level + slope * scores[place] + rng.normal(size=n)

    def sums(column: np.ndarray) -> np.ndarray:
        return np.bincount(place, column, 50)

    return ScoredFold(scores, sums(np.ones(n)), sums(phi), sums(phi**2), weight), scores[place], phi


def weighted(users: Sequence[tuple[ScoredFold, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    score, phi = (np.concatenate([each[k] for each in users]) for k in (1, 2))
    return score, phi, np.concatenate([np.full(len(s), f.weight) for f, s, _ in users])


def test_the_slope_and_its_error_are_those_of_the_regression_on_users() -> None:
    users = [fold(1, 4_000, slope=0.5, level=0.2), fold(2, 6_000, slope=0.5, weight=3.0)]
    found = calibrate([each[0] for each in users])
    score, phi, w = weighted(users)
    design = np.column_stack([np.ones_like(score), score])
    inverse = np.linalg.inv(design.T @ (w[:, None] * design))
    beta = inverse @ design.T @ (w * phi)
    meat = design.T @ ((w * (phi - design @ beta))[:, None] ** 2 * design)
    assert found.slope.value == pytest.approx(beta[1])
    assert found.slope.std_error == pytest.approx(np.sqrt((inverse @ meat @ inverse)[1, 1]))
    gap = np.average(phi - score, weights=w)
    assert found.excess.value == pytest.approx(gap)
    error = np.sqrt(np.sum((w * (phi - score - gap)) ** 2)) / w.sum()
    assert found.excess.std_error == pytest.approx(error)


def test_effects_of_exaggerated_scores_have_the_true_size() -> None:
    given, score, phi = fold(3, 100_000, slope=0.27, level=0.05)
    found = calibrate([given])
    effects = found.effect_map.effects(score.astype(np.float32)).astype(float)
    assert found.effect_map.slope == pytest.approx(0.27, abs=0.03)
    assert np.sqrt(np.mean((effects - 0.05 - 0.27 * score) ** 2)) < 0.01
    again = calibrate([ScoredFold(effects, np.ones(len(phi)), phi, phi**2)])
    assert again.slope.value == pytest.approx(1.0, abs=2 * again.slope.std_error)


def test_calibrated_scores_are_left_alone_as_far_as_nothing_is_shown() -> None:
    """In half of experiments at least, a correction is within its error and is not made."""
    maps = [calibrate([fold(seed, 3_000)[0]]).effect_map for seed in range(200)]
    assert np.mean([each.slope == 1.0 for each in maps]) > 0.6  # the chance that |z| < 1 is .68
    assert np.mean([abs(each.slope - 1) for each in maps]) < 0.05
    assert calibrate([]).effect_map == IDENTITY


def test_the_order_of_scores_is_kept_even_where_they_rank_the_wrong_way() -> None:
    found = calibrate([fold(5, 50_000, slope=-1.0)[0]])
    assert found.effect_map.slope == SMALLEST_SLOPE
    score = np.sort(np.random.default_rng(0).normal(0.1, 0.3, 1_000).astype(np.float32))
    assert np.all(np.diff(found.effect_map.effects(score)) >= 0)


def test_one_score_for_all_gets_the_mean_effect() -> None:
    n = np.array([1_000.0])
    found = calibrate([ScoredFold(np.array([0.5]), n, 0.1 * n, 0.02 * n)])
    assert np.isnan(found.slope.value)
    (effect,) = found.effect_map.effects(np.array([0.5], np.float32))
    assert effect == pytest.approx(0.1, abs=0.001)


def test_one_user_and_many_get_the_same_effect_to_the_bit() -> None:
    each = EffectMap(level=0.0123456789, slope=0.7654321)
    score = np.random.default_rng(0).normal(size=10_001).astype(np.float32)
    alone = np.array([each.effects(score[i : i + 1])[0] for i in range(len(score))])
    assert np.array_equal(alone, each.effects(score))
