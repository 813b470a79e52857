"""Compute ``evaluation.average_effects``: differences in means of all users, and of each split."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import Rows
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.evaluation.average_effect import ArmOutcomes, AverageEffect

SPLITS = ("train", "holdout")
ALL = "all"


def average_effect_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute the rows of every arm, outcome and split."""
    declaration, rows = experiment.declaration, []
    for outcome in declaration.outcomes:
        outcomes = _read(db, experiment, outcome.name)
        for arm in declaration.treatments:
            label = {"experiment": experiment.name, "arm": arm, "outcome": outcome.name}
            for split in (ALL, *SPLITS):
                treated, control = (outcomes.get((a, split)) for a in (arm, declaration.control))
                if treated and control:
                    rows.append(label | {"split": split} | _row(AverageEffect(treated, control)))
    return rows


def _read(
    db: Warehouse, experiment: BatchExperiment, outcome: str
) -> dict[tuple[str, str], ArmOutcomes]:
    """Read the outcomes by arm and split, and add up the splits to all users."""
    sql = render(
        "evaluation/average_effects.sql",
        assignment=experiment.tables.assignment,
        outcome=experiment.outcome(outcome).name,
    )
    found: dict[tuple[str, str], ArmOutcomes] = {}
    for arm, split, *sums in db.rows(sql):
        part = ArmOutcomes(*sums)
        found[arm, split] = part
        found[arm, ALL] = part.plus(found[arm, ALL]) if (arm, ALL) in found else part
    return found


def _row(average: AverageEffect) -> dict[str, object]:
    effect = average.effect
    return {
        "mean_treated": average.treated.mean,
        "mean_control": average.control.mean,
        "effect": effect.value,
        "std_error": effect.std_error,
        "ci_low": effect.ci_low,
        "ci_high": effect.ci_high,
        "largest_share": average.largest_share,
        "unreliable": average.unreliable,
        "n": round(average.treated.n + average.control.n),
    }
