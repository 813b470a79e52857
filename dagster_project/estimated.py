"""Shares that were counted rather than designed: what can be checked of them is checked at every run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dagster_project.cells import features_of
from dagster_project.folders import ExperimentFolder
from dagster_project.sqlfiles import Identifier
from dagster_project.warehouse import Warehouse
from uplift_core.balance import arm_balance
from uplift_core.errors import DataError
from uplift_core.evaluation.sample_ratio import sample_ratio

SAMPLE = 100_000  # users that the check looks at
TOLERANCE = 0.005  # a share may be off by this much whatever the sample
WARNING = (
    "{name}: the arms' shares are estimated from the counts (propensities = 'estimate'). That the arms "
    "differ by chance alone is not guaranteed by design."
)


def check_estimated_shares(db: Warehouse, folder: ExperimentFolder, tell: Callable[[str], None]) -> None:
    """Warn that shares were counted, and refuse counts that are no longer theirs or that users explain.

    Raises:
        DataError: an arm's declared share is not the counted one, or the features predict the arm.
    """
    experiment = folder.experiment
    if experiment.propensities == "design":
        return
    tell(WARNING.format(name=folder.name))
    counts = dict(db.rows(f"select arm, count(*) from {folder.tables.assignment} group by arm"))
    shares = {arm.name: arm.share for arm in experiment.arms}
    found = sample_ratio(dict.fromkeys(shares, 0) | counts, shares)
    if found.mismatch(TOLERANCE):
        counted = counts.get(found.arm, 0) / sum(counts.values())
        raise DataError(
            f"{folder.name}: arms '{found.arm}': share = {shares[found.arm]:g}, counted are "
            f"{counted:.4f}; write the counted shares of this file"
        )
    _refuse_predictable(db, folder, counts)


def _refuse_predictable(db: Warehouse, folder: ExperimentFolder, counts: dict[str, int]) -> None:
    names = features_of(db, folder)
    rows = db.arrow(
        f"select assignment.arm as _arm, {Identifier.listed(names)} from {folder.tables.features} "
        f"inner join {folder.tables.assignment} as assignment using (user_id) "
        "where md5_number_lower(user_id::varchar) % $every = 0 order by user_id",
        {"every": -(-sum(counts.values()) // SAMPLE)},
    )
    arms = rows.column("_arm").to_numpy(zero_copy_only=False)
    x = np.column_stack([rows.column(name).to_numpy() for name in names]).astype(np.float32)
    for arm in counts:
        balance = arm_balance(x, arms == arm)
        if balance.predictable:
            name, auc, smd = balance.worst(names)
            raise DataError(
                f"{folder.name}: the features tell who is in arm '{arm}' (AUC {balance.auc:.2f}, chance "
                f"is 0.50; '{name}' alone {auc:.2f}, standardized difference {smd:.2f}), so its share "
                "differs among users, which is not handled; correct features.sql if a column of it came "
                "after the treatment"
            )
