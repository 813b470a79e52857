"""The one place that calls XGBoost.

Learners speak of outcome models and effect models; this module knows how XGBoost is told about
them: histograms with the cells' own bins as cut points, an explicit base score, leaves sized by
expected events, one seed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import xgboost
from pydantic import BaseModel, ConfigDict, Field, model_validator
from xgboost import collective

Objective = Literal["binary:logistic", "reg:squarederror"]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


# Below this many rows one thread does nearly as well as two, and does not stall for long when other
# work holds a core: threads wait for each other at every level of every tree.
ONE_THREAD_ROWS = 50_000
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


class BoostingParameters(BaseModel):
    """How one kind of booster is grown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: Annotated[int, Field(ge=1)]
    max_depth: Annotated[int, Field(ge=1, le=16)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    # Users with a non-zero outcome that a leaf should hold under control, in expectation; at most a
    # tenth of all there are.
    min_leaf_events: Annotated[float, Field(ge=0)]
    reg_lambda: Annotated[float, Field(ge=0)] = 1.0


OUTCOME_DEFAULTS = BoostingParameters(rounds=150, max_depth=2, learning_rate=0.1, min_leaf_events=60)
EFFECT_DEFAULTS = BoostingParameters(rounds=100, max_depth=2, learning_rate=0.05, min_leaf_events=300)


class LearnerParameters(BaseModel):
    """Parameters of all boosters of an experiment; a declaration may override any of them.

    ``outcome`` is for models of E[Y | ...], ``effect`` for models of the effect itself, ``s`` for the
    S-learner's model, an outcome model that is judged by the effect it implies; as ``outcome`` unless
    given. The defaults
    are cautious (shallow trees, few rounds, large leaves): effects are small beside the outcome's
    noise, and an over-fitted learner ranks users worse than no learner. They were chosen by
    cross-validated R-loss (``uplift_core.tuning``), never by a known truth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: BoostingParameters = OUTCOME_DEFAULTS
    effect: BoostingParameters = EFFECT_DEFAULTS
    s: BoostingParameters | None = None
    seed: Annotated[int, Field(ge=0)] = 7
    # Bins of a feature. On simulated experiments 64 rank users as well as 256 do, and rows fall into
    # half as many cells.
    max_bins: Annotated[int, Field(ge=2, le=256)] = 64

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults_of_what_is_not_said(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = {"outcome": OUTCOME_DEFAULTS, "effect": EFFECT_DEFAULTS, "s": OUTCOME_DEFAULTS}
        said = {
            kind: value for kind, value in data.items() if isinstance(value, dict) and kind in defaults
        }
        return data | {kind: defaults[kind].model_dump() | value for kind, value in said.items()}

    def with_rounds(self, rounds: int) -> Self:
        """The same with so many boosting rounds for every kind of model."""
        kinds = {name: getattr(self, name) for name in ("outcome", "effect", "s")}
        changed = {
            name: found.model_copy(update={"rounds": rounds}) for name, found in kinds.items() if found
        }
        return self.model_copy(update=changed)


def fit(  # noqa: PLR0913 - a booster is made of exactly these
    x: Floats,
    label: Doubles,
    weight: Doubles,
    *,
    objective: Objective,
    min_child_weight: float,
    parameters: BoostingParameters,
    max_bin: int,
    seed: int,
    threads: int,
) -> xgboost.Booster:
    """Fit one booster.

    Args:
        x: (n, n_features) float32, lower edges of bins; NaN is missing.
        label: (n,) mean outcome or pseudo-outcome of each cell.
        weight: (n,) users in each cell, times the loss's own weight.
        objective: logistic takes labels in [0, 1], squared error any.
        min_child_weight: smallest sum of hessians in a leaf: of weights under squared error, of
            weight * p * (1 - p) under the logistic loss.
        parameters: how the booster is grown.
        max_bin: at least the number of bins of every feature, or XGBoost would merge some.
        seed: XGBoost's; equal seeds and threads give equal bytes.
        threads: to train with at most; 0 takes all cores.
    """
    base = weighted_mean(label, weight)
    if objective == "binary:logistic":
        base = min(max(base, 1e-7), 1 - 1e-7)
    threads = 1 if len(x) < ONE_THREAD_ROWS else threads
    data = xgboost.QuantileDMatrix(
        x, label=label, weight=weight, max_bin=max_bin, nthread=threads or None
    )
    return xgboost.train(
        {
            "objective": objective,
            "tree_method": "hist",
            "max_bin": max_bin,
            "max_depth": parameters.max_depth,
            "eta": parameters.learning_rate,
            "min_child_weight": min_child_weight,
            "lambda": parameters.reg_lambda,
            "base_score": base,
            "seed": seed,
            "nthread": threads,
        },
        data,
        num_boost_round=parameters.rounds,
    )


def weighted_mean(values: Doubles, weight: Doubles) -> float:
    """Weighted mean over the rows of everybody who trains together, see ``total``."""
    sums = total([np.multiply(values, weight).sum(), weight.sum()])
    return float(sums[0] / sums[1])


def total(values: npt.ArrayLike) -> Doubles:
    """Sums over all workers that train together; of one that trains alone, the values themselves.

    Workers that train together have opened XGBoost's communicator. Each holds some of the feature cells,
    all arms and folds of them, and calls the same functions in the same order.
    """
    own = np.asarray(values, dtype=np.float64)
    if not collective.is_distributed():
        return own
    return np.asarray(collective.allreduce(own, collective.Op.SUM))


def largest(value: int) -> int:
    """The largest value of all workers that train together."""
    if not collective.is_distributed():
        return value
    return int(collective.allreduce(np.asarray([value], dtype=np.int64), collective.Op.MAX)[0])


def contributions(booster: xgboost.Booster, x: Floats) -> Doubles:
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


def at_value(booster: xgboost.Booster, feature: int, value: float) -> xgboost.Booster:
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


def predict(booster: xgboost.Booster, x: Floats) -> Floats:
    """Predicted mean of each row of ``x``: (n,) float32. Equal for one row and for many."""
    if not len(x):
        return np.empty(0, dtype=np.float32)
    return np.asarray(booster.inplace_predict(x), dtype=np.float32)


def _is_logistic(booster: xgboost.Booster) -> bool:
    learner = json.loads(booster.save_config())["learner"]
    return str(learner["objective"]["name"]) == "binary:logistic"


def _probability(log_odds: Doubles) -> Doubles:
    return 0.5 * (1 + np.tanh(log_odds / 2))  # overflows nowhere
