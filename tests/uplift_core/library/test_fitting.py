"""The library learns from a table what a run learns from the same file."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import uplift_core as uplift
from dagster_project.scores.predictions import SCORES
from tests.support import Open, folder_of, small_simulation
from tests.uplift_core.library.conftest import HOW, made_users
from uplift_core.errors import DataError
from uplift_core.learners import LEARNER_NAMES
from uplift_core.library.encoding import Encoding
from uplift_core.library.frames import read_frame
from uplift_core.library.model import Model
from uplift_core.library.users import Users

Columns = dict[str, np.ndarray]


def tables(users: Columns, folder: Path) -> dict[str, object]:
    """The same users as every kind of table."""
    frame = pd.DataFrame(users)
    table = pa.table(users)
    file = folder / "users.parquet"
    pq.write_table(table, file)
    return {
        "pandas": frame,
        "pandas categories": frame.astype({"city": "category", "plan": "category"}),
        "polars": pl.from_arrow(table),
        "arrow": table,
        "stream": pa.RecordBatchReader.from_batches(table.schema, table.to_batches(1000)),
        "relation": duckdb.sql("from table_of_users", connection=_connected(table)),
        "file": file,
        "text of a path": str(file),
    }


def _connected(table: pa.Table) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.register("table_of_users", table)
    return con


def test_every_kind_of_table_has_the_same_users(users: Columns, model: Model, tmp_path: Path) -> None:
    for kind, frame in tables(users, tmp_path).items():
        read = Users.of(read_frame(frame, users), model.experiment, model.encoding)
        assert read.sha256 == model.data_sha256, kind


def test_a_run_and_the_library_publish_the_same_figures(simulated_home: Path, snapshot: Open) -> None:
    con, declared = snapshot(simulated_home), small_simulation().declaration
    frame = con.sql(
        "select * exclude (arm), arm from features.simulated join assignment.simulated using (user_id) "
        "order by user_id"
    )
    model = uplift.fit(
        frame,
        arm="arm",
        control="control",
        outcome="converted",
        features=[f"x{i}" for i in range(1, 11)],
        shares={"control": 0.5, "treated": 0.5},
        id="user_id",
        salt=declared.split.salt,
        parameters=declared.learners,
        threads=1,
    )
    columns = ", ".join(SCORES[name] for name in LEARNER_NAMES)
    rows = con.sql(f"select {columns} from scores.simulated order by user_id").to_arrow_table()
    for name in LEARNER_NAMES:
        published = rows.column(SCORES[name]).to_numpy()
        assert np.abs(model.effect(frame, learner=name) - published).max() < 1e-6

    evaluation = model.evaluate()
    figures = {(row["learner"], row["metric"]): row for row in evaluation.table("metrics")}
    stored = con.sql("select learner, metric, value, std_error, n from evaluation.metrics").fetchall()
    assert len(stored) == len(figures)
    for learner, metric, value, std_error, n in stored:
        row = figures[learner, metric]
        assert (row["value"], row["std_error"]) == pytest.approx((value, std_error), abs=1e-6)
        assert row["n"] == n
    gains = con.sql(
        "select learner, budget, gain_over_random, gain_std_error from evaluation.policy_value "
        "where estimator = 'aipw'"
    ).fetchall()
    ours = {
        (row["learner"], row["budget"]): (row["gain_over_random"], row["gain_std_error"])
        for row in evaluation.table("policy_value")
        if row["estimator"] == "aipw"
    }
    for learner, budget, gain, error in gains:
        assert ours[learner, budget] == pytest.approx((gain, error), abs=1e-6)
    gate = con.sql("select learner, gate, gate_reason from models.registry where champion").fetchall()
    assert gate == [astuple(model.evidence["treated"])]


def test_on_hillstrom_all_figures_of_all_outcomes_are_those_of_a_run(
    hillstrom_home: Path, hillstrom_file: Path, snapshot: Open
) -> None:
    customers = pd.read_csv(hillstrom_file)
    for feature, column, levels in (
        ("zip_urban", "zip_code", ["Urban"]),
        ("zip_rural", "zip_code", ["Rural"]),
        ("channel_web", "channel", ["Web", "Multichannel"]),
        ("channel_phone", "channel", ["Phone", "Multichannel"]),
    ):
        customers[feature] = customers[column].isin(levels)
    declared = folder_of("hillstrom").declaration
    con = snapshot(hillstrom_home)
    model = uplift.fit(
        customers,
        arm="segment",
        control="No E-Mail",
        outcome=["visit", "conversion", "spend"],
        features=[
            n for (n,) in con.sql("select name from features.registry order by position").fetchall()
        ],
        shares=dict.fromkeys(("No E-Mail", "Womens E-Mail", "Mens E-Mail"), "1/3"),
        salt=declared.split.salt,
    )
    evaluation = model.evaluate()
    arms = {"womens": "womens_e_mail", "mens": "mens_e_mail"}
    stored = con.sql(
        "select arm, outcome, learner, metric, value, std_error from evaluation.metrics"
    ).fetchall()
    ours = {
        (row["arm"], row["outcome"], row["learner"], row["metric"]): (row["value"], row["std_error"])
        for row in evaluation.table("metrics")
    }
    assert len(stored) == len(ours)
    for arm, outcome, learner, metric, *figures in stored:
        assert ours[arms[arm], outcome, learner, metric] == pytest.approx(figures, abs=1e-6)
    words = con.sql("select arm, learner, gate, gate_reason from models.registry where champion")
    assert {(arms[arm], *word) for arm, *word in words.fetchall()} == {
        (arm, *astuple(word)) for arm, word in model.evidence.items()
    }
    shown = str(evaluation)
    assert shown.count("  conversion ") == shown.count("  spend ") == 2


def test_the_row_number_decides_the_split_without_ids_and_the_cluster_with_clusters(
    users: Columns,
) -> None:
    clustered = uplift.fit(users, **HOW, cluster="household")
    assert clustered.users is not None
    holdout, fold = clustered.users.holdout, clustered.users.fold
    assert np.array_equal(holdout[::2], holdout[1::2])
    assert np.array_equal(fold[::2], fold[1::2])
    assert clustered.evaluate().table("metrics")[0]["clusters"] < N_HOUSEHOLDS


N_HOUSEHOLDS = 1_000


def test_ids_make_the_split_independent_of_the_order_of_rows(users: Columns) -> None:
    encoding = Encoding.learn(read_frame(users, users), HOW["features"])
    turned = {name: column[::-1] for name, column in users.items()}
    first, second = (uplift.fit(columns, **HOW, id="customer").users for columns in (users, turned))
    assert first is not None
    assert second is not None
    assert encoding.features
    assert np.array_equal(first.holdout, second.holdout[::-1])
    assert np.array_equal(first.fold, second.fold[::-1])


def test_one_chance_for_all_is_that_of_the_shares(users: Columns, model: Model) -> None:
    for design in ({"propensity": 0.5}, {"propensity": "chance"}):
        other = uplift.fit(users, **HOW | {"shares": None} | design)
        assert np.abs(other.effect(users) - model.effect(users)).max() < 1e-6


def test_strata_have_their_chances(users: Columns) -> None:
    city = np.where(users["city"] == "Bern", "Bern", "elsewhere")
    shares = {"Bern": {"none": 0.5, "offer": 0.5}, "elsewhere": {"none": 0.5, "offer": 0.5}}
    declared = uplift.fit(users | {"region": city}, **HOW | {"shares": shares}, strata="region")
    counted = uplift.fit(users | {"region": city}, **HOW | {"shares": None}, strata=["region"])
    assert declared.users is not None
    assert counted.users is not None
    assert set(declared.users.chances) == {0.5}
    treated = users["mail"] == "offer"
    for region in ("Bern", "elsewhere"):
        chances = counted.users.chances[city == region]
        assert chances == pytest.approx(treated[city == region].mean())


def test_two_arms_share_the_control(users: Columns) -> None:
    arms = np.where(np.arange(len(users["mail"])) % 3 == 0, "call", users["mail"])
    shares = {"none": "1/3", "offer": "1/3", "call": "1/3"}
    model = uplift.fit(users | {"mail": arms}, **HOW | {"shares": shares})
    call, offer = (model.contrasts[arm].response.save_raw("ubj") for arm in ("call", "offer"))
    assert call == offer
    assert {row["arm"] for row in model.evaluate().table()} == {"call", "offer"}
    assert np.array_equal(model.effect(users, arm="call"), model.effect(users))
    assert not np.array_equal(model.effect(users, arm="offer"), model.effect(users))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shares": None}, "shares: give the share of users that each arm got by design"),
        ({"shares": {"none": 0.5}}, "shares: given for ['none'], and the column 'mail' holds"),
        ({"shares": {"none": 0.8, "offer": 0.2}}, "of the users where 0.8000 were designed"),
        ({"shares": "equal"}, "shares: 'equal' is neither shares by arm nor 'counted'"),
        ({"shares": {"none": 0.5, "offer": 0.6}}, "add up to 1.1"),
        ({"control": "nobody"}, "control: 'nobody' is no value of the column 'mail'"),
        ({"features": []}, "features: names no column"),
        ({"features": ["x1", "bought"]}, "features: ['bought'] are the arm, the outcome"),
        ({"features": ["x1", "x1"]}, "repeat a column"),
        ({"features": ["income"]}, "frame: has no column 'income'; its columns are"),
        ({"outcome": "mail"}, "mail: holds"),
        ({"outcome": "gap"}, "gap: is missing in 1 rows, the first of them row 2"),
        ({"budget": 0.125}, "budget: 0.125 must be a share in whole percent"),
        ({"propensity": 0.5}, "propensity and shares or strata both say the chances"),
        ({"shares": None, "propensity": "age"}, "age: is no chance above 0 and below 1"),
        ({"shares": {"x": {"none": 0.5, "offer": 0.5}}, "strata": "plan"}, "stratum ['plan 0']"),
        ({"id": "household"}, "household: two users have the same id"),
        ({"cluster": "gap"}, "gap: is missing in 1 rows"),
        ({"name": "My Model"}, "name"),
        ({"parameters": {"effect": {"round": 5}}}, "parameters: unknown key 'effect.round' = 5; "),
        ({"bags": 1000}, "parameters: key 'bags' = 1000: must be 200 or less"),
        ({"outcome": []}, "outcome: [] must name one column or more"),
        ({"outcome": ["bought", "bought"]}, "must name one column or more, each once"),
        ({"cost": -1}, "cost: -1 must be 0 or more, in money"),
        ({"cost": {"none": 0, "offer": 1}}, "cost: given for ['none', 'offer'], and the treatments are"),
        ({"value": {"spend": 2.0}}, "value: ['spend'] are none of the outcomes ['bought']"),
        ({"value": 0}, "value: that of 'bought' must be above 0"),
        ({"value": True}, "value: True must be a number, or the name of a column"),
    ],
)
def test_a_wrong_argument_is_named(users: Columns, changed: dict, message: str) -> None:
    gap = users["age"].astype(float)
    gap[2] = np.nan
    columns = users | {"gap": gap}
    with pytest.raises(DataError) as refused:
        uplift.fit(columns, **HOW | changed)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([1, 2], "frame: a list is no table; give a pandas, Polars"),
        ("nowhere.parquet", "frame: there is no file nowhere.parquet"),
        ({"mail": []}, "has no column"),
        ({name: column[:0] for name, column in made_users(10).items()}, "frame: has no rows"),
    ],
)
def test_what_is_no_table_is_refused(frame: object, message: str) -> None:
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        uplift.fit(frame, **HOW)


def test_a_bar_shows_the_progress(users: Columns, capsys: pytest.CaptureFixture[str]) -> None:
    uplift.fit(users, **HOW, verbose=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    total = re.search(r"offer .*?(\d+)/(\d+)", shown.err)
    assert total is not None
    assert total[1] == total[2]
    assert "offer: stack decides; the gate: " in shown.err


def test_progress_is_told(users: Columns) -> None:
    said: list[str] = []
    uplift.fit(users, **HOW, verbose=said.append)
    assert said[0].startswith("offer: training on")
    assert said[-1].startswith("offer: stack decides; the gate: ")
