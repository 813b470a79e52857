"""Average effects of an experiment on schools, against statsmodels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.average_effects import average_effect_rows
from tests.support import memory_warehouse, with_experiment


def test_errors_are_those_of_a_regression_with_errors_by_cluster(simulated: BatchExperiment) -> None:
    rng = np.random.default_rng(0)
    school = np.repeat(np.arange(90), rng.integers(5, 40, 90))
    n = len(school)
    treated = rng.random(90)[school] < 0.5
    y = (rng.random(n) < 0.3 + 0.25 * rng.random(90)[school]).astype(np.int32)
    split = np.where(school % 3 == 0, "holdout", "train")
    columns = {
        "user_id": np.arange(n),
        "arm": np.where(treated, "treated", "control").tolist(),
        "split": split.tolist(),
        "cluster": [f"school {s}" for s in school],
        "converted": y,
    }
    db = memory_warehouse()
    with db.relation("given", pa.table(columns)):
        db.rows("create table assignment.simulated as from given")
    declared = with_experiment(simulated, cluster="school")
    rows = {row["split"]: row for row in average_effect_rows(db, declared)}
    plain = {row["split"]: row for row in average_effect_rows(db, simulated)}
    db.con.close()
    for name, some in (
        ("all", split != ""),
        ("train", split == "train"),
        ("holdout", split == "holdout"),
    ):
        groups = school[some]
        fitted = sm.OLS(y[some], sm.add_constant(treated[some].astype(float))).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
        )
        clusters = len(np.unique(groups))
        expected = fitted.bse[1] * np.sqrt(clusters / (clusters - 1))
        assert rows[name]["std_error"] == pytest.approx(expected, rel=1e-9)
        assert rows[name]["effect"] == pytest.approx(fitted.params[1]) == plain[name]["effect"]
        assert rows[name]["clusters"] == clusters
        assert plain[name]["clusters"] is None
    assert rows["all"]["std_error"] > 1.1 * plain["all"]["std_error"]
    assert [rows[name]["unreliable"] for name in ("all", "train", "holdout")] == [False, False, True]
