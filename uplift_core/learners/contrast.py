"""Fit all learners of one contrast on shared nuisances."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows, predict_booster
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.boosting.side_by_side import call_all
from uplift_core.boosting.tree_arrays import TreeArrays
from uplift_core.boosting.workers import sum_over_workers
from uplift_core.cells import Cells
from uplift_core.errors import DataError
from uplift_core.learner_names import LEARNER_NAMES, LearnerName, SingleLearner
from uplift_core.learners.base import MU0, MU1, Learner, MetaLearner
from uplift_core.learners.dr import DRLearner
from uplift_core.learners.nuisance import (
    NO_FOLDS,
    ArmModels,
    FittedModels,
    Fitter,
    Folds,
    Nuisances,
    OutcomeModels,
    fit_nuisances,
    predict_at,
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
    """

    mu0: Floats
    mu1: Floats
    cate: Mapping[LearnerName, Floats]


@dataclass(frozen=True)
class ContrastModel:
    """All learners of one contrast, and the response model beside them.

    ``others`` maps each other outcome of the experiment to both arms' models of it. No learner ranks by
    them; the evaluation uses them to estimate what acting on the scores does to those outcomes.
    """

    learners: Mapping[LearnerName, Learner]
    response: xgboost.Booster
    propensity: float
    others: Mapping[str, ArmModels] = field(default_factory=dict)

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
    ) -> tuple[Floats, Floats]:
        """Predict the CATE by one learner, and the outcome under control: (n,) float32 each.

        ``trees`` predict very few rows faster than their boosters, see ``tree_arrays.equal_trees``.
        """
        rows = Rows(x, trees)
        return self.learners[learner].predict_rows(rows), rows.predict(self.response)

    def predict_outcomes(self, x: Floats, outcome: str | None = None) -> tuple[Floats, Floats]:
        """Predict an outcome (None: the learners') under control and under treatment: (n,) each."""
        t = self.learners["t"].boosters
        models = self.others[outcome] if outcome else ArmModels(t[MU0], t[MU1])
        return predict_booster(models.mu0, x), predict_booster(models.mu1, x)

    def predict_all(self, x: Floats) -> Predictions:
        """Predict everything for each row of raw features ``x``; each booster predicts once."""
        mu0, mu1 = self.predict_outcomes(x)
        cate = {name: self.predict(x, name) for name in self.learners if name not in {"t", "stack"}}
        cate["t"] = mu1 - mu0  # as TLearner.predict computes it
        stack = self.learners.get("stack")
        if isinstance(stack, StackLearner):
            cate["stack"] = stack.combine(Rows(x), cate["s"], cate["x"])
        return Predictions(mu0, mu1, cate)

    @property
    def boosters(self) -> dict[str, xgboost.Booster]:
        """All distinct boosters by role; a role of one learner alone begins with the learner's name."""
        boosters = {MU0: self.response}
        for name, learner in self.learners.items():
            for role, booster in learner.boosters.items():
                boosters[role if role in (MU0, MU1) else f"{name}_{role}"] = booster
        for outcome, models in self.others.items():
            boosters |= {f"{MU0}_of_{outcome}": models.mu0, f"{MU1}_of_{outcome}": models.mu1}
        return boosters

    @classmethod
    def from_boosters(cls, boosters: dict[str, xgboost.Booster], propensity: float) -> ContrastModel:
        """Build the model from ``boosters``, which it inverts."""
        shared = {role: boosters[role] for role in (MU0, MU1)}
        learners: dict[LearnerName, Learner] = {}
        for name, learner in LEARNERS.items():
            prefix = f"{name}_"
            by_role = {k.removeprefix(prefix): b for k, b in boosters.items() if k.startswith(prefix)}
            learners[name] = learner(by_role or shared, propensity)
        forest = boosters.get(f"{StackLearner.name}_{FOREST}")  # bundles of earlier versions have none
        if forest is not None:
            learners["stack"] = StackLearner(learners["s"], learners["x"], forest)
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
    return _learners(cells, nuisances, models.fitter)


def _learners(cells: Cells, nuisances: Nuisances, fitter: Fitter) -> ContrastModel:
    fits = [learner.fit for learner in LEARNERS.values()]
    calls = [partial(fit, cells, nuisances, fitter) for fit in (*fits, fit_r_forest)]
    *fitted, forest = call_all(calls, fitter.workers)
    learners: dict[LearnerName, Learner] = dict(zip(LEARNERS, fitted, strict=True))
    learners["stack"] = StackLearner(learners["s"], learners["x"], forest)
    return ContrastModel(learners, nuisances.mu0, cells.propensity)


def sequential_fit(
    cells: Cells,
    parameters: LearnerParameters,
    threads: int = 0,
    of_control: FittedModels | None = None,
) -> Iterator[tuple[int, ContrastModel]]:
    """Yield (fold, model) for each fold but the first; all learners are fitted on the folds before it.

    The learners' nuisances for a fold are predicted by models of the folds before that one, too, which
    are fitted in any case; the first two folds predict each other. To judge the second fold, only the
    first one is available, and its nuisances are predicted in sample: this costs power, but not
    validity. Leaves are sized by the folds that train. A fold is skipped if the folds before it have no
    user of one of the arms. ``of_control`` is shared by the contrasts of several arms, see
    ``OutcomeModels.of``.
    """
    if cells.n_folds < 3:  # noqa: PLR2004 - fewer are hardly a comparison
        raise DataError(f"{cells.n_folds} folds: three or more are needed to compare learners in train")
    folds = range(cells.n_folds)

    def models_without(never_seen: Collection[int]) -> OutcomeModels:
        return OutcomeModels.of(cells, parameters, threads, of_control, never_seen)

    before = {k: models_without(folds[k:]) for k in folds[1:] if _both_arms(cells, folds[:k])}
    if not before:
        return
    second = models_without([k for k in folds if k != 1]) if _both_arms(cells, [1]) else None
    # The last models predict for no others, so their pooled one is not needed.
    fits = [fit for k, models in before.items() for fit in models.fits(pooled=k < folds[-1])]
    fits += second.fits() if second else []
    call_all(fits, before[max(before)].fitter.workers)
    for k, models in before.items():
        # Folds that no earlier models can predict are predicted by the models themselves.
        sources = {j: before.get(j, models) for j in range(k)}
        sources[0] = models if k == 1 else second or before.get(1, models)
        nuisances = _sequential_nuisances(models, sources)
        yield k, _learners(models.cells, nuisances, models.fitter)


def fits_of_contrast(n_folds: int) -> int:
    """Return the number of calls with which ``fit_learners`` and ``sequential_fit`` fit a contrast.

    Every fold is assumed to hold users of both arms.
    """
    learners = len(LEARNER_NAMES) * n_folds  # on all folds, and before each fold but the first
    cross_fitted = 3 * n_folds + 2
    before_each_fold = 3 * n_folds - 1
    return learners + cross_fitted + before_each_fold


def _both_arms(cells: Cells, folds: Collection[int]) -> bool:
    inside = ~cells.outside(folds)
    users = [cells.n[inside & (cells.w == w)].sum() for w in (0, 1)]
    return bool(np.all(sum_over_workers(users) > 0))


def _sequential_nuisances(models: OutcomeModels, sources: Mapping[int, OutcomeModels]) -> Nuisances:
    """Return both arms' models, and the predictions for each fold by the models of ``sources``."""
    cells, arms = models.cells, models.arms()
    m, mu0, mu1 = (np.empty(len(cells.n)) for _ in range(3))
    for fold, source in sources.items():
        rows = cells.fold == fold
        at = cells.cell[rows]
        m[rows] = predict_at(source.pooled(), cells.x, at)
        mu0[rows] = predict_at(source.arm(0), cells.x, at)
        mu1[rows] = predict_at(source.arm(1), cells.x, at)
    return Nuisances(arms.mu0, arms.mu1, m_oof=m, mu0_oof=mu0, mu1_oof=mu1)
