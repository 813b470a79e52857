"""Partitions: whole files, folders that never change, and no unused ones."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dagster_project.warehouse.partitions import (
    Generation,
    Part,
    remove_unused,
    same_columns,
    write_part,
)
from dagster_project.warehouse.sql import Identifier
from tests.support import memory_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, UpliftError

RAW = Identifier.of("raw", "e")


def write_generation(home: Home, rows: int, layer: str = "raw") -> Generation:
    generation = Generation.new(home, "e", layer)
    write_part(memory_warehouse(), f"select range as user_id from range({rows})", {}, generation.path(0))
    return generation


def test_a_view_takes_a_tables_place_and_back(tmp_path):
    db = memory_warehouse()
    db.create(RAW, "select 1 as user_id")
    assert db.files_of(RAW) == ""
    generation = write_generation(Home(tmp_path / "it's"), 3)
    assert db.create_view(RAW, generation.pattern) == 3
    assert (db.kind(RAW), db.files_of(RAW)) == ("VIEW", generation.pattern)
    assert db.create(RAW, "select 1 as user_id") == 1
    assert db.kind(RAW) == "BASE TABLE"


def test_a_part_that_fails_leaves_no_file(tmp_path):
    generation = Generation.new(Home(tmp_path), "e", "raw")
    with pytest.raises(duckdb.Error):
        write_part(memory_warehouse(), "select error('no') from range(3)", {}, generation.path(0))
    assert not list(generation.folder.iterdir())


def test_only_what_neither_warehouse_nor_snapshot_reads_is_removed(tmp_path):
    home, db = Home(tmp_path), memory_warehouse()
    published, current, unused = (
        write_generation(home, 1),
        write_generation(home, 2),
        write_generation(home, 3),
    )
    home.published.mkdir()
    with duckdb.connect(str(home.published / "snapshot-1.duckdb")) as con:
        con.execute(f"create view v as from read_parquet('{published.pattern}')")
    db.create_view(RAW, current.pattern)
    assert remove_unused(db, home) == [unused.folder]
    assert published.path(0).is_file()
    assert db.count(RAW) == 2


def test_parts_that_were_read_differently_are_refused_by_column():
    parts = [Part(Path("a"), 1, (("x", kind),)) for kind in ("BIGINT", "BIGINT", "DOUBLE")]
    same_columns("e", parts[:2])
    with pytest.raises(DataError, match="part 2 has x DOUBLE where part 0 has x BIGINT"):
        same_columns("e", parts)


def test_a_home_that_reads_as_a_pattern_is_refused(tmp_path):
    with pytest.raises(UpliftError, match="choose another folder"):
        Generation.new(Home(tmp_path / "a*"), "e", "raw")
