"""Test whether features predict the arm, which a randomized assignment rules out.

Constant shares, counted or designed, are the propensities only if the arm does not depend on the
features. If a model predicts the arm better than chance, among users that did not train it, the arm
depends on them: somebody chose arms by the features, or a feature was measured after the treatment
(classifier two-sample test, Lopez-Paz & Oquab 2017).
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
MIN_LEAF_HESSIAN = 50.0  # about 200 users of two equal arms
MAX_Z = 4.0  # beyond it is no chance: one of ten thousand fair experiments with ten arms is refused
MIN_AUC = 0.52  # below it the arms' shares differ by a few points among users, in samples of any size


@dataclass(frozen=True)
class HalvedGroups:
    """Groups of users with equal features, in two halves at random.

    Attributes:
        x: (n_groups, n_features) features; NaN is missing.
        in_arm: (n_groups,) 1 in the arm, 0 outside of it.
        n: (n_groups,) number of users.
        half: (n_groups,) 0 or 1.
        cluster: (n_groups,) whole numbers from 0: clusters of groups, each in one half; None: each user
            was assigned alone.
        weight: (n_groups,) weight of each user, where chances of the arm differ: the inverse of the
            chance of the arm that the user is in; None: 1.
    """

    x: Floats
    in_arm: Doubles
    n: Doubles
    half: npt.NDArray[np.integer]
    cluster: npt.NDArray[np.int64] | None = None
    weight: Doubles | None = None

    @property
    def size(self) -> Doubles:
        """(n_groups,) users, weighted."""
        return self.n if self.weight is None else self.n * self.weight

    def inflation(self, some: npt.NDArray[np.bool_]) -> float:
        """Return the factor by which weights enlarge an AUC's error: the arms' larger one (Kish 1965).

        Where users are in clusters, the error has their weights already.
        """
        if self.weight is None or self.cluster is not None:
            return 1.0
        factors = []
        for arm in (self.in_arm == 1, self.in_arm == 0):
            size, weight = self.size[some & arm], self.weight[some & arm]
            factors.append(float(size @ weight / size.sum()))
        return math.sqrt(max(factors))


def arm_auc(groups: HalvedGroups, *, max_bin: int = 64, threads: int = 0) -> Estimate:
    """Compute the AUC with which features predict an arm; each half is scored by the other's model.

    Args:
        groups: the users.
        max_bin: largest number of bins of a feature.
        threads: number of threads; 0 means all cores.

    Returns:
        AUC (0.5 is chance) and standard error; (nan, nan) if a half lacks users inside or outside.
    """
    x, in_arm, n, half = groups.x, groups.in_arm, groups.size, groups.half
    areas = []
    for test_half in (0, 1):
        train, test = half != test_half, half == test_half
        if min(in_arm[train].sum(), (1 - in_arm[train]).sum(), test.sum()) == 0:
            return Estimate(math.nan, math.nan)
        model = fit_booster(
            x[train],
            in_arm[train].astype(np.float64),
            n[train],
            objective="binary:logistic",
            min_child_weight=MIN_LEAF_HESSIAN,
            parameters=PARAMETERS,
            max_bin=max_bin,
            seed=7,
            threads=threads,
        )
        score = predict_booster(model, x[test]).astype(np.float64)
        cluster = None if groups.cluster is None else groups.cluster[test]
        area = auc(score, n[test] * in_arm[test], n[test] * (1 - in_arm[test]), cluster)
        areas.append(Estimate(area.value, area.std_error * groups.inflation(test)))
    # Scores of two models cannot be ranked together: compute one area each, then their mean.
    value = float(np.mean([area.value for area in areas]))
    return Estimate(value, math.hypot(*(area.std_error for area in areas)) / 2)


@dataclass(frozen=True)
class Balance:
    """The ability of features to predict one arm against the others.

    Attributes:
        together: AUC of a model of all features.
        smd: (n_features,) standardized mean difference of each feature between the arm and the others.
        alone: (n_features,) AUC of each feature alone, at least 0.5.
    """

    together: Estimate
    smd: Doubles
    alone: Doubles

    @property
    def predictable(self) -> bool:
        """Whether the arm depends on the features."""
        area = self.together
        return area.value > MIN_AUC and area.value - 0.5 > MAX_Z * area.std_error

    def worst(self, names: Sequence[str]) -> tuple[str, float, float]:
        """Return the feature that predicts the arm best: its name, its AUC alone and its SMD."""
        place = int(np.argmax(self.alone))
        return names[place], float(self.alone[place]), float(self.smd[place])


def arm_balance(  # noqa: PLR0913 - the columns of users
    x: Floats,
    in_arm: npt.NDArray[np.bool_],
    *,
    cluster: npt.NDArray[np.int64] | None = None,
    weight: Doubles | None = None,
    seed: int = 7,
    threads: int = 0,
) -> Balance:
    """Measure how well features predict one arm against the others.

    Args:
        x: (n, n_features) float32; NaN is missing.
        in_arm: (n,) whether the user is in the arm; True and False must both occur.
        cluster: (n,) whole numbers from 0: the clusters, each of which lies in one half; None: each user
            was assigned alone.
        weight: (n,) weight of each user, see ``HalvedGroups``; None: 1.
        seed: random seed of the halves.
        threads: number of threads; 0 means all cores.
    """
    units = len(x) if cluster is None else int(cluster.max()) + 1
    half = np.random.default_rng(seed).permutation(units) % 2
    half = half if cluster is None else half[cluster]
    inside, ones = in_arm.astype(np.float64), np.ones(len(x))
    together = arm_auc(HalvedGroups(x, inside, ones, half, cluster, weight), threads=threads)
    columns = [np.where(np.isnan(column), -np.inf, column).astype(np.float64) for column in x.T]
    alone = np.array([auc(column, inside, 1 - inside).value for column in columns])
    return Balance(together, _smd(x, in_arm), np.maximum(alone, 1 - alone))


def _smd(x: Floats, in_arm: npt.NDArray[np.bool_]) -> Doubles:
    filled = np.where(np.isnan(x), np.nanmean(np.where(np.isinf(x), np.nan, x), axis=0), x)
    filled = np.nan_to_num(filled.astype(np.float64))
    one, other = filled[in_arm], filled[~in_arm]
    spread = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 2)
    return np.asarray(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.where(spread > 0, spread, 1))
