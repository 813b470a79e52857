"""The warehouse: one writer, all or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.schema import SCHEMAS
from dagster_project.warehouse.sql import Identifier
from tests.support import opened
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, UpliftError

TOY = Identifier.of("raw", "toy")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_what_was_written_is_there_next_time(home: Home) -> None:
    with opened(home) as db:
        assert db.create(TOY, "select 1 as a union all select 2") == 2
    with opened(home) as db:
        assert db.count(TOY) == 2


def test_every_schema_and_table_is_there_from_the_start(home: Home) -> None:
    with opened(home) as db:
        schemas = {row[0] for row in db.rows("select schema_name from duckdb_schemas()")}
        assert set(SCHEMAS) <= schemas
        assert db.count(Identifier.of("decisions", "treat_list")) == 0


def test_an_error_inside_leaves_nothing_written(home: Home) -> None:
    with opened(home) as db:
        db.create(TOY, "select 1 as a")

    def fail_half_way() -> None:
        with opened(home) as db:
            db.create(TOY, "select 2 as a")
            db.create(Identifier.of("raw", "other"), "select 3 as a")
            db.rows("insert into raw.registry values ('toy', 'f', 's', 1)")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    with opened(home) as db:
        assert db.rows(f"from {TOY}") == [(1,)]
        assert db.rows("select table_name from duckdb_tables() where schema_name = 'raw'") == [
            ("registry",),
            ("toy",),
        ]
        assert db.rows("from raw.registry") == []


# Tries to open the warehouse each time it reads a line.
OPEN = """
import sys
from pathlib import Path
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError
for _ in sys.stdin:
    try:
        with open_warehouse(Home(Path(sys.argv[1])), memory_limit="500MB", threads=1):
            print("opened", flush=True)
    except UpliftError as error:
        print(error, flush=True)
"""


def test_a_second_process_is_told_who_may_hold_it(home: Home) -> None:
    command = [sys.executable, "-c", OPEN, str(home.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as other:

        def reply() -> str:
            other.stdin.write("try\n")
            return other.stdout.readline().strip()

        with opened(home):
            said = reply()
        assert f"{home.warehouse} cannot be opened" in said
        assert "Another run may hold it" in said
        assert "published snapshot" in said
        assert reply() == "opened"


def test_a_file_that_is_no_database_is_an_expected_error(home: Home) -> None:
    home.root.mkdir(parents=True)
    home.warehouse.write_bytes(b"no database " * 1000)
    with pytest.raises(UpliftError, match="cannot be opened"), opened(home):
        pass


def test_extensions_are_not_fetched_from_the_network(home: Home) -> None:
    with opened(home) as db:
        settings = dict(
            db.rows("select name, value from duckdb_settings() where name like 'auto%known%'")
        )
    assert settings == {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


def test_replacing_rows_touches_its_key_alone(db: Warehouse) -> None:
    registry = Identifier.of("raw", "registry")

    def entry(name: str, rows: int) -> pa.Table:
        return pa.table({"experiment": [name], "row_count": [rows], "sha256": ["s"], "source": ["f"]})

    db.replace_rows(registry, {"experiment": "a"}, entry("a", 1))
    db.replace_rows(registry, {"experiment": "b"}, entry("b", 2))
    db.replace_rows(registry, {"experiment": "a"}, entry("a", 3))
    assert db.rows(f"select experiment, row_count from {registry} order by 1") == [("a", 3), ("b", 2)]


def test_one_row_is_asked_for_and_must_come(db: Warehouse) -> None:
    assert db.one("select $a::int + 1", {"a": 1}) == (2,)
    with pytest.raises(DataError, match="the query returned no row"):
        db.one("select 1 where false")


def test_a_relation_is_gone_afterwards(db: Warehouse) -> None:
    with db.relation("incoming", pa.table({"a": [1]})):
        assert db.rows("from incoming") == [(1,)]
    with pytest.raises(Exception, match="incoming"):
        db.rows("from incoming")


def test_a_warehouse_of_an_earlier_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with opened(home) as db:
        db.rows("alter table decisions.treat_list drop column propensity")
        db.rows("alter table models.registry drop column gate")
    with pytest.raises(
        UpliftError, match=r"lacks decisions.treat_list.propensity and 1 more.*make carry-ledger FROM="
    ) as caught:
        opened(home).__enter__()
    assert "The published snapshot does not change" in str(caught.value)
