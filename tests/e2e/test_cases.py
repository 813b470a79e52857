"""Files of the kind that people bring, from the draft to the list and to ``/score``."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.onboarding import new_experiment
from tests.serve.support import api_of, copy_home, query
from tests.support import TO_PUBLISHED, case_file, few_rounds, opened, run_job, run_unchecked
from uplift_core.artifacts.home import Home
from uplift_core.experiment.declaration import load_experiment

ZEROS = "late_leading_zeros.csv.gz"
USERS = 24_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after the file whose ids have zeros in front late was declared and run."""
    place = tmp_path_factory.mktemp("zeros")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPLIFT_EXPERIMENTS", str(place / "experiments"))
        assert new_experiment.main([str(case_file(ZEROS)), "zeros"]) == 0
    folder = place / "experiments" / "zeros"
    declared = few_rounds(BatchExperiment.read(load_experiment(folder), folder))
    run_job(declared, place / "home", only=TO_PUBLISHED)
    return place / "home"


def ids(path: Path) -> list[str]:
    sql = "select member_no from read_csv($file, all_varchar = true)"
    return [row[0] for row in duckdb.sql(sql, params={"file": str(path)}).fetchall()]


def test_exports_show_ids_with_zeros_in_front_as_they_stand(home: Path) -> None:
    (treated,) = (home / "exports" / "zeros").glob("*/*/*/treat.csv")
    written = ids(case_file(ZEROS))
    listed = ids(treated)
    assert len(set(listed)) == len(listed) == 0.3 * USERS
    assert set(listed) < set(written)
    assert [i for i in listed if i.startswith("00")]
    assert sorted(ids(treated.with_name("decisions.csv"))) == sorted(written)
    assert len(set(written)) == USERS


def test_score_shows_the_id_as_it_stands(home: Path) -> None:
    with api_of(home) as api:
        for own_id in ("0021000", "200000"):
            sql = "select user_id from raw.zeros where member_no = $own_id"
            (user,) = query(home, sql, own_id=own_id)
            answer = api.post("/score", json={"experiment": "zeros", "user_id": user["user_id"]}).json()
            assert answer["own_id"] == own_id


def test_score_takes_the_id_as_the_file_writes_it(home: Path) -> None:
    """Digits are the file's id first: with zeros in front they are no number."""
    own_ids = ["0021000", "200000"]
    rows = query(
        home, "select user_id from raw.zeros where member_no = any($own) order by member_no", own=own_ids
    )
    numbers = [row["user_id"] for row in rows]
    with api_of(home) as api:
        by_number = [api.post("/score", json={"user_id": number}).json() for number in numbers]
        by_text = [api.post("/score", json={"user_id": own_id}).json() for own_id in own_ids]
        digits = api.post("/score", json={"user_id": str(numbers[0])}).json()
        batch = api.post(
            "/score/batch", json={"user_ids": [own_ids[0], numbers[1], *own_ids[::-1]]}
        ).json()
        unknown = api.post("/score", json={"user_id": "M 7"})
    assert [each["own_id"] for each in by_text] == own_ids
    scores = [each["score"] for each in by_number]
    assert [each["score"] for each in by_text] == scores
    assert digits["own_id"] == own_ids[0]
    assert batch["scores"] == [*scores, *scores[::-1]]
    assert unknown.status_code == 404
    assert (
        "user_id = 'M 7': is the 'member_no' of no published user of zeros; send attributes"
        in unknown.text
    )


def test_the_effect_is_the_files(home: Path) -> None:
    sql = "select avg(purchased) filter (arm = 'b') - avg(purchased) filter (arm = 'a') as ate "
    assert query(home, sql + "from assignment.zeros")[0]["ate"] == pytest.approx(0.04955, abs=5e-6)


def test_households_are_worked_on_as_a_whole(households_home: Path, tmp_path: Path) -> None:
    home = copy_home(households_home, tmp_path / "home")
    (effect,) = query(
        home,
        "select effect, std_error, clusters from evaluation.average_effects where split = 'all'",
    )
    assert effect == {
        "effect": pytest.approx(0.22717, abs=5e-6),
        "std_error": pytest.approx(0.26710, rel=0.002),
        "clusters": 3_000,
    }
    torn = query(
        home,
        "select max(splits) as splits, max(decisions) as decisions, max(sides) as sides from ("
        "select count(distinct (split, fold)) as splits, count(distinct decision) as decisions, "
        "count(distinct treated) as sides from decisions.treat_list "
        "join assignment.households using (user_id) group by cluster)",
    )
    assert torn == [{"splits": 1, "decisions": 1, "sides": 1}]
    (night,) = query(home, "select treated, users from decisions.nights")
    assert 0.3 * night["users"] - 16 < night["treated"] <= 0.3 * night["users"]
    (features,) = query(home, "select list(name order by name) as n from features.registry")
    assert features["n"] == ["age", "past_orders"]


def test_a_treatment_that_harms_everybody_gets_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "experiments"))
    assert new_experiment.main([str(case_file("harmful_treatment.csv.gz")), "harmful"]) == 0
    folder = tmp_path / "experiments" / "harmful"
    declared = few_rounds(BatchExperiment.read(load_experiment(folder), folder))
    home = Home(tmp_path / "home")
    with pytest.raises(dg.Failure, match=r"worse than treating nobody; nobody should be treated: -0\.0"):
        run_unchecked(declared, home.root, TO_PUBLISHED)
    with opened(home) as db:
        assert db.one("select count(*) from decisions.treat_list") == (0,)
        message, passed = db.one(
            "select message, passed from decisions.gates where gate = 'treating_nobody'"
        )
    assert not passed
    assert "nobody should be treated" in message


def test_seventy_features_pass_the_checks_of_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB's ``grouping_id`` takes 64 columns at most."""
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "experiments"))
    new_experiment.main([str(case_file("seventy_features.parquet")), "wide"])
    folder = tmp_path / "experiments" / "wide"
    declared = BatchExperiment.read(load_experiment(folder), folder)
    run_unchecked(declared, tmp_path / "home", ["raw", "features", "assignment"])
    result = run_job(declared, tmp_path / "home", only=["cells"])
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert checks["leakage"].passed
    assert checks["leakage"].metadata["findings"].value.count("auc of purchased") == 70
