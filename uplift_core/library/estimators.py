"""The learners singly, by scikit-learn's conventions: ``XLearner().fit(X, y, w, e=.5).predict(X)``.

scikit-learn is not needed. Where it is installed, its tools (``clone``, searches, pipelines) work on
these classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells, UserRows, cells_of_rows
from uplift_core.errors import UpliftError
from uplift_core.experiment.splits import folds_of, hashes
from uplift_core.learner_names import LearnerName, SingleLearner
from uplift_core.learners.base import Learner
from uplift_core.learners.contrast import LEARNERS, fit_learners
from uplift_core.learners.nuisance import OutcomeModels, fit_nuisances

LEAST_FOLDS = 2


class InputError(UpliftError, ValueError):
    """An array does not fit; the message names it and the remedy."""


class NotFittedError(UpliftError, ValueError, AttributeError):
    """An estimator predicts before it was fitted."""


class UpliftEstimator:
    """A learner of one treatment against the control, on arrays.

    Args:
        outcome_model: parameters of the outcome models that differ from the defaults, see
            ``BoostingParameters``.
        effect_model: parameters of the effect models that differ from the defaults.
        max_bins: largest number of bins of a feature.
        folds: number of folds for cross-fitting; row i has the fold of the hash of its number.
        seed: seed of the boosters.
        n_jobs: number of threads; None means all cores.

    Attributes:
        n_features_in_: number of features.
        feature_names_in_: (n_features,) names of the columns, if X has names.
        learner_: the fitted learner of ``uplift_core.learners``.
    """

    name: ClassVar[LearnerName]

    def __init__(  # noqa: PLR0913 - the parameters of the boosters
        self,
        *,
        outcome_model: Mapping[str, Any] | None = None,
        effect_model: Mapping[str, Any] | None = None,
        max_bins: int = 64,
        folds: int = 5,
        seed: int = 7,
        n_jobs: int | None = None,
    ) -> None:
        self.outcome_model = outcome_model
        self.effect_model = effect_model
        self.max_bins = max_bins
        self.folds = folds
        self.seed = seed
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,  # noqa: N803 - as scikit-learn calls it
        y: npt.ArrayLike,
        w: npt.ArrayLike,
        *,
        e: float | npt.ArrayLike = 0.5,
    ) -> Self:
        """Learn the effect of the treatment.

        Args:
            X: (n, n_features) numbers; NaN is missing.
            y: (n,) outcomes; 0 and 1 alone are a binary outcome.
            w: (n,) 1 or true under treatment, 0 or false under control.
            e: the chance of the treatment by design, one number or (n,), between 0 and 1.

        Raises:
            InputError: an array does not fit; names it and the remedy.
        """
        x = _matrix(X)
        outcome, arm, chances = _vector("y", y), _vector("w", w), _vector("e", np.atleast_1d(_array(e)))
        if len(chances) == 1:
            chances = np.repeat(chances, len(x))
        if len(x) == 1:
            raise InputError("X: has 1 sample, and users of both arms are needed; give more")
        for name, column in (("y", outcome), ("w", arm), ("e", chances)):
            if len(column) != len(x):
                raise InputError(f"{name}: has {len(column)} rows, and X has {len(x)}; give one each")
        if not np.isin(arm, (0, 1)).all() or len(np.unique(arm)) != 2:  # noqa: PLR2004 - both arms
            raise InputError("w: must be 1 under treatment and 0 under control, and hold both")
        if chances.min() <= 0 or chances.max() >= 1:
            raise InputError("e: every chance of the treatment must be between 0 and 1")
        self._remember(X, x)
        self.learner_ = self._fitted(self._cells(x, outcome, arm, chances))
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803 - as scikit-learn calls it
        """Predict the effect (CATE) of each row of ``X`` (n, n_features): (n,) float32.

        Raises:
            InputError: ``X`` has other features than those of ``fit``.
            NotFittedError: the learner was not fitted.
        """
        return self._learner().predict(self._checked(X))

    def effect(self, X: Any) -> Floats:  # noqa: N803
        """Predict the effect, as ``predict`` does."""
        return self.predict(X)

    def explain(self, X: Any) -> Doubles:  # noqa: N803
        """Compute what each feature adds to each effect, and the bias: (n, n_features + 1) float64."""
        return self._learner().contributions(self._checked(X))

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - as there
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        Raises:
            InputError: there is no such parameter.
        """
        known = self._parameters()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"'{name}' is no parameter; parameters are {known}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k].default}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learner_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags  # noqa: PLC0415 - only scikit-learn asks

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True),
            input_tags=InputTags(allow_nan=True),
        )

    @classmethod
    def _parameters(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls).parameters)

    def _cells(self, x: Floats, y: Doubles, w: Doubles, e: Doubles) -> Cells:
        varies = len(np.unique(e)) > 1
        if self.folds < LEAST_FOLDS:
            raise InputError(f"folds: {self.folds} must be {LEAST_FOLDS} or more")
        rows = UserRows(
            x=x,
            w=w.astype(np.int8),
            y=y,
            fold=folds_of(hashes("estimator", range(1, len(x) + 1)), self.folds),
            propensity=float(e.mean()),
            binary=bool(np.isin(y, (0, 1)).all()),
            propensities=e if varies else None,
        )
        names = [f"x{j}" for j in range(x.shape[1])]
        return cells_of_rows(BinEdges.of(names, x, self.max_bins), rows)

    def _fitted(self, cells: Cells) -> Learner:
        given = {"outcome": self.outcome_model, "effect": self.effect_model}
        parameters = LearnerParameters.model_validate(
            {"max_bins": self.max_bins, "seed": self.seed}
            | {kind: dict(value) for kind, value in given.items() if value}
        )
        models = OutcomeModels.of(cells, parameters, self.n_jobs or 0)
        return self._fit_on(models)

    def _fit_on(self, models: OutcomeModels) -> Learner:
        return LEARNERS[self._single()].fit(models.cells, fit_nuisances(models), models.fitter)

    def _single(self) -> SingleLearner:
        return next(name for name in LEARNERS if name == self.name)

    def _remember(self, given: Any, x: Floats) -> None:
        self.n_features_in_ = x.shape[1]
        names = _names(given)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _checked(self, given: Any) -> Floats:
        self._learner()
        names = _names(given)
        fitted = getattr(self, "feature_names_in_", None)
        if names is not None and fitted is not None and list(names) != list(fitted):
            raise InputError(
                "The feature names should match those that were passed during fit: "
                f"{list(fitted)}, in this order"
            )
        x = _matrix(given)
        if x.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return x

    def _learner(self) -> Learner:
        if not hasattr(self, "learner_"):
            message = f"this {type(self).__name__} is not fitted yet; call fit(X, y, w, e=...) first"
            try:
                from sklearn.exceptions import NotFittedError as Theirs  # noqa: PLC0415
            except ImportError:
                raise NotFittedError(message) from None
            raise Theirs(message)
        return self.learner_


class SLearner(UpliftEstimator):
    """One outcome model that knows the arm (Künzel et al. 2019)."""

    name = "s"


class TLearner(UpliftEstimator):
    """One outcome model per arm (Künzel et al. 2019)."""

    name = "t"


class XLearner(UpliftEstimator):
    """Effects imputed by the other arm's model (Künzel et al. 2019)."""

    name = "x"


class RLearner(UpliftEstimator):
    """The outcome's residual on the treatment's residual (Nie & Wager 2021)."""

    name = "r"


class DRLearner(UpliftEstimator):
    """A regression of the doubly robust score (Kennedy 2023)."""

    name = "dr"


class Stack(UpliftEstimator):
    """The mean of S, X and a forest on the R-loss: the learner that decides in a run."""

    name = "stack"

    def _fit_on(self, models: OutcomeModels) -> Learner:
        return fit_learners(models).learners["stack"]


def _array(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "toarray"):
        raise InputError("X: is sparse; give a dense array, by X.toarray()")
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise InputError("Complex data not supported; give real numbers")
    return array


def _numbers(name: str, values: Any) -> npt.NDArray[np.float64]:
    array = _array(values)
    try:
        return array.astype(np.float64)
    except ValueError as error:
        raise InputError(f"{name}: must be numbers ({error}); encode texts first") from error
    except TypeError as error:
        raise TypeError(f"{name}: must be numbers ({error}); encode texts first") from error


def _matrix(given: Any) -> Floats:
    x = _numbers("X", given)
    if x.ndim != 2:  # noqa: PLR2004 - rows and features
        raise InputError(
            f"X: has {x.ndim} dimensions, and users by features are needed. Reshape your data either "
            "using X.reshape(-1, 1) or X.reshape(1, -1)"
        )
    if not x.shape[0] or not x.shape[1]:
        what = "sample" if not x.shape[0] else "feature"
        raise InputError(f"X: 0 {what}(s) (shape={x.shape}) while a minimum of 1 is required.")
    if np.isinf(x).any() or (np.abs(x[np.isfinite(x)]) > np.finfo(np.float32).max).any():
        raise InputError("X: a value is infinity or too large for float32; correct it, or use NaN")
    return x.astype(np.float32)


def _vector(name: str, given: Any) -> Doubles:
    values = _numbers(name, given)
    if values.ndim != 1:
        raise InputError(f"{name}: has shape {values.shape}, and one number per user is needed")
    if not np.isfinite(values).all():
        raise InputError(f"{name}: a value is NaN or infinity; leave out or correct these users")
    return values


def _names(given: Any) -> npt.NDArray[np.object_] | None:
    columns = getattr(given, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(list(columns), dtype=object)
