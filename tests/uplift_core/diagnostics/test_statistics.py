"""Diagnostics agree with known formulas and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from uplift_core.diagnostics.statistics import (
    Moments,
    auc,
    beyond_chance,
    mean_difference,
    stability_index,
)
from uplift_core.evaluation.estimate import Estimate


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_is_scikit_learns_also_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    w = rng.integers(0, 2, 500)
    score = np.floor(levels * (rng.random(500) + 0.2 * w))
    ones = np.ones(500)
    assert auc(score, ones * w, ones * (1 - w)).value == pytest.approx(roc_auc_score(w, score))
    where = np.unique(score)
    groups = [np.sum((score == s) & (w == k)) for k in (1, 0) for s in where]
    grouped = auc(where, *np.reshape(groups, (2, -1)).astype(float))
    assert grouped.value == pytest.approx(roc_auc_score(w, score))


def test_the_interval_of_an_auc_holds_the_truth_as_often_as_it_says() -> None:
    """Two normal distributions one standard deviation apart: AUC = Phi(1 / sqrt 2)."""
    rng, truth = np.random.default_rng(1), 0.5 * (1 + math.erf(0.5))
    covered, ones = 0, np.ones(150)
    for _ in range(500):
        score = np.r_[rng.normal(1, 1, 150), rng.normal(0, 1, 150)]
        estimate = auc(score, np.r_[ones, 0 * ones], np.r_[0 * ones, ones])
        covered += estimate.ci_low <= truth <= estimate.ci_high
    assert 0.92 <= covered / 500 <= 0.975


def test_auc_of_one_class_says_nothing() -> None:
    assert math.isnan(auc(np.ones(3), np.ones(3), np.zeros(3)).value)


def test_stability_index() -> None:
    assert stability_index(np.array([5.0, 5.0]), np.array([50.0, 50.0])) == 0
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert stability_index(np.array([5.0, 5.0]), np.array([8.0, 2.0])) == pytest.approx(expected)
    assert stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0])) > 5


def test_mean_difference_is_in_standard_deviations() -> None:
    difference = mean_difference(Moments(3.0, 4.0, 200), Moments(2.0, 4.0, 200))
    assert (difference.value, difference.std_error) == (0.5, 0.1)
    assert mean_difference(Moments(1.0, 0.0, 5), Moments(1.0, 0.0, 5)).value == 0
    assert mean_difference(Moments(1.0, 0.0, 5), Moments(0.0, 0.0, 5)).value == math.inf


def test_many_comparisons_need_a_larger_difference() -> None:
    difference = Estimate(3.6, 1.0)
    assert beyond_chance(difference, 1)
    assert not beyond_chance(difference, 100)


def test_an_auc_of_clusters_counts_what_its_members_share_once() -> None:
    rng = np.random.default_rng(2)
    w = rng.integers(0, 2, 300)
    score, ones = rng.normal(size=300) + 0.3 * w, np.ones(300)
    alone = auc(score, ones * w, ones * (1 - w))
    by_cluster = auc(score, ones * w, ones * (1 - w), np.arange(300))
    assert by_cluster.value == alone.value
    assert by_cluster.std_error == pytest.approx(alone.std_error, rel=0.01)
    copies = auc(
        np.repeat(score, 9), np.repeat(w, 9) * 1.0, np.repeat(1 - w, 9) * 1.0, np.arange(2700) // 9
    )
    assert copies.value == pytest.approx(alone.value)
    assert copies.std_error == pytest.approx(by_cluster.std_error)
    naive = auc(np.repeat(score, 9), np.repeat(w, 9) * 1.0, np.repeat(1 - w, 9) * 1.0)
    assert naive.std_error == pytest.approx(alone.std_error / 3, rel=0.01)
