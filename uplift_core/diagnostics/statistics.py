"""Statistics that compare an experiment's data with its design."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from uplift_core.arrays import Doubles
from uplift_core.evaluation.estimate import Estimate

MIN_SHARE = 1e-4  # share of users of an empty bin; with 0 the index would be infinite


def auc(
    score: Doubles,
    positives: Doubles,
    negatives: Doubles,
    cluster: npt.NDArray[np.int64] | None = None,
) -> Estimate:
    """Compute the area under the ROC curve from groups of equal score, and its standard error.

    DeLong, DeLong & Clarke-Pearson, Biometrics 1988; ties count one half. With clusters, each user's
    part of the error is added up by cluster before it is squared (Obuchowski, Biometrics 1997).

    Args:
        score: (n,) score of each group; groups may repeat a score.
        positives: (n,) number of users in the class that should score high.
        negatives: (n,) number of users in the other class.
        cluster: (n,) whole numbers from 0: the clusters of the groups; None: users are independent.

    Returns:
        AUC and standard error; (nan, nan) if a class has fewer than two users.
    """
    levels, place = np.unique(score, return_inverse=True)
    one = np.bincount(place, weights=positives, minlength=len(levels))
    other = np.bincount(place, weights=negatives, minlength=len(levels))
    n_one, n_other = one.sum(), other.sum()
    if min(n_one, n_other) < 2:  # noqa: PLR2004 - a variance needs two
        return Estimate(math.nan, math.nan)
    below = (np.cumsum(other) - other / 2) / n_other  # share of negatives that a positive beats
    above = 1 - (np.cumsum(one) - one / 2) / n_one
    area = float(one @ below / n_one)
    if cluster is not None:
        influence = (
            positives * (below - area)[place] / n_one + negatives * (above - area)[place] / n_other
        )
        sums = np.bincount(cluster, weights=influence)[np.unique(cluster)]
        return Estimate(area, math.sqrt(sums @ sums * len(sums) / max(len(sums) - 1, 1)))
    variance_one = one @ (below - area) ** 2 / (n_one - 1)
    variance_other = other @ (above - area) ** 2 / (n_other - 1)
    return Estimate(area, math.sqrt(variance_one / n_one + variance_other / n_other))


def stability_index(expected: Doubles, actual: Doubles) -> float:
    """Compute the population stability index between two histograms with equal bins.

    It is the sum over bins of (a - b) ln(a / b), where a and b are the bins' shares; 0 means equal.

    Args:
        expected: (n_bins,) earlier number of users by bin.
        actual: (n_bins,) current number of users by bin.
    """
    a, b = (np.maximum(counts / counts.sum(), MIN_SHARE) for counts in (actual, expected))
    return float(np.sum((a - b) * np.log(a / b)))


@dataclass(frozen=True)
class Moments:
    """Mean, variance and number of a feature's known values in one arm."""

    mean: float
    variance: float
    n: float


def mean_difference(arm: Moments, control: Moments) -> Estimate:
    """Compute the standardized mean difference: difference of means over pooled standard deviation.

    Austin, Statistics in Medicine 2009. The standard error assumes two equal distributions. Equal
    constants differ by 0, unequal constants by infinity.
    """
    error = math.sqrt(1 / max(arm.n, 1) + 1 / max(control.n, 1))
    gap = arm.mean - control.mean
    pooled = math.sqrt((arm.variance + control.variance) / 2)
    if pooled == 0:
        return Estimate(math.copysign(math.inf, gap) if gap else 0.0, error)
    return Estimate(gap / pooled, error)


def beyond_chance(difference: Estimate, comparisons: int, significance: float = 0.001) -> bool:
    """Test whether a difference is not 0, at a significance that all comparisons share (Bonferroni)."""
    quantile = -float(ndtri(significance / (2 * comparisons)))
    return abs(difference.value) > quantile * difference.std_error
