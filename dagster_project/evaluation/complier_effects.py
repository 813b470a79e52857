"""Compute ``evaluation.complier_effects``: the effect on those whom the assignment reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import outcome_columns
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.evaluation.complier import ComplierEffect
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.tables import Rows

SPLITS = {"all": ["train", "holdout"], "train": ["train"], "holdout": ["holdout"]}
SUMS = [column.name for column in fields(ComplierEffect) if column.name != "corrected"]
MEANS, SCORES = "means", "aipw"  # estimators
WEAK, ESTIMATED = "weak", "estimated"  # verdicts


@dataclass(frozen=True)
class Reached:
    """A complier effect, and the share of each arm's users whom the treatment reached."""

    effect: ComplierEffect
    treated: Estimate
    control: float


def complier_effect_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute the rows of every arm and outcome; none if the experiment declares no exposure.

    All, train and held-out users by differences in means, and held-out users by doubly robust scores.
    """
    declaration = experiment.declaration
    if not declaration.exposure:
        return []
    return [
        {
            "experiment": experiment.name,
            "arm": arm,
            "outcome": outcome.name,
            "split": split,
            "estimator": estimator,
            **_row(reached, clustered=bool(declaration.cluster)),
        }
        for outcome in declaration.outcomes
        for arm in declaration.treatments
        for split, estimator in (*((split, MEANS) for split in SPLITS), ("holdout", SCORES))
        if (reached := _reached(db, experiment, arm, outcome.name, split, scored=estimator == SCORES))
    ]


def reach_by_arm(db: Warehouse, experiment: BatchExperiment) -> dict[str, Estimate]:
    """Estimate the share of held-out users of each treatment arm whom the treatment reached."""
    declaration = experiment.declaration
    by_arm = {
        arm: _reached(db, experiment, arm, declaration.defaults.outcome, "holdout", scored=False)
        for arm in declaration.treatments
    }
    return {arm: reached.treated for arm, reached in by_arm.items() if reached}


def with_expected_costs(db: Warehouse, experiment: BatchExperiment) -> BatchExperiment:
    """Return the experiment with expected costs, where cost falls on users who are reached."""
    declaration = experiment.declaration
    if declaration.decisions.cost_per == "assigned":
        return experiment
    reach = {arm: share.value for arm, share in reach_by_arm(db, experiment).items()}
    return replace(experiment, declaration=declaration.with_expected_costs(reach))


def _reached(  # noqa: PLR0913 - what a row is about
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str, split: str, *, scored: bool
) -> Reached | None:
    """Read one row's sums; None if an arm has no user in the split."""
    declaration, tables = experiment.declaration, experiment.tables
    contrast, varies = declaration.contrast(arm), declaration.propensity_varies
    mu0, mu1 = (Identifier.of(column) for column in outcome_columns(outcome))
    sql = render(
        "evaluation/complier_effects.sql",
        assignment=tables.assignment,
        user_cells=tables.user_cells,
        predictions=tables.predictions,
        outcome=experiment.outcome(outcome).name,
        mu0=mu0,
        mu1=mu1,
        scored=scored,
        clustered=bool(declaration.cluster),
        varies=varies,
        weighted=bool(declaration.weight),
    )
    binds: dict[str, object] = {"arm": arm, "control": contrast.control, "splits": SPLITS[split]}
    if not varies:
        binds["propensity"] = contrast.propensity
    rows = db.arrow(sql, binds).to_pylist()
    return _of_sums(rows[0], corrected=declaration.errors_by_unit or varies) if rows else None


def _of_sums(sums: Mapping[str, Any], *, corrected: bool) -> Reached:
    effect = ComplierEffect(**{name: sums[name] for name in SUMS}, corrected=corrected)
    error = replace(effect, exposure_sq=sums["reached_sq"]).on_exposure.std_error
    return Reached(effect, Estimate(sums["reached_treated"], error), sums["reached_control"])


def _row(reached: Reached, *, clustered: bool) -> dict[str, object]:
    effect = reached.effect
    estimate, error = effect.estimate, effect.on_exposure.std_error
    return {
        "reached_treated": reached.treated.value,
        "reached_treated_std_error": reached.treated.std_error,
        "reached_control": reached.control,
        "itt": effect.outcome_effect,
        "itt_std_error": effect.on_outcome.std_error,
        "first_stage": effect.exposure_effect,
        "first_stage_std_error": error,
        "first_stage_f": effect.f if error > 0 else None,
        "verdict": WEAK if estimate is None else ESTIMATED,
        "effect": estimate.value if estimate else None,
        "std_error": estimate.std_error if estimate else None,
        "ci_low": estimate.ci_low if estimate else None,
        "ci_high": estimate.ci_high if estimate else None,
        "n": round(effect.users),
        "clusters": effect.units if clustered else None,
    }
