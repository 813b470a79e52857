"""Score groups: all held-out users of one score as one row.

No figure computed from them can depend on the order of users, and the cost of every figure is that
of the one ``GROUP BY`` that made the groups.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from uplift_core.boosting import Doubles
from uplift_core.errors import DataError


@dataclass(frozen=True)
class ScoreGroups:
    """Users of one contrast's two arms by score, best score first.

    phi is a user's doubly robust score of the effect, phi0 that of the outcome under control
    (Robins, Rotnitzky & Zhao 1994), both with outcome models fitted on train and the designed
    propensity.

    Attributes:
        score: (n_groups,) distinct and descending.
        n: users.
        n_treated: users under treatment.
        y_treated: sum of outcomes under treatment.
        y_control: sum of outcomes under control.
        yy_treated: sum of squared outcomes under treatment.
        yy_control: sum of squared outcomes under control.
        phi: sum of phi.
        phi_sq: sum of phi squared.
        phi0: sum of phi0.
        phi0_sq: sum of phi0 squared.
        phi0_phi: sum of phi0 * phi.
        propensity: e, by design.
    """

    score: Doubles
    n: Doubles
    n_treated: Doubles
    y_treated: Doubles
    y_control: Doubles
    yy_treated: Doubles
    yy_control: Doubles
    phi: Doubles
    phi_sq: Doubles
    phi0: Doubles
    phi0_sq: Doubles
    phi0_phi: Doubles
    propensity: float

    def __post_init__(self) -> None:
        arrays = [getattr(self, f.name) for f in fields(self) if f.name != "propensity"]
        if len({len(a) for a in arrays}) != 1 or not len(self.score):
            raise DataError("score groups: columns must be of one length, at least 1")
        if not np.all(np.isfinite(self.score)):
            raise DataError("score groups: a score is not finite")
        if np.any(np.diff(self.score) >= 0):
            raise DataError("score groups: scores must be distinct and descending")

    @property
    def n_users(self) -> float:
        """All users."""
        return float(self.n.sum())

    def treated_share(self, budget: float) -> Doubles:
        """pi: (n_groups,) share of each group that the best ``budget`` of all users takes.

        A group that the budget cuts gives its users in equal shares.
        """
        if len(self.n) == 1:  # one score for all is random targeting, to the bit
            return np.asarray([budget], dtype=np.float64)
        before = np.cumsum(self.n) - self.n
        return np.asarray(np.clip((budget * self.n_users - before) / self.n, 0, 1))
