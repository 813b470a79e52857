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
            label = {"experiment": experiment.name, "arm": arm, "outcome": outcome.name}
            for split in (ALL, *SPLITS):
                treated, control = (outcomes.get((a, split)) for a in (arm, declaration.control))
                if treated and control:
                    average = AverageEffect(treated, control)
                    where = label | {"split": split}
                    if declaration.errors_by_unit or declaration.propensity_varies:
                        clusters = _clusters(db, experiment, where, average)
                        average = replace(average, clusters=clusters)
                    rows.append(where | _row(average, clustered=bool(declaration.cluster)))
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


def _clusters(
    db: Warehouse, experiment: BatchExperiment, where: Mapping[str, str], average: AverageEffect
) -> ClusterSquares:
    """Read the influences on an average effect, added up by cluster; without clusters, by user."""
    sql = render(
        "evaluation/cluster_effects.sql",
        assignment=experiment.tables.assignment,
        outcome=experiment.outcome(where["outcome"]).name,
        clustered=bool(experiment.declaration.cluster),
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
    )
    users = average.treated.n_users + average.control.n_users
    binds = {
        "arm": where["arm"],
        "control": experiment.declaration.control,
        "splits": list(SPLITS) if where["split"] == ALL else [where["split"]],
        "users": users,
        "n_treated": average.treated.n,
        "n_control": average.control.n,
        "mean_treated": average.treated.mean,
        "mean_control": average.control.mean,
    }
    clusters, squares, largest = db.one(sql, binds)
    return ClusterSquares(clusters, users, squares, largest)


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
