"""After an erasure, no file below the home names the user; everybody else keeps what they had."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dagster_project.commands import erase as command
from dagster_project.commands import suppress
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.erased_files import erase_previews
from tests.dagster_project.delivery.shop import CANARIES, ID, INPUTS, LISTS, shop_of
from tests.support import TESTS_KEY, opened, run_unchecked
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer, recorded_pointers
from uplift_core.artifacts.register import ALL, Register, Wish
from uplift_core.errors import UpliftError


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of that home, with a log of decisions and a copy of the warehouse."""
    shutil.copytree(made / "uplift", tmp_path / "home")
    home = Home(tmp_path / "home")
    home.upgrades.mkdir()
    shutil.copy(home.warehouse, home.upgrades / "warehouse-version-1-then.duckdb")
    number = number_of(home, ID)
    wishes = [Wish(number, scope, "suppress", f"{ID} wrote so", "Ann") for scope in ("shop", ALL)]
    Register(home.register).enter([*wishes, Wish(7, "shop", "suppress", "left", "Ann")])
    log = home.root / "decisions.jsonl"
    entries = [{"user_id": user, "decision": "treat"} for user in (number, 7)]
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    monkeypatch.setenv("UPLIFT_DECISION_LOG", str(log))
    monkeypatch.setenv("UPLIFT_HOME", str(home.root))
    monkeypatch.setenv("UPLIFT_EXPERIMENTS", str(made / "own"))
    return home


@pytest.fixture
def shop(made: Path) -> BatchExperiment:
    return shop_of(made)


def number_of(home: Home, own_id: str) -> int:
    with opened(home) as db:
        return db.one("select user_id from raw.shop where customer = $id", {"id": own_id})[0]


def named_in(home: Home, texts: list[str]) -> set[str]:
    """Files with one of the texts: as bytes, and in the cells of databases and Parquet files."""
    places = set()
    for path in (path for path in home.root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        name = str(path.relative_to(home.root))
        places |= {name for text in texts if text.encode() in content}
        if path == home.register:
            with closing(sqlite3.connect(path)) as con:
                values = {str(value) for row in con.execute("select * from entries") for value in row}
            places |= {f"{name}: entries" for text in texts if text in values}
        with duckdb.connect(":memory:") as con:
            if path.suffix == ".duckdb":
                con.execute("attach $path as other (read_only)", {"path": str(path)})
                con.execute("use other")
                tables = con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
                sources = [f'"{schema}"."{table}"' for schema, table in tables]
            elif path.suffix == ".parquet":
                sources = [f"read_parquet('{path}')"]
            else:
                continue
            for source in sources:
                names = con.sql(f"from {source}").columns
                cells = ", ".join(f'"{column}"::varchar' for column in names)
                named = f"select 1 from {source} where list_has_any([{cells}], $texts) limit 1"
                if con.execute(named, {"texts": texts}).fetchall():
                    places.add(f"{name}: {source}")
    return places


def everybody_else(home: Home) -> dict[str, list[tuple]]:
    with opened(home) as db:
        return {
            table: db.rows(
                f"from {table} where user_id <> $user order by all", {"user": number_of_erased()}
            )
            for table in ("raw.shop", "scores.shop", "decisions.treat_list")
        }


def number_of_erased() -> int:
    """The user id that raw.sql makes of the text, by the home's key."""
    return TESTS_KEY.number(ID)


def test_no_file_names_the_user_afterwards_and_nobody_else_changes(
    home: Home, shop: BatchExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert number_of(home, ID) == number_of_erased()
    texts = [ID, str(number_of_erased()), *CANARIES]
    before, others = named_in(home, texts), everybody_else(home)
    assert {place.partition("/")[0].partition(":")[0] for place in before} >= {
        "warehouse.duckdb",
        "decisions.jsonl",
        "register.sqlite",
        "exports",
        "published",
        "upgrades",
    }
    pointers = recorded_pointers(home.published)
    assert len(pointers) == 2
    assert command.main(["shop", ID]) == 0
    said = capsys.readouterr().out
    assert "snapshots: 2" in said
    assert "lines of the decision log: 1" in said
    assert "exported lists: 1" in said
    assert "entries of the register: 2" in said
    assert "this user_id said no to all experiments" in said
    # Their word for all experiments, without when and why; it ends as the receipt says.
    assert named_in(home, texts) == {"register.sqlite: entries"}
    assert suppress.main([str(number_of_erased()), "--lift", "--reason", "they asked"]) == 0
    assert command.main(["shop", ID]) == 0
    assert named_in(home, texts) == set()
    assert Register(home.register).history(7, ["shop"]) != []
    assert everybody_else(home) == others
    receipt, _ = sorted((home.root / "erasures").iterdir())
    assert json.loads(receipt.read_bytes())["rows"]["decisions.treat_list"] == 1
    new = recorded_pointers(home.published)
    assert [pointer.number for pointer in new] == [pointer.number for pointer in pointers]
    assert read_pointer(home.published) == new[-1]
    for pointer in new:
        path = home.published / pointer.file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == pointer.sha256
    assert len(list(home.published.glob("*.duckdb"))) == 2
    # The file still has the user; the tombstone keeps them out, and nobody is drawn anew.
    run_unchecked(shop, home.root, [*INPUTS, *LISTS])
    assert named_in(home, texts) == set()
    again = everybody_else(home)
    assert again["raw.shop"] == others["raw.shop"]
    roles = [
        [(row[3], row[5] == "holdout") for row in rows["decisions.treat_list"]]
        for rows in (again, others)
    ]
    assert roles[0] == roles[1]
    assert command.main(["shop", str(number_of_erased())]) == 0  # again, by the number


def test_exports_are_as_they_were_without_the_user(home: Home) -> None:
    def lists() -> dict[str, list[list[str]]]:
        (manifest,) = home.exports.rglob("manifest.json")
        said = json.loads(manifest.read_bytes())
        files = said["files"]
        content = {}
        for file in files:
            path = manifest.parent / file["path"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
            if path.suffix == ".csv":
                content[path.name] = list(csv.reader(path.open(newline="", encoding="utf-8")))
                assert len(content[path.name]) == file["rows"] + 1
        done = (manifest.parent / "_SUCCESS").read_text()
        assert done == hashlib.sha256(manifest.read_bytes()).hexdigest()
        folders = {path.name for path in manifest.parent.iterdir() if path.is_dir()}
        assert folders == {Path(entry["path"]).parts[0] for entry in (*files, *said["rules"])}
        assert len(folders) == 2
        return content

    before = lists()
    raw = {path.name: path.read_bytes() for path in home.exports.rglob("*.csv")}
    assert command.main(["shop", ID]) == 0
    after = lists()
    assert {name: [row for row in rows if ID not in row] for name, rows in before.items()} == after
    for path in home.exports.rglob("*.csv"):
        lines = [line for line in raw[path.name].splitlines() if ID.encode() not in line]
        assert path.read_bytes().splitlines() == lines


def test_who_is_unknown_is_not_erased(home: Home) -> None:
    before = home.warehouse.read_bytes()
    with pytest.raises(UpliftError, match="'nobody' is neither a 'customer' nor a user_id"):
        command.main(["shop", "nobody"])
    with pytest.raises(UpliftError, match="'shops' is no experiment"):
        command.main(["shops", ID])
    assert home.warehouse.read_bytes() == before


def test_a_cluster_s_files_are_refused(home: Home) -> None:
    part = home.partitions / "shop" / "raw" / "1" / "part-00000.parquet"
    part.parent.mkdir(parents=True)
    part.touch()
    with pytest.raises(UpliftError, match="in a cluster's files"):
        command.main(["shop", ID])


def test_rows_in_dagsters_store_are_blanked(tmp_path: Path) -> None:
    @dg.asset
    def shown() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"preview": dg.MetadataValue.md(ID), "rows": 7})

    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        dg.materialize([shown], instance=instance)
    named = [path for path in tmp_path.rglob("*.db") if ID.encode() in path.read_bytes()]
    assert named
    assert erase_previews(tmp_path) > 0
    assert [path for path in named if ID.encode() in path.read_bytes()] == []
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("shown"))
        assert event.asset_materialization.metadata == {"rows": dg.MetadataValue.int(7)}
