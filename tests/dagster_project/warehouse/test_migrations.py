"""Upgrades keep everything: the ledger row by row, whatever kills the process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from dagster_project.settings import REPOSITORY
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.migrations import (
    ShapeError,
    read_migrations,
    shape_after,
    upgrade,
    version_of,
)
from dagster_project.warehouse.schema import declared_shape
from dagster_project.warehouse.shape import differences
from tests.dagster_project.warehouse.further_versions import FURTHER, further, upgrade_further
from tests.support import opened
from tests.warehouses.make import load
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError

STORED = sorted((Path(__file__).parents[2] / "warehouses").glob("version_*"))
NIGHTS = 60
KILL = "tests.dagster_project.warehouse.further_versions"


def content(home: Home, tables: Sequence[str]) -> dict[str, list[dict]]:
    """Rows of tables, in order; NaN as a text, since it equals nothing."""
    with duckdb.connect(str(home.warehouse), read_only=True) as con:
        rows = {t: con.sql(f"from {t} order by all").to_arrow_table().to_pylist() for t in tables}
    return {t: [{k: v if v == v else "NaN" for k, v in r.items()} for r in rows[t]] for t in tables}  # noqa: PLR0124


def without(rows: list[dict], *columns: str) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in columns} for row in rows]


def tables_of(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.parquet")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with the warehouse of version 1: 60 nights of a ledger."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    load(STORED[0], home.warehouse)
    return home


def statements_for(key: tuple[str, str, str], text: str, known: set[tuple[str, str]]) -> str:
    """The SQL that a new migration needs for one declared column."""
    schema, table, column = key
    if (schema, table) not in known:
        return f"the create statement of sql/tables/{schema}.{table}.sql, with `if not exists`;"
    return f"alter table {schema}.{table} add column if not exists {column} {text} -- with its default;"


def test_the_migrations_lead_to_the_declared_tables() -> None:
    """No change of sql/tables without a migration; see CONTRIBUTING.md."""
    wanted, actual = declared_shape(), shape_after(read_migrations())
    known = {key[:2] for key in actual}
    missing = {statements_for(key, wanted[key], known) for key in wanted.keys() - actual.keys()}
    number = len(read_migrations()) + 1
    hint = f"sql/tables changed: add sql/migrations/{number:04}_<name>.sql"
    assert missing == set(), hint
    assert actual.keys() - wanted.keys() == set(), hint
    assert differences(wanted, actual) == [], hint


def test_migrations_are_numbered_without_a_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").touch()
    (tmp_path / "0003_third.sql").touch()
    with pytest.raises(UpliftError, match=r"0003_third\.sql: .* takes the next number, 0002"):
        read_migrations(tmp_path)


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_a_stored_warehouse_becomes_one_of_this_version_with_all_its_rows(
    folder: Path, tmp_path: Path
) -> None:
    home, tables = Home(tmp_path / "home"), tables_of(folder)
    home.root.mkdir()
    load(folder, home.warehouse)
    before = content(home, tables)
    assert len(before["decisions.nights"]) == NIGHTS
    with opened(home) as db:
        assert version_of(db) == len(read_migrations())
        assert db.one("select max(number) from quality.migrations") == (len(read_migrations()),)
    after = content(home, tables)
    for table, rows in before.items():
        shared = [name for name in rows[0] if name in after[table][0]]
        kept = [{name: row[name] for name in shared} for row in rows]
        assert [{name: row[name] for name in shared} for row in after[table]] == kept, table
    files = sorted(home.upgrades.iterdir())
    with opened(home):  # once is enough
        assert sorted(home.upgrades.iterdir()) == files


def test_three_versions_on_every_row_of_the_ledger_is_as_it_was(home: Home) -> None:
    tables = tables_of(STORED[0])
    before = content(home, tables)
    told = upgrade_further(home)
    newest = len(further())
    assert told[0].startswith(f"{home.warehouse} is of version 1 and becomes version {newest}; its copy")
    after = content(home, [t for t in tables if t != "evaluation.metrics"])
    assert [row.pop("weather") for row in after["decisions.nights"]] == ["unknown"] * NIGHTS
    after["decisions.treat_list"] = without(after["decisions.treat_list"], "channel")
    limits = [row.pop("limit") for row in after["decisions.gates"]]
    assert [float(limit) for limit in limits] == [row.pop("limit") for row in before["decisions.gates"]]
    budgets = [100 * row["budget"] for row in before.pop("decisions.list_rules")]
    assert [row["percent"] for row in after.pop("decisions.list_rules")] == budgets
    del before["evaluation.metrics"]
    for table, rows in after.items():  # columns of later migrations are unknown of earlier rows
        for row, earlier in zip(rows, before[table], strict=True):
            assert {row.pop(name) for name in row.keys() - earlier.keys()} <= {None}, table
    assert after == before
    assert upgrade_further(home) == []


def test_the_copy_is_the_file_of_before(home: Home) -> None:
    tables = tables_of(STORED[0])
    before = content(home, tables)
    (copy,) = re.findall(r"its copy is (\S+)", upgrade_further(home)[0])
    copied = Home(home.root / "copied")
    copied.root.mkdir()
    shutil.copy(copy, copied.warehouse)
    assert content(copied, tables) == before
    assert [path.name for path in home.upgrades.iterdir()] == [Path(copy).name]


def test_whatever_kills_an_upgrade_leaves_the_old_or_the_new_version(home: Home) -> None:
    """Before each statement that writes, in a process of its own."""
    command = [sys.executable, "-m", KILL, str(home.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    seen = [line.split() for line in done.stdout.splitlines()]
    versions = [int(version) for version, *_ in seen]
    assert versions == sorted(versions)
    assert set(versions) == set(range(1, len(further()) + 1))
    assert {(whole, rows) for _, whole, rows in seen} == {("True", str(NIGHTS * 40))}
    changes = sum(template.count(";") for template in FURTHER.values())
    assert len(seen) > changes + 2 * len(further())  # begin and commit of each


def test_a_warehouse_of_a_later_version_is_refused_with_the_version_that_is_needed(home: Home) -> None:
    upgrade_further(home)
    before = home.warehouse.read_bytes()
    newest = len(further())
    with pytest.raises(UpliftError) as caught, opened(home):
        pass
    assert f"is of version {newest}, which uplift-engine " in str(caught.value)
    assert f"knows versions to {newest - len(FURTHER)}" in str(caught.value)
    assert home.warehouse.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("alter decisions.nights alter treated type varchar", "treated is VARCHAR not null, not BIGINT"),
        (
            "alter decisions.gates alter message drop not null",
            "message is VARCHAR, not VARCHAR not null",
        ),
        ("alter decisions.gates drop column message", "it lacks decisions.gates.message"),
        (
            "create or replace decisions.suppressions as from decisions.suppressions",
            "the key (), not (experiment, user_id)",
        ),
    ],
)
@pytest.mark.parametrize("upgraded", [False, True])
def test_changed_tables_are_noticed_before_anything_is_written(
    home: Home, damage: str, words: str, *, upgraded: bool
) -> None:
    if upgraded:
        with opened(home):
            pass
    sql = damage.replace("alter ", "alter table ", 1).replace("or replace", "or replace table")
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute(sql)
    before = home.warehouse.read_bytes()
    with pytest.raises(ShapeError, match=re.escape(words)) as caught, opened(home):
        pass
    assert "make carry-ledger FROM=" in str(caught.value)
    assert home.warehouse.read_bytes() == before


def test_nights_in_parts_are_upgraded_too(home: Home, tmp_path: Path) -> None:
    """The ledger is a view then; its own rows get the new column, those in files have none."""
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("update decisions.treat_list set reason = reason")
        night = "decision_date = '2025-06-01'"
        path = tmp_path / "part-00000.parquet"
        con.execute(f"copy (from decisions.treat_list where {night}) to '{path}'")
        con.execute(f"delete from decisions.treat_list where {night}")
        con.execute(
            "insert into decisions.treat_list_parts values "
            f"('2025-06-01', 'simulated', 'treated', '{tmp_path}', 1, 1)"
        )
        rows = con.execute("select count(*) from decisions.treat_list").fetchone()[0]
    upgrade_further(home)
    (kind,) = {row["channel"] for row in content(home, ["decisions.treat_list"])["decisions.treat_list"]}
    assert kind is None
    with duckdb.connect(str(home.warehouse)) as con:
        total = con.execute("select count(*) from decisions.treat_list").fetchone()[0]
    assert total == rows + 40


def test_a_snapshot_is_read_while_the_warehouse_is_upgraded(home: Home, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.duckdb"
    load(STORED[0], snapshot)
    with duckdb.connect(str(snapshot), read_only=True) as reader:
        count = "select count(*) from decisions.treat_list"
        before = reader.execute(count).fetchone()
        answers = []
        with duckdb.connect(str(home.warehouse)) as con:
            tell = lambda _: answers.append(reader.execute(count).fetchone())  # noqa: E731
            upgrade(Warehouse(con), home, tell, further())
        assert answers == [before] * len(answers)
        assert len(answers) > len(FURTHER)


def test_no_room_for_the_copy_changes_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home.root)._replace(free=1000)
    monkeypatch.setattr("dagster_project.warehouse.migrations.shutil.disk_usage", lambda _: usage)
    before = home.warehouse.read_bytes()
    with pytest.raises(UpliftError, match="1,000 are free; make room"), opened(home):
        pass
    assert home.warehouse.read_bytes() == before
