"""Segments and average effects of the small simulated run, against sums over single users."""

from __future__ import annotations

import numpy as np
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.segments import segment_rows
from tests.support import opened, with_experiment
from uplift_core.artifacts.home import Home

# phi of every held-out user by the stored predictions, e = 1/2.
USERS = """
select f.*, a.arm = 'treated' as w, a.converted as y,
    p.mu1_converted::double - p.mu0_converted::double
    + if(a.arm = 'treated', 2 * (a.converted - p.mu1_converted::double),
        -2 * (a.converted - p.mu0_converted::double)) as phi
from assignment.simulated as a
join features.simulated as f using (user_id)
join training.simulated_user_cells as u using (user_id)
join training.simulated_predictions as p using (cell)
where a.split = 'holdout'
"""


def test_segments_are_ranges_of_users_with_their_effects(home: Home) -> None:
    with opened(home) as db:
        users = {k: np.asarray(v) for k, v in db.arrow(USERS).to_pydict().items()}
        rows = db.arrow("from evaluation.segments order by feature, position").to_pylist()
    assert {row["feature"] for row in rows} == {f"x{i}" for i in range(1, 11)}
    for row in rows:
        value = users[row["feature"]]
        low = -np.inf if row["position"] == 1 else row["low"]
        inside = (value >= low) & (value < (np.inf if row["high"] is None else row["high"]))
        phi, rest = users["phi"][inside], users["phi"][~inside]
        assert row["n"] == len(phi)
        assert row["effect"] == pytest.approx(phi.mean(), abs=1e-9)
        assert row["difference"] == pytest.approx(phi.mean() - rest.mean(), abs=1e-9)
        error = np.sqrt(phi.var() / len(phi) + rest.var() / len(rest))
        assert row["difference_std_error"] == pytest.approx(error)
    tested = [row for row in rows if row["p_value"] is not None]
    assert len(tested) > 40
    assert all(row["p_value"] <= row["q_value"] <= 1 for row in tested)


def test_segments_of_clustered_users_have_the_errors_of_clusters(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        db.rows("alter table assignment.simulated add column cluster varchar")
        db.rows("update assignment.simulated set cluster = 'school ' || user_id % 97")
        users = {k: np.asarray(v) for k, v in db.arrow(USERS).to_pydict().items()}
        rows = segment_rows(db, with_experiment(simulated, cluster="school"))
        plain = db.arrow("select effect from evaluation.segments order by feature, position")
    ordered = sorted(rows, key=lambda row: (row["feature"], row["position"]))
    assert [row["effect"] for row in ordered] == pytest.approx(plain.column("effect").to_pylist())
    school = users["user_id"] % 97
    for row in rows[::5]:
        value = users[row["feature"]]
        low = -np.inf if row["position"] == 1 else row["low"]
        inside = (value >= low) & (value < (np.inf if row["high"] is None else row["high"]))
        parts = np.where(inside, (users["phi"] - row["effect"]) / inside.sum(), 0.0)
        rest = users["phi"] - users["phi"][~inside].mean()
        parts -= np.where(inside, 0.0, rest / (~inside).sum())
        squares = np.square(np.bincount(school, parts)).sum()
        assert row["difference_std_error"] == pytest.approx(np.sqrt(97 / 96 * squares), rel=1e-9)


def test_the_average_effect_of_all_users_is_that_of_the_file(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        rows = {row["split"]: row for row in db.arrow("from evaluation.average_effects").to_pylist()}
        means = dict(db.rows("select arm, avg(converted) from assignment.simulated group by arm"))
        (count,) = db.one("select count(*) from assignment.simulated")
    assert rows.keys() == {"all", "train", "holdout"}
    assert rows["all"]["n"] == rows["train"]["n"] + rows["holdout"]["n"] == count
    assert rows["all"]["effect"] == pytest.approx(means["treated"] - means["control"])
    assert rows["all"]["std_error"] < rows["holdout"]["std_error"]
