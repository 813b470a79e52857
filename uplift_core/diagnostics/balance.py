"""Whether features predict the arm, which nothing known before a fair coin can do.

Shares that are constant, counted or designed, are the propensities only if the arm does not depend on
the features. A model that finds the arm better than chance, among users that did not train it, says that
it does: the arms were chosen by the features, or a feature came after the treatment (classifier
two-sample test, Lopez-Paz & Oquab 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import fit_booster, predict_booster
from uplift_core.boosting.parameters import BoostingParameters
from uplift_core.diagnostics.statistics import auc
from uplift_core.evaluation.estimate import Estimate

PARAMETERS = BoostingParameters(rounds=50, max_depth=3, learning_rate=0.1, min_leaf_events=0)
LEAST_LEAF = 50.0  # hessian of a leaf: about 200 users of two equal arms
MAX_Z = 4.0  # beyond chance; of ten thousand fair experiments with ten arms, one is refused
MIN_AUC = 0.52  # below it the shares differ by a point or two among users, whatever the sample


def arm_auc(  # noqa: PLR0913 - who, how many, in which half, trained how
    x: Floats,
    in_arm: Doubles,
    n: Doubles,
    half: npt.NDArray[np.integer],
    *,
    max_bin: int = 64,
    threads: int = 0,
) -> Estimate:
    """AUC with which features tell an arm from other users, each half predicted by the other.

    Args:
        x: (n_groups, n_features) features; NaN is missing.
        in_arm: (n_groups,) 1 in the arm, 0 outside of it.
        n: (n_groups,) users.
        half: (n_groups,) 0 or 1.
        max_bin: of the trees.
        threads: to train with; 0 takes all cores.

    Returns:
        AUC (0.5 is chance) and standard error; (nan, nan) where a half lacks one of the two.
    """
    halves = []
    for own in (0, 1):
        train, test = half != own, half == own
        if min(in_arm[train].sum(), (1 - in_arm[train]).sum(), test.sum()) == 0:
            return Estimate(math.nan, math.nan)
        model = fit_booster(
            x[train],
            in_arm[train].astype(np.float64),
            n[train],
            objective="binary:logistic",
            min_child_weight=LEAST_LEAF,
            parameters=PARAMETERS,
            max_bin=max_bin,
            seed=7,
            threads=threads,
        )
        score = predict_booster(model, x[test]).astype(np.float64)
        halves.append(auc(score, n[test] * in_arm[test], n[test] * (1 - in_arm[test])))
    # Scores of two models cannot be ranked together: one area each, then their mean.
    value = float(np.mean([found.value for found in halves]))
    return Estimate(value, math.hypot(*(found.std_error for found in halves)) / 2)


@dataclass(frozen=True)
class Balance:
    """How well features tell one arm from the others.

    Attributes:
        together: AUC of all features, by a model.
        smd: (n_features,) standardized mean difference of each feature between the arm and the others.
        alone: (n_features,) AUC of each feature alone, at least 0.5.
    """

    together: Estimate
    smd: Doubles
    alone: Doubles

    @property
    def predictable(self) -> bool:
        """Whether the arm depends on the features."""
        found = self.together
        return found.value > MIN_AUC and found.value - 0.5 > MAX_Z * found.std_error

    def worst(self, names: Sequence[str]) -> tuple[str, float, float]:
        """The feature that tells the arm best: its name, its AUC alone and its SMD."""
        place = int(np.argmax(self.alone))
        return names[place], float(self.alone[place]), float(self.smd[place])


def arm_balance(x: Floats, in_arm: npt.NDArray[np.bool_], *, seed: int = 7, threads: int = 0) -> Balance:
    """Try to tell an arm's users from the others by their features.

    Args:
        x: (n, n_features) float32; NaN is missing.
        in_arm: (n,) whether the user is in the arm; both must occur.
        seed: of the halves.
        threads: to train with; 0 takes all cores.
    """
    half = np.random.default_rng(seed).permutation(len(x)) % 2
    inside, ones = in_arm.astype(np.float64), np.ones(len(x))
    together = arm_auc(x, inside, ones, half, threads=threads)
    columns = [np.where(np.isnan(column), -np.inf, column).astype(np.float64) for column in x.T]
    alone = np.array([auc(column, inside, 1 - inside).value for column in columns])
    return Balance(together, _smd(x, in_arm), np.maximum(alone, 1 - alone))


def _smd(x: Floats, in_arm: npt.NDArray[np.bool_]) -> Doubles:
    filled = np.where(np.isnan(x), np.nanmean(np.where(np.isinf(x), np.nan, x), axis=0), x)
    filled = np.nan_to_num(filled.astype(np.float64))
    one, other = filled[in_arm], filled[~in_arm]
    spread = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 2)
    return np.asarray(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.where(spread > 0, spread, 1))
