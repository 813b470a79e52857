"""What the checks of randomization compare: users, or the clusters that were assigned as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import assigned_units
from dagster_project.training.cells import features_of
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.diagnostics.balance import HalvedGroups
from uplift_core.diagnostics.statistics import Moments
from uplift_core.evaluation.estimate import balance_weights

UNITS = Identifier.of("cluster_units")
ByArm = Mapping[tuple[str, int], Moments]  # by arm and position of the feature, from 1


def feature_moments(
    db: Warehouse, experiment: BatchExperiment, names: Sequence[str]
) -> tuple[ByArm, ByArm]:
    """Return the moments of all features by arm, and those of the shares of known values."""
    columns = [Identifier.of(name) for name in names]
    features, assignment = experiment.tables.features, experiment.tables.assignment
    if not assigned_units(db, experiment).whole_clusters:
        known, share = {}, {}
        for arm, position, users, mean, variance, n in _rows(
            db, experiment, features, assignment, columns
        ):
            known[arm, position] = Moments(mean, variance, n)
            share[arm, position] = Moments(n / users, n / users * (1 - n / users), users)
        return known, share
    of_clusters = []
    for shares in (False, True):
        sql = render(
            "quality/cluster_units.sql",
            features=features,
            assignment=assignment,
            feature_names=columns,
            shares=shares,
            varies=experiment.declaration.propensity_varies,
        )
        db.create_temporary(UNITS, sql)
        rows = _rows(db, experiment, UNITS, UNITS, columns)
        of_clusters.append(
            {(arm, k): Moments(mean, variance, n) for arm, k, _, mean, variance, n in rows}
        )
    return of_clusters[0], of_clusters[1]


def users_of_arm(db: Warehouse, experiment: BatchExperiment, arm: str, most_users: int) -> HalvedGroups:
    """Return the users of an arm and the control with their clusters; of more users, some clusters."""
    tables, declaration = experiment.tables, experiment.declaration
    names = features_of(db, experiment)
    sql = render(
        "quality/arm_users.sql",
        features=tables.features,
        assignment=tables.assignment,
        feature_names=[Identifier.of(name) for name in names],
        varies=declaration.propensity_varies,
    )
    step = math.ceil(db.count(tables.assignment) / most_users)
    users = db.arrow(sql, {"arm": arm, "control": declaration.control, "step": step})
    x = [users.column(name).to_numpy(zero_copy_only=False).astype(np.float32) for name in names]
    in_arm, half, unit = (users.column(name).to_numpy(zero_copy_only=False) for name in COLUMNS)
    groups = HalvedGroups(
        np.column_stack(x), in_arm.astype(np.float64), np.ones(len(half)), half, unit.astype(np.int64)
    )
    if not declaration.propensity_varies:
        return groups
    e = users.column("propensity").to_numpy()
    return replace(groups, weight=balance_weights(groups.in_arm, float(e.mean()), e))


COLUMNS = ("in_arm", "half", "unit")


def _rows(
    db: Warehouse,
    experiment: BatchExperiment,
    features: Identifier,
    assignment: Identifier,
    columns: Sequence[Identifier],
) -> list[tuple[str, int, float, float, float, float]]:
    sql = render(
        "quality/moments.sql",
        features=features,
        assignment=assignment,
        feature_names=columns,
        numbers=[Identifier(str(i)) for i, _ in enumerate(columns, 1)],
        varies=experiment.declaration.propensity_varies,
    )
    varies = experiment.declaration.propensity_varies
    return db.rows(sql, {"control": experiment.declaration.control} if varies else {})
