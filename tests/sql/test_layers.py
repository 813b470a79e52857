"""Rows in, rows out: what each shared SQL file makes of a few hand-made rows."""

import math

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.binning import binned_select
from dagster_project.settings import SQL_FOLDER
from dagster_project.sqlfiles import Identifier, render
from tests.support import dicts, folder_of, make_table
from uplift_core.cells import BinEdges

FOLDER = folder_of("hillstrom")
TABLES = FOLDER.tables
NAN = math.nan


def float_column(values):
    return np.asarray(values, dtype=np.float32)[:, None]


@pytest.mark.parametrize("path", sorted(SQL_FOLDER.rglob("*.sql")), ids=lambda p: p.stem)
def test_every_file_says_its_grain(path):
    head = path.read_text(encoding="utf-8").split("*/")[0]
    assert head.startswith("/*")
    assert "Grain:" in head


def test_assignment(db):
    make_table(
        db,
        "raw.hillstrom",
        "user_id bigint, segment varchar, visit utinyint, conversion utinyint, spend double",
        [(1, "No E-Mail", 0, 0, 0.0), (2, "Womens E-Mail", 1, 1, 29.99), (3, "Mens E-Mail", 1, 0, 0.0)],
    )
    sql = render(
        "training/assignment.sql",
        raw=TABLES.raw,
        arm_column=Identifier.of("segment"),
        outcomes=FOLDER.outcomes,
    )
    binds = {
        "salt": "s",
        "holdout": 0.3,
        "folds": 5,
        "arm_values": ["No E-Mail", "Womens E-Mail", "Mens E-Mail"],
        "arm_names": ["none", "womens", "mens"],
    }
    found = dicts(db, sql, binds)
    assert [(r["user_id"], r["arm"], r["visit"], r["spend"]) for r in found] == [
        (1, "none", 0, 0.0),
        (2, "womens", 1, 29.99),
        (3, "mens", 1, 0.0),
    ]
    assert all(r["split"] in {"train", "holdout"} and 0 <= r["fold"] < 5 for r in found)
    assert dicts(db, sql, binds) == found
    assert dicts(db, sql, binds | {"holdout": 1.0})[0]["split"] == "holdout"
    assert dicts(db, sql, binds | {"holdout": 0.0})[0]["split"] == "train"


def test_splits_and_folds_are_even_and_independent(db):
    db.rows(
        "create table raw.hillstrom as select range + 1 as user_id, 'No E-Mail' as segment, "
        "0::utinyint as visit, 0::utinyint as conversion, 0.0::double as spend from range(20000)"
    )
    sql = render(
        "training/assignment.sql",
        raw=TABLES.raw,
        arm_column=Identifier.of("segment"),
        outcomes=FOLDER.outcomes,
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
    sql = render(
        "training/edges.sql",
        features=TABLES.features,
        assignment=TABLES.assignment,
        feature_names=[Identifier.of("recency")],
        feature_list=Identifier.of("recency"),
    )
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
        "user_id bigint, arm varchar, split varchar, fold tinyint, visit utinyint, "
        "conversion utinyint, spend double",
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
    )
    found = [
        (r["cell"], r["arm"], r["split"], r["n"], r["visit_sum"], r["spend_sum"], r["spend_events"])
        for r in dicts(db, sql)
    ]
    assert found == [
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
        "cate_dr float, response float",
        [(0, "mens", 1, 2, 3, 4, 5, 6), (1, "mens", 7, 8, 9, 10, 11, 12)],
    )
    sql = render(
        "scores/scores.sql",
        predictions=TABLES.predictions,
        user_cells=TABLES.user_cells,
        assignment=TABLES.assignment,
    )
    assert db.rows(sql) == [
        (1, "mens", "train", 1, 2, 3, 4, 5, 6),
        (2, "mens", "holdout", 7, 8, 9, 10, 11, 12),
        (3, "mens", "train", 1, 2, 3, 4, 5, 6),
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
    )
    binds = {"arm": "mens", "control": "none", "propensity": 0.5, "split": split}
    return dicts(db, sql, binds)


def make_cells(db):
    make_table(
        db,
        "training.hillstrom_cells",
        "cell bigint, arm varchar, split varchar, fold tinyint, n bigint, visit_sum double, "
        "visit_sum_sq double",
        [
            (0, "mens", "holdout", 0, 1, 1, 1),
            (1, "none", "holdout", 1, 1, 1, 1),
            (2, "none", "holdout", 0, 1, 0, 0),
            (0, "mens", "train", 0, 7, 3, 3),
            (1, "womens", "holdout", 0, 5, 5, 5),
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
    found = sorted(joint_groups_of(db, by_fold=False, split="holdout"), key=lambda r: -r["cate_r"])
    # phi is .5 + .25/.5 = 1 in cells 0 and 2, .5 - .75/.5 = -1 in cell 1.
    assert [(r["cate_r"], r["n"], r["n_treated"], r["y_treated"], r["y_control"]) for r in found] == [
        (2, 2, 1, 1, 1),
        (1, 1, 0, 0, 0),
    ]
    assert [(r["phi"], r["phi_sq"]) for r in found] == [(0, 2), (1, 1)]
    assert [r["phi0"] for r in found] == [0.25 + 0.25 + 0.75 / 0.5, 0.25 - 0.25 / 0.5]


def test_out_of_fold_groups_take_each_folds_own_predictions(db):
    make_cells(db)
    make_table(
        db,
        "training.hillstrom_predictions",
        "cell bigint, fold tinyint, arm varchar, cate_r float, response float, mu1_visit float",
        [(0, 0, "mens", 2, 0.25, 0.75), (0, 1, "mens", 5, 0.5, 0.5)],
    )
    (found,) = joint_groups_of(db, by_fold=True, split="train")
    assert (found["fold"], found["cate_r"], found["n"], found["y_treated"]) == (0, 2, 7, 3)
    assert found["phi"] == 7 * (0.75 - 0.25) + (3 - 7 * 0.75) / 0.5


def test_holdout_scores_count_all_arms_users(db):
    make_scores(db)
    sql = render("decisions/holdout_scores.sql", scores=TABLES.scores, score=Identifier.of("cate_r"))
    assert db.rows(sql, {"arm": "mens"}) == [(9, 1), (2, 2), (1, 1)]


LIST = {
    "decision_date": "2026-01-01",
    "experiment": "hillstrom",
    "arm": "mens",
    "learner": "r",
    "budget": 0.4,
    "size": 8,
    "threshold": 0.0,
    "model_version": "v",
    "salt": "s",
    "holdout": 0.0,
    "explore": 0.0,
    "cap": 1000,
    "cap_days": 7,
    "cost": 0.0,
    "least_score": -math.inf,
}


def make_list(db, **binds):
    sql = render(
        "decisions/treat_list.sql",
        scores=TABLES.scores,
        score=Identifier.of("cate_r"),
        suppressions=Identifier.of("decisions", "suppressions"),
        treat_list=Identifier.of("decisions", "treat_list"),
    )
    return dicts(db, sql, LIST | binds)


def treated(rows):
    return {r["user_id"] for r in rows if r["treated"]}


def scored_users(db, n):
    db.rows(
        "create or replace table scores.hillstrom as select range + 1 as user_id, 'mens' as arm, "
        f"((range * 7919) % 101)::float as cate_r from range({n})"
    )


def test_the_list_is_cut_exactly_and_ties_go_by_salted_md5(db):
    db.rows(
        "create table scores.hillstrom as select range + 1 as user_id, 'mens' as arm, "
        "(range < 5)::float as cate_r from range(20)"
    )
    rows = make_list(db)
    assert [r["rank"] for r in rows] == list(range(1, 21))
    assert len(treated(rows)) == 8
    assert {1, 2, 3, 4, 5} <= treated(rows)
    assert treated(make_list(db)) == treated(rows)
    assert treated(make_list(db, salt="another salt")) != treated(rows)
    assert treated(rows) <= treated(make_list(db, size=12))


@pytest.mark.parametrize("size", [0, 1, 137, 600, 949, 1000])
def test_any_list_is_exact_nested_and_blind_to_the_order_of_rows(db, size):
    scored_users(db, 1000)
    rules = {"holdout": 0.05, "explore": 0.1}
    rows = make_list(db, size=size, **rules)
    eligible = [r for r in rows if r["decision"] != "holdout"]
    assert len(rows) == 1000
    assert len(treated(rows)) == min(size, len(eligible))
    assert treated(rows) <= treated(make_list(db, size=size + 50, **rules))
    db.rows("create or replace table scores.hillstrom as from scores.hillstrom order by cate_r, user_id")
    assert make_list(db, size=size, **rules) == rows


def test_the_holdout_is_never_treated_and_the_same_every_night_and_for_every_model(db):
    scored_users(db, 5000)
    rows = make_list(db, size=4000, holdout=0.1)
    held = {r["user_id"] for r in rows if r["decision"] == "holdout"}
    assert len(held) == pytest.approx(500, abs=70)
    assert not held & treated(rows)
    db.rows("update scores.hillstrom set cate_r = -cate_r")
    other = make_list(db, size=100, holdout=0.1, decision_date="2026-03-01", model_version="w")
    assert {r["user_id"] for r in other if r["decision"] == "holdout"} == held


def test_explorers_are_treated_whatever_their_score(db):
    scored_users(db, 20_000)
    explorers = [r for r in make_list(db, size=6000, explore=0.2) if r["decision"] == "explore"]
    assert len(explorers) == pytest.approx(4000, abs=200)
    assert len(treated(explorers)) == pytest.approx(0.3 * len(explorers), abs=100)
    by_score = [
        np.mean([r["treated"] for r in explorers if (r["score"] > 50) == high]) for high in (0, 1)
    ]
    assert by_score[0] == pytest.approx(by_score[1], abs=0.05)


def test_propensities_are_how_often_users_are_treated_over_draws(db):
    scored_users(db, 300)
    rules = {"size": 90, "holdout": 0.1, "explore": 0.2}
    counts, promised = np.zeros(300), np.zeros(300)
    for salt in range(200):
        for r in make_list(db, salt=str(salt), **rules):
            counts[r["user_id"] - 1] += r["treated"]
            promised[r["user_id"] - 1] += r["propensity"]
    assert counts.sum() == 90 * 200
    assert promised.sum() == pytest.approx(counts.sum(), rel=0.08)
    sure = np.array([promised.max(), promised.min()]) / 200
    assert sure == pytest.approx([0.7 + 0.2 / 3, 0.2 / 3], abs=0.03)
    extremes = [counts[promised > 0.75 * 200].mean(), counts[promised < 0.1 * 200].mean()]
    assert np.array(extremes) / 200 == pytest.approx(sure, abs=0.03)


def test_the_suppressed_are_never_treated(db):
    scored_users(db, 100)
    best = make_list(db, size=3)[:4]
    ids = [r["user_id"] for r in best]
    for user, until in ((ids[0], None), (ids[1], "2026-01-01"), (ids[2], "2025-12-31")):
        db.rows(
            "insert into decisions.suppressions values ('hillstrom', $user, 'unsubscribed', $until)",
            {"user": user, "until": until},
        )
    rows = {r["user_id"]: r for r in make_list(db, size=3)}
    assert [(rows[i]["decision"], rows[i]["reason"], rows[i]["propensity"]) for i in ids[:2]] == [
        ("suppressed", "unsubscribed", 0.0)
    ] * 2
    assert len(treated(rows.values())) == 3
    assert {ids[2], ids[3]} <= treated(rows.values())


def test_effects_that_are_not_worth_their_cost_are_not_bought(db):
    scored_users(db, 500)
    rows = make_list(db, size=400, least_score=60.0, explore=0.1, cost=2.5)
    bought = [r for r in rows if r["decision"] == "treat"]
    assert min(r["score"] for r in bought) > 60
    refused = [r for r in rows if r["reason"] == "not_worth_its_cost"]
    assert max(r["score"] for r in refused) <= 60
    assert {r["decision"] for r in refused} == {"no_treat"}
    assert len(treated(rows)) < 400
    assert {r["cost"] for r in rows} == {2.5}


def test_nobody_is_treated_more_often_than_the_cap_allows(db):
    scored_users(db, 200)
    for night in range(1, 31):
        rows = make_list(db, size=60, decision_date=f"2026-01-{night:02d}", cap=2, cap_days=7)
        with db.relation("tonight", pa.Table.from_pylist(rows)):
            db.rows("insert into decisions.treat_list by name from tonight")
    ((most,),) = db.rows(
        "select max(n) from (select count(*) filter (treated) over (partition by user_id "
        "order by decision_date range between interval 6 days preceding and current row) as n "
        "from decisions.treat_list)"
    )
    assert most == 2
    reasons = dict(db.rows("select reason, count(*) from decisions.treat_list group by all"))
    assert reasons["contact_cap"] > 0


def test_crosscheck_rows_are_the_contrasts_users(db):
    make_table(db, "features.hillstrom", "user_id bigint, recency float", [(k, k) for k in range(1, 6)])
    make_table(
        db,
        "assignment.hillstrom",
        "user_id bigint, arm varchar, split varchar, fold tinyint, visit utinyint",
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
    found = {
        r["user_id"]: (r["crosscheck_w"], r["crosscheck_y"], r["crosscheck_train"])
        for r in dicts(db, sql, binds)
    }
    assert found == {1: (1, 1, True), 2: (0, 0, False), 4: (1, 1, False), 5: (0, 0, True)}
    assert len(dicts(db, sql, binds | {"max_users": 2})) == 2


@pytest.mark.parametrize(
    ("binary", "values", "expected"),
    [
        (True, [0, 1, 1], (0, None, None)),
        (True, [0, 2, 3], (2, 2, "2.0")),
        (True, [0, None, 1], (1, 2, None)),
        (False, [0.5, -3, 1e9], (0, None, None)),
        (False, [math.inf, 1, NAN], (2, 1, "inf")),
    ],
)
def test_outcome_violations(db, binary, values, expected):
    make_table(db, "raw.hillstrom", "user_id bigint, spend double", list(enumerate(values, 1)))
    sql = render("quality/outcome_violations.sql", raw=TABLES.raw, outcome=Identifier.of("spend"))
    assert db.one(sql, {"binary": binary}) == expected


def test_arm_violations(db):
    rows = [(1, "a"), (2, "z"), (3, None), (4, "b")]
    make_table(db, "raw.hillstrom", "user_id bigint, segment varchar", rows)
    sql = render("quality/arm_violations.sql", raw=TABLES.raw, arm_column=Identifier.of("segment"))
    assert db.one(sql, {"arm_values": ["a", "b"]}) == (2, 2, "z")


def test_feature_violations(db):
    rows = [(1, 0.5), (2, NAN), (3, None), (4, -math.inf)]
    make_table(db, "features.hillstrom", "user_id bigint, recency float", rows)
    sql = render(
        "quality/feature_violations.sql", features=TABLES.features, feature=Identifier.of("recency")
    )
    assert db.one(sql) == (1, 4, "-inf")
