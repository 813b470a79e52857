"""Unsigned whole numbers become signed in raw tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dagster_project.compute.cluster.tasks import Limits, Query, run_query
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.raw import load_raw
from dagster_project.inputs.signs import with_signs
from dagster_project.onboarding import new_experiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from dagster_project.warehouse.table_names import Tables
from tests.support import folder_of
from uplift_core.experiment.declaration import RAW_SQL
from uplift_core.experiment.sources import HistoryTable

WITHOUT_SIGNS = (
    "/* Rows. */ select 1::utinyint as a, -- the first\n 2::usmallint as b, 3::uinteger as c, 'x' as d"
)


def types_of(db: Warehouse, table: Identifier) -> dict[str, str]:
    return {row[0]: row[1] for row in db.rows(f"describe {table}")}


def test_types_without_a_sign_get_one_and_columns_keep_their_comments(db: Warehouse) -> None:
    table = Identifier.of("raw", "toy")
    db.create(table, with_signs(db, WITHOUT_SIGNS, {}))
    assert types_of(db, table) == {"a": "INTEGER", "b": "INTEGER", "c": "BIGINT", "d": "VARCHAR"}
    assert db.rows(f"from {table}") == [(1, 2, 3, "x")]
    said = {key[2]: text for key, text in db.columns().items() if key[:2] == ("raw", "toy")}
    assert (said[""], said["a"]) == ("Rows.", "the first")


@pytest.mark.parametrize(
    "sql", [WITHOUT_SIGNS + ";", WITHOUT_SIGNS + " -- the end", "from (select 1::utinyint a)"]
)
def test_any_select_will_do(db: Warehouse, sql: str) -> None:
    db.create(Identifier.of("raw", "toy"), with_signs(db, sql, {}))
    assert db.rows("select a - 2 from raw.toy") == [(-1,)]


def test_sql_whose_types_have_signs_is_left_as_it_is(db: Warehouse) -> None:
    sql = "select 1::tinyint as a, 2::ubigint as id"  # an id of 64 bits fits no other type
    assert with_signs(db, sql, {}) == sql


@pytest.fixture
def unsigned_file(tmp_path: Path) -> Path:
    n = 12
    table = pa.table(
        {
            "user_id": np.arange(n),
            "segment": ["No E-Mail", "Womens E-Mail", "Mens E-Mail"] * 4,
            "visits": np.arange(n, dtype=np.uint8),
            "clicks": np.arange(n, dtype=np.uint32),
            "visit": np.ones(n, dtype=np.uint8),
            "conversion": np.zeros(n, dtype=np.uint16),
            "spend": np.zeros(n),
        }
    )
    pq.write_table(table, tmp_path / "users.parquet")
    return tmp_path / "users.parquet"


RAW = "select user_id::bigint as user_id, * exclude (user_id) from read_parquet($source)"
SIGNED_COLUMNS = {"visits": "INTEGER", "clicks": "BIGINT", "visit": "INTEGER", "conversion": "INTEGER"}


def test_a_file_of_types_without_signs_is_loaded_with_them(
    db: Warehouse, unsigned_file: Path, tmp_path: Path
) -> None:
    (tmp_path / RAW_SQL).write_text(RAW, encoding="utf-8")
    experiment = replace(folder_of("hillstrom"), path=tmp_path)
    rows, _ = load_raw(db, experiment, SourceFile(unsigned_file, "0" * 64))
    assert rows == 12
    assert SIGNED_COLUMNS.items() <= types_of(db, experiment.tables.raw).items()
    assert db.rows("select sum(visits - clicks - 1) from raw.hillstrom") == [(-12,)]


def test_a_history_is_loaded_likewise(db: Warehouse, unsigned_file: Path, tmp_path: Path) -> None:
    past = {
        "user_id": np.arange(12),
        "known_at": [datetime(2026, 1, 1)] * 12,  # noqa: DTZ001 - files have no zones
        "orders": np.arange(12, dtype=np.uint16),
    }
    pq.write_table(pa.table(past), tmp_path / "past.parquet")
    (tmp_path / RAW_SQL).write_text(
        RAW.replace(" from", ", timestamp '2026-02-01' as assigned_at from"), encoding="utf-8"
    )
    history = HistoryTable(path="past.parquet", available_at="known_at")
    changes = {"tables": {"past": history}, "assigned_at": "assigned_at", "user_id": "user_id"}
    declaration = folder_of("hillstrom").declaration.model_copy(update=changes)
    experiment = replace(
        folder_of("hillstrom"), declaration=declaration, path=tmp_path, tables=Tables.of(declaration)
    )
    load_raw(db, experiment, SourceFile(unsigned_file, "0" * 64))
    assert types_of(db, experiment.tables.histories["past"])["orders"] == "INTEGER"
    assert db.rows("select min(orders - 1) from raw.hillstrom_past") == [(-1,)]


def test_a_worker_reads_its_part_likewise(
    unsigned_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worker:
        local_directory = str(tmp_path)

    monkeypatch.setattr("dagster_project.compute.cluster.tasks.get_worker", Worker)
    query = Query(RAW, tmp_path / "part.parquet", binds={"source": str(unsigned_file)}, signed=True)
    part = run_query(Limits("500MB"), query)
    assert SIGNED_COLUMNS.items() <= dict(part.columns).items()


def test_a_draft_writes_types_with_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(tmp_path / "own"))
    n = 3_000
    rng = np.random.default_rng(7)
    columns = {
        "customer": np.arange(n),
        "age": rng.integers(18, 80, n).astype(np.uint8),
        "wave": rng.choice(["control", "mail"], n),
        "visit": rng.integers(0, 2, n).astype(np.uint8),
    }
    pq.write_table(pa.table(columns), tmp_path / "file.parquet")
    assert new_experiment.main([str(tmp_path / "file.parquet"), "shop"]) == 0
    sql = (tmp_path / "own" / "shop" / RAW_SQL).read_text(encoding="utf-8")
    assert '"age"::integer as "age"' in sql
    assert '"visit"::integer as "visit"' in sql
