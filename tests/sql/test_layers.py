"""Rows in, rows out: what each shared SQL file makes of a few hand-made rows."""

import math

import numpy as np
import pytest

from dagster_project.inputs.propensities import propensity_columns
from dagster_project.scores.predictions import scores_select
from dagster_project.settings import SQL_FOLDER
from dagster_project.training.binning import binned_select
from dagster_project.training.cells import value_counts
from dagster_project.warehouse.sql import Identifier, render
from tests.support import dicts, folder_of, make_table
from uplift_core.cells import BinEdges

FOLDER = folder_of("hillstrom")
TABLES = FOLDER.tables
NAN = math.nan
# A migration changes tables; the files of these tables say the grain.
TABLE_FILES = sorted(path for path in SQL_FOLDER.rglob("*.sql") if path.parent.name != "migrations")


def float_column(values):
    return np.asarray(values, dtype=np.float32)[:, None]


@pytest.mark.parametrize("path", TABLE_FILES, ids=lambda p: p.stem)
def test_every_file_says_its_grain(path):
    head = path.read_text(encoding="utf-8").split("*/")[0]
    assert head.startswith("/*")
    assert "Grain:" in head


def test_assignment(db):
    make_table(
        db,
        "raw.hillstrom",
        "user_id bigint, segment varchar, visit integer, conversion integer, spend double",
        [(1, "No E-Mail", 0, 0, 0.0), (2, "Womens E-Mail", 1, 1, 29.99), (3, "Mens E-Mail", 1, 0, 0.0)],
    )
    sql = render(
        "training/assignment.sql",
        raw=TABLES.raw,
        arm_column=Identifier.of("segment"),
        cluster=None,
        exposure=None,
        weight=None,
        outcomes=FOLDER.outcomes,
        **propensity_columns(FOLDER),
    )
    binds = {
        "salt": "s",
        "holdout": 0.3,
        "folds": 5,
        "arm_values": ["No E-Mail", "Womens E-Mail", "Mens E-Mail"],
        "arm_names": ["none", "womens", "mens"],
    }
    result = dicts(db, sql, binds)
    assert [(r["user_id"], r["arm"], r["visit"], r["spend"]) for r in result] == [
        (1, "none", 0, 0.0),
        (2, "womens", 1, 29.99),
        (3, "mens", 1, 0.0),
    ]
    assert all(r["split"] in {"train", "holdout"} and 0 <= r["fold"] < 5 for r in result)
    assert dicts(db, sql, binds) == result
    assert dicts(db, sql, binds | {"holdout": 1.0})[0]["split"] == "holdout"
    assert dicts(db, sql, binds | {"holdout": 0.0})[0]["split"] == "train"


def test_splits_and_folds_are_even_and_independent(db):
    db.rows(
        "create table raw.hillstrom as select range + 1 as user_id, 'No E-Mail' as segment, "
        "0::integer as visit, 0::integer as conversion, 0.0::double as spend from range(20000)"
    )
    sql = render(
        "training/assignment.sql",
        raw=TABLES.raw,
        arm_column=Identifier.of("segment"),
        cluster=None,
        exposure=None,
        weight=None,
        outcomes=FOLDER.outcomes,
        **propensity_columns(FOLDER),
    )
    binds = {"salt": "s", "holdout": 0.3, "folds": 5, "arm_values": ["No E-Mail"], "arm_names": ["none"]}
    rows = db.rows(f"select split, fold, count(*) from ({sql}) group by all", binds)
    shares = {(split, fold): n / 20_000 for split, fold, n in rows}
    for fold in range(5):
        assert shares["holdout", fold] == pytest.approx(0.06, abs=0.006)
        assert shares["train", fold] == pytest.approx(0.14, abs=0.009)


def make_features(db, values, splits):
    make_table(db, "features.hillstrom", "user_id bigint, recency float", list(enumerate(values, 1)))
    make_table(db, "assignment.hillstrom", "user_id bigint, split varchar", list(enumerate(splits, 1)))


def edges_of(db, max_bins):
    sql = render("training/edges.sql", counts=Identifier(f"({value_counts(FOLDER, ['recency'])})"))
    return [r["edge"] for r in dicts(db, sql, {"max_bins": max_bins})]


def test_few_values_keep_each_and_come_from_train_alone(db):
    make_features(db, [3, 1, NAN, 3, 9, None], ["train"] * 4 + ["holdout", "train"])
    assert edges_of(db, 2) == [1, 3]


@pytest.mark.parametrize("max_bins", [2, 4, 7, 64])
@pytest.mark.parametrize("n", [65, 101, 500])
def test_many_values_become_quantiles_that_occur_as_in_numpy(db, n, max_bins):
    values = [float((37 * k) % 83) ** 2 / 4 for k in range(n)]
    make_features(db, values, ["train"] * n)
    edges = edges_of(db, max_bins)
    assert edges[0] == min(values)
    assert set(edges) <= set(values)
    numpy = BinEdges.of(["recency"], float_column(values), max_bins)
    assert edges == numpy.edges[0].tolist()


def test_edges_keep_a_rare_value_of_few_and_depend_on_no_order(db):
    values = [0.0] * 998 + [7.0, 9.0]
    make_features(db, values, ["train"] * 1000)
    assert edges_of(db, 3) == [0, 7, 9]
    for table in ("features", "assignment"):
        db.rows(f"drop table {table}.hillstrom")
    make_features(db, values[::-1], ["train"] * 1000)
    assert edges_of(db, 3) == [0, 7, 9]


def test_cells_add_up_their_users(db):
    make_table(
        db,
        "features.hillstrom",
        "user_id bigint, recency float, history float",
        [(1, 0.5, 7), (2, 1.0, 7), (3, 2.5, 7), (4, NAN, 7), (5, None, 9), (6, 2.0, 7)],
    )
    make_table(
        db,
        "assignment.hillstrom",
        "user_id bigint, arm varchar, split varchar, fold tinyint, visit integer, "
        "conversion integer, spend double",
        [
            (1, "none", "train", 0, 1, 0, 0.1),
            (2, "none", "train", 0, 0, 0, 0.2),
            (3, "none", "train", 0, 1, 1, 0.0),
            (4, "mens", "train", 1, 1, 0, 5.5),
            (5, "mens", "train", 1, 1, 1, 2.5),
            (6, "none", "holdout", 0, 1, 0, 0.0),
        ],
    )
    edges = BinEdges(("recency", "history"), (float_column([1, 2])[:, 0], float_column([7])[:, 0]))
    db.create(TABLES.binned, binned_select(edges, TABLES))
    lists = {"feature_list": Identifier.listed(edges.features)}
    db.create(TABLES.feature_cells, render("training/feature_cells.sql", binned=TABLES.binned, **lists))
    db.create(
        TABLES.user_cells,
        render(
            "training/user_cells.sql",
            binned=TABLES.binned,
            feature_cells=TABLES.feature_cells,
            **lists,
        ),
    )
    # 0.5 lies below the first edge and belongs to the first bin; NaN and null are one bin, the last.
    assert db.rows("select user_id, cell from training.hillstrom_user_cells order by 1") == [
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 2),
        (5, 2),
        (6, 1),
    ]
    sql = render(
        "training/cells.sql",
        user_cells=TABLES.user_cells,
        feature_cells=TABLES.feature_cells,
        assignment=TABLES.assignment,
        outcomes=FOLDER.outcomes,
        varies=False,
        weighted=False,
    )
    result = [
        (r["cell"], r["arm"], r["split"], r["n"], r["visit_sum"], r["spend_sum"], r["spend_events"])
        for r in dicts(db, sql)
    ]
    assert result == [
        (0, "none", "train", 2, 1.0, pytest.approx(0.3, abs=1e-15), 2),
        (1, "none", "holdout", 1, 1.0, 0.0, 0),
        (1, "none", "train", 1, 1.0, 0.0, 0),
        (2, "mens", "train", 2, 2.0, 8.0, 2),
    ]


def test_scores_reach_every_user_of_a_cell(db):
    make_table(
        db, "training.hillstrom_user_cells", "user_id bigint, cell bigint", [(1, 0), (2, 1), (3, 0)]
    )
    make_table(
        db,
        "assignment.hillstrom",
        "user_id bigint, split varchar",
        [(1, "train"), (2, "holdout"), (3, "train")],
    )
    make_table(
        db,
        "training.hillstrom_predictions",
        "cell bigint, arm varchar, cate_s float, cate_t float, cate_x float, cate_r float, "
        "cate_dr float, cate_stack float, response float",
        [(0, "mens", 1, 2, 3, 4, 5, 6, 7), (1, "mens", 8, 9, 10, 11, 12, 13, 14)],
    )
    assert "cate_std_error" in scores_select(TABLES, bagged=True)
    sql = scores_select(TABLES)
    assert db.rows(sql) == [
        (1, "mens", "train", 1, 2, 3, 4, 5, 6, 7),
        (2, "mens", "holdout", 8, 9, 10, 11, 12, 13, 14),
        (3, "mens", "train", 1, 2, 3, 4, 5, 6, 7),
    ]


def make_scores(db):
    make_table(
        db,
        "scores.hillstrom",
        "user_id bigint, arm varchar, split varchar, cate_t float, cate_r float, response float",
        [
            (1, "mens", "holdout", 0.5, 2, 0.25),
            (2, "mens", "holdout", 0.5, 2, 0.25),
            (3, "mens", "holdout", 0.5, 1, 0.25),
            (4, "mens", "train", 0.5, 3, 0.25),
            (5, "mens", "holdout", 0.5, 9, 0.25),
        ],
    )


def joint_groups_of(db, *, by_fold, split):
    sql = render(
        "evaluation/joint_groups.sql",
        cells=TABLES.cells,
        predictions=TABLES.predictions,
        sums=FOLDER.outcome("visit"),
        score_names=[Identifier.of("cate_r")],
        score_list=Identifier.of("cate_r"),
        mu0=Identifier.of("response"),
        mu1=Identifier.of("mu1_visit"),
        by_fold=by_fold,
        varies=False,
        weighted=False,
    )
    binds = {"arm": "mens", "control": "none", "propensity": 0.5, "split": split}
    return dicts(db, sql, binds)


def make_cells(db):
    make_table(
        db,
        "training.hillstrom_cells",
        "cell bigint, arm varchar, split varchar, fold tinyint, n bigint, visit_sum double, "
        "visit_sum_sq double, visit_events bigint",
        [
            (0, "mens", "holdout", 0, 1, 1, 1, 1),
            (1, "none", "holdout", 1, 1, 1, 1, 1),
            (2, "none", "holdout", 0, 1, 0, 0, 0),
            (0, "mens", "train", 0, 7, 3, 3, 3),
            (1, "womens", "holdout", 0, 5, 5, 5, 5),
        ],
    )


def test_joint_groups_hold_the_doubly_robust_scores_of_the_contrast(db):
    make_cells(db)
    make_table(
        db,
        "training.hillstrom_predictions",
        "cell bigint, arm varchar, cate_r float, response float, mu1_visit float",
        [
            *((cell, "mens", score, 0.25, 0.75) for cell, score in ((0, 2), (1, 2), (2, 1))),
            (0, "womens", 9, 0.5, 0.5),
        ],
    )
    result = sorted(joint_groups_of(db, by_fold=False, split="holdout"), key=lambda r: -r["cate_r"])
    # phi is .5 + .25/.5 = 1 in cells 0 and 2, .5 - .75/.5 = -1 in cell 1.
    assert [(r["cate_r"], r["n"], r["n_treated"], r["y_treated"], r["y_control"]) for r in result] == [
        (2, 2, 1, 1, 1),
        (1, 1, 0, 0, 0),
    ]
    assert [(r["phi"], r["phi_sq"]) for r in result] == [(0, 2), (1, 1)]
    assert [r["phi_cu"] for r in result] == [0, 1]
    assert [r["phi0"] for r in result] == [0.25 + 0.25 + 0.75 / 0.5, 0.25 - 0.25 / 0.5]


def test_out_of_fold_groups_take_each_folds_own_predictions(db):
    make_cells(db)
    make_table(
        db,
        "training.hillstrom_predictions",
        "cell bigint, fold tinyint, arm varchar, cate_r float, response float, mu1_visit float",
        [(0, 0, "mens", 2, 0.25, 0.75), (0, 1, "mens", 5, 0.5, 0.5)],
    )
    (result,) = joint_groups_of(db, by_fold=True, split="train")
    assert (result["fold"], result["cate_r"], result["n"], result["y_treated"]) == (0, 2, 7, 3)
    assert result["phi"] == 7 * (0.75 - 0.25) + (3 - 7 * 0.75) / 0.5
    # Three of the seven came: phi is .5 + .25/.5 = 1 for them, .5 - .75/.5 = -1 for the others.
    assert (result["phi_sq"], result["phi_cu"]) == (7, 3 - 4)


def test_holdout_scores_count_all_arms_users(db):
    make_scores(db)
    binds = {"experiment": "hillstrom", "arm": "mens", "learner": "r"}
    sql = "from decisions.holdout_scores($experiment, $arm, $learner)"
    assert db.rows(sql, binds) == [(9, 1), (2, 2), (1, 1)]


def test_crosscheck_rows_are_the_contrasts_users(db):
    make_table(db, "features.hillstrom", "user_id bigint, recency float", [(k, k) for k in range(1, 6)])
    make_table(
        db,
        "assignment.hillstrom",
        "user_id bigint, arm varchar, split varchar, fold tinyint, visit integer",
        [
            (1, "mens", "train", 0, 1),
            (2, "none", "holdout", 1, 0),
            (3, "womens", "train", 0, 1),
            (4, "mens", "holdout", 2, 1),
            (5, "none", "train", 3, 0),
        ],
    )
    sql = render(
        "evaluation/crosscheck_rows.sql",
        features=TABLES.features,
        assignment=TABLES.assignment,
        outcome=Identifier.of("visit"),
    )
    binds = {"arm": "mens", "control": "none", "salt": "s", "max_users": 10}
    result = {
        r["user_id"]: (r["crosscheck_w"], r["crosscheck_y"], r["crosscheck_train"])
        for r in dicts(db, sql, binds)
    }
    assert result == {1: (1, 1, True), 2: (0, 0, False), 4: (1, 1, False), 5: (0, 0, True)}
    assert len(dicts(db, sql, binds | {"max_users": 2})) == 2


NUMBERS = [Identifier("1"), Identifier("2")]
TWO = [Identifier.of("recency"), Identifier.of("history")]


def test_moments_leave_out_what_is_not_known(db):
    rows = [(1, 1.0, 5.0), (2, 3.0, NAN), (3, 4.0, None), (4, 8.0, 7.0)]
    make_table(db, "features.hillstrom", "user_id bigint, recency float, history float", rows)
    arms = [(1, "none"), (2, "none"), (3, "womens"), (4, "womens")]
    make_table(db, "assignment.hillstrom", "user_id bigint, arm varchar", arms)
    names = {"features": TABLES.features, "assignment": TABLES.assignment}
    sql = render("quality/moments.sql", **names, feature_names=TWO, numbers=NUMBERS, varies=False)
    assert db.rows(sql) == [
        ("none", 1, 2, 2.0, 2.0, 2),
        ("none", 2, 2, 5.0, 0.0, 1),
        ("womens", 1, 2, 6.0, 8.0, 2),
        ("womens", 2, 2, 7.0, 0.0, 1),
    ]


def test_histograms_count_missing_values_apart(db):
    rows = [(1, 0.0, 5.0), (2, 1.5, NAN), (3, 2.0, None), (4, 9.0, 7.0)]
    make_table(db, "features.hillstrom", "user_id bigint, recency float, history float", rows)
    bounds = [Identifier("$bounds_1"), Identifier("$bounds_2")]
    sql = render(
        "quality/histograms.sql",
        features=TABLES.features,
        feature_names=TWO,
        numbers=NUMBERS,
        bounds=bounds,
    )
    assert db.rows(sql, {"bounds_1": [0.0, 1.0, 2.0], "bounds_2": [5.0]}) == [
        (1, {0.0: 1, 1.0: 0, 2.0: 2, math.inf: 1}, 0),
        (2, {5.0: 1, math.inf: 1}, 2),
    ]


def test_outcomes_are_counted_by_each_feature_alone(db):
    columns = "split varchar, recency float, history float, n bigint, visit_events bigint"
    rows = [("train", 1.0, 5.0, 10, 2), ("train", 1.0, 6.0, 4, 1), ("holdout", 1.0, 5.0, 3, 3)]
    make_table(db, "training.hillstrom_cells", columns, rows)
    sql = render(
        "quality/outcome_by_bin.sql",
        cells=TABLES.cells,
        events=Identifier.of("visit_events"),
        feature_names=TWO,
        feature_list=Identifier.listed(["recency", "history"]),
    )
    assert sorted(db.rows(sql), key=str) == [
        ("holdout", 1.0, None, 1, 3.0, 3.0),
        ("holdout", None, 5.0, 2, 3.0, 3.0),
        ("train", 1.0, None, 1, 14.0, 3.0),
        ("train", None, 5.0, 2, 10.0, 2.0),
        ("train", None, 6.0, 2, 4.0, 1.0),
    ]


def test_score_bins_hold_twentieths_of_the_train_users(db):
    rows = [(i, "womens", "train" if i <= 100 else "holdout", i / 100) for i in range(1, 121)]
    columns = "user_id bigint, arm varchar, split varchar, cate_r float"
    make_table(db, "scores.hillstrom", columns, rows)
    sql = render("quality/score_bins.sql", scores=TABLES.scores, score=Identifier.of("cate_r"))
    result = db.rows(sql, {"arm": "womens", "step": 1})
    assert result == [("holdout", 19, 20), *(("train", b, 5) for b in range(20))]
