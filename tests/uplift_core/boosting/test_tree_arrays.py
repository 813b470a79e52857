"""Trees predict what XGBoost predicts, to the bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import xgboost

from uplift_core.boosting import tree_arrays
from uplift_core.boosting.booster import Rows, fit_booster
from uplift_core.boosting.parameters import BoostingParameters
from uplift_core.boosting.tree_arrays import equal_trees

Objective = Literal["binary:logistic", "reg:squarederror"]


def fitted(objective: Objective, depth: int, mean: float = 0.3) -> tuple[xgboost.Booster, np.ndarray]:
    rng = np.random.default_rng(depth)
    x = np.round(rng.normal(size=(4000, 5)), 1).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    chance = mean * (1 + np.nan_to_num(x[:, 0] > 0) * (np.nan_to_num(x[:, 1]) > 0.5)) / 2
    label = (rng.random(4000) < chance).astype(np.float64)
    label = label if objective == "binary:logistic" else label - rng.random(4000)
    parameters = BoostingParameters(rounds=80, max_depth=depth, learning_rate=0.2, min_leaf_events=0)
    booster = fit_booster(
        x, label, np.ones(4000), objective=objective, min_child_weight=1.0, parameters=parameters,
        max_bin=64, seed=0, threads=1,
    )  # fmt: skip
    return booster, x


@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror"])
@pytest.mark.parametrize("depth", [1, 2, 4, 7])
def test_every_row_is_predicted_as_xgboost_predicts_it(objective: Objective, depth: int) -> None:
    booster, x = fitted(objective, depth)
    trees = equal_trees([booster], x[:50])
    assert set(trees) == {id(booster)}
    expected = booster.inplace_predict(x)
    assert trees[id(booster)].predict(x).tobytes() == expected.astype(np.float32).tobytes()


@pytest.mark.parametrize("mean", [1e-3, 0.01, 0.5, 0.99])
def test_rare_and_frequent_outcomes_are_predicted_equally(mean: float) -> None:
    booster, x = fitted("binary:logistic", 2, mean)
    trees = equal_trees([booster], x)
    assert set(trees) == {id(booster)}


def test_few_rows_use_the_trees_and_many_xgboost(monkeypatch: pytest.MonkeyPatch) -> None:
    booster, x = fitted("binary:logistic", 2)
    trees = equal_trees([booster], x)
    for method in ("predict", "inplace_predict"):
        monkeypatch.setattr(xgboost.Booster, method, lambda *_, **__: pytest.fail("XGBoost was called"))
    assert len(Rows(x[:8], trees).predict(booster)) == 8
    with pytest.raises(pytest.fail.Exception, match="XGBoost was called"):
        Rows(x[:9], trees).predict(booster)
    with pytest.raises(pytest.fail.Exception, match="XGBoost was called"):
        Rows(x[:1]).predict(booster)


def test_trees_that_differ_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    booster, x = fitted("binary:logistic", 2)
    monkeypatch.setattr(tree_arrays, "TINY", np.float32(1e-6))
    assert equal_trees([booster], x) == {}
