"""Whether features predict the arm, which nothing known before a fair coin can do.

Shares that are constant, counted or designed, are the propensities only if the arm does not depend on
the features. A model that finds the arm out of fold better than chance says that it does: the arms were
chosen by the features, or a feature came after the treatment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from uplift_core.boosting import BoostingParameters, Doubles, Floats, fit, predict

PARAMETERS = BoostingParameters(rounds=30, max_depth=3, learning_rate=0.2, min_leaf_events=0)
FOLDS = 3
MAX_Z = 4.0  # beyond chance; of ten thousand fair experiments with ten arms, one is refused
MIN_AUC = 0.52  # below it the shares differ by a point or two among users, whatever the sample


@dataclass(frozen=True)
class Balance:
    """How well features tell one arm from the others.

    Attributes:
        auc: out-of-fold area under the ROC curve; 0.5 is chance.
        z: how many standard errors it lies above chance.
        smd: (n_features,) standardized mean difference of each feature between the arm and the others.
        alone: (n_features,) AUC of each feature alone, at least 0.5.
    """

    auc: float
    z: float
    smd: Doubles
    alone: Doubles

    @property
    def predictable(self) -> bool:
        """Whether the arm depends on the features."""
        return self.z > MAX_Z and self.auc > MIN_AUC

    def worst(self, names: Sequence[str]) -> tuple[str, float, float]:
        """The feature that tells the arm best: its name, its AUC alone and its SMD."""
        place = int(np.argmax(self.alone))
        return names[place], float(self.alone[place]), float(self.smd[place])


def arm_balance(x: Floats, in_arm: npt.NDArray[np.bool_], *, seed: int = 7, threads: int = 0) -> Balance:
    """Try to tell an arm's users from the others by their features.

    Args:
        x: (n, n_features) float32; NaN is missing.
        in_arm: (n,) whether the user is in the arm; both must occur.
        seed: of folds and trees.
        threads: to train with; 0 takes all cores.
    """
    folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    label = in_arm.astype(np.float64)
    score = np.empty(len(x))
    for fold in range(FOLDS):
        train = folds != fold
        model = fit(
            x[train],
            label[train],
            np.ones(train.sum()),
            objective="binary:logistic",
            min_child_weight=20.0,
            parameters=PARAMETERS,
            max_bin=64,
            seed=seed,
            threads=threads,
        )
        # Only ranks within a fold are comparable: each fold's model has a base of its own.
        score[~train] = rankdata(predict(model, x[~train])) / (~train).sum()
    auc = _auc(score, in_arm)
    n_in, n_out = int(in_arm.sum()), int((~in_arm).sum())
    error = np.sqrt((n_in + n_out + 1) / (12 * n_in * n_out))
    columns = [np.where(np.isnan(column), -np.inf, column) for column in x.T]
    alone = np.array([_auc(column, in_arm) for column in columns])
    return Balance(auc, float((auc - 0.5) / error), _smd(x, in_arm), np.maximum(alone, 1 - alone))


def _auc(score: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> float:
    """Mann and Whitney's, with ties counted half."""
    n = int(positive.sum())
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(score) - n)))


def _smd(x: Floats, in_arm: npt.NDArray[np.bool_]) -> Doubles:
    filled = np.where(np.isnan(x), np.nanmean(np.where(np.isinf(x), np.nan, x), axis=0), x)
    filled = np.nan_to_num(filled.astype(np.float64))
    one, other = filled[in_arm], filled[~in_arm]
    spread = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 2)
    return np.asarray(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.where(spread > 0, spread, 1))
