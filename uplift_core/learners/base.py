"""What all meta-learners have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

import xgboost

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import Rows
from uplift_core.cells import Cells
from uplift_core.learner_names import LearnerName
from uplift_core.learners.nuisance import Fitter, Nuisances

MU0 = "mu0"
MU1 = "mu1"


@dataclass(frozen=True)
class Term:
    """A part of a CATE: what one booster predicts, times a weight.

    Attributes:
        weight: the weight.
        booster: the booster.
        arm: value of the booster's last feature, the arm; None if the arm is none of its features.
    """

    weight: float
    booster: xgboost.Booster
    arm: int | None = None

    def times(self, factor: float) -> Term:
        """Return the term with another weight."""
        return replace(self, weight=self.weight * factor)


class Learner(Protocol):
    """A fitted meta-learner of one contrast: a few boosters, and how to combine them.

    ``boosters`` maps the role of each booster to the booster. ``mu0`` and ``mu1`` are the arm models
    that all learners share; only this learner uses the other roles.
    """

    boosters: Mapping[str, xgboost.Booster]
    propensity: float

    @property
    def name(self) -> LearnerName:
        """The learner's name."""
        ...

    def predict(self, x: Floats) -> Floats:
        """Predict the CATE of each row of raw features ``x`` (n, n_features) float32: (n,) float32."""
        ...

    def predict_rows(self, rows: Rows) -> Floats:
        """Predict as ``predict`` does, from rows that other boosters predict, too: (n,) float32."""
        ...

    def contributions(self, x: Floats) -> Doubles:
        """Compute what each feature adds to each CATE, and the bias: (n, n_features + 1) float64."""
        ...

    def terms(self) -> list[Term]:
        """Return the terms that add up to the CATE, which ``predict`` computes in float32."""
        ...


class MetaLearner(Learner, Protocol):
    """A learner that is fitted by itself, and made of its own boosters and the shared arm models."""

    def __init__(self, boosters: Mapping[str, xgboost.Booster], propensity: float) -> None: ...

    @classmethod
    def fit(cls, cells: Cells, nuisances: Nuisances, fitter: Fitter) -> Self:
        """Fit on the train cells of one contrast."""
        ...


class _Base(ABC):
    def __init__(self, boosters: Mapping[str, xgboost.Booster], propensity: float) -> None:
        self.boosters = boosters
        self.propensity = propensity

    def predict(self, x: Floats) -> Floats:
        """Predict the CATE of each row of raw features ``x`` (n, n_features) float32: (n,) float32."""
        return self.predict_rows(Rows(x))

    @abstractmethod
    def predict_rows(self, rows: Rows) -> Floats:
        """Predict the CATE of each row of raw features: (n,) float32."""
