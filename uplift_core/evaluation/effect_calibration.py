"""Calibrate a contrast's scores out of fold, so that several contrasts' effects can be compared.

A learner's scores may be right in their order and wrong in their size: the slope of the regression of
phi on them is below 1 where the learner overfits, and their mean may be off. Chosen across arms, users
then get the arm whose learner exaggerates. The map is effect = level + slope * score, with level and
slope from that regression on out-of-fold scores (the best linear predictor of Chernozhukov, Demirer,
Duflo & Fernández-Val 2018), each shrunk towards the score itself by the positive-part rule of James &
Stein (1961): a correction that is no larger than its error is not made. A fold counts by the number of
folds that trained its models, as these are most like the models that will score.

Isotonic calibration (van der Laan et al. 2023) has the same aim and no assumption of a shape. It was
tried beside this map, see docs/numbers.md: the noise of phi in its many steps cost more than the shape
brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.evaluation.estimate import Estimate
from uplift_core.targeting.effect_map import IDENTITY, SMALLEST_SLOPE, EffectMap


@dataclass(frozen=True)
class ScoredFold:
    """Out-of-fold scores of one contrast and the users' sums of phi, by group of equal scores.

    Attributes:
        score: (n_groups,) scores by models of the folds before.
        n: (n_groups,) users.
        phi: (n_groups,) sums of phi.
        phi_sq: (n_groups,) sums of phi squared.
        weight: weight of a user.
    """

    score: Doubles
    n: Doubles
    phi: Doubles
    phi_sq: Doubles
    weight: float = 1.0


@dataclass(frozen=True)
class Calibration:
    """How a contrast's scores compare with effects.

    Attributes:
        slope: slope of the regression of phi on the score: 1 is calibrated; NaN if all scores are equal.
        excess: mean phi less the mean score.
        effect_map: the map that calibrates.
    """

    slope: Estimate
    excess: Estimate
    effect_map: EffectMap


def calibrate(folds: Sequence[ScoredFold]) -> Calibration:
    """Regress phi on the score and shrink the correction; without a fold, the map is the identity.

    Standard errors are heteroscedasticity-consistent (HC0) and take the users as independent.
    """
    nothing = Estimate(float("nan"), float("nan"))
    if not folds:
        return Calibration(nothing, nothing, IDENTITY)
    s, n, phi, phi_sq = (
        np.concatenate([getattr(fold, name) for fold in folds])
        for name in ("score", "n", "phi", "phi_sq")
    )
    w = np.concatenate([np.full(len(fold.n), fold.weight) for fold in folds])
    total = float(w @ n)
    mean = float((w * n) @ s) / total
    gap, gap_sq = phi - n * s, phi_sq - 2 * s * phi + n * s**2  # sums of phi - score, and of its square
    excess = float(w @ gap) / total
    error = np.sqrt(max(float(w**2 @ (gap_sq - 2 * excess * gap + n * excess**2)), 0.0)) / total
    level = Estimate(excess, float(error))
    centred = s - mean
    spread = float((w * n) @ centred**2) / total
    if spread <= 0:
        return Calibration(nothing, level, _shrunk(level, 0.0, mean))
    tilt = float((w * centred) @ gap) / total / spread
    line = excess + tilt * centred
    squares = float((w * centred) ** 2 @ (gap_sq - 2 * line * gap + n * line**2))
    of_slope = Estimate(1 + tilt, float(np.sqrt(max(squares, 0.0)) / total / spread))
    kept = _kept(Estimate(tilt, of_slope.std_error)) * tilt
    return Calibration(of_slope, level, _shrunk(level, kept, mean))


def _shrunk(excess: Estimate, tilt: float, mean: float) -> EffectMap:
    slope = max(1 + tilt, SMALLEST_SLOPE)
    return EffectMap(level=mean + _kept(excess) * excess.value - slope * mean, slope=slope)


def _kept(correction: Estimate) -> float:
    """Return the share of a correction that is made."""
    if correction.value == 0:
        return 0.0
    return max(0.0, 1 - (correction.std_error / correction.value) ** 2)
