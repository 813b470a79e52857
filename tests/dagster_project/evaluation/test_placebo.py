"""Placebo runs of the small simulated run: its own train users, with the arms as drawn first."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.placebo import placebo_rows, read_train_users
from tests.support import opened
from uplift_core.artifacts.home import Home


def test_the_placebo_permutes_the_experiments_train_users(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        users = read_train_users(db, simulated, "treated")
        cells = db.arrow(
            "select cell, arm = 'treated' as w, fold, n, converted_sum as y from "
            "training.simulated_cells where split = 'train' order by all"
        ).to_pylist()
        rows = placebo_rows(db, simulated, 2, threads=1)
        assert placebo_rows(db, simulated, 0, threads=1) == []
    added = users.cells()
    expected = [tuple(row.values()) for row in cells]
    assert list(zip(added.cell, added.w == 1, added.fold, added.n, added.y_sum, strict=True)) == expected
    assert [row["run"] for row in rows] == [0, 1, 2]
    assert {row["n"] for row in rows} == {len(users.y)}
    assert rows[0]["p_value"] == 1 / 3  # the simulated effects are strong
    assert rows[0]["z_over_random"] > max(row["z_over_random"] for row in rows[1:]) + 1
