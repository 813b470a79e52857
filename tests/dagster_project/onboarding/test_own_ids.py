"""Ids of users in their files: no id changes on the way from the file to the list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import own_file
from dagster_project.inputs.population import load_population
from dagster_project.inputs.raw import load_raw
from dagster_project.onboarding import new_experiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import case_file
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import load_experiment

CASES = {  # file -> the column of its users' ids
    "late_leading_zeros.csv.gz": "member_no",
    "ids_of_18_digits_as_floats.csv.gz": "customer_id",
    "ids_of_20_digits.csv.gz": "customer_id",
    "uint64_ids.parquet": "customer_id",
}
N = 3_000
RNG = np.random.default_rng(7)
COLUMNS = {
    "age": RNG.integers(18, 80, N),
    "group": RNG.choice(["control", "mail"], N),
    "visit": RNG.integers(0, 2, N),
}
DIGITS_18 = 10**17 + np.arange(N)
# Name of the column, ids, type of the raw column.
KINDS = {
    "numbers": ("customer", np.arange(N), "BIGINT"),
    "18 digits": ("customer", DIGITS_18, "BIGINT"),
    "late zeros": ("customer", [f"{i:05}" if i > 2_900 else str(i) for i in range(N)], "VARCHAR"),
    "late letters": ("customer", [*map(str, range(N - 1)), "x"], "VARCHAR"),
    "late point": ("customer", [*map(str, range(N - 1)), f"{N}.0"], "VARCHAR"),
    "signs": ("customer", [f"{'+-=@'[i % 4]}{i}" for i in range(N)], "VARCHAR"),
    "plus": ("customer", [f"+49{i}" for i in range(N)], "VARCHAR"),
    "below 0": ("customer", np.arange(N) - 5, "VARCHAR"),
    "exponents": ("customer", [f"{i}e1" for i in range(N)], "VARCHAR"),
    "spaces": ("customer", [f" {i}" for i in range(N)], "VARCHAR"),
    "called user_id": ("user_id", [f"0{i}" for i in range(N)], "VARCHAR"),
    "called USER_ID": ("USER_ID", [f"u{i}" for i in range(N)], "VARCHAR"),
    "numbers called User_Id": ("User_Id", np.arange(N), "BIGINT"),
}


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "own"))


def draft(path: Path, tmp_path: Path) -> BatchExperiment:
    new_experiment.main([str(path), "shop"])
    place = tmp_path / "own" / "shop"
    return BatchExperiment.read(load_experiment(place), place)


def load(db: Warehouse, experiment: BatchExperiment, path: Path) -> None:
    load_raw(db, experiment, own_file(experiment.name, "source.path", experiment.path, path))


def written(db: Warehouse, path: Path, column: str) -> list[str]:
    """Return a file's ids as texts, in order."""
    read = "read_parquet($path)" if path.suffix == ".parquet" else "read_csv($path, all_varchar = true)"
    return [row[0] for row in db.rows(f'select "{column}"::varchar from {read}', {"path": str(path)})]


def raw_ids(db: Warehouse, experiment: BatchExperiment) -> tuple[list[str], int]:
    """Return the raw table's ids as texts, and the number of distinct user numbers."""
    rows = db.rows(
        f'select "{experiment.declaration.id_column or "user_id"}"::varchar, user_id from raw.shop'
    )
    return [row[0] for row in rows], len({row[1] for row in rows})


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Path:
    return case_file(request.param)


def test_every_id_of_the_cases_is_as_in_the_file(db: Warehouse, tmp_path: Path, case: Path) -> None:
    experiment = draft(case, tmp_path)
    assert experiment.declaration.user_id == CASES[case.name]
    load(db, experiment, case)
    expected = written(db, case, CASES[case.name])
    ids, numbers = raw_ids(db, experiment)
    assert ids == expected
    assert len(set(expected)) == numbers == len(ids)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_id_is_a_number_only_where_nothing_of_it_is_lost(
    db: Warehouse, tmp_path: Path, kind: str, ending: str
) -> None:
    column, ids, type_ = KINDS[kind]
    path = tmp_path / f"file.{ending}"
    (pc.write_csv if ending == "csv" else pq.write_table)(pa.table({column: ids, **COLUMNS}), path)
    experiment = draft(path, tmp_path)
    load(db, experiment, path)
    types = {row[0]: row[1] for row in db.rows("describe raw.shop")}
    assert types["user_id"] == "BIGINT"
    assert types[experiment.declaration.id_column or "user_id"] == type_
    read, numbers = raw_ids(db, experiment)
    assert read == [str(i) for i in ids]
    assert numbers == N
    if type_ == "BIGINT":
        assert db.rows("select user_id from raw.shop") == [(int(i),) for i in ids]


@pytest.mark.parametrize(
    ("type_", "limit"), [(pa.float64(), 2**53), (pa.float32(), 2**24), (pa.uint64(), 2**63)]
)
def test_typed_numbers_are_whole_numbers_as_far_as_they_are_exact(
    db: Warehouse, tmp_path: Path, type_: pa.DataType, limit: int
) -> None:
    path = tmp_path / "file.parquet"
    exact = pa.array(limit - N + np.arange(N), pa.uint64()).cast(type_)
    pq.write_table(pa.table({"customer": exact, **COLUMNS}), path)
    folder = draft(path, tmp_path)
    load(db, folder, path)
    assert db.rows("select user_id from raw.shop") == [(limit - N + i,) for i in range(N)]


@pytest.mark.parametrize("type_", [pa.float64(), pa.float32()])
def test_floats_that_may_have_lost_digits_are_refused_with_an_example(
    tmp_path: Path, type_: pa.DataType
) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"customer": pa.array(DIGITS_18).cast(type_, safe=False), **COLUMNS}), path)
    with pytest.raises(DataError) as caught:
        draft(path, tmp_path)
    words = ["column 'customer'", str(type_).upper(), "e+17", "--id"]
    assert [word for word in words if word not in str(caught.value)] == []
    assert not (tmp_path / "own" / "shop").exists()


@pytest.mark.parametrize("late", ["0021000", "x-1", "12.0"])
def test_another_file_of_the_form_cannot_change_ids_either(
    db: Warehouse, tmp_path: Path, late: str
) -> None:
    """The draft saw whole numbers; its raw.sql refuses ids that a conversion to numbers changes."""
    path = tmp_path / "file.csv"
    pc.write_csv(pa.table({"customer": np.arange(N), **COLUMNS}), path)
    folder = draft(path, tmp_path)
    pc.write_csv(pa.table({"customer": [*map(str, range(N - 1)), late], **COLUMNS}), path)
    with pytest.raises(DataError, match=rf"cannot be read by raw.sql: .*{late}"):
        load(db, folder, path)


POPULATION = '\n[population]\npath = "people.csv"\n'


def with_population(tmp_path: Path, ids: list[str], people: list[str]) -> BatchExperiment:
    path = tmp_path / "file.csv"
    pc.write_csv(pa.table({"customer": ids, **COLUMNS}), path)
    place = draft(path, tmp_path).path
    declaration = place / "experiment.toml"
    declaration.write_text(declaration.read_text() + POPULATION)
    pc.write_csv(pa.table({"customer": people, "age": [30] * len(people)}), place / "people.csv")
    return BatchExperiment.read(load_experiment(place), place)


def test_a_population_has_ids_as_they_are_written(db: Warehouse, tmp_path: Path) -> None:
    """The file alone looks as if its ids were numbers."""
    ids = [f"{i}.0" for i in DIGITS_18]
    experiment = with_population(tmp_path, ids, ids[:50])
    load(db, experiment, tmp_path / "file.csv")
    load_population(
        db, experiment, own_file("shop", "population.path", experiment.path, Path("people.csv"))
    )
    both = "select user_id, customer from raw.shop_population"
    assert len(db.rows(both)) == 50
    assert db.rows(f"{both} except select user_id, customer from raw.shop") == []


def test_a_population_whose_ids_would_be_others_as_numbers_is_refused(
    db: Warehouse, tmp_path: Path
) -> None:
    experiment = with_population(tmp_path, [str(i) for i in range(N)], ["1", "0021000"])
    load(db, experiment, tmp_path / "file.csv")
    with pytest.raises(DataError, match=r"population\.user_id: 'customer' = '0021000' and 0 more"):
        load_population(
            db, experiment, own_file("shop", "population.path", experiment.path, Path("people.csv"))
        )


def test_a_history_is_found_by_ids_as_they_are_written(db: Warehouse, tmp_path: Path) -> None:
    ids = [f"{i}.0" for i in DIGITS_18]
    path = tmp_path / "file.csv"
    table = pa.table({"customer": ids, **COLUMNS, "assigned_at": ["2026-01-02"] * N})
    pc.write_csv(table, path)
    place = draft(path, tmp_path).path
    declaration = place / "experiment.toml"
    table = '\n[tables.past]\npath = "past.csv"\navailable_at = "known_at"\n'
    declaration.write_text(declaration.read_text() + table)
    past = {"customer": ids, "known_at": ["2026-01-01"] * N, "balance": np.arange(N)}
    pc.write_csv(pa.table(past), place / "past.csv")
    load(db, BatchExperiment.read(load_experiment(place), place), path)
    same = "customer = (balance + 100000000000000000) || '.0'"
    joined = f"select count(*) from raw.shop_past join raw.shop using (user_id) where {same}"
    assert db.one(joined) == (N,)
