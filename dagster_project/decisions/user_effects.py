"""The effects of all arms on tonight's users: what a list over several arms chooses by."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dagster_project.decisions.role_counts import ROLES
from dagster_project.decisions.roles import treats_whole_clusters
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.training.arm_policies import calibrated
from dagster_project.training.registry import deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles

USER_EFFECTS = Identifier.of("user_effects")


def read_offers(db: Warehouse, experiment: BatchExperiment) -> tuple[pa.Table, Doubles]:
    """Write each user's scores to ``USER_EFFECTS``; return all distinct ones, and their effects.

    Returns:
        The columns of scores by arm, one row per offer, and (n_offers, n_arms) calibrated effects.
    """
    arms = experiment.declaration.treatments
    columns = [
        {
            "name": Identifier.of(f"effect_{k}"),
            "score": Identifier.of(SCORES[deciding_learner(db, experiment, arm)]),
            "arm": Identifier(f"$arm_{k}"),
        }
        for k, arm in enumerate(arms)
    ]
    sql = render(
        "decisions/user_effects.sql",
        scores=experiment.target_users.scores,
        roles=ROLES,
        effects=columns,
        whole_clusters=treats_whole_clusters(experiment),
    )
    db.create_temporary(USER_EFFECTS, sql, {f"arm_{k}": arm for k, arm in enumerate(arms)})
    offers = db.arrow(f"select distinct * exclude (user_id) from {USER_EFFECTS} order by all")
    scores = np.column_stack([column.to_numpy() for column in offers.columns])
    return offers, calibrated(db, experiment, scores)
