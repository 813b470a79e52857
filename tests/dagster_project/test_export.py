"""Exports: files that agree with each other, the warehouse and their manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dagster_project.decisions import Budget, write_treat_list
from dagster_project.export import export_treat_list
from dagster_project.folders import ExperimentFolder
from dagster_project.warehouse import Home
from tests.support import SMALL, folder_of, opened
from uplift_core.errors import DataError


def strict(text: str) -> dict[str, Any]:
    """JSON as the standard has it: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def manifest_of(home: Path) -> Path:
    (path,) = (home / "exports" / "simulated").glob("*/manifest.json")
    return path


def export(home: Home, folder: ExperimentFolder) -> Path:
    with opened(home) as db:
        return export_treat_list(db, home.exports, folder)


def test_the_manifest_names_the_files_with_their_sha256(simulated_home: Path) -> None:
    path = manifest_of(simulated_home)
    manifest = strict(path.read_text())
    assert manifest["experiment"] == "simulated"
    assert manifest["decision_date"] == path.parent.name
    assert [Path(entry["path"]).suffix for entry in manifest["files"]] == [".parquet", ".csv"]
    for entry in manifest["files"]:
        content = (path.parent / entry["path"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_manifest_counts_the_list(simulated_home: Path) -> None:
    (entry,) = strict(manifest_of(simulated_home).read_text())["lists"]
    assert (entry["rows"], entry["treated"]) == (SMALL, round(0.3 * SMALL))
    assert (entry["arm"], entry["budget"]) == ("treated", 0.3)
    assert entry["model_version"].startswith("simulated-")


def test_parquet_csv_and_warehouse_hold_the_same_rows(simulated_home: Path, home: Home) -> None:
    path = manifest_of(simulated_home)
    parquet, csv = (path.parent / entry["path"] for entry in strict(path.read_text())["files"])
    with opened(home) as db:
        expected = db.rows("from decisions.treat_list order by arm, rank nulls last, user_id")
        names = [row[0] for row in db.rows("describe decisions.treat_list")]
        types = dict(row[:2] for row in db.rows("describe decisions.treat_list"))
    with duckdb.connect() as con:
        found = con.sql(f"from read_parquet('{parquet}')")
        assert found.columns == names
        assert found.fetchall() == expected
        assert con.sql(f"from read_csv('{csv}', types={types})").fetchall() == expected


def test_an_equal_list_is_an_equal_export(home: Home, simulated: ExperimentFolder) -> None:
    path = manifest_of(home.root)
    before = {p.relative_to(path.parent): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert export(home, simulated) == path
    after = {p.relative_to(path.parent): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert after == before


def test_a_changed_list_replaces_the_export_of_its_date(home: Home, simulated: ExperimentFolder) -> None:
    path = manifest_of(home.root)
    before = strict(path.read_text())
    with opened(home) as db:
        write_treat_list(
            db, simulated, decision_date=path.parent.name, arm="treated", budget=Budget(share=0.1)
        )
    export(home, simulated)
    after = strict(path.read_text())
    assert after["lists"][0]["treated"] == SMALL // 10
    assert before["files"][0]["path"] != after["files"][0]["path"]
    folders = {Path(entry["path"]).parts[0] for entry in after["files"]}
    assert {p.name for p in path.parent.iterdir()} == {"manifest.json", *folders}


def test_another_date_leaves_the_first_alone(home: Home, simulated: ExperimentFolder) -> None:
    first = manifest_of(home.root)
    before = first.read_bytes()
    with opened(home) as db:
        write_treat_list(
            db, simulated, decision_date="2999-12-31", arm="treated", budget=Budget(share=0.1)
        )
    second = export(home, simulated)
    assert second.parent.name == "2999-12-31"
    assert first.read_bytes() == before
    assert strict(second.read_text())["lists"][0]["rows"] == SMALL


def test_a_budget_for_nobody_is_valid_json_too(home: Home, simulated: ExperimentFolder) -> None:
    with opened(home) as db:
        write_treat_list(
            db, simulated, decision_date="2999-12-31", arm="treated", budget=Budget(share=0.0)
        )
    (entry,) = strict(export(home, simulated).read_text())["lists"]
    assert (entry["treated"], entry["threshold"]) == (0, None)


def test_without_a_list_there_is_nothing_to_export(home: Home) -> None:
    with opened(home) as db, pytest.raises(DataError, match="hillstrom: there is no treat list"):
        export_treat_list(db, home.exports, folder_of("hillstrom"))


def test_a_crash_leaves_the_previous_export_whole(
    home: Home, simulated: ExperimentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = manifest_of(home.root)
    before = path.read_bytes()
    with opened(home) as db:
        write_treat_list(
            db, simulated, decision_date=path.parent.name, arm="treated", budget=Budget(share=0.1)
        )

    def crash(*_: object) -> str:
        raise OSError("power cut")

    monkeypatch.setattr("dagster_project.export.replace_file", crash)
    with pytest.raises(OSError, match="power cut"):
        export(home, simulated)
    assert path.read_bytes() == before
    for entry in strict(path.read_text())["files"]:
        content = (path.parent / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
