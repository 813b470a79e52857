"""A model decides as a run does, is judged on users that it never saw, and survives the disk."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import altair as alt
import numpy as np
import pyarrow as pa
import pytest

import uplift_core as uplift
from serve.features import FeatureQuery
from tests.uplift_core.library.conftest import HOW, made_users
from uplift_core.artifacts import bundle
from uplift_core.errors import BundleError, DataError, ExperimentError
from uplift_core.library.model import EVIDENCE, Model

Columns = dict[str, np.ndarray]


def test_a_list_has_its_exact_size_and_treats_the_largest_effects(users: Columns, model: Model) -> None:
    for options, size in (({"budget": 0.25}, 750), ({"users": 17}, 17), ({}, 900), ({"budget": 0.0}, 0)):
        decisions = model.decide(users, **options)
        assert decisions.treat.sum() == size
        assert sorted(decisions.rank) == list(range(1, len(decisions.rank) + 1))
        if size:
            assert decisions.score[decisions.treat].min() == np.float32(decisions.threshold)
        assert not (decisions.score[~decisions.treat] > decisions.threshold).any()
    assert decisions.evidence == model.evidence["offer"]
    assert np.array_equal(decisions.score, model.effect(users))


def test_a_model_and_its_decisions_are_shown_in_a_line(users: Columns, model: Model) -> None:
    word = model.evidence["offer"].word
    assert repr(model).startswith(f"<Model: effect of offer ({word}) against none on 'bought', by ")
    shown = repr(model.decide(users, users=17, cost=0.5))
    assert shown.startswith(f"<Decisions: 17 of 3,000 users get offer for 8.50, by stack ({word}), from")


def test_equal_scores_are_ordered_by_the_id(users: Columns) -> None:
    known = uplift.fit(users, **HOW, id="customer")
    same = {name: np.repeat(column[:1], 100) for name, column in users.items()}
    same["customer"] = np.arange(100)
    first = known.decide(same, 0.5).treat
    turned = known.decide({name: column[::-1] for name, column in same.items()}, 0.5).treat
    assert first.sum() == 50
    assert np.array_equal(first, turned[::-1])


def test_money_buys_the_users_who_are_worth_it_and_no_more(users: Columns, model: Model) -> None:
    priced = model.decide(users, money=100.0, cost=0.5, value=20.0)
    worth = 20.0 * priced.score.astype(float) > 0.5
    assert (priced.treat.sum(), priced.spent) == (min(200, worth.sum()), 100.0)
    assert np.array_equal(priced.treat, model.decide(users, users=200).treat)
    rich = model.decide(users, money=1e6, cost=0.5, value=20.0)
    assert np.array_equal(rich.treat, worth)
    assert np.array_equal(rich.treat, model.decide(users, 1.0, cost=0.5, value=20.0, fill=False).treat)

    postage = np.linspace(0.1, 2.0, len(worth)).round(2)
    own = model.decide(users | {"postage": postage}, money=100.0, cost="postage", value=20.0)
    assert own.spent == pytest.approx(postage[own.treat].sum())
    following = postage[own.rank == own.treat.sum() + 1]
    assert 100.0 - own.spent < following
    per_cost = own.score / postage
    assert per_cost[own.treat].min() >= per_cost[~own.treat & (20.0 * own.score > postage)].max()


def test_prices_of_fit_are_kept_and_earn_a_profit(users: Columns, tmp_path: Path) -> None:
    columns = users | {"spend": users["bought"] * 30.0}
    how = HOW | {"outcome": ["bought", "spend"], "cost": {"offer": 0.5}, "value": {"spend": 0.1}}
    model = uplift.fit(columns, **how)
    model.save(tmp_path)
    loaded = uplift.load(tmp_path)
    with pytest.raises(DataError, match="money: needs the cost of a treatment and the value"):
        loaded.decide(columns, money=10.0)  # the learned outcome has no value
    assert loaded.decide(columns, money=10.0, value=50.0).spent == 10.0

    evaluation = loaded.evaluate(columns)
    assert str(evaluation) == str(model.evaluate())
    rows = evaluation.table("profit", "spend")
    assert rows == evaluation.table("profit")
    figures = {
        (row["learner"], row["budget"]): row
        for row in evaluation.table("policy_value", "spend")
        if row["estimator"] == "aipw"
    }
    for row in rows:
        added = figures[row["learner"], row["budget"]]["incremental"]
        assert row["profit"] == pytest.approx(0.1 * added - 0.5 * row["budget"])
        assert row["behind"] >= 0
    assert evaluation.table("summary", "spend") != evaluation.table()
    assert isinstance(evaluation.plot("qini", outcome="spend"), alt.LayerChart)
    with pytest.raises(DataError, match="outcome: 'visit' must be one of"):
        evaluation.plot("qini", outcome="visit")
    alone = loaded.evaluate({name: column for name, column in columns.items() if name != "spend"})
    assert {row["outcome"] for row in alone.table("metrics")} == {"bought"}
    with pytest.raises(DataError, match="profit: needs value="):
        alone.table("profit")


def test_households_are_treated_as_a_whole(users: Columns) -> None:
    model = uplift.fit(users, **HOW, cluster="household")
    whole = model.decide(users, users=501)
    assert whole.treat.sum() == 500  # two users each
    assert np.array_equal(whole.treat[::2], whole.treat[1::2])
    mean = whole.score.reshape(-1, 2).mean(axis=1)
    treated = whole.treat[::2]
    assert mean[treated].min() >= mean[~treated].max()
    assert model.decide(users, users=501, unit="user").treat.sum() == 501
    alone = {name: column for name, column in users.items() if name != "household"}
    with pytest.raises(DataError, match="has no column 'household'"):
        model.decide(alone)
    assert model.decide(alone, unit="user").treat.sum() == 900


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"money": 10.0}, "money: needs the cost of a treatment and the value"),
        ({"money": 10.0, "budget": 0.1}, "budget: must be one of share, users or money"),
        ({"money": -1.0, "cost": 1.0, "value": 2.0}, "must be 0 or more"),
        (
            {"money": 1.0, "cost": "gap", "value": 2.0},
            "gap: is missing or not above 0",
        ),
        ({"money": 1.0, "cost": "city", "value": 2.0}, "city: holds"),
        ({"unit": "cluster"}, "unit: 'cluster' needs clusters"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(
    users: Columns, model: Model, options: dict, message: str
) -> None:
    gap = users["age"].astype(float)
    gap[2] = np.nan
    with pytest.raises(DataError, match=re.escape(message)):
        model.decide(users | {"gap": gap}, **options)


def test_an_arm_has_its_name_or_its_value(users: Columns, model: Model) -> None:
    assert np.array_equal(model.effect(users, arm="offer"), model.effect(users))
    with pytest.raises(ExperimentError, match="'none' is no treatment arm"):
        model.effect(users, arm="none")
    with pytest.raises(DataError, match="learner: 'forest' must be one of"):
        model.effect(users, learner="forest")


def test_explanations_add_up_to_the_effect(users: Columns, model: Model) -> None:
    for learner in model.contrasts["offer"].learners:
        told = model.explain(users, learner=learner)
        assert told.values.shape == (len(users["age"]), len(model.encoding.features))
        total = told.values.sum(axis=1) + told.bias
        assert total == pytest.approx(model.effect(users, learner=learner), abs=1e-5)


def test_held_out_users_judge_and_nobody_else(users: Columns, model: Model) -> None:
    assert model.users is not None
    n = {row["n"] for row in model.evaluate().table("metrics")}
    assert n == {int(model.users.holdout.sum())}
    assert str(model.evaluate(users)) == str(model.evaluate())
    others = made_users(500, seed=9)
    with pytest.raises(DataError, match="pass unseen=True if none of them did"):
        model.evaluate(others)
    assert {row["n"] for row in model.evaluate(others, unseen=True).table("metrics")} == {500}


def test_users_with_ids_are_split_by_them(users: Columns) -> None:
    known = uplift.fit(users, **HOW, id="customer")
    half = {name: column[1::2] for name, column in users.items()}
    assert known.users is not None
    n = {row["n"] for row in known.evaluate(half).table("metrics")}
    assert n == {int(known.users.holdout[1::2].sum())}


def test_the_evaluation_shows_tables_words_and_plots(model: Model) -> None:
    evaluation = model.evaluate()
    shown = str(evaluation)
    assert "response model" in shown
    assert "± is one standard error" in shown
    assert model.evidence["offer"].reason in shown
    for name in ("qini", "deciles", "policy_value", "calibration"):
        assert isinstance(evaluation.plot(name), alt.LayerChart)
    for wrong in (evaluation.plot, evaluation.table):
        with pytest.raises(DataError, match="'lift' must be one of"):
            wrong("lift")


def test_a_saved_model_is_the_same(users: Columns, model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "models")
    for path in (tmp_path / "models", folder):
        loaded = uplift.load(path)
        assert loaded.evidence == model.evidence
        for learner in model.contrasts["offer"].learners:
            assert np.array_equal(
                loaded.effect(users, learner=learner), model.effect(users, learner=learner)
            )
        assert str(loaded.evaluate(users)) == str(model.evaluate())
    with pytest.raises(DataError, match="a loaded model has no users"):
        loaded.evaluate()
    assert model.save(tmp_path / "models") == folder


def test_the_service_computes_the_saved_models_features(
    users: Columns, model: Model, tmp_path: Path
) -> None:
    loaded = bundle.load(model.save(tmp_path))
    query = FeatureQuery(loaded.manifest)
    table = pa.table(users).select([*model.encoding.names])
    rows = query.schema.table([{name: table.column(name).to_pylist() for name in table.column_names}])
    x = query.features(rows)
    assert np.array_equal(loaded.models["offer"].predict(x, "stack"), model.effect(users))


def test_a_model_of_a_run_takes_features(simulated_home: Path) -> None:
    (folder,) = (simulated_home / "bundles").glob("simulated-*")
    loaded = uplift.load(folder)
    features = {name: np.zeros(3) for name in loaded.edges.features}
    x = np.zeros((3, len(features)), dtype=np.float32)
    assert np.array_equal(loaded.effect(features), loaded.contrasts["treated"].predict(x, "stack"))
    assert loaded.evidence == {}


def test_what_is_no_model_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no model; give the folder that save"):
        uplift.load(tmp_path)
    folder = model.save(tmp_path)
    (tmp_path / EVIDENCE).write_text(json.dumps({"version": "another", "arms": {}}))
    assert uplift.load(folder).evidence == {}
    booster = next(folder.glob("*.ubj"))
    booster.write_bytes(booster.read_bytes()[:-1])
    with pytest.raises(BundleError, match="altered"):
        uplift.load(folder)


def test_the_import_is_light_and_finds_every_name() -> None:
    code = (
        "import sys, uplift_core as u; "
        "heavy = {'numpy', 'xgboost', 'pyarrow', 'pandas', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert {'fit', 'load', 'XLearner'} <= set(dir(u)); "
        "[getattr(u, name) for name in u.__all__]; "
        "assert 'duckdb' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        uplift.predict  # noqa: B018 - the access is the test


def test_standard_errors_of_effects_come_from_bags_and_survive_the_disk(
    users: Columns, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="bags: the model was fitted without them; fit it with bags=10"):
        model.effect_std_error(users)
    bagged = uplift.fit(users, **HOW, bags=3)
    error, effect = bagged.effect_std_error(users), bagged.effect(users)
    assert error.shape == effect.shape
    assert error.min() > 0
    assert bagged.experiment.learners.bags == 3
    # A few bags of a learner differ about as much as the learner itself from their mean.
    assert np.abs(effect - model.effect(users)).mean() < 3 * error.mean()
    bagged.save(tmp_path)
    loaded = uplift.load(tmp_path)
    assert np.array_equal(loaded.effect_std_error(users), error)
    assert np.array_equal(loaded.effect(users), effect)


def test_bags_of_clusters_are_refused(users: Columns) -> None:
    with pytest.raises(DataError, match=r"learners\.bags = 3 draws single users.*no cluster"):
        uplift.fit(users, **HOW, bags=3, cluster="household")
