"""The comparison with econml, where features are missing."""

from __future__ import annotations

import numpy as np

from dagster_project.evaluation.crosscheck import Rows, crosscheck
from tests.support import few_rounds, folder_of
from uplift_core.learners import LEARNER_NAMES
from uplift_core.simulation.rct import marketing_rct

USERS = 4_000


def test_missing_values_are_taken_alike_by_all_learners() -> None:
    users = next(marketing_rct(USERS, seed=5))
    draw = np.random.default_rng(6)
    x = users.x.astype(np.float32)
    x[draw.random(USERS) < 0.2, 0] = np.nan
    rows = Rows(
        x=x,
        w=users.w.astype(np.int8),
        y=users.y,
        fold=draw.integers(0, 5, USERS).astype(np.int8),
        train=draw.random(USERS) < 0.7,
    )
    names = tuple(f"x{i}" for i in range(x.shape[1]))
    found = crosscheck(few_rounds(folder_of("simulated")), "treated", names, rows)
    apart = {row["learner"]: row["value"] for row in found if row["tier"] == 1}
    assert apart.keys() == set(LEARNER_NAMES)
    assert max(apart.values()) < 1e-5
