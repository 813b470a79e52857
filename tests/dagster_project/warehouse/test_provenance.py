"""Refused layers stay out of the warehouse; layers that do not fit together do not leave it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dagster_project.checks import dagster_checks as checks
from dagster_project.checks.findings import Finding
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.sources.simulated import write_simulation
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.provenance import (
    UNKNOWN,
    record_layer,
    refuse_mixed_layers,
    version_of,
    versions_of,
)
from tests.support import Open, failure_text, opened, run_job, small_simulation, with_experiment
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.errors import DataError

NIGHT = "2026-02-03"
LATER = "2026-02-04"
NIGHTLY = ("treat_list", "export", "published")
SHARES = {"control": 0.5, "treated": 0.5}
EVERY = "select count(*), bit_xor(hash(columns(*))) from {}"


def simulated_on(file: Path) -> BatchExperiment:
    """The small simulation, read from a user's file."""
    experiment = small_simulation()
    return BatchExperiment.read(experiment.declaration.with_file(file, SHARES), experiment.path)


def another_file(folder: Path) -> Path:
    """Five thousand other users."""
    source = small_simulation().declaration.source.model_copy(update={"seed": 7})
    return write_simulation(source, folder)


def bad_file(folder: Path) -> Path:
    """Another file of users, with an outcome of 2."""
    good, bad = another_file(folder), folder / "bad.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select * replace (case when rowid = 41 then 2 else converted end as converted) from "
            "(select *, row_number() over () as rowid from read_parquet($good))) to $bad",
            {"good": str(good), "bad": str(bad)},
        )
    return bad


def layers_in(home: Home) -> dict[str, object]:
    with opened(home) as db:
        tables = ("raw", "features", "assignment", "scores")
        rows: dict[str, object] = {t: db.one(EVERY.format(f"{t}.simulated")) for t in tables}
        return rows | {
            "registry": db.rows("from raw.registry"),
            "lineage": db.rows("from quality.lineage where layer <> 'published' order by all"),
        }


def test_every_layer_says_what_it_was_made_from(home: Home) -> None:
    with opened(home) as db:
        rows = db.rows("select layer, made_from, made_from_version from quality.lineage order by all")
        (sha256,) = db.one("select sha256 from raw.registry")
        (model,) = db.one("select distinct model_version from models.registry")
        layers = ["raw", "features", "cells", "scores"]
        version = versions_of(db, "simulated", layers)
    known = {(layer, source): v for layer, source, v in rows}
    assert [key for key, value in known.items() if value == UNKNOWN] == [("published", "realised")]
    assert known["raw", "file"] == sha256
    assert known["models", "model_version"] == model
    assert known["features", "raw"] == known["assignment", "raw"] == version["raw"]
    assert known["cells", "features"] == version["features"]
    assert known["treat_list", "scores"] == known["evaluation", "scores"] == version["scores"]
    recorded = {layer for layer, _ in known}
    assert recorded >= {"thresholds", "model_card", "crosscheck", "export", "published"}


def test_a_file_that_its_checks_refuse_is_not_published_by_the_next_night(
    home: Home, simulated: BatchExperiment, tmp_path: Path, snapshot: Open
) -> None:
    before, published = layers_in(home), read_pointer(home.published)
    refused = run_job(simulated_on(bad_file(tmp_path)), home.root, only=["raw"], raise_on_error=False)
    assert "simulated/raw is refused; the warehouse keeps what it had. check outcomes: " in (
        said := failure_text(refused)
    )
    assert "column 'converted' holds 2 at user_id 41; it must be 0 or 1" in said
    assert not refused.asset_materializations_for_node("simulated__raw")
    assert layers_in(home) == before
    with opened(home) as db:  # the findings are kept
        assert db.rows("select check_name from quality.results where not passed") != []
    assert run_job(simulated, home.root, only=NIGHTLY, decision_date=NIGHT).success
    con = snapshot(home.root)
    assert con.sql(EVERY.format("raw.simulated")).fetchall() == [before["raw"]]
    snapshots = con.sql("select distinct feature_snapshot from decisions.nights").fetchall()
    assert len(snapshots) == 1
    assert read_pointer(home.published) != published


def test_lists_exports_and_snapshots_refuse_layers_that_do_not_belong_together(
    home: Home, tmp_path: Path
) -> None:
    other = simulated_on(another_file(tmp_path))
    published = read_pointer(home.published)
    assert run_job(other, home.root, only=["raw"]).success
    for layer in NIGHTLY:
        night = LATER if layer == "treat_list" else ""
        refused = run_job(other, home.root, only=[layer], decision_date=night, raise_on_error=False)
        assert not refused.success
        said = failure_text(refused)
        assert "simulated: assignment and features were made from another raw than the current " in said
        outdated = said.partition("Materialize ")[2].partition(" again")[0].split(", ")
        assert {*outdated} >= {"assignment", "features", "cells", "models", "scores", "thresholds"}
        assert "again, as the job uplift_simulated does, or raw as it was" in said
    assert read_pointer(home.published) == published
    with opened(home) as db:
        dates = "select distinct decision_date::varchar from decisions.treat_list"
        assert (LATER,) not in db.rows(dates)


def test_a_file_read_again_is_the_same_layer(home: Home, simulated: BatchExperiment) -> None:
    before = layers_in(home)
    assert run_job(simulated, home.root, only=["raw"]).success
    with opened(home) as db:
        refuse_mixed_layers(db, "simulated", ["thresholds", "scores"])
    assert layers_in(home)["raw"] == before["raw"]


def test_a_list_that_its_checks_refuse_is_not_exported_by_the_next_run(
    home: Home, simulated: BatchExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a range of dates, the lists of earlier dates stay."""
    wrong = Finding("kept_out", "rule", "treated", "true", "users who are held out are treated", False)

    def refuse_later(_: Warehouse, subject: checks.Subject) -> object:
        return iter([wrong] if subject.dates == [LATER] else [])

    monkeypatch.setitem(checks.CHECK_FUNCTIONS, "treat_list", refuse_later)
    refused = run_job(
        simulated, home.root, only=["treat_list"], decision_date=NIGHT, until=LATER, raise_on_error=False
    )
    assert "check kept_out: users who are held out are treated" in failure_text(refused)
    with opened(home) as db:
        for table in ("treat_list", "nights", "gates"):
            dates = db.rows(f"select distinct decision_date::varchar from decisions.{table} order by 1")
            assert ((NIGHT,) in dates, (LATER,) in dates) == (True, False)
    gone = run_job(simulated, home.root, only=["export"], decision_date=LATER, raise_on_error=False)
    assert f"there is no treat list of {LATER}" in failure_text(gone)


def test_the_own_ids_of_a_list_that_another_file_was_behind_are_not_exported(
    home: Home, simulated: BatchExperiment
) -> None:
    """The file changed, so user numbers may belong to other people now."""
    with_ids = with_experiment(simulated, user_id="p0")
    with opened(home) as db:
        (night,) = db.one("select decision_date::varchar from decisions.nights")
    assert run_job(with_ids, home.root, only=["export"], decision_date=night).success
    with opened(home) as db:
        db.rows("update decisions.nights set feature_snapshot = 'another'")
    refused = run_job(with_ids, home.root, only=["export"], decision_date=night, raise_on_error=False)
    assert f"simulated: the list of {night} (treated) was made from other files" in (
        said := failure_text(refused)
    )
    assert said.endswith("Materialize treat_list of that date again")
    assert run_job(simulated, home.root, only=["export"], decision_date=night).success


def record_sources(db: Warehouse, layer: str, **made_from: str) -> None:
    record_layer(db, "toy", layer, made_from, run_id="12345678-run")


def test_the_message_names_what_to_make_anew_in_order(db: Warehouse) -> None:
    record_sources(db, "raw", file="a")
    record_sources(db, "features", **versions_of(db, "toy", ["raw"]))
    record_sources(db, "cells", **versions_of(db, "toy", ["features"]))
    record_sources(db, "scores", **versions_of(db, "toy", ["cells"]))
    refuse_mixed_layers(db, "toy", ["scores"])
    record_sources(db, "features", **versions_of(db, "toy", ["raw"]), sql="b")
    with pytest.raises(DataError) as refused:
        refuse_mixed_layers(db, "toy", ["scores"])
    said = str(refused.value)
    assert said.startswith("toy: cells was made from another features than the current one")
    assert "(of run 12345678, 20" in said
    assert said.endswith(
        "Materialize cells, scores again, as the job uplift_toy does, or features as it was"
    )
    refuse_mixed_layers(db, "toy", ["features"])  # its sources are all current
    refuse_mixed_layers(db, "toy", ["scores"], but=["cells"])


def test_what_nobody_wrote_down_is_not_compared(db: Warehouse) -> None:
    """Layers of an earlier version of this project have no recorded sources."""
    record_sources(db, "features", **versions_of(db, "toy", ["raw"]))
    record_sources(db, "raw", file="a")
    refuse_mixed_layers(db, "toy", ["features", "scores"])


def test_a_version_is_that_of_what_a_layer_was_made_from() -> None:
    assert version_of({"a": "1", "b": "2"}) == version_of({"b": "2", "a": "1"})
    assert len({version_of(m) for m in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": ""})}) == 4
