"""A population to decide about, who were not in the experiment: from file to list and /score."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from dagster_project.decisions.realised import measure
from dagster_project.declared.experiment import BatchExperiment
from tests.e2e.own_experiments import offers
from tests.serve.support import api_of, query
from tests.support import opened, run_job
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import load_experiment

NIGHT = datetime.now(UTC).date().isoformat()  # the newest list of the arm
THIS_NIGHT = f"experiment = 'offers' and decision_date = '{NIGHT}'"
LAYERS = ["population", "population_scores", "treat_list", "multi_arm_list", "export", "published"]
COLUMNS = ["Customer ID", "Age", "Home town", "segment type", "Premium"]
HELD = "select * from decisions.thresholds where experiment = 'offers' order by all"
FIGURES = "select * from evaluation.metrics where experiment = 'offers' order by all"


def customers() -> pa.Table:
    """1,400 customers of whom nobody took part in the experiment, and 100 who did."""
    known = offers()[0].select(COLUMNS)
    ids = [f"n-{i:05d}" for i in range(1_400)]
    new = known.slice(1_000, 1_400).set_column(0, "Customer ID", pa.array(ids))
    return pa.concat_tables([new, known.slice(0, 100)])


@pytest.fixture(scope="module")
def experiment(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> BatchExperiment:
    """The experiment with its population declared as the walk-through says."""
    place = tmp_path_factory.mktemp("population") / "offers"
    shutil.copytree(own_home.parent / "experiments" / "offers", place)
    pc.write_csv(customers(), place / "customers.csv")
    declaration = place / "experiment.toml"
    text = declaration.read_text(encoding="utf-8")
    declaration.write_text(f'{text}\n[population]\npath = "customers.csv"\n', encoding="utf-8")
    return BatchExperiment.read(load_experiment(place), place)


@pytest.fixture(scope="module")
def home(own_home: Path, experiment: BatchExperiment) -> Path:
    """UPLIFT_HOME after a list for the population was made and published."""
    home = experiment.path.parent / "home"
    shutil.copytree(own_home, home, ignore=shutil.ignore_patterns("for-queries*", "copy.duckdb"))
    run_job(experiment, home, only=LAYERS, decision_date=NIGHT)
    return home


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[TestClient]:
    with api_of(home) as client:
        yield client


def load_salt(home: Path) -> str:
    (row,) = query(home, f"select salt from decisions.list_rules where {THIS_NIGHT}")
    return str(row["salt"])


def listed(home: Path) -> list[dict]:
    return query(
        home,
        "select l.*, ids.* exclude (user_id) from decisions.treat_list as l "
        "join raw.offers_population as ids using (user_id) "
        f"where {THIS_NIGHT} order by user_id",
    )


def test_the_list_is_about_the_population_alone(home: Path) -> None:
    rows = listed(home)
    (count,) = query(home, f"select count(*) as n from decisions.treat_list where {THIS_NIGHT}")
    assert count["n"] == len(rows) == 1_500
    assert {row["Customer ID"] for row in rows} == set(customers().column("Customer ID").to_pylist())
    assert sum(row["treated"] for row in rows) == 450
    ranked = [row for row in rows if row["decision"] in {"treat", "no_treat"}]
    treated = [row["score"] for row in ranked if row["treated"]]
    assert min(treated) >= max(row["score"] for row in ranked if not row["treated"])
    (night,) = query(home, f"from decisions.nights where {THIS_NIGHT}")
    assert night["promised"] is None


def test_thresholds_and_figures_stay_those_of_the_experiment(home: Path, own_home: Path) -> None:
    assert query(home, HELD) == query(own_home, HELD) != []
    assert query(home, FIGURES) == query(own_home, FIGURES) != []


def test_who_was_in_the_experiment_scores_as_there(home: Path) -> None:
    both = query(
        home,
        "select p.*, s.cate_r as own from scores.offers_population as p "
        "join scores.offers as s using (user_id, arm)",
    )
    assert len(both) == 100 * 4
    assert all(row["cate_r"] == row["own"] for row in both)


def test_the_api_knows_the_population_by_id_and_attributes(home: Path, api: TestClient) -> None:
    for row in listed(home)[:5]:
        body = {"experiment": "offers", "user_id": row["user_id"]}
        by_id = api.post("/score", json=body).json()
        assert by_id["score"] == row["score"]
        contract = api.get("/features", params={"experiment": "offers"}).json()["attributes"]
        sent = {column["name"]: row[column["name"]] for column in contract}
        by_attributes = api.post("/score", json={"experiment": "offers", "attributes": sent}).json()
        assert by_attributes["score"] == row["score"]
    own = query(home, "select min(user_id) as user_id from raw.offers")[0]["user_id"]
    answers = api.post("/score/batch", json={"experiment": "offers", "user_ids": [own, row["user_id"]]})
    assert answers.json()["scores"][1] == row["score"]


def test_users_of_the_population_are_decided_about_as_the_list_does(home: Path, api: TestClient) -> None:
    rows = listed(home)
    target = {"experiment": "offers", "arm": rows[0]["arm"], "budget": 0.3}
    answer = api.post(
        "/score/batch", json=target | {"user_ids": [row["user_id"] for row in rows]}
    ).json()
    assert answer["listed_in"]["decision_date"] == NIGHT
    assert answer["listed_ranks"] == [row["rank"] for row in rows]
    for row, role, treat in zip(rows, answer["roles"], answer["treat"], strict=True):
        if row["decision"] in {"holdout", "explore"}:
            assert (role, treat) == (row["decision"], row["treated"])
        else:
            assert (role, treat) == ("ranked", row["score"] >= row["threshold"])
    assert {*answer["roles"]} == {"ranked", "holdout", "explore"}


def test_who_was_in_the_experiment_alone_is_on_no_list_and_may_be_held_out(
    home: Path, api: TestClient
) -> None:
    rows = query(
        home,
        "select user_id, decisions.draw_of(decisions.list_hash($salt, user_id)) < 0.05 as held_out "
        "from raw.offers anti join raw.offers_population using (user_id)",
        salt=load_salt(home),
    )
    body = {"experiment": "offers", "user_ids": [row["user_id"] for row in rows]}
    answer = api.post("/score/batch", json=body).json()
    held_out = [row["held_out"] for row in rows]
    assert [role == "holdout" for role in answer["roles"]] == held_out
    assert 0 < sum(held_out) < len(rows) / 10
    assert {*answer["listed_decisions"]} == {None}
    kept = [treat for treat, out in zip(answer["treat"], held_out, strict=True) if out]
    assert not any(kept)


def test_the_multi_arm_proposal_is_about_the_population(home: Path) -> None:
    rows = query(home, "from decisions.multi_arm_list where experiment = 'offers'")
    assert {row["user_id"] for row in rows} == {row["user_id"] for row in listed(home)}
    assert 200 < sum(row["arm"] is not None for row in rows) <= 450
    assert len({row["arm"] for row in rows}) > 2


def test_its_features_are_checked_against_the_training(home: Path) -> None:
    rows = query(home, "from quality.results where table_name = 'population'")
    assert {row["check_name"] for row in rows} == {"keys", "values", "missing", "drift"}
    assert all(row["passed"] for row in rows)


def test_moved_features_are_told(home: Path, experiment: BatchExperiment, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    shutil.copytree(experiment.path, tmp_path / "offers")
    old = customers().set_column(1, "Age", pa.array(np.full(1_500, 90)))
    pc.write_csv(old, tmp_path / "offers" / "customers.csv")
    moved = BatchExperiment.read(load_experiment(tmp_path / "offers"), tmp_path / "offers")
    run_job(moved, tmp_path / "home", only=["population"])
    with opened(Home(tmp_path / "home")) as db:
        rows = db.rows(
            "select \"column\", message from quality.results where check_name = 'drift' "
            "and table_name = 'population' and not passed"
        )
    assert [column for column, _ in rows] == ["age"]
    assert "differs from the training's" in rows[0][1]


def test_a_list_is_measured_by_the_files_own_ids(
    home: Path, experiment: BatchExperiment, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "home")
    spend = np.random.default_rng(4).gamma(2.0, 3.0, 1_500)
    (outcome,) = experiment.declaration.outcomes
    ids = customers().column("Customer ID")
    file = tmp_path / "outcomes.parquet"
    pq.write_table(pa.table({"Customer ID": ids, outcome.name: spend}), file)
    with opened(Home(tmp_path / "home")) as db:
        night = {"decision_date": NIGHT, "absent_is_zero": False}
        assert measure(db, experiment, file=file, **night) == 2
        (treated,) = db.one("select n_treated from decisions.realised where comparison = 'list'")
        assert treated > 400
        strange = pa.table({"Customer ID": ["x-1", *ids.to_pylist()[1:]], outcome.name: spend})
        pq.write_table(strange, file)
        with pytest.raises(DataError, match=r"'Customer ID' = 'x-1' and 0 more are not users"):
            measure(db, experiment, file=file, **night)
