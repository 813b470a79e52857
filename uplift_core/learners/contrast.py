"""All learners of one contrast, fitted on shared nuisances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import predict_booster
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import Cells
from uplift_core.errors import DataError
from uplift_core.learners.base import LEARNER_NAMES, MU0, MU1, Learner, LearnerName
from uplift_core.learners.dr import DRLearner
from uplift_core.learners.nuisance import NO_FOLDS, ArmModels, Folds, OutcomeModels, fit_nuisances
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
class Predictions:
    """All that one contrast predicts of n rows: each array is (n,) float32.

    Attributes:
        mu0: outcome under control, the response model.
        mu1: outcome under treatment.
        cate: effect by learner.
    """

    mu0: Floats
    mu1: Floats
    cate: Mapping[LearnerName, Floats]


@dataclass(frozen=True)
class ContrastModel:
    """All learners of one contrast, and the response model beside them.

    ``others`` holds both arms' models of the experiment's other outcomes: no learner ranks by them, but
    the evaluation asks what acting on the scores does to those outcomes, too.
    """

    learners: dict[LearnerName, Learner]
    response: xgboost.Booster
    propensity: float
    others: Mapping[str, ArmModels] = field(default_factory=dict)

    def predict(self, x: Floats, learner: LearnerName) -> Floats:
        """CATE by one learner for each row of raw features ``x``: (n,) float32."""
        return self.learners[learner].predict(x)

    def contributions(self, x: Floats, learner: LearnerName) -> Doubles:
        """What each feature adds to one learner's CATE, see ``Learner.contributions``."""
        return self.learners[learner].contributions(x)

    def predict_response(self, x: Floats) -> Floats:
        """Predicted outcome under control, the 'most ML' baseline: (n,) float32."""
        return predict_booster(self.response, x)

    def predict_outcomes(self, x: Floats, outcome: str | None = None) -> tuple[Floats, Floats]:
        """Predicted outcome under control and under treatment, of ``others`` if named: (n,) each."""
        t = self.learners["t"].boosters
        models = self.others[outcome] if outcome else ArmModels(t[MU0], t[MU1])
        return predict_booster(models.mu0, x), predict_booster(models.mu1, x)

    def predict_all(self, x: Floats) -> Predictions:
        """Everything about each row of raw features ``x``, asking no booster twice."""
        mu0, mu1 = self.predict_outcomes(x)
        cate = {name: self.predict(x, name) for name in LEARNER_NAMES if name != "t"}
        return Predictions(mu0, mu1, cate | {"t": mu1 - mu0})  # as TLearner.predict has it

    @property
    def boosters(self) -> dict[str, xgboost.Booster]:
        """All distinct boosters by role; the learners' own roles are prefixed with their name."""
        found = {MU0: self.response}
        for name, learner in self.learners.items():
            for role, booster in learner.boosters.items():
                found[role if role in (MU0, MU1) else f"{name}_{role}"] = booster
        for outcome, models in self.others.items():
            found |= {f"{MU0}_of_{outcome}": models.mu0, f"{MU1}_of_{outcome}": models.mu1}
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
        mark = f"{MU0}_of_"
        others = {
            name: ArmModels(boosters[f"{mark}{name}"], boosters[f"{MU1}_of_{name}"])
            for name in (k.removeprefix(mark) for k in boosters if k.startswith(mark))
        }
        return cls(learners, boosters[MU0], propensity, others)


def fit_contrast(cells: Cells, parameters: LearnerParameters, threads: int = 0) -> ContrastModel:
    """Fit all learners of one contrast; ``threads`` 0 takes all cores."""
    return fit_learners(OutcomeModels.of(cells, parameters, threads))


def fit_learners(models: OutcomeModels, left_out: Folds = NO_FOLDS) -> ContrastModel:
    """Fit the nuisances, then every learner on them, on the cells outside ``left_out``."""
    cells, nuisances = models.cells.without(left_out), fit_nuisances(models, left_out)
    learners = {n: learner.fit(cells, nuisances, models.fitter) for n, learner in LEARNERS.items()}
    return ContrastModel(learners, nuisances.mu0, cells.propensity)


def cross_fit(models: OutcomeModels) -> Iterator[tuple[int, ContrastModel]]:
    """For each fold, all learners fitted on the cells of the others: (fold, model), ....

    The other folds cross-fit the nuisances among themselves, so there must be at least three.
    """
    folds = models.cells.n_folds
    if folds < 3:  # noqa: PLR2004 - one to hold out, two to cross-fit
        raise DataError(f"{folds} folds: three or more are needed to compare learners in train")
    for fold in range(folds):
        yield fold, fit_learners(models, frozenset({fold}))
