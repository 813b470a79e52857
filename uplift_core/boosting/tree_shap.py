"""What each feature adds to a prediction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost

from uplift_core.arrays import Doubles, Floats

NO_PARENT = 2**31 - 1  # XGBoost's mark of a root


PER_NODE = (
    "base_weights",
    "default_left",
    "loss_changes",
    "split_conditions",
    "split_indices",
    "split_type",
)


SECANT_LEAST = 1e-4  # log odds apart from which on the secant is more exact than the derivative


def shapley_values(booster: xgboost.Booster, x: Floats) -> Doubles:
    """What each feature adds to the predicted mean of each row (Lundberg et al. 2020, TreeSHAP).

    TreeSHAP takes log odds apart, not probabilities. A logistic booster's parts are rescaled by the
    slope of the link between the bias and the row's log odds (Shrikumar et al. 2017, the Rescale rule;
    Chen et al. 2022 put it behind trees), so that they add up to the probability.

    Returns:
        (n, n_features + 1) float64; the last column is the bias. A row adds up to ``predict``.
    """
    found = np.asarray(booster.predict(xgboost.DMatrix(x), pred_contribs=True), dtype=np.float64)
    if not _is_logistic(booster):
        return found
    parts, bias = found[:, :-1], found[:, -1]
    apart = parts.sum(axis=1)
    base, mean = _probability(bias), _probability(bias + apart)
    slope = base * (1 - base)  # the secant's limit where the parts cancel
    np.divide(mean - base, apart, out=slope, where=np.abs(apart) > SECANT_LEAST)
    return np.column_stack([parts * slope[:, None], base])


def fix_feature(booster: xgboost.Booster, feature: int, value: float) -> xgboost.Booster:
    """The booster as a function of the other features, where ``feature`` is known to be ``value``.

    Splits on the feature give way to the branch that the value takes. How many users took the other
    branches is told anew, so that TreeSHAP's expectations are those of the function that is left.
    """
    model = json.loads(bytes(booster.save_raw("json")))
    forest = model["learner"]["gradient_booster"]["model"]["trees"]
    for tree in forest:
        _prune(tree, feature, value)
    return xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))


def _prune(tree: dict[str, Any], feature: int, value: float) -> None:
    left, right = tree["left_children"], tree["right_children"]

    def followed(node: int) -> int:
        while left[node] >= 0 and tree["split_indices"][node] == feature:
            node = left[node] if value < tree["split_conditions"][node] else right[node]
        return node

    root = followed(0)
    order, children, parents = [root], {}, {root: NO_PARENT}
    cover = {root: tree["sum_hessian"][0]}
    for node in order:  # grows as it goes
        if left[node] < 0:
            continue
        pair = left[node], right[node]
        users = [tree["sum_hessian"][child] for child in pair]
        children[node] = [followed(child) for child in pair]
        for child, own in zip(children[node], users, strict=True):
            cover[child], parents[child] = cover[node] * own / sum(users), node
        order += children[node]
    number = {node: i for i, node in enumerate(order)} | {NO_PARENT: NO_PARENT}
    for name in PER_NODE:
        tree[name] = [tree[name][node] for node in order]
    tree["sum_hessian"] = [cover[node] for node in order]
    tree["parents"] = [number[parents[node]] for node in order]
    for side, name in enumerate(("left_children", "right_children")):
        tree[name] = [number[children[node][side]] if node in children else -1 for node in order]
    tree["tree_param"]["num_nodes"] = str(len(order))


def _is_logistic(booster: xgboost.Booster) -> bool:
    learner = json.loads(booster.save_config())["learner"]
    return str(learner["objective"]["name"]) == "binary:logistic"


def _probability(log_odds: Doubles) -> Doubles:
    return 0.5 * (1 + np.tanh(log_odds / 2))  # overflows nowhere
