"""Give econml's estimators this project's models, folds and designed propensity.

No other module imports econml, which is an extra. It is imported inside functions, since that takes
seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import predict_booster
from uplift_core.cells import Regression, UserRows
from uplift_core.learners import SingleLearner
from uplift_core.learners.nuisance import Fitter

Fit = Callable[[Regression], xgboost.Booster]
Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


class Boosted(RegressorMixin, BaseEstimator):
    """One of this project's boosters as a scikit-learn regressor.

    ``fitter`` fits a booster to data; ``columns`` are the columns of X that it sees (None: all).
    """

    def __init__(self, fitter: Fit, columns: tuple[int, ...] | None = None) -> None:
        self.fitter = fitter
        self.columns = columns

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's
        """Fit on rows: X (n, n_features), y (n,), sample_weight (n,) or None."""
        label = np.asarray(y, dtype=np.float64).ravel()
        weight = np.ones(len(label)) if sample_weight is None else np.asarray(sample_weight)
        self.booster_ = self.fitter(Regression(self._x(X), label, weight.astype(np.float64)))
        return self

    def predict(self, X: Any) -> Doubles:  # noqa: N803 - scikit-learn's
        """Predict the mean: (n,) float64."""
        return predict_booster(self.booster_, self._x(X)).astype(np.float64)

    def _x(self, x: Any) -> Floats:
        chosen = np.asarray(x)
        if self.columns is not None:
            chosen = chosen[:, list(self.columns)]
        return np.ascontiguousarray(chosen, dtype=np.float32)


class ArmByArm(RegressorMixin, BaseEstimator):
    """One outcome model per arm, as one regressor: the last column of X is the arm."""

    def __init__(self, control: Boosted, treated: Boosted) -> None:
        self.control = control
        self.treated = treated

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's
        """Fit each arm's model on the rows of that arm."""
        x, label, w = np.asarray(X)[:, :-1], np.asarray(y).ravel(), np.asarray(X)[:, -1] == 1
        self.control_ = Boosted(self.control.fitter).fit(x[~w], label[~w])
        self.treated_ = Boosted(self.treated.fitter).fit(x[w], label[w])
        return self

    def predict(self, X: Any) -> Doubles:  # noqa: N803 - scikit-learn's
        """Predict each row by the model of its arm."""
        x, w = np.asarray(X)[:, :-1], np.asarray(X)[:, -1] == 1
        return np.where(w, self.treated_.predict(x), self.control_.predict(x))


class DesignPropensity(ClassifierMixin, BaseEstimator):
    """The designed propensity as a classifier that has nothing to learn."""

    def __init__(self, propensity: float) -> None:
        self.propensity = propensity

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803, ARG002 - scikit-learn's
        """Set the classes; there is nothing to learn."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803 - scikit-learn's
        """Return the probabilities 1 - e and e: (n, 2)."""
        return np.tile([1 - self.propensity, self.propensity], (len(X), 1))

    def predict(self, X: Any) -> Doubles:  # noqa: N803 - scikit-learn's
        """Return the likelier arm: (n,)."""
        return np.full(len(X), float(self.propensity > 0.5))  # noqa: PLR2004


def econml_effects(
    learner: SingleLearner, fitter: Fitter, users: UserRows, folds: Folds | int, x_new: Floats
) -> Doubles:
    """Predict the CATE (n_new,) by econml's counterpart of ``learner``.

    Args:
        learner: the learner.
        fitter: fits the boosters.
        users: users to fit on; their folds are not used.
        folds: the folds of the R- and DR-learner, or their number.
        x_new: (n_new, n_features) users to predict.
    """
    estimator = _ESTIMATORS[learner](fitter, users.propensity, users.x.shape[1], folds)
    estimator.fit(users.y, users.w.astype(int), X=users.x)
    return np.asarray(estimator.effect(x_new), dtype=np.float64).ravel()


def _arm(fitter: Fitter, share: float) -> Boosted:
    return Boosted(lambda data: fitter.outcome_model(data, users_share=share))


def _effect(fitter: Fitter, weight_per_user: float) -> Boosted:
    return Boosted(lambda data: fitter.effect_model(data, weight_per_user=weight_per_user))


def _s(fitter: Fitter, e: float, n_features: int, folds: Folds | int) -> Any:  # noqa: ARG001
    from econml.metalearners import SLearner  # noqa: PLC0415

    # econml appends one column per arm; the last is that of the treated arm.
    columns = (*range(n_features), n_features + 1)
    return SLearner(
        overall_model=Boosted(
            lambda data: fitter.outcome_model(data, users_share=1.0, grown=fitter.parameters.s), columns
        ),
        allow_missing=True,
    )


def _t(fitter: Fitter, e: float, n_features: int, folds: Folds | int) -> Any:  # noqa: ARG001
    from econml.metalearners import TLearner  # noqa: PLC0415

    return TLearner(models=[_arm(fitter, 1 - e), _arm(fitter, e)], allow_missing=True)


def _x(fitter: Fitter, e: float, n_features: int, folds: Folds | int) -> Any:  # noqa: ARG001
    from econml.metalearners import XLearner  # noqa: PLC0415

    return XLearner(
        models=[_arm(fitter, 1 - e), _arm(fitter, e)],
        cate_models=[_effect(fitter, 1 - e), _effect(fitter, e)],
        propensity_model=DesignPropensity(e),
        allow_missing=True,
    )


def _r(fitter: Fitter, e: float, n_features: int, folds: Folds | int) -> Any:  # noqa: ARG001
    from econml.dml import NonParamDML  # noqa: PLC0415

    return NonParamDML(
        model_y=Boosted(lambda data: fitter.outcome_model(data, users_share=1.0)),
        model_t=DesignPropensity(e),
        model_final=_effect(fitter, e * (1 - e)),
        discrete_treatment=True,
        cv=folds,
        allow_missing=True,
        random_state=fitter.parameters.seed,
    )


def _dr(fitter: Fitter, e: float, n_features: int, folds: Folds | int) -> Any:  # noqa: ARG001
    from econml.dr import DRLearner  # noqa: PLC0415

    return DRLearner(
        model_regression=ArmByArm(_arm(fitter, 1 - e), _arm(fitter, e)),
        model_propensity=DesignPropensity(e),
        model_final=_effect(fitter, 1.0),
        cv=folds,
        allow_missing=True,
        random_state=fitter.parameters.seed,
    )


_ESTIMATORS: dict[SingleLearner, Callable[[Fitter, float, int, Folds | int], Any]] = {
    "s": _s,
    "t": _t,
    "x": _x,
    "r": _r,
    "dr": _dr,
}
