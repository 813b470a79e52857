"""Exports: files that agree with each other, the warehouse and their manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.nights import campaigns
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import ListKey
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import UserIds, export_treat_list
from dagster_project.delivery.export_files import write_whole
from dagster_project.delivery.stores import LocalStore, ObjectStore, open_store
from dagster_project.warehouse.sql import Identifier
from tests.support import SMALL, opened, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError, UpliftError
from uplift_core.targeting.budget import Budget

RAW = Identifier.of("raw", "simulated")
LATER = "2999-12-31"


def strict(text: str) -> dict[str, Any]:
    """Parse JSON as the standard defines it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def manifest_of(home: Path) -> Path:
    (path,) = (home / "exports" / "simulated").glob("*/treated/manifest.json")
    return path


def date_of(manifest: Path) -> str:
    return manifest.parent.parent.name


def write(home: Home, experiment: BatchExperiment, date: str, share: float) -> None:
    with opened(home) as db:
        budget = Budget(share=share)
        write_treat_list(
            db,
            experiment,
            ListOrder(decision_date=date, arm="treated", budget=budget, override="a test"),
            assign_roles,
        )


def export(home: Home, date: str) -> Path:
    with opened(home) as db:
        store = LocalStore(home.exports)
        return Path(
            export_treat_list(db, store, ListKey(date, "simulated", "treated"), write_sheet=write_whole)
        )


def files_of(manifest: Path) -> dict[str, Path]:
    entries = strict(manifest.read_text())["files"]
    return {Path(entry["path"]).name: manifest.parent / entry["path"] for entry in entries}


def entries_of(manifest: Path) -> list[dict[str, Any]]:
    """The entries of all files, those of the rules included."""
    content = strict(manifest.read_text())
    return [*content["files"], *content["rules"]]


def folders_of(manifest: Path) -> set[str]:
    return {Path(entry["path"]).parts[0] for entry in entries_of(manifest)}


def is_whole(manifest: Path) -> bool:
    """Return true if every file agrees with the manifest."""
    return all(
        hashlib.sha256((manifest.parent / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
        for entry in entries_of(manifest)
    )


def test_the_manifest_names_the_files_with_their_sha256(simulated_home: Path) -> None:
    path = manifest_of(simulated_home)
    manifest = strict(path.read_text())
    assert (manifest["experiment"], manifest["decision_date"]) == ("simulated", date_of(path))
    names = [
        f"{name}.{ending}"
        for name in ("treat", "decisions", "changes", "holdout")
        for ending in ("parquet", "csv")
    ]
    assert list(files_of(path)) == names
    assert is_whole(path)
    for entry in manifest["files"]:
        assert entry["bytes"] == (path.parent / entry["path"]).stat().st_size
    success = (path.parent / "_SUCCESS").read_text()
    assert success == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_manifest_counts_the_list(simulated_home: Path) -> None:
    manifest = strict(manifest_of(simulated_home).read_text())
    assert (manifest["users"], manifest["treated"]) == (SMALL, round(0.3 * SMALL))
    assert (manifest["arm"], manifest["campaign"]) == ("treated", "treated")
    assert [manifest[f"budget_{name}"] for name in ("kind", "asked", "used")] == ["share", 0.3, 0.3]
    assert sum(count["rows"] for count in manifest["decisions"].values()) == SMALL
    assert sum(count["treated"] for count in manifest["decisions"].values()) == manifest["treated"]
    assert manifest["format"] == 3
    assert manifest["evidence"] in {"passed", "inconclusive"}
    assert f"'{manifest['learner']}' " in manifest["evidence_reason"]
    assert "targeting" in manifest["evidence_reason"]
    assert manifest["needed_users"] is None or manifest["needed_users"] > 0
    assert [gate["gate"] for gate in manifest["gates"] if gate["passed"]] == [
        *("evidence", "list_change", "realised_rate", "sample_ratio", "threshold_rate"),
        "treating_nobody",
    ]
    assert manifest["parent"] is None


def test_the_first_file_is_whom_to_treat_and_nobody_else(simulated_home: Path, home: Home) -> None:
    """The file includes explorers who drew the treatment, in the order of the list."""
    manifest = strict(manifest_of(simulated_home).read_text())
    assert manifest["format"] == 3
    assert [Path(entry["path"]).stem for entry in manifest["files"]][:2] == ["treat", "treat"]
    with opened(home) as db:
        columns = "user_id, arm, campaign, decision_date, rank"
        expected = db.rows(f"select {columns} from decisions.treat_list where treated order by rank")
        (drawn,) = db.one(
            "select count(*) from decisions.treat_list where treated and decision = 'explore'"
        )
    files = files_of(manifest_of(simulated_home))
    with duckdb.connect() as con:
        parquet = con.sql(f"from read_parquet('{files['treat.parquet']}')")
        assert parquet.columns == columns.split(", ")
        assert parquet.fetchall() == expected
        csv = con.sql(f"from read_csv('{files['treat.csv']}')")
        assert csv.columns == columns.split(", ")
        assert csv.fetchall() == expected
    assert len(expected) == manifest["treated"] == round(0.3 * SMALL)
    assert drawn == manifest["explored"] > 0
    assert {row[1] for row in expected} == {"treated"}


def test_parquet_csv_and_warehouse_hold_the_same_decisions(simulated_home: Path, home: Home) -> None:
    files = files_of(manifest_of(simulated_home))
    with opened(home) as db:
        expected = db.rows(
            "select user_id, * exclude (user_id) replace (if(treated, arm, null) as arm) "
            "from decisions.treat_list order by rank nulls last, user_id"
        )
        holdout_rows = db.rows(
            "select user_id from decisions.treat_list where decision = 'holdout' order by all"
        )
        types = dict(row[:2] for row in db.rows("describe decisions.treat_list"))
        arms = db.rows("select distinct arm from decisions.treat_list")
    assert arms == [("treated",)]  # the ledger has the arm of the list
    types = {"user_id": types.pop("user_id")} | types
    with duckdb.connect() as con:
        exported = con.sql(f"from read_parquet('{files['decisions.parquet']}')")
        assert exported.columns == list(types)
        assert exported.fetchall() == expected
        csv = con.sql(f"from read_csv('{files['decisions.csv']}', types={types})")
        assert csv.fetchall() == expected
        assert con.sql(f"from '{files['holdout.parquet']}'").fetchall() == holdout_rows
        assert con.sql(f"from read_csv('{files['holdout.csv']}')").fetchall() == holdout_rows


def test_an_equal_list_is_an_equal_export(home: Home, simulated: BatchExperiment) -> None:
    path = manifest_of(home.root)
    before = {p.relative_to(path.parent): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert export(home, date_of(path)) == path
    after = {p.relative_to(path.parent): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert after == before


def test_a_changed_list_replaces_the_export_and_who_reads_the_old_one_may_finish(
    home: Home, simulated: BatchExperiment
) -> None:
    path = manifest_of(home.root)
    first = files_of(path)
    for share in (0.1, 0.2):
        before, folders = files_of(path), folders_of(path)
        write(home, simulated, date_of(path), share)
        export(home, date_of(path))
        assert strict(path.read_text())["treated"] == share * SMALL
        assert all(file.is_file() for file in before.values())
    assert not any(file.exists() for file in first.values())
    assert {p.name for p in path.parent.iterdir()} == {
        *("manifest.json", "_SUCCESS"),
        *(folders | folders_of(path)),
    }


def test_changes_lead_from_one_list_to_the_next(home: Home, simulated: BatchExperiment) -> None:
    first = manifest_of(home.root)
    before = first.read_bytes()
    write(home, simulated, LATER, 0.1)
    second = export(home, LATER)
    assert first.read_bytes() == before
    manifest = strict(second.read_text())
    assert manifest["parent"] == {
        "decision_date": date_of(first),
        "sha256": hashlib.sha256(before).hexdigest(),
    }
    with duckdb.connect() as con:
        lists = [
            {row[0] for row in con.sql(f"select user_id from '{file}'").fetchall()}
            for file in (files_of(first)["treat.parquet"], files_of(second)["treat.parquet"])
        ]
        changes = con.sql(f"from '{files_of(second)['changes.parquet']}'").fetchall()
    enter, exit_ = ({user for user, what in changes if what == way} for way in ("enter", "exit"))
    assert (lists[0] | enter) - exit_ == lists[1]
    assert (len(enter), len(exit_)) == (manifest["entered"], manifest["exited"]) == (0, 1000)


def test_text_that_a_spreadsheet_would_run_is_made_text(home: Home, simulated: BatchExperiment) -> None:
    with opened(home) as db:
        db.rows(
            "insert into decisions.suppressions "
            "values ('simulated', 7, '=HYPERLINK(\"http://x\")', null)"
        )
        db.rows("delete from decisions.nights")
        db.rows("delete from decisions.treat_list")
    write(home, simulated, LATER, 0.3)
    files = files_of(export(home, LATER))
    lines = [line for line in files["decisions.csv"].read_text().splitlines() if "HYPERLINK" in line]
    assert all("'=HYPERLINK" in line for line in lines)
    with duckdb.connect() as con:
        reasons = con.sql(
            f"select reason from '{files['decisions.parquet']}' where user_id = 7"
        ).fetchall()
    assert reasons == [('=HYPERLINK("http://x")',)]


# Ids that a spreadsheet would read as formulas, or another reader as numbers.
ODD_IDS = ("+4915112345", "-12", "=A1+1", "@name", "0021000", "21000", "1e5", 'a,"b', " x", "NULL")


@pytest.fixture
def keyed(home: Home, simulated: BatchExperiment) -> BatchExperiment:
    """The finished run with ids in a column ``customer``, the unusual ones at the top of the list."""
    with opened(home) as db:
        db.rows(
            "create or replace table raw.simulated as "
            "select coalesce($odd[rank], 'c-' || user_id) as customer, raw.* from raw.simulated as raw "
            "join (select user_id, rank from decisions.treat_list) using (user_id)",
            {"odd": list(ODD_IDS)},
        )
    return with_experiment(simulated, user_id="customer")


def exported_by_id(home: Home, date: str) -> dict[str, Path]:
    key = ListKey(date, "simulated", "treated")
    with opened(home) as db:
        return files_of(
            Path(
                export_treat_list(
                    db,
                    LocalStore(home.exports),
                    key,
                    ids=UserIds("customer", RAW),
                    write_sheet=write_whole,
                )
            )
        )


def test_the_users_own_id_comes_first_in_every_file_and_as_it_is(
    home: Home, keyed: BatchExperiment
) -> None:
    files = exported_by_id(home, date_of(manifest_of(home.root)))
    with duckdb.connect() as con:
        for path in files.values():
            read = f"from read_parquet('{path}')"
            if path.suffix == ".csv":
                read = f"from read_csv('{path}', all_varchar = true, nullstr = '')"
            assert con.sql(read).columns[0] == "customer", path.name
        for name in ("treat", "decisions"):
            for read in (
                f"read_parquet('{files[name + '.parquet']}')",
                f"read_csv('{files[name + '.csv']}', all_varchar = true)",
            ):
                first = con.sql(f"select customer from {read}").limit(len(ODD_IDS)).fetchall()
                assert [row[0] for row in first] == list(ODD_IDS), read
        columns = con.sql(f"from '{files['treat.parquet']}'").columns
        assert columns == ["customer", "arm", "campaign", "decision_date", "rank"]
        assert con.sql(f"from '{files['changes.parquet']}'").columns == ["customer", "user_id", "change"]
        assert con.sql(f"from '{files['holdout.parquet']}'").columns == ["customer", "user_id"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_list_is_measured_by_every_id_of_its_own_export(
    home: Home, keyed: BatchExperiment, tmp_path: Path, ending: str
) -> None:
    date = date_of(manifest_of(home.root))
    exported = exported_by_id(home, date)[f"decisions.{ending}"]
    file = tmp_path / f"outcomes.{ending}"
    read = f"read_csv('{exported}', all_varchar = true)" if ending == "csv" else f"'{exported}'"
    duckdb.sql(
        f"copy (select customer, (hash(customer) % 2)::int as converted from {read}) to '{file}' "
        + ("(header)" if ending == "csv" else "")
    )
    with opened(home) as db:
        assert measure(db, keyed, decision_date=date, file=file, absent_is_zero=False) == 2


@pytest.mark.parametrize("name", ["rank", "Arm"])
def test_an_id_that_is_called_like_a_column_of_the_list_keeps_its_name(
    home: Home, keyed: BatchExperiment, name: str
) -> None:
    key = ListKey(date_of(manifest_of(home.root)), "simulated", "treated")
    with opened(home) as db:
        db.rows(f'alter table raw.simulated rename customer to "{name}"')
        files = files_of(
            Path(
                export_treat_list(
                    db, LocalStore(home.exports), key, ids=UserIds(name, RAW), write_sheet=write_whole
                )
            )
        )
    with duckdb.connect() as con:
        rows = con.sql(f"from '{files['treat.parquet']}'")
        assert rows.columns[0] == name
        assert f"list_{name.lower()}" in rows.columns
        assert [row[0] for row in rows.limit(3).fetchall()] == list(ODD_IDS[:3])


def test_a_budget_for_nobody_is_valid_json_too(home: Home, simulated: BatchExperiment) -> None:
    write(home, simulated, LATER, 0.0)
    path = export(home, LATER)
    assert files_of(path)["treat.csv"].read_text() == "user_id,arm,campaign,decision_date,rank\n"
    manifest = strict(path.read_text())
    assert (manifest["treated"], manifest["threshold"], manifest["promised"]) == (0, None, None)


def test_without_a_list_there_is_nothing_to_export(home: Home) -> None:
    with opened(home) as db, pytest.raises(DataError, match="hillstrom: there is no treat list"):
        campaigns(db, "hillstrom", LATER)


@pytest.mark.parametrize("step", ["put_folder", "replace"])
def test_a_crash_leaves_the_previous_export_whole(
    home: Home, simulated: BatchExperiment, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = manifest_of(home.root)
    before = path.read_bytes()
    write(home, simulated, date_of(path), 0.1)

    def crash(*_: object) -> str:
        raise OSError("power cut")

    monkeypatch.setattr(LocalStore, step, crash)
    with pytest.raises(OSError, match="power cut"):
        export(home, date_of(path))
    assert path.read_bytes() == before
    assert is_whole(path)
    assert not list(home.exports.glob(".export-*"))


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:-9]), Path.unlink])
def test_a_damaged_file_is_made_whole_by_the_next_run(
    home: Home, damage: Callable[[Path], object]
) -> None:
    path = manifest_of(home.root)
    before = path.read_bytes()
    damage(files_of(path)["treat.parquet"])
    export(home, date_of(path))
    assert path.read_bytes() == before
    assert is_whole(path)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """``memory``: fsspec's store in memory, without renames and folders; ``s3``: an S3 server."""
    return "memory://bucket/lists" if request.param == "memory" else request.getfixturevalue("s3")


@pytest.mark.parametrize("address", ["memory", "s3"], indirect=True)
def test_an_object_store_holds_the_same_files(
    home: Home, simulated: BatchExperiment, address: str
) -> None:
    local = manifest_of(home.root)
    key = ListKey(date_of(local), "simulated", "treated")
    store = ObjectStore(address, home.scratch)
    with opened(home) as db:
        url = export_treat_list(db, store, key, write_sheet=write_whole)
        assert url == f"{address}/simulated/{key.decision_date}/treated/manifest.json"
        assert export_treat_list(db, store, key, write_sheet=write_whole) == url
    place = f"simulated/{key.decision_date}/treated"
    assert store.read(f"{place}/manifest.json") == local.read_bytes()
    assert store.read(f"{place}/_SUCCESS") == (local.parent / "_SUCCESS").read_bytes()
    for entry in entries_of(local):
        assert store.sha256(f"{place}/{entry['path']}") == entry["sha256"]
    assert store.read("no such file") is store.sha256("no such file") is None
    for share in (0.1, 0.2):
        write(home, simulated, key.decision_date, share)
        with opened(home) as db:
            export_treat_list(db, store, key, write_sheet=write_whole)
    assert len(store.folders(place)) == 4  # files and rules, of this list and of the one before
    assert not list(home.scratch.glob(".export-*"))


def test_an_address_without_a_file_system_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UpliftError, match="install its fsspec package"):
        open_store("no-such-store://bucket", tmp_path)
