"""The meta-learners S, T, X, R and DR over XGBoost, fitted on cells.

``fit_contrast`` fits all five on shared nuisances; ``ContrastModel`` scores users with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import xgboost

from uplift_core import boosting
from uplift_core.boosting import Floats, LearnerParameters
from uplift_core.cells import Cells
from uplift_core.learners.base import LEARNER_NAMES, MU0, MU1, Learner, LearnerName
from uplift_core.learners.dr import DRLearner
from uplift_core.learners.nuisance import Fitter, fit_nuisances
from uplift_core.learners.r import RLearner
from uplift_core.learners.s import SLearner
from uplift_core.learners.t import TLearner
from uplift_core.learners.x import XLearner

LEARNERS: dict[LearnerName, type[Learner]] = {
    "s": SLearner,
    "t": TLearner,
    "x": XLearner,
    "r": RLearner,
    "dr": DRLearner,
}


@dataclass(frozen=True)
class ContrastModel:
    """All learners of one contrast, and the response model beside them."""

    learners: dict[LearnerName, Learner]
    response: xgboost.Booster
    propensity: float

    def predict(self, x: Floats, learner: LearnerName) -> Floats:
        """CATE by one learner for each row of raw features ``x``: (n,) float32."""
        return self.learners[learner].predict(x)

    def predict_response(self, x: Floats) -> Floats:
        """Predicted outcome under control, the 'most ML' baseline: (n,) float32."""
        return boosting.predict(self.response, x)

    @property
    def boosters(self) -> dict[str, xgboost.Booster]:
        """All distinct boosters by role; the learners' own roles are prefixed with their name."""
        found = {MU0: self.response}
        for name, learner in self.learners.items():
            for role, booster in learner.boosters.items():
                found[role if role in (MU0, MU1) else f"{name}_{role}"] = booster
        return found

    @classmethod
    def from_boosters(cls, boosters: dict[str, xgboost.Booster], propensity: float) -> ContrastModel:
        """The inverse of ``boosters``."""
        shared = {role: boosters[role] for role in (MU0, MU1)}
        learners: dict[LearnerName, Learner] = {}
        for name, learner in LEARNERS.items():
            prefix = f"{name}_"
            own = {k.removeprefix(prefix): b for k, b in boosters.items() if k.startswith(prefix)}
            learners[name] = learner(own or shared, propensity)
        return cls(learners, boosters[MU0], propensity)


def fit_contrast(cells: Cells, parameters: LearnerParameters, threads: int = 0) -> ContrastModel:
    """Fit the nuisances once, then every learner on them; ``threads`` 0 takes all cores."""
    fitter = Fitter.for_cells(cells, parameters, threads)
    nuisances = fit_nuisances(cells, fitter)
    learners = {name: learner.fit(cells, nuisances, fitter) for name, learner in LEARNERS.items()}
    return ContrastModel(learners, nuisances.mu0, cells.propensity)


__all__ = ["LEARNERS", "LEARNER_NAMES", "ContrastModel", "Learner", "LearnerName", "fit_contrast"]
