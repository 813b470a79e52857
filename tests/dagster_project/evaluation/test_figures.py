"""From scores in the warehouse to score groups and figures, whatever the order of rows."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from dagster_project.decisions.thresholds import threshold_rows
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.figures import AUDIENCES, evaluate, headline, summary_markdown
from dagster_project.scores.predictions import SCORES
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from tests.support import Users, memory_warehouse, opened, random_users, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.curves import qini_auc
from uplift_core.evaluation.estimate import SUMS
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups
from uplift_core.evaluation.policy import gain_over_random, policy_value
from uplift_core.evaluation.rate import autoc
from uplift_core.evaluation.tables import BUDGETS, TABLES

GROUPED = (*SUMS, "score", "propensity")


def float32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


def some_users() -> Users:
    """Tied scores and few models' values: several users a cell."""
    users = random_users(21, 600, levels=5)
    score = float32(users.score)
    mu0 = float32(0.3 + 0.1 * np.floor(3 * users.mu0))
    return Users(score, users.w, users.y, mu0, float32(mu0 + score / 8), users.propensity)


def load(db: Warehouse, users: Users, order: np.ndarray, cluster: np.ndarray | None = None) -> None:
    """Cells and predictions of ``users``, added up in this order, among users of the train split."""
    n = len(order)
    _, cell = np.unique(np.c_[users.score, users.mu0], axis=0, return_inverse=True)
    columns = {
        "cell": pa.array(cell.ravel()[order], pa.int64()),
        "arm": pa.array(np.where(users.w[order] == 1, "treated", "control").tolist()),
        "fold": pa.array(order % 3, pa.int8()),
        "y": pa.array(users.y[order].astype(np.int32)),
        "score": pa.array(users.score[order], pa.float32()),
        "mu0": pa.array(users.mu0[order], pa.float32()),
        "mu1": pa.array(users.mu1[order], pa.float32()),
    }
    with db.relation("users", pa.table(columns)):
        db.rows(
            "create or replace table training.simulated_cells as "
            "select cell, arm, split, fold, count(*) as n, sum(y)::double as converted_sum, "
            "sum(y * y)::double as converted_sum_sq, sum(y) as converted_events "
            "from users cross join (values ('holdout'), ('train'), ('train')) as s (split) group by all"
        )  # the users of the train split are those whom nothing may count
        db.rows(
            "create or replace table training.simulated_predictions as "
            "select distinct cell, 'treated' as arm, score as cate_s, score / 2 as cate_t, "
            "score as cate_x, score as cate_r, score as cate_dr, mu0 as response, "
            "mu0 as mu0_converted, mu1 as mu1_converted from users"
        )
        if cluster is not None:
            names = pa.array([f"household {c}" for c in cluster[order]])
            ids = pa.array(order, pa.int64())
            table = pa.table(columns | {"cluster": names, "user_id": ids})
            with db.relation("clustered", table):
                db.rows(
                    "create or replace table assignment.simulated as select user_id, arm, "
                    "'holdout' as split, fold, cluster, y as converted from clustered"
                )
                db.rows(
                    "create or replace table training.simulated_user_cells as "
                    "select user_id, cell from clustered"
                )
    (counted,) = db.one("select sum(n) from training.simulated_cells where split = 'holdout'")
    assert counted == n


def joint_in_order(
    users: Users,
    experiment: BatchExperiment,
    order: np.ndarray,
    threads: int,
    cluster: np.ndarray | None = None,
) -> JointGroups:
    db = memory_warehouse()
    db.rows(f"set threads = {threads}")
    load(db, users, order, cluster)
    joint = read_holdout(db, experiment, "treated", "converted")
    db.con.close()
    return joint


def groups_in_order(
    users: Users, experiment: BatchExperiment, order: np.ndarray, threads: int
) -> ScoreGroups:
    return joint_in_order(users, experiment, order, threads).by("r")[0]


def test_sql_adds_up_what_numpy_adds_up(simulated: BatchExperiment) -> None:
    users = some_users()
    joint = joint_in_order(users, simulated, np.arange(600), 2)
    assert len(joint.n) < 100
    grouped = joint.by("r")[0]
    assert grouped.clusters is None
    for name in GROUPED:
        expected = getattr(users.groups(), name)
        rounded = 2e-5 if name == "phi_cu" else 1e-9  # cubes have six digits by cell
        assert getattr(grouped, name) == pytest.approx(expected, rel=1e-9, abs=rounded), name


def test_sql_adds_up_clusters_as_numpy_does_in_any_order(simulated: BatchExperiment) -> None:
    users, declared = some_users(), with_experiment(simulated, cluster="household")
    cluster = np.random.default_rng(6).integers(0, 250, 600)
    expected = joint_groups(
        {"r": users.score},
        users.w,
        users.y,
        mu0=users.mu0,
        mu1=users.mu1,
        propensity=0.5,
        cluster=cluster,
    ).by("r")[0]
    found = [
        joint_in_order(users, declared, np.random.default_rng(seed).permutation(600), seed, cluster)
        for seed in (1, 2)
    ]
    assert len(found[0].n) == len(joint_in_order(users, simulated, np.arange(600), 2).n)
    assert found[0].clusters is not None
    assert len(found[0].clusters) == len(np.unique(cluster))
    for figure in (autoc, qini_auc, lambda groups: policy_value(groups, 0.3)):
        errors = [figure(joint.by("r")[0]).std_error for joint in found]
        assert errors[0] == errors[1]
        assert errors[0] == pytest.approx(figure(expected).std_error, rel=1e-9)
        assert errors[0] != pytest.approx(figure(users.groups()).std_error, rel=1e-5)


def test_no_figure_depends_on_row_order_or_threads(simulated: BatchExperiment) -> None:
    users = some_users()
    reference = groups_in_order(users, simulated, np.arange(600), 1)
    for seed, threads in ((1, 1), (2, 2), (3, 2)):
        order = np.random.default_rng(seed).permutation(600)
        grouped = groups_in_order(users, simulated, order, threads)
        for name in GROUPED:
            expected = np.asarray(getattr(reference, name))
            assert np.asarray(getattr(grouped, name)).tobytes() == expected.tobytes(), name
        assert qini_auc(grouped) == qini_auc(reference)
        assert policy_value(grouped, 0.3) == policy_value(reference, 0.3)


def test_one_score_for_all_gains_exactly_nothing(simulated: BatchExperiment) -> None:
    users = some_users()
    blind = Users(np.full(600, 0.25), users.w, users.y, users.mu0, users.mu1, users.propensity)
    groups = groups_in_order(blind, simulated, np.arange(600), 2)
    assert len(groups.n) == 1
    assert qini_auc(groups).value == 0
    assert [gain_over_random(groups, b).value for b in BUDGETS] == [0.0] * 100


def test_every_table_is_filled_for_every_learner_and_arm(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        tables = evaluate(db, simulated)
    audiences = tables.pop(AUDIENCES)
    assert {(row["arm"], row["learner"]) for row in audiences} == {
        ("treated", name) for name in SCORES if name != RESPONSE
    }
    assert tables.keys() == set(TABLES)
    for rows in tables.values():
        assert {(row["arm"], row["learner"]) for row in rows} == {("treated", name) for name in SCORES}
    assert len(tables["deciles"]) == 10 * len(SCORES)
    assert len(tables["policy_value"]) == 2 * len(BUDGETS) * len(SCORES)
    for row in tables["policy_value"]:
        assert np.isfinite([row["value"], row["std_error"], row["gain_over_random"]]).all()


def test_curves_start_at_nobody_end_at_everybody_and_are_no_longer_than_needed(home: Home) -> None:
    with opened(home) as db:
        (held_out,) = db.one("select count(*) from assignment.simulated where split = 'holdout'")
        rows = db.rows(
            "select min(targeted), max(targeted), count(*), count(distinct targeted), "
            "arg_min(incremental, targeted) from evaluation.qini_curve group by learner"
        )
    assert len(rows) == len(SCORES)
    for first, last, points, distinct, start in rows:
        assert (first, last, start) == (0, held_out, 0)
        assert points == distinct <= 1001


def test_what_was_published_is_what_is_computed_again(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        metrics = evaluate(db, simulated)["metrics"]
        stored = db.rows("select learner, metric, value from evaluation.metrics order by all")
        assert sorted((m["learner"], m["metric"], m["value"]) for m in metrics) == stored
        thresholds = threshold_rows(db, simulated)
        stored = db.rows("select learner, budget, threshold from decisions.thresholds order by all")
    assert sorted((t["learner"], t["budget"], t["threshold"]) for t in thresholds) == stored


def test_the_summary_holds_every_learner_at_the_default_budget(
    home: Home, simulated: BatchExperiment
) -> None:
    with opened(home) as db:
        tables = evaluate(db, simulated)
    lines = summary_markdown(simulated, tables, {"treated": "x"}).splitlines()
    rows = [line.split("|")[2].strip() for line in lines if line.startswith("| treated")]
    assert rows == [f"{name} *" if name == "x" else name for name in SCORES]
    assert any("value at 30%" in line for line in lines)
    (row,) = (
        row
        for row in tables["policy_value"]
        if (row["learner"], row["estimator"], row["budget"]) == ("x", "aipw", 0.3)
        and row["outcome"] == simulated.declaration.defaults.outcome
    )
    figures = headline(simulated, tables, {"treated": "x"})
    assert (figures["gain_over_random"], figures["gain_std_error"], figures["value"]) == (
        *(row["gain_over_random"], row["gain_std_error"], row["value"]),
    )


def test_an_experiment_that_was_never_scored_is_no_empty_evaluation(simulated: BatchExperiment) -> None:
    db = memory_warehouse()
    with pytest.raises(duckdb.CatalogException, match="simulated"):
        evaluate(db, simulated)
    db.con.close()
