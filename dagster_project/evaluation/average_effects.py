"""Compute ``evaluation.average_effects``: differences in means of all users, and of each split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.evaluation.average_effect import ArmOutcomes, AverageEffect
from uplift_core.evaluation.clusters import ClusterSquares
from uplift_core.evaluation.tables import Rows

SPLITS = ("train", "holdout")
ALL = "all"


def average_effect_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute the rows of every arm, outcome and split."""
    declaration, rows = experiment.declaration, []
    for outcome in declaration.outcomes:
        outcomes = _read(db, experiment, outcome.name)
        for arm in declaration.treatments:
            averages = {
                split: AverageEffect(treated, control)
                for split in (*SPLITS, ALL)
                if (treated := outcomes.get((arm, split)))
                and (control := outcomes.get((declaration.control, split)))
            }
            if averages and (declaration.errors_by_unit or declaration.propensity_varies):
                averages = _with_clusters(db, experiment, arm, outcome.name, averages)
            label = {"experiment": experiment.name, "arm": arm, "outcome": outcome.name}
            rows += [
                label | {"split": split} | _row(averages[split], clustered=bool(declaration.cluster))
                for split in (ALL, *SPLITS)
                if split in averages
            ]
    return rows


def _read(
    db: Warehouse, experiment: BatchExperiment, outcome: str
) -> dict[tuple[str, str], ArmOutcomes]:
    """Read the outcomes by arm and split, and add up the splits to all users."""
    sql = render(
        "evaluation/average_effects.sql",
        assignment=experiment.tables.assignment,
        outcome=experiment.outcome(outcome).name,
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
    )
    binds = {"control": experiment.declaration.control}
    parts: dict[tuple[str, str], ArmOutcomes] = {}
    for arm, split, *sums in db.rows(sql, binds if experiment.declaration.propensity_varies else {}):
        part = ArmOutcomes(*sums)
        parts[arm, split] = part
        parts[arm, ALL] = part.plus(parts[arm, ALL]) if (arm, ALL) in parts else part
    return parts


def _with_clusters(
    db: Warehouse,
    experiment: BatchExperiment,
    arm: str,
    outcome: str,
    averages: Mapping[str, AverageEffect],
) -> dict[str, AverageEffect]:
    """Add the influences, added up by cluster, or by user without clusters; ``ALL`` is the last key."""
    sql = render(
        "evaluation/cluster_effects.sql",
        assignment=experiment.tables.assignment,
        outcome=experiment.outcome(outcome).name,
        clustered=bool(experiment.declaration.cluster),
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
    )
    users = {split: a.treated.n_users + a.control.n_users for split, a in averages.items()}
    binds = {
        "arm": arm,
        "control": experiment.declaration.control,
        "splits": list(averages),
        "users": list(users.values()),
        "n_treated": [a.treated.n for a in averages.values()],
        "n_control": [a.control.n for a in averages.values()],
        "mean_treated": [a.treated.mean for a in averages.values()],
        "mean_control": [a.control.mean for a in averages.values()],
    }
    return {
        split: replace(
            averages[split], clusters=ClusterSquares(clusters, users[split], squares, largest)
        )
        for split, clusters, squares, largest in db.rows(sql, binds)
    }


def _row(average: AverageEffect, *, clustered: bool) -> dict[str, object]:
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
        "n": round(average.treated.n_users + average.control.n_users),
        "clusters": average.clusters.clusters if average.clusters and clustered else None,
    }
