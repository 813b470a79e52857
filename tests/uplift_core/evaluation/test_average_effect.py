"""The difference in means and the word about heavy tails, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from uplift_core.errors import DataError
from uplift_core.evaluation.average_effect import ArmOutcomes, AverageEffect
from uplift_core.evaluation.clusters import LEAST_CLUSTERS, ClusterSquares


def outcomes(y: np.ndarray) -> ArmOutcomes:
    return ArmOutcomes(len(y), *map(float, (y.sum(), (y**2).sum(), y.min(), y.max())))


def test_splits_add_up_to_the_difference_in_means_of_all_users() -> None:
    rng = np.random.default_rng(0)
    y1, y0 = rng.normal(1, 2, 900), rng.normal(0, 1, 400)
    parts = [outcomes(part) for part in (y1[:600], y1[600:], y0[:100], y0[100:])]
    average = AverageEffect(parts[0].plus(parts[1]), parts[2].plus(parts[3]))
    test = ttest_ind(y1, y0, equal_var=False)
    assert average.effect.value == pytest.approx(y1.mean() - y0.mean())
    assert average.effect.z == pytest.approx(test.statistic, rel=2e-3)
    assert not average.unreliable


@pytest.mark.parametrize(("largest", "unreliable"), [(3.0, False), (200.0, True), (-200.0, True)])
def test_one_user_who_makes_up_the_variance_is_told(largest: float, unreliable: bool) -> None:
    rng = np.random.default_rng(1)
    y = np.r_[rng.normal(size=2000), largest]
    average = AverageEffect(outcomes(rng.normal(size=500)), outcomes(y))
    squares = (y - y.mean()) ** 2
    shares = [squares.max() / squares.sum(), average.treated.largest_share]
    assert average.largest_share == pytest.approx(max(shares))
    assert average.unreliable is unreliable


def test_few_clusters_and_a_heavy_one_are_unreliable() -> None:
    rng = np.random.default_rng(2)
    arms = [outcomes(rng.normal(size=500)) for _ in range(2)]
    many, few, heavy = (
        AverageEffect(*arms, ClusterSquares(clusters, 1000.0, 50.0, largest))
        for clusters, largest in ((LEAST_CLUSTERS, 1.0), (LEAST_CLUSTERS - 1, 1.0), (200, 11.0))
    )
    assert [many.unreliable, few.unreliable, heavy.unreliable] == [False, True, True]
    assert heavy.largest_share == 0.22
    assert many.effect.std_error == pytest.approx(np.sqrt(40 / 39 * 50) / 1000)
    with pytest.raises(DataError, match="in one cluster"):
        _ = AverageEffect(*arms, ClusterSquares(1, 1000.0, 0.0, 0.0)).effect
