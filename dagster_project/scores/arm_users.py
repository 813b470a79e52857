"""Read the users of all arms by cell: what policies over several arms are judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.score_groups import doubles
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.arrays import Doubles
from uplift_core.experiment.declaration import Experiment


@dataclass(frozen=True)
class ArmUsers:
    """Sums over the users of each cell and arm; column 0 of the sums is the control.

    Attributes:
        cell: (n_cells,) cells with users, ascending.
        n: (n_cells, 1 + n_arms) users.
        y: (n_cells, 1 + n_arms) sums of their outcomes.
        yy: (n_cells, 1 + n_arms) sums of their squared outcomes.
        events: (n_cells, 1 + n_arms) users whose outcome is not 0.
    """

    cell: npt.NDArray[np.int64]
    n: Doubles
    y: Doubles
    yy: Doubles
    events: Doubles


def all_arms(experiment: Experiment) -> tuple[str, ...]:
    """Return all arms, the control first."""
    return (experiment.control, *experiment.treatments)


def arm_propensities(experiment: Experiment) -> Doubles:
    """Return the designed share of each arm among all users, the control first: (1 + n_arms,)."""
    share = np.asarray([experiment.arm(arm).share for arm in all_arms(experiment)])
    return np.asarray(share / share.sum(), dtype=np.float64)


def read_held_out_users(db: Warehouse, experiment: BatchExperiment, outcome: str) -> ArmUsers:
    """Read the held-out users."""
    return _read(db, experiment, outcome, by_fold=False)[0]


def read_train_users(db: Warehouse, experiment: BatchExperiment, outcome: str) -> dict[int, ArmUsers]:
    """Read the users who trained the models, by fold."""
    return _read(db, experiment, outcome, by_fold=True)


def _read(
    db: Warehouse, experiment: BatchExperiment, outcome: str, *, by_fold: bool
) -> dict[int, ArmUsers]:
    arms = all_arms(experiment.declaration)
    sql = render(
        "evaluation/arm_sums.sql",
        cells=experiment.tables.cells,
        sums=experiment.outcome(outcome),
        by_fold=by_fold,
    )
    rows = db.arrow(sql, {"arms": list(arms), "split": "train" if by_fold else "holdout"})
    fold = rows.column("fold").to_numpy() if by_fold else np.zeros(rows.num_rows, np.int8)
    cell, arm = rows.column("cell").to_numpy(), rows.column("arm").to_numpy()
    columns = {name: doubles(rows, name) for name in ("n", "y", "yy", "events")}
    users = {}
    for k in np.unique(fold):
        on = fold == k
        cells, place = np.unique(cell[on], return_inverse=True)
        sums = {name: np.zeros((len(cells), len(arms))) for name in columns}
        for name, column in columns.items():
            sums[name][place.ravel(), arm[on]] = column[on]
        users[int(k)] = ArmUsers(cells, **sums)
    return users
