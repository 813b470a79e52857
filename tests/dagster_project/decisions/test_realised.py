"""Lists measured afterwards by a file of outcomes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from dagster_project.decisions.realised import measure
from dagster_project.declared.experiment import BatchExperiment
from tests.support import dicts, failure_text, opened, run_job, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.errors import DataError
from uplift_core.evaluation.realised import Sample, agree, realised_uplift


def listed(home: Home) -> dict[str, np.ndarray]:
    with opened(home) as db:
        rows = db.arrow("from decisions.treat_list order by user_id")
    return {name: rows.column(name).to_numpy(zero_copy_only=False) for name in rows.column_names}


def date_of(rows: dict[str, np.ndarray]) -> str:
    return str(rows["decision_date"][0])[:10]


def write(path: Path, columns: dict[str, object]) -> Path:
    table = pa.table(columns)
    (pq.write_table if path.suffix == ".parquet" else pa_csv.write_csv)(table, path)
    return path


@pytest.mark.parametrize("name", ["outcomes.csv", "outcomes.parquet"])
def test_realised_uplift_is_the_difference_to_the_holdout_that_the_list_would_have_treated(
    home: Home, simulated: BatchExperiment, tmp_path: Path, name: str
) -> None:
    rows = listed(home)
    y = np.random.default_rng(1).integers(0, 2, len(rows["user_id"]))
    file = write(tmp_path / name, {"user_id": rows["user_id"], "converted": y})
    with opened(home) as db:
        options = {"decision_date": date_of(rows), "file": file, "absent_is_zero": False}
        assert measure(db, simulated, **options) == measure(db, simulated, **options) == 2
        measured = {r["comparison"]: r for r in dicts(db, "from decisions.realised")}
    treat = (rows["decision"] == "treat") & rows["selected"]
    held_out = (rows["decision"] == "holdout") & rows["selected"]
    one = measured["list"]
    assert (one["n_treated"], one["n_control"]) == (treat.sum(), held_out.sum())
    assert one["uplift"] == pytest.approx(y[treat].mean() - y[held_out].mean())
    error = np.sqrt(y[treat].var(ddof=1) / treat.sum() + y[held_out].var(ddof=1) / held_out.sum())
    assert one["std_error"] == pytest.approx(error)
    assert one["ci_high"] - one["ci_low"] == pytest.approx(2 * 1.959964 * error)
    explore = (rows["decision"] == "explore") & rows["treated"]
    assert measured["explore"]["n_treated"] == explore.sum()
    assert measured["explore"]["n_control"] == (rows["decision"] == "holdout").sum()
    assert one["promised"] > measured["explore"]["promised"] > 0


def test_where_clusters_were_drawn_the_error_is_that_of_clusters(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    rows, declared = listed(home), with_experiment(simulated, cluster="school")
    ids = rows["user_id"].astype(np.int64)
    school = ids % 70
    y = (np.random.default_rng(1).random(len(ids)) < 0.1 + 0.8 * (school % 2)).astype(int)
    file = write(tmp_path / "outcomes.parquet", {"user_id": ids, "converted": y})
    gone = ids[:5]  # users whom the raw table no longer has are alone
    with opened(home) as db:
        db.rows("alter table raw.simulated add column school bigint")
        db.rows("update raw.simulated set school = user_id % 70")
        db.rows("alter table assignment.simulated add column cluster varchar")
        db.rows("update assignment.simulated set cluster = user_id % 70")
        db.rows(
            "delete from raw.simulated where user_id in (select unnest($gone))", {"gone": gone.tolist()}
        )
        options = {"decision_date": date_of(rows), "file": file, "absent_is_zero": False}
        measure(db, declared, **options)
        measured = {r["comparison"]: r for r in dicts(db, "from decisions.realised")}
    school = np.where(np.isin(ids, gone), -1 - ids, school)
    treat, held_out = (rows["selected"] & (rows["decision"] == d) for d in ("treat", "holdout"))
    influence = np.where(treat, (y - y[treat].mean()) / treat.sum(), 0.0)
    influence -= np.where(held_out, (y - y[held_out].mean()) / held_out.sum(), 0.0)
    some = treat | held_out
    sums = [influence[some & (school == s)].sum() for s in np.unique(school[some])]
    clusters = len(sums)
    assert measured["list"]["clusters"] == clusters > 70
    expected = np.sqrt(clusters / (clusters - 1) * np.square(sums).sum())
    assert measured["list"]["std_error"] == pytest.approx(expected, rel=1e-9)
    assert measured["explore"]["clusters"] >= 2


def test_users_without_a_row_had_no_outcome_only_if_somebody_says_so(
    home: Home, simulated: BatchExperiment, tmp_path: Path
) -> None:
    rows = listed(home)
    some = rows["user_id"][::3]
    file = write(tmp_path / "some.parquet", {"user_id": some, "converted": np.ones(len(some))})
    with opened(home) as db:
        options = {"decision_date": date_of(rows), "file": file}
        with pytest.raises(DataError, match="3333 users of the list are absent; set absent_is_zero"):
            measure(db, simulated, absent_is_zero=False, **options)
        assert db.rows("from decisions.realised") == []
        measure(db, simulated, absent_is_zero=True, **options)
        means = db.rows("select mean_treated, mean_control from decisions.realised")
    assert all(0.2 < mean < 0.5 for pair in means for mean in pair)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"user_id": [1, 1], "converted": [0, 1]}, "user_id repeats 1 times"),
        ({"user_id": [1, 9_999_999], "converted": [0, 1]}, "user_id 9999999 and 0 more are not on"),
        ({"user_id": [1, 2], "converted": [0, 2]}, "'converted' of user_id 2 and 0 more is not 0 or 1"),
        ({"user_id": [1, 2], "converted": [0, None]}, "'converted' of user_id 2 and 0 more is not 0"),
        ({"user_id": [1, 2], "converted": ["yes", "no"]}, "'converted' must be numbers"),
        ({"user_id": [1], "visits": [0]}, r"needs user_id and one of \['converted'\]"),
        ({"converted": [0]}, "needs user_id"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    home: Home, simulated: BatchExperiment, tmp_path: Path, columns: dict[str, list[object]], fault: str
) -> None:
    file = write(tmp_path / "outcomes.parquet", columns)
    date = date_of(listed(home))
    with opened(home) as db, pytest.raises(DataError, match=fault):
        measure(db, simulated, decision_date=date, file=file, absent_is_zero=True)


def test_through_dagster_a_missing_file_is_a_clear_failure(
    home: Home, simulated: BatchExperiment
) -> None:
    result = run_job(
        simulated,
        home.root,
        job="measure_simulated",
        decision_date=date_of(listed(home)),
        config={"realised": {"file": "/no/such/file.csv"}},
        raise_on_error=False,
    )
    assert "needs to be a CSV or Parquet file that exists" in failure_text(result)


def test_the_measuring_job_publishes(home: Home, simulated: BatchExperiment, tmp_path: Path) -> None:
    rows = listed(home)
    y = np.random.default_rng(1).integers(0, 2, len(rows["user_id"]))
    file = write(tmp_path / "outcomes.parquet", {"user_id": rows["user_id"], "converted": y})
    job = {"job": "measure_simulated", "decision_date": date_of(rows)}
    run_job(simulated, home.root, config={"realised": {"file": str(file)}}, **job)
    snapshot = home.published / read_pointer(home.published).file
    with duckdb.connect(str(snapshot), read_only=True) as con:
        measured = con.sql("select count(*) from decisions.realised").fetchall()
    assert measured == [(2,)]
    run_job(simulated, home.root, **job)  # names no file: measures nothing, loses nothing
    with opened(home) as db:
        assert db.one("select count(*) from decisions.realised") == (2,)


def test_a_side_of_one_user_has_no_standard_error() -> None:
    with pytest.raises(DataError, match="two of each are needed"):
        realised_uplift(Sample(1, 1.0, 0.0), Sample(50, 0.1, 0.09))


def test_agreement_is_up_to_chance() -> None:
    small, large = Sample(100, 0.45, 0.25), Sample(10_000, 0.4, 0.24)
    near, far = Sample(10_000, 0.3, 0.21), Sample(10_000, 0.1, 0.09)
    wide, other = realised_uplift(small, near), realised_uplift(large, near)
    assert agree(wide, other)
    assert not agree(other, realised_uplift(large, far))
