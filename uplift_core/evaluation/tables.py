"""All figures of one contrast and outcome as rows: what a run publishes and what the library shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from uplift_core.evaluation.bands import bands
from uplift_core.evaluation.calibration import calibration_slope, group_effects
from uplift_core.evaluation.curves import (
    auuc,
    qini_auc,
    qini_curve,
    qini_curve_error,
    uplift_at,
    uplift_at_by_group,
    uplift_by_decile,
)
from uplift_core.evaluation.estimate import Estimate, difference, spread
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.groups import JointGroups, ScoreGroups
from uplift_core.evaluation.policy import (
    average_effect,
    average_effect_ipw,
    gain_over_random,
    policy_curve,
    random_value,
)
from uplift_core.evaluation.profit import Prices, profit
from uplift_core.evaluation.rate import autoc, qini
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.design import Defaults
from uplift_core.learner_names import LEARNER_NAMES, SINGLE_LEARNERS

Row = dict[str, Any]
Rows = list[Row]
UPLIFT_AT = (0.1, 0.2, 0.3, 0.5)
CURVE_POINTS = 1000
BUDGETS = tuple(k / 100 for k in range(1, 101))
RANDOM = "random"
TABLES = ("metrics", "qini_curve", "deciles", "policy_value", "comparisons", "calibration", "bands")
RANKINGS = (*LEARNER_NAMES, RESPONSE)
# Learner (or response model) -> its name for people.
NAMES: dict[str, str] = {
    **{name: f"{name.upper()}-learner" for name in SINGLE_LEARNERS},
    "stack": "stack",
    RESPONSE: "response model",
}


def evaluate_joint(
    joint: JointGroups, experiment: Experiment, arm: str, outcome: str
) -> dict[str, Rows]:
    """Compute all figures of one contrast and outcome: table name -> rows, each with its learner."""
    tables: dict[str, Rows] = {name: [] for name in TABLES}
    paired: dict[str, dict[str, Estimate]] = {}
    binary = experiment.outcome(outcome).kind == "binary"
    for learner in RANKINGS:
        groups, place = joint.by(learner)
        label = {"learner": learner}
        metrics = dict(_metrics(groups, binary=binary))
        ranks = {"autoc": metrics["autoc"], "qini": metrics["qini"]}
        ranks[_gain_name(experiment)] = gain_over_random(groups, experiment.defaults.budget)
        paired[learner] = {name: spread(estimate, place) for name, estimate in ranks.items()}
        tables["metrics"] += [label | row for row in _metric_rows(metrics, _counted(groups))]
        tables["qini_curve"] += [label | row for row in _curve(groups)]
        tables["deciles"] += [label | asdict(row) for row in uplift_by_decile(groups)]
        tables["policy_value"] += [label | row for row in _policy(groups, experiment, arm, outcome)]
        tables["calibration"] += [label | row for row in _calibration(groups)]
        tables["bands"] += [label | row for row in _bands(groups)]
    tables["comparisons"] = list(_comparisons(joint, paired))
    return tables


SUMMARY = (
    *("arm", "learner", "budget", "value", "std_error", "random_value"),
    *("gain_over_random", "gain_std_error"),
)


def summary_rows(tables: Mapping[str, Rows], defaults: Defaults) -> Rows:
    """Return one row of each arm and ranking at the default budget: value, gain over random, metrics."""
    shown = ("qini_auc", "autoc")
    metrics = {
        (m["arm"], m["learner"], m["metric"]): m
        for m in tables["metrics"]
        if m["outcome"] == defaults.outcome and m["metric"] in shown
    }
    return [
        {key: row[key] for key in SUMMARY}
        | {
            f"{metric}{suffix}": metrics.get((row["arm"], row["learner"], metric), {}).get(key)
            for metric in shown
            for suffix, key in (("", "value"), ("_std_error", "std_error"))
        }
        for row in tables["policy_value"]
        if row["estimator"] == "aipw"
        and row["budget"] == defaults.budget
        and row["outcome"] == defaults.outcome
    ]


def _gain_name(experiment: Experiment) -> str:
    return f"gain_at_{100 * experiment.defaults.budget:g}"


def _metrics(groups: ScoreGroups, *, binary: bool) -> Iterator[tuple[str, Estimate]]:
    # Products by cluster are computed once, for the groups between cuts.
    between = groups if groups.clusters is None else groups.between(BUDGETS)
    yield "mean_if_all_treated", random_value(between, 1.0)
    yield "mean_if_none_treated", random_value(between, 0.0)
    yield "ate", average_effect(between)
    yield "ate_ipw", average_effect_ipw(between)
    yield "autoc", autoc(groups)
    yield "qini", qini(groups)
    yield "auuc", auuc(groups)
    if binary and groups.y_treated.sum() > 0:
        yield "qini_auc", qini_auc(groups)
    for k in UPLIFT_AT:
        yield f"uplift_at_{100 * k:g}", uplift_at(between, k)
        yield f"uplift_at_{100 * k:g}_by_group", uplift_at_by_group(groups, k)
    yield "calibration_slope", calibration_slope(groups)


def _metric_rows(metrics: dict[str, Estimate], counted: dict[str, int | None]) -> Rows:
    return [
        {
            "metric": name,
            "split": "holdout",
            **_figure(estimate),
            **counted,
        }
        for name, estimate in metrics.items()
        if not np.isnan(estimate.value)  # such as a slope on one score, or a mean over nobody
    ]


def _counted(groups: ScoreGroups) -> dict[str, int | None]:
    """Return the number of users and, if users are in clusters, of clusters."""
    clusters = None if groups.clusters is None else len(groups.clusters)
    return {"n": int(groups.n_users), "clusters": clusters}


def _curve(groups: ScoreGroups) -> Rows:
    curve = qini_curve(groups)
    last = len(curve.targeted) - 1
    points = np.unique(np.linspace(0, last, min(last, CURVE_POINTS) + 1).round().astype(int))
    errors = qini_curve_error(groups, points)
    return [
        {
            "targeted": float(curve.targeted[i]),
            "incremental": float(curve.incremental[i]),
            "std_error": float(error),
        }
        for i, error in zip(points, errors, strict=True)
    ]


def _calibration(groups: ScoreGroups) -> Rows:
    return [
        asdict(row) | _interval(Estimate(row.effect, row.std_error)) for row in group_effects(groups)
    ]


def _bands(groups: ScoreGroups) -> Iterator[dict[str, Any]]:
    n = int(groups.n_users)
    for curve, band in bands(groups, BUDGETS).items():
        columns = {
            "budget": band.budget,
            "value": band.value,
            "std_error": band.std_error,
            **dict(zip(("ci_low", "ci_high"), band.interval, strict=True)),
            **dict(zip(("band_low", "band_high"), band.band, strict=True)),
        }
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            shared = {"curve": curve, "critical": band.critical, "n": n}
            yield shared | dict(zip(columns, row, strict=True))


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"ci_low": estimate.ci_low, "ci_high": estimate.ci_high}


def _figure(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "std_error": estimate.std_error} | _interval(estimate)


def _comparisons(joint: JointGroups, paired: dict[str, dict[str, Estimate]]) -> Iterator[dict[str, Any]]:
    for learner, metrics in paired.items():
        for metric, gain in metrics.items():
            yield _comparison(joint, learner, RANDOM, metric, gain)
            for other in paired:
                if other != learner:
                    estimate = difference(joint, gain, paired[other][metric])
                    yield _comparison(joint, learner, other, metric, estimate)


def _comparison(
    joint: JointGroups, learner: str, other: str, metric: str, estimate: Estimate
) -> dict[str, Any]:
    return {
        "learner": learner,
        "other": other,
        "metric": metric,
        "difference": estimate.value,
        "std_error": estimate.std_error,
        **_interval(estimate),
        "z": estimate.z,
        "verdict": estimate.verdict,
        "n": int(joint.n_users),
    }


def _policy(groups: ScoreGroups, experiment: Experiment, arm: str, outcome: str) -> Rows:
    curve, n = policy_curve(groups, BUDGETS), int(groups.n_users)
    worth, cost = experiment.outcome(outcome).value, experiment.arm(arm).cost
    net = profit(BUDGETS, curve.incremental, curve.incremental_error, n, Prices(worth or 0.0, cost))
    shared_errors = curve.incremental_covariance
    rows: Rows = []
    for i, budget in enumerate(BUDGETS):
        value = Estimate(float(curve.value[i]), float(curve.value_error[i]))
        ipw = Estimate(float(curve.value_ipw[i]), float(curve.value_ipw_error[i]))
        incremental, error = float(curve.incremental[i]), float(curve.incremental_error[i])
        shared: dict[str, Any] = {"budget": budget, **_counted(groups)}
        rows.append(
            shared
            | {
                "estimator": "aipw",
                **_figure(value),
                "random_value": float(curve.random[i]),
                "gain_over_random": float(curve.gain[i]),
                "gain_std_error": float(curve.gain_error[i]),
                "incremental": incremental,
                "incremental_std_error": error,
                "net_value": None if worth is None else float(net.value[i]),
                "net_std_error": None if worth is None else float(net.std_error[i]),
                "incremental_covariance": None if shared_errors is None else shared_errors[i].tolist(),
            }
        )
        rows.append(
            shared
            | {
                "estimator": "ipw",
                **_figure(ipw),
                "random_value": float(curve.random_ipw[i]),
                "gain_over_random": float(curve.gain_ipw[i]),
                "gain_std_error": float(curve.gain_ipw_error[i]),
            }
        )
    return rows
