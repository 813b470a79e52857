"""Histories and populations are files, tables of databases, or files behind a URL: equal rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.own_files import own_file
from dagster_project.inputs.population import compute_features, load_population
from dagster_project.inputs.raw import load_raw
from dagster_project.inputs.sources import provided_file
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.declared.test_wrong_declarations import (
    CRM,
    LISTED,
    PAST,
    TOML,
    load,
    load_others,
    write,
)
from uplift_core.errors import DataError, UpliftError
from uplift_core.experiment.declaration import load_experiment

IN_TABLE = 'connection = "crm"\ntable = "main.rows"'


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of the connection ``crm``; a test writes the table ``rows``."""
    path = tmp_path / "crm.duckdb"
    monkeypatch.setenv("UPLIFT_CONNECTION_CRM", f"duckdb://{path}")
    return path


def fill(database: Path, rows: dict[str, list], columns: str = "*") -> None:
    with duckdb.connect(str(database)) as con:
        con.register("given", pa.table(rows))
        con.sql(f"create or replace table rows as select {columns} from given")


def test_a_history_may_be_a_table(db: Warehouse, tmp_path: Path, crm: Path) -> None:
    load(db, write(tmp_path))
    of_file = db.rows("from raw.shop_past")
    fill(crm, PAST, "* replace (known::date as known)")
    (tmp_path / "table").mkdir()
    place = write(tmp_path / "table", TOML.replace('path = "past.csv"', IN_TABLE))
    experiment = BatchExperiment.read(load_experiment(place), place)
    cache = tmp_path / "cache"
    load_raw(db, experiment, own_file("shop", "source.path", place, Path("users.csv")), cache)
    assert db.rows("from raw.shop_past") == of_file
    assert not list(cache.iterdir()), "the copy is gone"


@pytest.mark.parametrize("declared", [IN_TABLE, 'path = "file://{place}/crm-*.csv"'])
def test_a_population_may_be_a_table_or_behind_a_url(
    db: Warehouse, tmp_path: Path, crm: Path, declared: str
) -> None:
    of_file = load_others(db, write(tmp_path, LISTED))
    features = db.rows(f"from {of_file.tables.population.features}")
    fill(crm, CRM)
    (tmp_path / "table").mkdir()
    toml = LISTED.replace('path = "crm.csv"', declared.format(place=tmp_path / "shop"))
    place = write(tmp_path / "table", toml)
    (tmp_path / "shop" / "crm.csv").rename(tmp_path / "shop" / "crm-1.csv")
    experiment = load(db, place)
    cache = tmp_path / "cache"
    with provided_file(experiment.declaration, "population", cache=cache, folder=place) as file:
        load_population(db, experiment, file)
    compute_features(db, experiment)
    assert db.rows(f"from {experiment.tables.population.features}") == features
    assert [path.suffix for path in cache.iterdir()] == ([] if declared == IN_TABLE else [""])


def test_an_object_store_is_read_by_pattern(db: Warehouse, tmp_path: Path, s3: str) -> None:
    of_file = load_others(db, write(tmp_path, LISTED))
    features = db.rows(f"from {of_file.tables.population.features}")
    files = fsspec.filesystem("s3")
    for i, customer in enumerate(CRM["customer"]):
        part = {name: values[i : i + 1] for name, values in CRM.items()} | {"customer": [customer]}
        with files.open(f"{s3}/crm-{i}.parquet", "wb") as file:
            pq.write_table(pa.table(part), file)
    (tmp_path / "s3").mkdir()
    place = write(tmp_path / "s3", LISTED.replace('"crm.csv"', f'"{s3}/crm-*.parquet"'))
    experiment = load(db, place)
    read = partial(provided_file, experiment.declaration, "population", folder=place)
    with read(cache=tmp_path / "cache") as file:
        load_population(db, experiment, file)
    compute_features(db, experiment)
    assert db.rows(f"from {experiment.tables.population.features}") == features
    for file in files.ls(s3):
        files.rm(file)
    with (
        pytest.raises(DataError, match=r"population\.path = 's3://.*' names no file; correct it"),
        read(cache=tmp_path / "cache"),
    ):
        pass


def test_a_missing_table_names_key_and_connection(tmp_path: Path, crm: Path) -> None:
    fill(crm, CRM)
    place = write(tmp_path, LISTED.replace('path = "crm.csv"', IN_TABLE.replace("rows", "nobody")))
    experiment = load_experiment(place)
    words = r"shop: population\.connection = 'crm', population\.table = 'main\.nobody': cannot be read"
    with (
        pytest.raises(DataError, match=words),
        provided_file(experiment, "population", cache=tmp_path / "cache", folder=place),
    ):
        pass
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "declared",
    ['connection = "crm"', f'path = "crm.csv"\n{IN_TABLE}', 'path = "crm.csv"\ntable = "a"', ""],
)
def test_one_place_is_declared(tmp_path: Path, declared: str) -> None:
    place = write(tmp_path, LISTED.replace('path = "crm.csv"', declared))
    with pytest.raises(UpliftError, match="declare path, or connection and table together"):
        load_experiment(place)
