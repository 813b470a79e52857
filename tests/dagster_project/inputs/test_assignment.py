"""Arms, splits and folds: users of one declared cluster stay together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.clusters import drawn_by, refuse_missing_clusters
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.tombstones import bury
from tests.support import folder_of
from uplift_core.errors import DataError

BASE = folder_of("hillstrom")
USERS = 3_000


def declared(**changes: object) -> BatchExperiment:
    declaration = BASE.declaration.model_copy(update=changes)
    return replace(BASE, declaration=declaration)


CLUSTERED = declared(cluster="household id")


def load(db: Warehouse, clusters: list[object]) -> None:
    """Write raw users in these clusters; every tenth user bought something."""
    users = np.arange(1, len(clusters) + 1)
    outcome = (users % 10 == 0).astype(int)
    table = pa.table(
        {
            "user_id": users,
            "segment": ["No E-Mail"] * len(users),
            "household id": clusters,
            **dict.fromkeys(("visit", "conversion", "spend"), outcome),
        }
    )
    with db.relation("given", table):
        db.rows("create or replace table raw.hillstrom as from given")


def assign(db: Warehouse, experiment: BatchExperiment) -> pa.Table:
    sql, binds = assignment_query(experiment)
    return db.arrow(sql, binds)


@pytest.mark.parametrize("kind", ["text", "number"])
def test_no_cluster_is_on_two_sides_of_the_split_or_in_two_folds(db: Warehouse, kind: str) -> None:
    numbers = np.random.default_rng(3).integers(0, USERS // 3, USERS)
    clusters = [f"h-{k}" for k in numbers] if kind == "text" else numbers.tolist()
    load(db, clusters)
    rows = assign(db, CLUSTERED)
    assert rows.column("cluster").to_pylist() == [str(each) for each in clusters]
    with db.relation("assigned", rows):
        split, folds, held_out, per_fold = db.one(
            "select max(splits), max(folds), avg(holdout::double), count(distinct fold) from ("
            "select count(distinct split) as splits, count(distinct fold) as folds, "
            "any_value(split) = 'holdout' as holdout, any_value(fold) as fold "
            "from assigned group by cluster)"
        )
    assert (split, folds, per_fold) == (1, 1, 5)
    assert held_out == pytest.approx(0.3, abs=0.05)
    # Without the declaration the same users are torn apart.
    with db.relation("alone", assign(db, BASE)):
        (torn,) = db.one(
            "select count(*) from (select 1 from alone join raw.hillstrom as raw using (user_id) "
            'group by raw."household id" having count(distinct split) > 1)'
        )
    assert torn > USERS // 10


def test_nothing_changes_without_the_key(db: Warehouse) -> None:
    load(db, list(range(10)))
    sql, _ = assignment_query(BASE)
    assert "cluster" not in sql
    assert assign(db, BASE).column_names == [
        *("user_id", "arm", "split", "fold"),
        *("visit", "conversion", "spend"),
    ]
    assert "cluster" not in BASE.declaration.model_dump_json()


def test_a_user_without_a_cluster_is_refused(db: Warehouse) -> None:
    load(db, ["a", "a", None, "", " ", "b"])
    with pytest.raises(DataError) as caught:
        refuse_missing_clusters(db, CLUSTERED, CLUSTERED.tables.raw)
    words = [
        "hillstrom",
        "cluster = 'household id'",
        "3 rows of raw.hillstrom",
        "user_id 3",
        "give each",
    ]
    assert [word for word in words if word not in str(caught.value)] == []
    load(db, ["a", "a", "b"])
    refuse_missing_clusters(db, CLUSTERED, CLUSTERED.tables.raw)
    refuse_missing_clusters(db, BASE, BASE.tables.raw)


def test_draws_hash_the_cluster_of_a_known_user_and_else_the_id(db: Warehouse) -> None:
    load(db, ["a", "b", "b"])
    assert drawn_by(db, CLUSTERED, [1, 3, 9]) == {1: "a", 3: "b", 9: "9"}
    assert drawn_by(db, BASE, [1, 3]) == {1: "1", 3: "3"}
    bury(db, "hillstrom", drawn_by(db, CLUSTERED, [2, 3]), salt="s", holdout=0.5)
    held_out = db.rows("select distinct holdout from training.erased")
    alone = "select decisions.draw_of(decisions.list_hash('s', 'b')) < 0.5"
    assert held_out == [db.one(alone)]
