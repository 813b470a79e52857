"""Arms, splits, folds and outcomes: the query of ``assignment.<experiment>``."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import cluster_column
from dagster_project.inputs.exposure import exposure_column
from dagster_project.inputs.propensities import propensity_binds, propensity_columns
from dagster_project.inputs.weights import weight_column
from dagster_project.warehouse.sql import Identifier, render


def assignment_query(experiment: BatchExperiment) -> tuple[str, Mapping[str, object]]:
    """Return the SELECT and its bound values."""
    declaration = experiment.declaration
    sql = render(
        "training/assignment.sql",
        raw=experiment.tables.raw,
        arm_column=Identifier.of(declaration.arm_column),
        outcomes=experiment.outcomes,
        cluster=cluster_column(experiment),
        exposure=exposure_column(experiment),
        weight=weight_column(experiment),
        **propensity_columns(experiment),
    )
    return sql, propensity_binds(experiment) | {
        "salt": declaration.split.salt,
        "holdout": declaration.split.holdout,
        "folds": declaration.split.folds,
        "arm_values": [str(arm.value) for arm in declaration.arms],
        "arm_names": [arm.name for arm in declaration.arms],
    }
