"""Average effects of an experiment on schools, against statsmodels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.average_effects import average_effect_rows
from tests.support import folder_of, memory_warehouse, with_experiment


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


def test_where_few_users_decide_an_effect_that_on_capped_outcomes_stands_beside_it() -> None:
    hillstrom = folder_of("hillstrom")
    rng = np.random.default_rng(0)
    n, arms = 30_000, [arm.name for arm in hillstrom.declaration.arms]
    arm = rng.choice(arms, n)
    bought = rng.random(n) < 0.02
    spend = np.where(bought, rng.lognormal(4, 2, n).round(2), 0.0)
    split = np.where(rng.random(n) < 0.3, "holdout", "train")
    columns = {
        "user_id": np.arange(n),
        "arm": arm.tolist(),
        "split": split.tolist(),
        "visit": bought.astype(np.int32),
        "conversion": bought.astype(np.int32),
        "spend": spend,
    }
    db = memory_warehouse()
    with db.relation("given", pa.table(columns)):
        db.rows("create table assignment.hillstrom as from given")
    rows = average_effect_rows(db, hillstrom)
    db.con.close()
    smallest = min(np.count_nonzero((arm == name) & (split == "holdout")) for name in arms)
    share = 20 / smallest  # as many held-out users of the smallest arm are expected to be capped
    high = np.quantile(spend, 1 - share, method="inverted_cdf")
    control = arm == hillstrom.declaration.control
    assert any(row["unreliable"] for row in rows if row["split"] != "all")
    for row in rows:
        some = np.ones(n, bool) if row["split"] == "all" else split == row["split"]
        treated = arm == row["arm"]
        if row["outcome"] != "spend" or not row["unreliable"]:
            assert row["capped_effect"] is None
            continue
        assert row["cap_high"] == pytest.approx(high, rel=0.05)
        capped = np.clip(spend, row["cap_low"], row["cap_high"])
        assert (spend > row["cap_high"]).sum() >= 20
        one, other = capped[some & treated], capped[some & control]
        assert row["capped_effect"] == pytest.approx(one.mean() - other.mean(), rel=1e-9)
        expected = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert row["capped_std_error"] == pytest.approx(expected, rel=1e-9)
