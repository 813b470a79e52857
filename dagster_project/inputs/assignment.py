"""Arms, splits, folds and outcomes: the query of ``assignment.<experiment>``."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.warehouse.sql import Identifier, render


def assignment_query(folder: ExperimentFolder) -> tuple[str, Mapping[str, object]]:
    """The SELECT and its bound values."""
    experiment = folder.experiment
    sql = render(
        "training/assignment.sql",
        raw=folder.tables.raw,
        arm_column=Identifier.of(experiment.arm_column),
        outcomes=folder.outcomes,
    )
    return sql, {
        "salt": experiment.split.salt,
        "holdout": experiment.split.holdout,
        "folds": experiment.split.folds,
        "arm_values": [str(arm.value) for arm in experiment.arms],
        "arm_names": [arm.name for arm in experiment.arms],
    }
