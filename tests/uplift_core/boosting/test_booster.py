import json
from itertools import permutations

import numpy as np
import pytest
import xgboost
from pydantic import ValidationError

from uplift_core.boosting.booster import fit_booster, predict_booster
from uplift_core.boosting.parameters import (
    EFFECT_DEFAULTS,
    OUTCOME_DEFAULTS,
    BoostingParameters,
    LearnerParameters,
)
from uplift_core.boosting.tree_shap import fix_feature, shapley_values
from uplift_core.cells import BinEdges

GROWN = BoostingParameters(rounds=5, max_depth=4, learning_rate=0.3, min_leaf_events=0)


def fit(x, label, weight=None, objective="reg:squarederror", **changed):
    options = {
        "min_child_weight": 0.0,
        "parameters": GROWN,
        "max_bin": 256,
        "seed": 1,
        "threads": 1,
    } | changed
    weight = np.ones(len(label)) if weight is None else weight
    return fit_booster(x, label, weight, objective=objective, **options)


def test_an_override_keeps_the_other_defaults():
    changed = LearnerParameters.model_validate({"effect": {"rounds": 3}})
    assert changed.effect == EFFECT_DEFAULTS.model_copy(update={"rounds": 3})
    assert changed.outcome == OUTCOME_DEFAULTS


@pytest.mark.parametrize(
    "wrong", [{"effect": {"round": 3}}, {"outcome": {"max_depth": 0}}, {"trees": 3}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        LearnerParameters.model_validate(wrong)


def test_every_cut_is_an_edge():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(20_000, 2)).astype(np.float32)
    edges = BinEdges.of(["a", "b"], raw)
    booster = fit(edges.bin(raw), raw[:, 0].astype(float) * raw[:, 1], max_bin=edges.max_bin)
    splits = booster.trees_to_dataframe().query("Feature != 'Leaf'")
    for feature, edge in zip(("f0", "f1"), edges.edges, strict=True):
        cuts = splits[splits["Feature"] == feature]["Split"].to_numpy().astype(np.float32)
        assert len(cuts) > 5
        assert np.isin(cuts, edge).all()


def test_the_base_score_is_the_weighted_mean():
    x = np.zeros((4, 1), dtype=np.float32)
    label, weight = np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0, 4.0])
    for objective in ("reg:squarederror", "binary:logistic"):
        booster = fit(x, label, weight, objective)
        assert predict_booster(booster, x) == pytest.approx(0.5, abs=1e-6)


def test_no_rows_no_predictions():
    booster = fit(np.zeros((4, 1), dtype=np.float32), np.arange(4.0))
    assert predict_booster(booster, np.empty((0, 1), dtype=np.float32)).shape == (0,)


@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic"])
def test_contributions_add_up_to_the_predicted_mean(objective):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2_000, 4)).astype(np.float32)
    x[:, 3] = 0  # no tree can use it
    label = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 1).astype(float)
    booster = fit(x, label, objective=objective)
    contributions = shapley_values(booster, x)
    assert contributions.sum(axis=1) == pytest.approx(predict_booster(booster, x), abs=1e-6)
    assert (contributions[:, 3] == 0).all()
    log_odds = booster.predict(xgboost.DMatrix(x), pred_contribs=True)
    assert np.allclose(
        contributions[:, 0] * log_odds[:, 1], contributions[:, 1] * log_odds[:, 0], atol=1e-6
    )


def test_contributions_that_cancel_are_told_by_the_links_slope():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32).repeat(250, axis=0)
    label = np.tile(np.arange(250) % 10, 4) < np.array([5, 2, 8, 5]).repeat(250)
    steps = BoostingParameters(rounds=50, max_depth=1, learning_rate=0.3, min_leaf_events=0)
    booster = fit(x, label.astype(float), objective="binary:logistic", parameters=steps)
    middle = shapley_values(booster, x[:1])[0]  # one feature lowers, the other raises as much
    assert middle[:2] == pytest.approx([-middle[1], middle[1]], abs=1e-3)
    assert middle[1] > 0.1
    assert middle[2] == pytest.approx(0.5, abs=0.01)


def test_a_booster_with_a_known_feature_is_taken_apart_by_the_others():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2_000, 4)).astype(np.float32)
    x[:, 3] = rng.integers(0, 2, len(x))
    label = x[:, 0] + x[:, 3] * (x[:, 1] + x[:, 0] * x[:, 2])
    booster = fit(x, label.astype(float))
    for value in (0, 1):
        known = np.column_stack([x[:, :3], np.full(len(x), value)]).astype(np.float32)
        left = fix_feature(booster, 3, value)
        assert np.array_equal(predict_booster(left, x), predict_booster(booster, known))
        assert not (left.trees_to_dataframe()["Feature"] == "f3").any()
        contributions = shapley_values(left, x[:5])
        for row, parts in zip(x[:5], contributions, strict=True):
            assert parts == pytest.approx([*shapley(booster, row, value), parts[-1]], abs=1e-5)
        assert np.ptp(contributions[:, -1]) == 0


def shapley(booster, row, value):
    """Shapley values by their definition; features that are not known follow the users (last: known)."""
    forest = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]

    def mean(tree, node, known):
        left, right = tree["left_children"][node], tree["right_children"][node]
        if left < 0:
            return tree["split_conditions"][node]
        feature, cut = tree["split_indices"][node], tree["split_conditions"][node]
        if feature == len(row) - 1 or feature in known:
            at = value if feature == len(row) - 1 else row[feature]
            return mean(tree, left if at < cut else right, known)
        users = [tree["sum_hessian"][child] for child in (left, right)]
        return np.average([mean(tree, child, known) for child in (left, right)], weights=users)

    def worth(known):
        return sum(mean(tree, 0, known) for tree in forest)

    features = range(len(row) - 1)
    return [
        np.mean(
            [
                worth(before | {j}) - worth(before)
                for order in permutations(features)
                for before in [set(order[: order.index(j)])]
            ]
        )
        for j in features
    ] + [0.0]
