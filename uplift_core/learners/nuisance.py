"""Outcome and effect models: the two kinds of regression that every meta-learner is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xgboost

from uplift_core import boosting
from uplift_core.boosting import BoostingParameters, Doubles, Floats, LearnerParameters, Objective
from uplift_core.cells import Cells, Regression, merge

MAX_LEAF_SHARE = 0.1  # of all control events, whatever a leaf should hold


@dataclass(frozen=True)
class Fitter:
    """Fits boosters for one contrast: what kind of outcome, which parameters, how large a leaf.

    A leaf should hold ``min_leaf_events`` expected *control* events: rows alone say little where
    outcomes are rare and controls few. Under the logistic loss the hessian of a leaf is the
    expected number of events itself (times 1 - p); under squared error it is the sum of weights, so
    the events are turned into users.
    """

    binary: bool
    max_bin: int
    users_per_event: float
    control_events: float
    parameters: LearnerParameters
    threads: int = 0

    @classmethod
    def for_cells(cls, cells: Cells, parameters: LearnerParameters, threads: int = 0) -> Fitter:
        """The fitter of a contrast; leaves are sized by the control's event rate and share."""
        return cls(
            binary=cells.binary,
            max_bin=cells.max_bin,
            users_per_event=1 / (cells.event_rate * (1 - cells.propensity)),
            control_events=float(boosting.total([cells.events[cells.w == 0].sum()])[0]),
            parameters=parameters,
            threads=threads,
        )

    def outcome_model(
        self, data: Regression, *, users_share: float, grown: BoostingParameters | None = None
    ) -> xgboost.Booster:
        """Regress the outcome: E[Y | x], by logistic loss where the outcome is binary.

        Args:
            data: mean outcomes and users.
            users_share: share of the contrast's users that this model may see; leaves shrink with
                it, so that models of one arm split as finely as models of both.
            grown: how; as outcome models are unless given.
        """
        grown = grown or self.parameters.outcome
        smallest = self._smallest_leaf(grown) * users_share
        objective: Objective = "reg:squarederror"
        if self.binary:
            objective = "binary:logistic"
            rate = boosting.weighted_mean(data.label, data.weight)
            smallest *= rate * (1 - rate)
        return self._fit(data, objective, smallest, grown)

    def effect_model(self, data: Regression, *, weight_per_user: float) -> xgboost.Booster:
        """Regress a pseudo-outcome, by squared error.

        Args:
            data: pseudo-outcomes and weights.
            weight_per_user: mean weight of a user of the contrast; turns the smallest leaf from
                users into weight.
        """
        grown = self.parameters.effect
        smallest = self._smallest_leaf(grown) * weight_per_user
        return self._fit(data, "reg:squarederror", smallest, grown)

    def _smallest_leaf(self, grown: BoostingParameters) -> float:
        """Users of both arms in the smallest leaf; a small experiment may still split ten ways."""
        events = min(grown.min_leaf_events, MAX_LEAF_SHARE * self.control_events)
        return events * self.users_per_event

    def _fit(
        self, data: Regression, objective: Objective, smallest: float, grown: BoostingParameters
    ) -> xgboost.Booster:
        return boosting.fit(
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
    """Outcome models of one contrast, fitted once and shared by the learners that need them.

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


def arm_model(fitter: Fitter, cells: Cells, w: int, rows: npt.NDArray[np.bool_]) -> xgboost.Booster:
    """Outcome model of one arm on the cells of ``rows``."""
    rows = rows & (cells.w == w)
    data = merge(cells.x, cells.cell[rows], cells.y_mean[rows], cells.n[rows])
    share = cells.propensity if w == 1 else 1 - cells.propensity
    return fitter.outcome_model(data, users_share=share)


def pooled_model(fitter: Fitter, cells: Cells, rows: npt.NDArray[np.bool_]) -> xgboost.Booster:
    """Outcome model of both arms together, m(x) = E[Y | x], on the cells of ``rows``."""
    data = merge(cells.x, cells.cell[rows], cells.y_mean[rows], cells.n[rows])
    return fitter.outcome_model(data, users_share=1.0)


def fit_arm_models(cells: Cells, fitter: Fitter) -> ArmModels:
    """Fit both arms' outcome models on all cells."""
    everyone = np.ones(len(cells.n), dtype=np.bool_)
    return ArmModels(arm_model(fitter, cells, 0, everyone), arm_model(fitter, cells, 1, everyone))


def fit_nuisances(cells: Cells, fitter: Fitter) -> Nuisances:
    """Fit the arm models on all cells, and all three outcome models fold by fold."""
    m_oof, mu0_oof, mu1_oof = (np.empty(len(cells.n)) for _ in range(3))
    for fold in range(cells.n_folds):
        held, seen = cells.fold == fold, cells.fold != fold
        x_held = cells.x[cells.cell[held]]
        m_oof[held] = boosting.predict(pooled_model(fitter, cells, seen), x_held)
        mu0_oof[held] = boosting.predict(arm_model(fitter, cells, 0, seen), x_held)
        mu1_oof[held] = boosting.predict(arm_model(fitter, cells, 1, seen), x_held)
    arms = fit_arm_models(cells, fitter)
    return Nuisances(
        mu0=arms.mu0,
        mu1=arms.mu1,
        m_oof=m_oof,
        mu0_oof=mu0_oof,
        mu1_oof=mu1_oof,
    )


def predict_at(booster: xgboost.Booster, x: Floats, cell: npt.NDArray[np.int64]) -> Doubles:
    """Predict each distinct row of ``x`` once, and hand every cell its own: (n_cells,) float64."""
    return boosting.predict(booster, x).astype(np.float64)[cell]
