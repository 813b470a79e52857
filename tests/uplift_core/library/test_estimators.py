"""The learners singly keep scikit-learn's conventions, and are the engine's learners."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import uplift_core as uplift
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, UserRows, cells_of_rows
from uplift_core.experiment.splits import folds_of, hashes
from uplift_core.learners.contrast import fit_contrast
from uplift_core.library.estimators import InputError, UpliftEstimator
from uplift_core.simulation.rct import marketing_rct

FEW = {"rounds": 5, "min_leaf_events": 1}
LEARNERS = (
    *(uplift.SLearner, uplift.TLearner, uplift.XLearner),
    *(uplift.RLearner, uplift.DRLearner, uplift.Stack),
)


def few(learner: type[UpliftEstimator], **options: Any) -> UpliftEstimator:
    return learner(outcome_model=FEW, effect_model=FEW, n_jobs=1, **options)


class Assigned(uplift.XLearner):
    """scikit-learn's checks call ``fit(X, y)``: here each second row is treated."""

    def fit(self, X: Any, y: Any = None, **options: Any) -> Assigned:  # noqa: N803
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        return super().fit(X, y, np.arange(len(np.asarray(y))) % 2, **options)


@parametrize_with_checks([Assigned(outcome_model=FEW, effect_model=FEW, n_jobs=1)])
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    # One check is of arrays of other libraries, which a setting of SciPy's would switch on.
    with suppress(SkipTest):
        check(estimator)


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.__name__)
def test_a_single_learner_is_the_engines(learner: type[UpliftEstimator]) -> None:
    users = next(marketing_rct(600, 3))
    x = users.x.astype(np.float32)
    fitted = few(learner).fit(users.x, users.y, users.w, e=0.5)
    fold = folds_of(hashes("estimator", range(1, len(x) + 1)), 5)
    rows = UserRows(x, users.w, users.y, fold, propensity=0.5, binary=True)
    edges = BinEdges.of([str(j) for j in range(x.shape[1])], x, 64)
    parameters = LearnerParameters(outcome=FEW, effect=FEW)
    model = fit_contrast(cells_of_rows(edges, rows), parameters, threads=1)
    assert np.array_equal(fitted.predict(users.x), model.predict(x, learner.name))
    assert np.array_equal(fitted.effect(users.x), fitted.predict(users.x))
    assert fitted.explain(users.x).sum(axis=1) == pytest.approx(fitted.predict(users.x), abs=1e-5)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "learner_")


def test_chances_of_users_make_a_difference() -> None:
    users, rng = next(marketing_rct(600, 3)), np.random.default_rng(1)
    e = rng.choice([0.2, 0.8], 600)
    w = rng.random(600) < e
    fitted = few(uplift.RLearner).fit(users.x, users.y, w, e=e)
    assert not np.array_equal(
        fitted.predict(users.x), few(uplift.RLearner).fit(users.x, users.y, w).predict(users.x)
    )


def test_names_of_features_are_kept_and_compared() -> None:
    users = next(marketing_rct(300, 3))
    frame = pd.DataFrame(users.x, columns=[f"x{j}" for j in range(users.x.shape[1])])
    fitted = few(uplift.TLearner).fit(frame, users.y, users.w)
    assert list(fitted.feature_names_in_) == list(frame.columns)
    with pytest.raises(InputError, match="feature names should match"):
        fitted.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"w": np.zeros(300)}, "w: must be 1 under treatment and 0 under control, and hold both"),
        ({"w": np.full(300, 2)}, "w: must be 1 under treatment"),
        ({"y": np.zeros(299)}, "y: has 299 rows, and X has 300"),
        ({"e": 1.0}, "e: every chance of the treatment must be between 0 and 1"),
        ({"e": np.full(2, 0.5)}, "e: has 2 rows"),
        ({"X": np.full((300, 2), "a")}, "X: must be numbers"),
    ],
)
def test_a_wrong_array_is_named(changed: dict[str, Any], message: str) -> None:
    users = next(marketing_rct(300, 3))
    good: dict[str, Any] = {"X": users.x, "y": users.y, "w": users.w, "e": 0.5}
    with pytest.raises(InputError) as refused:
        few(uplift.SLearner).fit(**good | changed)
    assert message in str(refused.value)


def test_a_parameter_of_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="'depth' is no parameter; parameters are"):
        uplift.SLearner().set_params(depth=3)
    assert repr(uplift.SLearner(folds=3)) == "SLearner(folds=3)"
