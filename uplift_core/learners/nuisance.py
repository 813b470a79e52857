"""Outcome and effect models: the two kinds of regression that every meta-learner is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Objective, fit_booster, predict_booster
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.boosting.side_by_side import call_all, cores
from uplift_core.boosting.workers import sum_over_workers, trains_alone, weighted_mean
from uplift_core.cells import Cells, Regression, distinct, merge
from uplift_core.errors import DataError

MAX_LEAF_SHARE = 0.1  # share of all control events; a leaf needs no more than these
# Up to this number of cells, fits run side by side, each in one thread. Beyond it, they run one after
# the other in all threads, so that only the data of one fit is in memory.
MOST_CELLS_SIDE_BY_SIDE = 500_000


@dataclass(frozen=True)
class Fitter:
    """Fits boosters for one contrast: it knows the kind of outcome, the parameters and the leaf size.

    A leaf should hold ``min_leaf_events`` expected *control* events: rows alone say little where
    outcomes are rare and controls few. Under the logistic loss the hessian of a leaf is the
    expected number of events itself (times 1 - p); under squared error it is the sum of weights, so
    the events are turned into users.
    """

    binary: bool
    max_bin: int
    events_per_user: float
    control_share: float
    control_events: float
    parameters: LearnerParameters
    threads: int = 0
    workers: int = 1

    @classmethod
    def for_cells(
        cls,
        cells: Cells,
        parameters: LearnerParameters,
        threads: int = 0,
        *,
        contrast: Cells | None = None,
    ) -> Fitter:
        """Return the fitter of some cells; leaves are sized by the control's event rate and share.

        Args:
            cells: the cells that the boosters are fitted on.
            parameters: parameters of the boosters.
            threads: 0 means all cores. If the contrast has few cells, this is the number of fits side
                by side.
            contrast: all cells of the contrast, if ``cells`` are a part of them. They decide whether
                fits run side by side, so that it holds for all fits of a contrast.
        """
        workers = 1
        if len((contrast or cells).n) <= MOST_CELLS_SIDE_BY_SIDE and trains_alone():
            workers, threads = threads or cores(), 1
        return cls(
            binary=cells.binary,
            max_bin=cells.max_bin,
            events_per_user=cells.event_rate,
            control_share=1 - cells.propensity,
            control_events=float(sum_over_workers([cells.events[cells.w == 0].sum()])[0]),
            parameters=parameters,
            threads=threads,
            workers=workers,
        )

    def outcome_model(
        self, data: Regression, *, users_share: float, grown: BoostingParameters | None = None
    ) -> xgboost.Booster:
        """Fit E[Y | x], by logistic loss if the outcome is binary, else by squared error.

        Args:
            data: mean outcomes and users.
            users_share: share of the contrast's users that this model may see; leaves shrink with
                it, so that models of one arm split as finely as models of both.
            grown: boosting parameters; by default those of outcome models.
        """
        grown = grown or self.parameters.outcome
        smallest = self._smallest_leaf(grown, users_share)
        objective: Objective = "reg:squarederror"
        if self.binary:
            objective = "binary:logistic"
            rate = weighted_mean(data.label, data.weight)
            smallest *= rate * (1 - rate)
        return self._fit(data, objective, smallest, grown)

    def effect_model(self, data: Regression, *, weight_per_user: float) -> xgboost.Booster:
        """Fit a pseudo-outcome by squared error.

        Args:
            data: pseudo-outcomes and weights.
            weight_per_user: mean weight of a user of the contrast; turns the smallest leaf from
                users into weight.
        """
        grown = self.parameters.effect
        smallest = self._smallest_leaf(grown, weight_per_user)
        return self._fit(data, "reg:squarederror", smallest, grown)

    def _smallest_leaf(self, grown: BoostingParameters, per_user: float) -> float:
        """Return the weight of the smallest leaf, small enough for ten leaves in a small experiment.

        Args:
            grown: boosting parameters, with the number of control events that a leaf should hold.
            per_user: mean weight of a user of the contrast. If it is the control's share of the users,
                the result is equal, to the bit, in the contrasts of all arms.
        """
        events = min(grown.min_leaf_events, MAX_LEAF_SHARE * self.control_events)
        return events / self.events_per_user * (per_user / self.control_share)

    def _fit(
        self, data: Regression, objective: Objective, smallest: float, grown: BoostingParameters
    ) -> xgboost.Booster:
        return fit_booster(
            data.x,
            data.label,
            data.weight,
            objective=objective,
            min_child_weight=smallest,
            parameters=grown,
            max_bin=self.max_bin,
            seed=self.parameters.seed,
            threads=self.threads,
        )


@dataclass(frozen=True)
class ArmModels:
    """E[Y | x, W = 0] and E[Y | x, W = 1] of one outcome, fitted on all of train."""

    mu0: xgboost.Booster
    mu1: xgboost.Booster


@dataclass(frozen=True)
class Nuisances:
    """What the learners of one contrast share: outcome models and their predictions by cell.

    ``mu0``, ``mu1`` are fitted on all of train. The ``*_oof`` arrays are cross-fitted: a user is
    predicted by models that saw none of the users of their fold.

    Attributes:
        mu0: E[Y | x, W = 0], the response model.
        mu1: E[Y | x, W = 1].
        m_oof: (n_cells,) E[Y | x] of both arms together, out of fold.
        mu0_oof: (n_cells,) out-of-fold mu0 at each cell's features.
        mu1_oof: (n_cells,) out-of-fold mu1 at each cell's features.
    """

    mu0: xgboost.Booster
    mu1: xgboost.Booster
    m_oof: Doubles
    mu0_oof: Doubles
    mu1_oof: Doubles


Folds = frozenset[int]
NO_FOLDS: Folds = frozenset()


# Outcome models by arm (None: both), by folds that were never seen and folds that were left out.
FittedModels = dict[tuple[int | None, Folds, Folds], xgboost.Booster]


@dataclass(frozen=True)
class OutcomeModels:
    """Outcome models of one contrast, by the folds that were left out; each is fitted once.

    Cross-fitting and the comparison of learners need the same models: a model that predicts a fold for
    one of them is an arm model for the other, with that fold left out. One fitter fits all of them, so
    that leaves have one size, which follows from the control's event rate in all folds that are seen.
    """

    cells: Cells
    fitter: Fitter
    _fitted: FittedModels = field(default_factory=dict, repr=False)
    _of_control: FittedModels = field(default_factory=dict, repr=False)
    _never_seen: Folds = NO_FOLDS

    @classmethod
    def of(
        cls,
        cells: Cells,
        parameters: LearnerParameters,
        threads: int = 0,
        of_control: FittedModels | None = None,
        never_seen: Collection[int] = NO_FOLDS,
    ) -> OutcomeModels:
        """Prepare the models; each is fitted when it is first needed.

        Args:
            cells: train cells of the contrast.
            parameters: parameters of the boosters.
            threads: number of threads; 0 means all cores.
            of_control: the control's models, which contrasts of several arms may share if their
                parameters, train split and outcome are the same.
            never_seen: folds that the models must not know at all, not even to size leaves.

        Raises:
            DataError: workers that train one model together are to fit bags.
        """
        if parameters.bags and not trains_alone():
            raise DataError(
                f"learners.bags = {parameters.bags}: workers that train one model together draw no bags;"
                " let one worker hold all cells (cells_per_worker), or leave bags out"
            )
        seen = cells.without(never_seen)
        return cls(
            seen,
            Fitter.for_cells(seen, parameters, threads, contrast=cells),
            _of_control={} if of_control is None else of_control,
            _never_seen=frozenset(never_seen),
        )

    def arm(self, w: int, left_out: Folds = NO_FOLDS) -> xgboost.Booster:
        """Fit E[Y | x, W = w] on all users outside ``left_out``, or return the fitted model."""
        return self._model(w, left_out)

    def pooled(self, left_out: Folds = NO_FOLDS) -> xgboost.Booster:
        """Fit m(x) = E[Y | x] on users of both arms outside ``left_out``, or return the fitted model."""
        return self._model(None, left_out)

    def arms(self, left_out: Folds = NO_FOLDS) -> ArmModels:
        """Fit both arms' models on all users outside ``left_out``, or return the fitted ones."""
        return ArmModels(self.arm(0, left_out), self.arm(1, left_out))

    def fits(self, left_out: Folds = NO_FOLDS, *, pooled: bool = True) -> list[Callable[[], object]]:
        """Return calls that fit both arms' models, and the pooled one, unless these are fitted."""
        arms = [partial(self.arm, w, left_out) for w in (0, 1)]
        return [*arms, partial(self.pooled, left_out)] if pooled else [*arms]

    def _model(self, w: int | None, left_out: Folds) -> xgboost.Booster:
        fitted = self._of_control if w == 0 else self._fitted
        key = (w, self._never_seen, left_out)
        if key not in fitted:
            fitted[key] = self._fit(w, left_out)
        return fitted[key]

    def _fit(self, w: int | None, left_out: Folds) -> xgboost.Booster:
        cells, share, n = self.cells, 1.0, self.cells.n
        rows = cells.outside(left_out)
        if w is not None:
            rows &= cells.w == w
            share = cells.propensity if w == 1 else 1 - cells.propensity
            n = cells.balanced_n
        data = merge(cells.x, cells.cell[rows], cells.y_mean[rows], n[rows])
        return self.fitter.outcome_model(data, users_share=share)


def fit_nuisances(models: OutcomeModels, left_out: Folds = NO_FOLDS) -> Nuisances:
    """Fit both arms' models and predict each fold out of fold, for users outside ``left_out``."""
    cells = models.cells
    folds = sorted(set(range(cells.n_folds)) - left_out)
    fits = [fit for fold in folds for fit in models.fits(left_out | {fold})]
    call_all([*fits, *models.fits(left_out, pooled=False)], models.fitter.workers)
    m_oof, mu0_oof, mu1_oof = (np.empty(len(cells.n)) for _ in range(3))
    for fold in folds:
        in_fold, excluded = cells.fold == fold, left_out | {fold}
        at = cells.cell[in_fold]
        m_oof[in_fold] = predict_at(models.pooled(excluded), cells.x, at)
        mu0_oof[in_fold] = predict_at(models.arm(0, excluded), cells.x, at)
        mu1_oof[in_fold] = predict_at(models.arm(1, excluded), cells.x, at)
    arms, outside = models.arms(left_out), cells.outside(left_out)
    return Nuisances(
        mu0=arms.mu0,
        mu1=arms.mu1,
        m_oof=m_oof[outside],
        mu0_oof=mu0_oof[outside],
        mu1_oof=mu1_oof[outside],
    )


def predict_at(booster: xgboost.Booster, x: Floats, cell: npt.NDArray[np.int64]) -> Doubles:
    """Predict the rows ``cell`` of ``x``, each distinct row once: (n_cells,) float64."""
    requested = distinct(cell)
    predicted = np.empty(len(x))
    predicted[requested] = predict_booster(booster, x[requested])
    return predicted[cell]
