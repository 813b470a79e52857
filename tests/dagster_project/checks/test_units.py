"""The checks of randomization compare clusters where whole clusters share an arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.checks.findings import Finding
from dagster_project.checks.statistics import check_balance, check_predictability, check_sample_ratio
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import assigned_units
from dagster_project.training.cells import find_edges, make_cells
from dagster_project.warehouse.connection import Warehouse
from tests.support import memory_warehouse, small_simulation

BASE = small_simulation()
CLUSTERED = replace(BASE, declaration=BASE.declaration.model_copy(update={"cluster": "school"}))
SCHOOLS, PUPILS = 80, 25
CONTROL, TREATED = (arm.name for arm in BASE.declaration.arms)


def fill(db: Warehouse, rng: np.random.Generator, arm_of_school: np.ndarray) -> None:
    """Write schools with their arms: one feature of the school, one of both, one of the pupil."""
    school = np.repeat(np.arange(SCHOOLS), rng.poisson(PUPILS, SCHOOLS) + 1)
    n = len(school)
    of_school = rng.normal(size=(2, SCHOOLS))
    outcome = pa.array(np.zeros(n, np.int32))
    columns = {
        "user_id": np.arange(n),
        "arm": np.where(arm_of_school[school] == 1, TREATED, CONTROL),
        "split": np.where(rng.permutation(SCHOOLS)[school] % 3 == 0, "holdout", "train"),
        "fold": (rng.permutation(SCHOOLS)[school] % 5).astype(np.int8),
        "cluster": school.astype(str),
        **{each.name: outcome for each in BASE.declaration.outcomes},
    }
    features = {
        "user_id": columns["user_id"],
        "size": of_school[0][school].astype(np.float32),
        "score": (of_school[1][school] * 0.3 + rng.normal(size=n)).astype(np.float32),
        "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)).astype(np.float32),
    }
    for layer, table in (("assignment", columns), ("features", features)):
        with db.relation("given", pa.table(table)):
            db.rows(f"create or replace table {layer}.simulated as from given")
    for position, name in enumerate(("size", "score", "age"), 1):
        db.rows("insert into features.registry values ('simulated', $position, $name, '', '', '', '')",
                {"position": position, "name": name})  # fmt: skip
    make_cells(db, BASE, find_edges(db, BASE))


def alarms(db: Warehouse, experiment: BatchExperiment) -> set[str]:
    found: list[Finding] = [
        *check_sample_ratio(db, experiment),
        *check_balance(db, experiment),
        *check_predictability(db, experiment, 1),
    ]
    assert {each.check for each in found} == {"sample_ratio", "balance", "predictability"}
    return {each.check for each in found if not each.passed}


def test_fair_schools_raise_no_alarm_where_pupils_would() -> None:
    by_school: list[str] = []
    by_pupil: list[str] = []
    for seed in range(8):
        db, rng = memory_warehouse(), np.random.default_rng(seed)
        fill(db, rng, rng.permutation(np.arange(SCHOOLS) % 2))
        by_school += alarms(db, CLUSTERED)
        by_pupil += alarms(db, BASE)
        db.con.close()
    assert by_school == []
    assert len(by_pupil) >= 4


def test_schools_that_somebody_chose_are_found(db: Warehouse) -> None:
    rng = np.random.default_rng(1)
    fill(db, rng, np.arange(SCHOOLS) % 2)
    db.rows("update features.simulated set size = size + 2 from assignment.simulated as a "
            "where a.user_id = simulated.user_id and arm = $arm", {"arm": TREATED})  # fmt: skip
    assert alarms(db, CLUSTERED) == {"balance", "predictability"}
    db.rows("delete from assignment.simulated where arm = $arm and cluster::int > 20", {"arm": TREATED})
    (found,) = check_sample_ratio(db, CLUSTERED)
    assert not found.passed
    assert "of the clusters where 0.5000 were designed" in found.message


def test_values_that_one_arm_lacks_are_found(db: Warehouse) -> None:
    rng = np.random.default_rng(2)
    fill(db, rng, rng.permutation(np.arange(SCHOOLS) % 2))
    db.rows("update features.simulated set age = null from assignment.simulated as a where a.arm = $arm "
            "and a.user_id = simulated.user_id and a.user_id % 3 = 0", {"arm": TREATED})  # fmt: skip
    wrong = [each for each in check_balance(db, CLUSTERED) if not each.passed]
    assert [(each.column, "share of known values" in each.rule) for each in wrong] == [("age", True)]


@pytest.mark.parametrize("within", [False, True])
def test_units_are_clusters_only_if_each_lies_in_one_arm(db: Warehouse, *, within: bool) -> None:
    rng = np.random.default_rng(3)
    fill(db, rng, np.arange(SCHOOLS) % 2)
    users = db.count(CLUSTERED.tables.assignment)
    if within:
        db.rows("update assignment.simulated set arm = if(user_id % 2 = 0, $a, $b)",
                {"a": CONTROL, "b": TREATED})  # fmt: skip
    units = assigned_units(db, CLUSTERED)
    assert units.word == ("users" if within else "clusters")
    assert sum(units.by_arm.values()) == (users if within else SCHOOLS)
    assert assigned_units(db, BASE).word == "users"
