"""Compare predicted effects with estimated ones: best linear predictor and group effects.

The methods are those of Chernozhukov, Demirer, Duflo & Fernández-Val (2018), with doubly robust scores
of held-out users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uplift_core.evaluation.estimate import Estimate, estimate
from uplift_core.evaluation.groups import ScoreGroups

QUINTILES = 5


def calibration_slope(groups: ScoreGroups) -> Estimate:
    """Compute the slope of the regression of phi on the score: 1 is calibrated, 0 is noise.

    The standard error is heteroscedasticity-consistent (HC0). Where all scores are equal, the slope is
    NaN.
    """
    n, s = groups.n_users, groups.score
    centred = s - float(groups.n @ s) / n
    spread = float(groups.n @ centred**2)
    if spread <= 0:
        return Estimate(float("nan"), float("nan"))
    slope = float(centred @ groups.phi) / spread
    mean = float(groups.phi.sum()) / n
    scale = n * centred / spread
    return estimate(groups, slope, {"phi": scale, "one": -scale * (mean + slope * centred)})


@dataclass(frozen=True)
class GroupEffect:
    """The effect in one fifth of the users by score; ``quantile`` 1 has the highest scores.

    A score group that two fifths divide counts in each by its share there.
    """

    quantile: int
    n: float
    predicted: float
    effect: float
    std_error: float


def group_effects(groups: ScoreGroups, n_bins: int = QUINTILES) -> list[GroupEffect]:
    """Estimate the average effect (mean phi) in each fifth of users, beside the mean score (GATES)."""
    rows = []
    blocks = groups if groups.clusters is None else groups.between(np.arange(1, n_bins) / n_bins)
    for k, (share, of_block) in enumerate(
        zip(groups.slices(n_bins), blocks.slices(n_bins), strict=True)
    ):
        n = float(share @ groups.n)
        effect = float(share @ groups.phi) / n
        scale = groups.n_users * of_block / n
        estimated = estimate(blocks, effect, {"phi": scale, "one": -scale * effect})
        predicted = float((share * groups.n) @ groups.score) / n
        rows.append(GroupEffect(k + 1, n, predicted, effect, estimated.std_error))
    return rows
