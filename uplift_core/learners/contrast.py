"""Fit all learners of one contrast on shared nuisances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows, predict_booster
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import call_all
from uplift_core.boosting.tree_arrays import TreeArrays
from uplift_core.cells import Cells
from uplift_core.learner_names import LEARNER_NAMES, LearnerName, SingleLearner
from uplift_core.learners.bags import BaggedLearner, bag_mark, bootstrap
from uplift_core.learners.base import MU0, MU1, Learner, MetaLearner
from uplift_core.learners.dr import DRLearner
from uplift_core.learners.nuisance import (
    NO_FOLDS,
    ArmModels,
    Fitter,
    Folds,
    Nuisances,
    OutcomeModels,
    fit_nuisances,
)
from uplift_core.learners.r import RLearner
from uplift_core.learners.s import SLearner
from uplift_core.learners.stack import FOREST, StackLearner, fit_r_forest
from uplift_core.learners.t import TLearner
from uplift_core.learners.x import XLearner

LEARNERS: dict[SingleLearner, type[MetaLearner]] = {
    "s": SLearner,
    "t": TLearner,
    "x": XLearner,
    "r": RLearner,
    "dr": DRLearner,
}


@dataclass(frozen=True)
class Predictions:
    """All predictions of one contrast for n rows; each array is (n,) float32.

    Attributes:
        mu0: outcome under control, predicted by the response model.
        mu1: outcome under treatment.
        cate: effect by learner.
        std_error: standard error of the effect by the learner that has bags; None if none has.
    """

    mu0: Floats
    mu1: Floats
    cate: Mapping[LearnerName, Floats]
    std_error: Floats | None = None


class Scores(NamedTuple):
    """Predictions by one learner; each array is (n,) float32.

    ``std_error`` is that of the effect, see ``BaggedLearner``; None without bags.
    """

    cate: Floats
    response: Floats
    std_error: Floats | None


@dataclass(frozen=True)
class ContrastModel:
    """All learners of one contrast, and both arms' models of the outcome beside them.

    ``others`` maps each other outcome of the experiment to both arms' models of it. No learner ranks by
    them; the evaluation uses them to estimate what acting on the scores does to those outcomes.
    """

    learners: Mapping[LearnerName, Learner]
    arms: ArmModels
    propensity: float
    others: Mapping[str, ArmModels] = field(default_factory=dict)

    @property
    def response(self) -> xgboost.Booster:
        """The model of the outcome under control."""
        return self.arms.mu0

    def predict(self, x: Floats, learner: LearnerName) -> Floats:
        """Predict the CATE by one learner for each row of raw features ``x``: (n,) float32."""
        return self.learners[learner].predict(x)

    def contributions(self, x: Floats, learner: LearnerName) -> Doubles:
        """Compute what each feature adds to one learner's CATE, see ``Learner.contributions``."""
        return self.learners[learner].contributions(x)

    def predict_response(self, x: Floats) -> Floats:
        """Predict the outcome under control, the usual baseline for targeting: (n,) float32."""
        return predict_booster(self.response, x)

    def predict_with_response(
        self, x: Floats, learner: LearnerName, trees: Mapping[int, TreeArrays]
    ) -> Scores:
        """Predict the CATE by one learner, and the outcome under control.

        ``trees`` predict very few rows faster than their boosters, see ``tree_arrays.equal_trees``.
        """
        rows = Rows(x, trees)
        cate, std_error = self._with_error(rows, learner)
        return Scores(cate, rows.predict(self.response), std_error)

    def predict_std_error(self, x: Floats, learner: LearnerName) -> Floats | None:
        """Predict the standard error of one learner's CATE: (n,) float32; None if it has no bags."""
        return self._with_error(Rows(x), learner)[1]

    def _with_error(self, rows: Rows, learner: LearnerName) -> tuple[Floats, Floats | None]:
        chosen = self.learners[learner]
        if isinstance(chosen, BaggedLearner):
            return chosen.predict_with_error(rows)
        return chosen.predict_rows(rows), None

    def predict_outcomes(self, x: Floats, outcome: str | None = None) -> tuple[Floats, Floats]:
        """Predict an outcome (None: the learners') under control and under treatment: (n,) each."""
        models = self.others[outcome] if outcome else self.arms
        return predict_booster(models.mu0, x), predict_booster(models.mu1, x)

    def predict_all(self, x: Floats) -> Predictions:
        """Predict everything for each row of raw features ``x``; each booster predicts once."""
        mu0, mu1 = self.predict_outcomes(x)
        rows, std_error = Rows(x), None
        cate: dict[LearnerName, Floats] = {}
        for name, learner in self.learners.items():
            if isinstance(learner, BaggedLearner):
                cate[name], std_error = learner.predict_with_error(rows)
            elif name == "t":
                cate[name] = mu1 - mu0  # as TLearner.predict computes it
            elif isinstance(learner, StackLearner):
                cate[name] = learner.combine(rows, cate["s"], cate["x"])
            else:
                cate[name] = learner.predict_rows(rows)
        return Predictions(mu0, mu1, cate, std_error)

    @property
    def boosters(self) -> dict[str, xgboost.Booster]:
        """All distinct boosters by role; a role of one learner alone begins with the learner's name."""
        boosters = {MU0: self.arms.mu0, MU1: self.arms.mu1}
        for name, learner in self.learners.items():
            for role, booster in learner.boosters.items():
                boosters[role if role in (MU0, MU1) else f"{name}_{role}"] = booster
        for outcome, models in self.others.items():
            boosters |= {f"{MU0}_of_{outcome}": models.mu0, f"{MU1}_of_{outcome}": models.mu1}
        return boosters

    @classmethod
    def from_boosters(cls, boosters: dict[str, xgboost.Booster], propensity: float) -> ContrastModel:
        """Build the model from ``boosters``, which it inverts."""
        arms = ArmModels(boosters[MU0], boosters[MU1])
        learners: dict[LearnerName, Learner] = {}
        for name in LEARNER_NAMES:
            prefix = f"{name}_"
            roles = {k.removeprefix(prefix): b for k, b in boosters.items() if k.startswith(prefix)}
            bags = list(_bags(roles))
            if bags:
                learners[name] = BaggedLearner([_alone(name, bag, propensity) for bag in bags])
            elif name != "stack":
                learners[name] = LEARNERS[name](roles or {MU0: arms.mu0, MU1: arms.mu1}, propensity)
            elif FOREST in roles:  # bundles of earlier versions have none
                learners[name] = StackLearner(learners["s"], learners["x"], roles[FOREST])
        mark = f"{MU0}_of_"
        others = {
            name: ArmModels(boosters[f"{mark}{name}"], boosters[f"{MU1}_of_{name}"])
            for name in (k.removeprefix(mark) for k in boosters if k.startswith(mark))
        }
        return cls(learners, arms, propensity, others)


def _alone(name: LearnerName, boosters: Mapping[str, xgboost.Booster], propensity: float) -> Learner:
    learner = StackLearner.from_boosters if name == "stack" else LEARNERS[name]
    return learner(boosters, propensity)


def _bags(roles: Mapping[str, xgboost.Booster]) -> Iterator[dict[str, xgboost.Booster]]:
    for number in count():
        mark = bag_mark(number)
        bag = {k.removeprefix(mark): b for k, b in roles.items() if k.startswith(mark)}
        if not bag:
            return
        yield bag


def fit_contrast(
    cells: Cells, parameters: LearnerParameters, threads: int = 0, *, decides: LearnerName = "stack"
) -> ContrastModel:
    """Fit all learners of one contrast; ``threads`` 0 takes all cores. See ``fit_learners``."""
    return fit_learners(OutcomeModels.of(cells, parameters, threads), decides=decides)


def fit_learners(
    models: OutcomeModels, left_out: Folds = NO_FOLDS, *, decides: LearnerName = "stack"
) -> ContrastModel:
    """Fit the nuisances, then every learner on them, on the cells outside ``left_out``.

    If the parameters ask for bags, the learner that ``decides`` is fitted on these.
    """
    cells, nuisances = models.cells.without(left_out), fit_nuisances(models, left_out)
    return fit_on(cells, nuisances, models.fitter, decides)


def fit_on(cells: Cells, nuisances: Nuisances, fitter: Fitter, decides: LearnerName) -> ContrastModel:
    """Fit every learner on nuisances of the same cells."""
    bags = [partial(_bag, cells, nuisances, fitter, decides, k) for k in range(fitter.parameters.bags)]
    fits: dict[str, Callable[..., Any]] = {name: learner.fit for name, learner in LEARNERS.items()}
    fits[FOREST] = fit_r_forest
    if bags:
        fits.pop(FOREST if decides == "stack" else decides)
    calls = [partial(fit, cells, nuisances, fitter) for fit in fits.values()]
    fitted = call_all([*calls, *bags], fitter.workers)
    by_name = dict(zip(fits, fitted[: len(fits)], strict=True))
    if bags:
        by_name[decides] = BaggedLearner(fitted[len(fits) :])
    if "stack" not in by_name:
        by_name["stack"] = StackLearner(by_name["s"], by_name["x"], by_name[FOREST])
    learners = {name: by_name[name] for name in LEARNER_NAMES}
    return ContrastModel(learners, ArmModels(nuisances.mu0, nuisances.mu1), cells.propensity)


def _bag(cells: Cells, nuisances: Nuisances, fitter: Fitter, name: LearnerName, number: int) -> Learner:
    """Fit one learner on a bootstrap sample of users, both arms' models included.

    The cross-fitted predictions are those of all users: the loss of the R- and of the DR-learner hardly
    depends on them where e is known.
    """
    parameters = fitter.parameters
    drawn, kept = bootstrap(cells, parameters.seed, number)
    # The forest of each bag has draws of its own, which then average out.
    of_bag = parameters.model_copy(update={"seed": parameters.seed + 1 + number})
    models = OutcomeModels(drawn, replace(fitter, parameters=of_bag, workers=1))
    arms = models.arms()
    shared = Nuisances(
        mu0=arms.mu0,
        mu1=arms.mu1,
        m_oof=nuisances.m_oof[kept],
        mu0_oof=nuisances.mu0_oof[kept],
        mu1_oof=nuisances.mu1_oof[kept],
    )
    if name != "stack":
        return LEARNERS[name].fit(drawn, shared, models.fitter)
    s, x = (LEARNERS[member].fit(drawn, shared, models.fitter) for member in ("s", "x"))
    return StackLearner(s, x, fit_r_forest(drawn, shared, models.fitter), shared=False)


def fits_of_contrast(n_folds: int, bags: int = 0) -> int:
    """Return the number of calls with which ``fit_learners`` and ``sequential_fit`` fit a contrast.

    Every fold is assumed to hold users of both arms.
    """
    each = len(LEARNER_NAMES) - 1 + bags if bags else len(LEARNER_NAMES)
    learners = each * n_folds  # on all folds, and before each fold but the first
    cross_fitted = 3 * n_folds + 2
    before_each_fold = 3 * n_folds - 1
    return learners + cross_fitted + before_each_fold
