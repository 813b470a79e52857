"""TreeSHAP: the amount that each feature adds to a prediction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost

from uplift_core.arrays import Doubles, Floats

NO_PARENT = 2**31 - 1  # XGBoost's parent of a root


PER_NODE = (
    "base_weights",
    "default_left",
    "loss_changes",
    "split_conditions",
    "split_indices",
    "split_type",
)


MIN_LOG_ODDS_GAP = 1e-4  # below this gap the derivative is more accurate than the secant


def shapley_values(booster: xgboost.Booster, x: Floats) -> Doubles:
    """Compute what each feature adds to the predicted mean of each row (TreeSHAP, Lundberg et al. 2020).

    TreeSHAP divides log odds, not probabilities. The parts of a logistic booster are rescaled by the
    slope of the link between the bias and the row's log odds (the Rescale rule of Shrikumar et al. 2017,
    which Chen et al. 2022 apply after trees), so that they add up to the probability.

    Returns:
        (n, n_features + 1) float64; the last column is the bias. A row adds up to the predicted mean.
    """
    contributions = np.asarray(booster.predict(xgboost.DMatrix(x), pred_contribs=True), dtype=np.float64)
    if not _is_logistic(booster):
        return contributions
    parts, bias = contributions[:, :-1], contributions[:, -1]
    gap = parts.sum(axis=1)
    base, mean = _probability(bias), _probability(bias + gap)
    slope = base * (1 - base)  # the secant's limit where the parts cancel
    np.divide(mean - base, gap, out=slope, where=np.abs(gap) > MIN_LOG_ODDS_GAP)
    return np.column_stack([parts * slope[:, None], base])


def fix_feature(booster: xgboost.Booster, feature: int, value: float) -> xgboost.Booster:
    """Return the booster as a function of the other features, with ``feature`` fixed at ``value``.

    Each split on the feature is replaced by the branch that the value takes. The users of the branches
    that stay are counted again, so that TreeSHAP's expectations are those of the remaining function.
    """
    model = json.loads(bytes(booster.save_raw("json")))
    forest = model["learner"]["gradient_booster"]["model"]["trees"]
    for tree in forest:
        _prune(tree, feature, value)
    return xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))


def _prune(tree: dict[str, Any], feature: int, value: float) -> None:
    """Replace a tree's splits on a feature by the branch that a value takes, in place.

    For example, a root that splits on the feature goes, and the child on the value's side is the new
    root with the old root's cover. Deeper, a node's cover is divided among its children in the
    proportion in which the old tree divides its users.
    """
    left, right = tree["left_children"], tree["right_children"]

    def followed(node: int) -> int:
        while left[node] >= 0 and tree["split_indices"][node] == feature:
            node = left[node] if value < tree["split_conditions"][node] else right[node]
        return node

    root = followed(0)
    order, children, parents = [root], {}, {root: NO_PARENT}
    cover = {root: tree["sum_hessian"][0]}
    for node in order:  # the loop appends to it
        if left[node] < 0:
            continue
        pair = left[node], right[node]
        users = [tree["sum_hessian"][child] for child in pair]
        children[node] = [followed(child) for child in pair]
        for child, child_users in zip(children[node], users, strict=True):
            cover[child], parents[child] = cover[node] * child_users / sum(users), node
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
    return 0.5 * (1 + np.tanh(log_odds / 2))  # does not overflow
