"""From scores to rows of the evaluation and threshold tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import markdown_table
from dagster_project.models import current_version
from dagster_project.sqlfiles import Identifier, render
from dagster_project.warehouse import Warehouse
from uplift_core.boosting import Floats
from uplift_core.budget import threshold
from uplift_core.evaluation.curves import qini_auc, qini_curve, uplift_by_decile
from uplift_core.evaluation.groups import ScoreGroups
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.policy import (
    gain_over_random,
    policy_value,
    policy_value_ipw,
    random_value,
)
from uplift_core.learners import LEARNER_NAMES

RESPONSE = "response"
SCORES = {name: f"cate_{name}" for name in LEARNER_NAMES} | {RESPONSE: RESPONSE}
BUDGETS = tuple(k / 100 for k in range(1, 101))
CURVE_POINTS = 1000

Rows = list[dict[str, Any]]


def read_score_groups(
    db: Warehouse, folder: ExperimentFolder, arm: str, outcome: str, learner: str
) -> ScoreGroups:
    """Held-out users of one contrast by one learner's score."""
    contrast = folder.experiment.contrast(arm)
    sql = render(
        "evaluation/score_groups.sql",
        scores=folder.tables.scores,
        assignment=folder.tables.assignment,
        score=Identifier.of(SCORES[learner]),
        outcome=Identifier.of(outcome),
    )
    binds = {"arm": arm, "control": contrast.control, "propensity": contrast.propensity}
    rows = db.arrow(sql, binds)
    names = [field.name for field in fields(ScoreGroups) if field.name != "propensity"]
    columns = {name: rows.column(name).to_numpy() for name in names}
    return ScoreGroups(**columns, propensity=contrast.propensity)


def evaluate(db: Warehouse, folder: ExperimentFolder) -> dict[str, Rows]:
    """Rows of every evaluation table of one experiment: table name -> rows."""
    tables: dict[str, Rows] = {name: [] for name in ("metrics", "qini_curve", "deciles", "policy_value")}
    outcome = folder.experiment.defaults.outcome
    for arm in folder.experiment.treatments:
        for learner in SCORES:
            groups = read_score_groups(db, folder, arm, outcome, learner)
            label = {
                "experiment": folder.name,
                "arm": arm,
                "outcome": outcome,
                "learner": learner,
            }
            tables["metrics"] += [label | row for row in _metrics(folder, groups)]
            tables["qini_curve"] += [label | row for row in _curve(groups)]
            tables["deciles"] += [label | asdict(row) for row in uplift_by_decile(groups)]
            tables["policy_value"] += [
                label | row for budget in BUDGETS for row in _policy(groups, budget)
            ]
    return tables


def threshold_rows(
    db: Warehouse,
    folder: ExperimentFolder,
    *,
    arms: Sequence[str] | None = None,
    learners: Sequence[str] = LEARNER_NAMES,
    budgets: Sequence[float] = BUDGETS,
) -> Rows:
    """Rows of ``decisions.thresholds``, by default for every arm, learner and whole percent."""
    version = current_version(db, folder.name)
    rows: Rows = []
    for arm, learner in product(arms or folder.experiment.treatments, learners):
        label = {
            "model_version": version,
            "experiment": folder.name,
            "arm": arm,
            "learner": learner,
        }
        scores, counts = _holdout_scores(db, folder, arm, learner)
        n = int(counts.sum())
        for budget in budgets:
            value = threshold(scores, counts, budget)
            treated = int(counts[scores >= np.float32(value)].sum())
            row = {"budget": budget, "threshold": value, "treated_share": treated / n, "n": n}
            rows.append(label | row)
    return rows


def _holdout_scores(
    db: Warehouse, folder: ExperimentFolder, arm: str, learner: str
) -> tuple[Floats, npt.NDArray[np.int64]]:
    sql = render(
        "decisions/holdout_scores.sql",
        scores=folder.tables.scores,
        score=Identifier.of(SCORES[learner]),
    )
    found = db.arrow(sql, {"arm": arm})
    return found.column("score").to_numpy(), found.column("n").to_numpy().astype(np.int64)


def summary_markdown(folder: ExperimentFolder, policy: Rows, metrics: Rows) -> str:
    """Policy value at the default budget and Qini, by arm and learner."""
    budget = folder.experiment.defaults.budget
    qini = {(m["arm"], m["learner"]): m["value"] for m in metrics if m["metric"] == "qini_auc"}
    rows = [
        (
            row["arm"],
            row["learner"],
            f"{row['value']:.5f} ± {row['std_error']:.5f}",
            f"{row['random_value']:.5f}",
            f"{row['gain_over_random']:+.5f} ± {row['gain_std_error']:.5f}",
            f"{qini[row['arm'], row['learner']]:.4f}" if qini else "",
        )
        for row in policy
        if row["estimator"] == "aipw" and row["budget"] == budget
    ]
    head = ["arm", "learner", f"value at {budget:.0%}", "random", "gain over random", "Qini"]
    note = f"Mean {folder.experiment.defaults.outcome} per held-out user; ± one standard error.\n\n"
    return note + markdown_table(head, rows)


def _metrics(folder: ExperimentFolder, groups: ScoreGroups) -> Rows:
    outcome = folder.experiment.outcome(folder.experiment.defaults.outcome)
    n = int(groups.n_users)
    rows = [
        _metric("mean_if_all_treated", random_value(groups, 1.0), n),
        _metric("mean_if_none_treated", random_value(groups, 0.0), n),
    ]
    if outcome.kind == "binary":
        rows.append(_metric("qini_auc", qini_auc(groups), n))
    return rows


def _metric(name: str, estimate: Estimate, n: int) -> dict[str, Any]:
    known = not np.isnan(estimate.std_error)
    return {
        "metric": name,
        "split": "holdout",
        "value": estimate.value,
        "std_error": estimate.std_error if known else None,
        "ci_low": estimate.ci_low if known else None,
        "ci_high": estimate.ci_high if known else None,
        "n": n,
    }


def _curve(groups: ScoreGroups) -> Rows:
    curve = qini_curve(groups)
    last = len(curve.targeted) - 1
    kept = np.unique(np.linspace(0, last, min(last, CURVE_POINTS) + 1).round().astype(int))
    return [
        {"targeted": float(curve.targeted[i]), "incremental": float(curve.incremental[i])} for i in kept
    ]


def _policy(groups: ScoreGroups, budget: float) -> Rows:
    random, gain = random_value(groups, budget), gain_over_random(groups, budget)
    estimates = {"aipw": policy_value(groups, budget), "ipw": policy_value_ipw(groups, budget)}
    return [
        {
            "estimator": name,
            "budget": budget,
            "value": estimate.value,
            "std_error": estimate.std_error,
            "random_value": random.value,
            "gain_over_random": gain.value,
            "gain_std_error": gain.std_error,
            "n": int(groups.n_users),
        }
        for name, estimate in estimates.items()
    ]
