"""The average effect of being reached, on the users whom the assignment reaches (compliers).

Half of those who are sent an e-mail may never open it. The effect of the assignment (ITT) divided by how
much the assignment raises the share of users who are reached is the average effect on compliers: users
who are reached if they are assigned, and not otherwise. It is the effect of the treatment itself on them
if the assignment moves the outcome in no other way, and keeps nobody from being reached (Wald 1940;
Imbens & Angrist 1994). With a constant and no other regressors it is two-stage least squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import refuse_one_cluster
from uplift_core.evaluation.estimate import Estimate

# F of the first stage below which the ratio is not told: the interval of a ratio whose denominator may
# be about 0 does not hold what it promises (Staiger & Stock 1997).
WEAK_F = 10.0


@dataclass(frozen=True)
class ComplierEffect:
    """The effects of the assignment on outcome and exposure, with the products of their influences.

    Attributes:
        outcome_effect: effect of the assignment on the outcome, per user.
        exposure_effect: effect of the assignment on being reached: the first stage.
        users: number of users.
        units: number of clusters, or of users.
        outcome_sq: sum over units of the squared influence on ``outcome_effect``; influences are added
            up by cluster, and have mean 0.
        crossed: sum over units of the product of both influences.
        exposure_sq: sum over units of the squared influence on ``exposure_effect``.
        corrected: whether variances are multiplied by C / (C - 1) for C units, see ``clusters.py``.
    """

    outcome_effect: float
    exposure_effect: float
    users: float
    units: int
    outcome_sq: float
    crossed: float
    exposure_sq: float
    corrected: bool = False

    def __post_init__(self) -> None:
        if self.corrected:
            refuse_one_cluster(self.units)

    @classmethod
    def of(
        cls, outcome: Doubles, exposure: Doubles, cluster: npt.NDArray[np.generic] | None = None
    ) -> ComplierEffect:
        """Take each user's score of both effects, such as phi.

        Args:
            outcome: (n,) scores whose mean is the effect on the outcome.
            exposure: (n,) scores whose mean is the effect on being reached.
            cluster: (n,) the user's cluster; None if users are independent.
        """
        if len(outcome) != len(exposure):
            raise DataError("complier effect: scores of outcome and exposure must be of one length")
        effects = float(outcome.mean()), float(exposure.mean())
        influences = [outcome - effects[0], exposure - effects[1]]
        if cluster is not None:
            _, number = np.unique(cluster, return_inverse=True)
            influences = [np.bincount(number.ravel(), each).astype(np.float64) for each in influences]
        y, d = influences
        squares = float(y @ y), float(y @ d), float(d @ d)
        return cls(*effects, len(outcome), len(y), *squares, corrected=cluster is not None)

    @property
    def on_outcome(self) -> Estimate:
        """The effect of the assignment on the outcome (ITT)."""
        return Estimate(self.outcome_effect, self._error(self.outcome_sq))

    @property
    def on_exposure(self) -> Estimate:
        """The effect of the assignment on being reached, which is the share of compliers."""
        return Estimate(self.exposure_effect, self._error(self.exposure_sq))

    @property
    def f(self) -> float:
        """F of the first stage, its squared z; infinite if nothing is left to chance, nan of nothing."""
        error = self.on_exposure.std_error
        if error > 0:
            return (self.exposure_effect / error) ** 2
        return math.inf if self.exposure_effect else math.nan

    @property
    def weak(self) -> bool:
        """Whether the assignment moves exposure too little to divide by that."""
        return not self.f >= WEAK_F

    @property
    def estimate(self) -> Estimate | None:
        """The complier average effect with the error of a ratio; None if the first stage is weak.

        A user's influence is (influence on the outcome - effect x influence on exposure) / first stage.
        """
        if self.weak:
            return None
        effect = self.outcome_effect / self.exposure_effect
        squares = self.outcome_sq - 2 * effect * self.crossed + effect**2 * self.exposure_sq
        return Estimate(effect, self._error(max(squares, 0.0)) / abs(self.exposure_effect))

    def _error(self, squares: float) -> float:
        factor = self.units / (self.units - 1) if self.corrected else 1.0
        return math.sqrt(factor * squares) / self.users
