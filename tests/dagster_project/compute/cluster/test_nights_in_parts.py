"""Whole nights with lists in parts: the ledger, its gates, exports and the snapshot."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dagster_project.compute import Compute
from dagster_project.compute.cluster.cluster import Cluster
from dagster_project.compute.cluster.dask_client import Workers
from dagster_project.compute.local import LocalCompute
from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.gates import GateError
from dagster_project.decisions.ledger import NightParts, parts_of, write_parts
from dagster_project.decisions.records import TREAT_LIST, ListKey, Night
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import UserIds, export_treat_list
from dagster_project.delivery.publish import publish
from dagster_project.delivery.stores import LocalStore
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import Generation, write_part
from dagster_project.warehouse.sql import Identifier
from tests.dagster_project.delivery.test_export import files_of, is_whole
from tests.support import SMALL, Open, opened
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import PublishedExperiment, read_pointer, write_pointer
from uplift_core.errors import DataError
from uplift_core.targeting.budget import Budget

FIRST, SECOND = "2999-12-30", "2999-12-31"
SCORES = Identifier.of("scores", "simulated")
RAW = Identifier.of("raw", "simulated")


@dataclass(frozen=True)
class Place:
    """A home, and the ``Compute`` that works on its rows."""

    home: Home
    compute: Compute
    folder: BatchExperiment

    def decide(self, date: str, share: float, override: str = "a test") -> Night:
        """Write a night's list."""
        with opened(self.home) as db:
            return write_treat_list(
                db,
                self.folder,
                ListOrder(
                    decision_date=date, arm="treated", budget=Budget(share=share), override=override
                ),
                self.compute.roles,
            )

    def export(self, date: str, store: LocalStore | None = None, own_id: str = "") -> Path:
        """Export a night's list; return the manifest."""
        with opened(self.home) as db:
            to = store or LocalStore(self.home.exports)
            key = ListKey(date, "simulated", "treated")
            ids = UserIds(own_id, self.folder.tables.raw) if own_id else None
            return Path(export_treat_list(db, to, key, ids=ids, write_sheet=self.compute.export))

    def publish(self) -> None:
        """Publish the experiment."""
        with opened(self.home) as db:
            publish(db, self.home, self.folder)

    def rows(self, sql: str) -> list[tuple]:
        """Return the rows of a query of the warehouse."""
        with opened(self.home) as db:
            return db.rows(sql)


def cut(db: Warehouse, home: Home, table: Identifier, parts: int = 3) -> None:
    """Turn a table into a view of parts."""
    generation = Generation.new(home, "simulated", "given")
    for part in range(parts):
        write_part(db, f"from {table} where user_id % {parts} = {part}", {}, generation.path(part))
    db.create_view(table, generation.pattern)


@pytest.fixture
def here(home: Home, simulated: BatchExperiment, tmp_path: Path) -> Place:
    shutil.copytree(home.root, tmp_path / "here")
    return Place(Home(tmp_path / "here"), LocalCompute(), simulated)


@pytest.fixture
def there(home: Home, simulated: BatchExperiment, workers: Workers) -> Place:
    with opened(home) as db:
        for table in (SCORES, RAW):
            cut(db, home, table)
    cluster = Cluster(home, workers.address, "500MB", 1, 1_000, range_users=600)
    return Place(home, cluster, simulated)


def both(here: Place, there: Place, sql: str) -> list[tuple]:
    """Return a query's rows; assert that both homes have the same ones."""
    rows = here.rows(sql)
    assert there.rows(sql) == rows
    return rows


def test_nights_in_parts_report_and_change_as_nights_of_one_machine(here: Place, there: Place) -> None:
    """After a local night, the table becomes a view of that night and of the parts."""
    for date, share in ((FIRST, 0.25), (SECOND, 0.3), (FIRST, 0.2), (SECOND, 0.0)):
        night = here.decide(date, share)
        assert there.decide(date, share) == night
        assert night.treated == share * SMALL
    both(here, there, "from decisions.nights order by all")
    both(here, there, "from decisions.gates order by all")
    rows = both(here, there, "from decisions.treat_list order by decision_date, user_id")
    assert len(rows) == 3 * SMALL
    both(here, there, "select column_name, column_type from (describe decisions.treat_list)")
    with opened(there.home) as db:
        assert db.kind(TREAT_LIST) == "VIEW"
        comments = (
            "select column_name, comment from duckdb_columns() where table_name = $name order by 1"
        )
        both_rows = [db.rows(comments, {"name": name}) for name in ("treat_list", "treat_list_here")]
    assert both_rows[0] == both_rows[1]
    assert all(comment for column, comment in both_rows[0] if column == "rank")


def test_a_gate_that_fails_leaves_the_ledger_as_it_was(there: Place) -> None:
    before = there.rows("from decisions.treat_list order by all")
    with opened(there.home) as db:
        db.rows("update assignment.simulated set arm = 'treated' where user_id % 20 = 0")
    with pytest.raises(GateError, match="differs from its designed share"):
        there.decide(SECOND, 0.3, override="")
    assert there.rows("from decisions.treat_list order by all") == before
    assert there.decide(SECOND, 0.3, "the spring sale").override == "the spring sale"
    assert len(there.rows("from decisions.treat_list")) == len(before) + SMALL


def test_exports_in_parts_are_those_of_one_machine(here: Place, there: Place) -> None:
    manifests = []
    for place in (here, there):
        for date, share in ((FIRST, 0.3), (SECOND, 0.1)):
            place.decide(date, share)
            manifests.append(place.export(date, own_id="x1"))
    assert all(is_whole(manifest) for manifest in manifests)
    whole, parts = (files_of(manifests[i]) for i in (1, 3))
    assert {name for name in parts if name.startswith("changes")} == {"changes.parquet", "changes.csv"}
    for name in whole:
        stem, ending = name.split(".")
        pieces = [p for n, p in parts.items() if n.startswith(stem) and n.endswith(ending)]
        if ending == "csv":
            lines = [line for p in pieces for line in p.read_text().splitlines()[1:]]
            assert lines == whole[name].read_text().splitlines()[1:]
        else:
            read = "from read_parquet($files)"
            with duckdb.connect() as con:
                both_rows = [
                    con.execute(read, {"files": [str(p) for p in paths]}).fetchall()
                    for paths in ([whole[name]], pieces)
                ]
            assert both_rows[0] == both_rows[1]
    first = manifests[3].read_bytes()
    assert there.export(SECOND, own_id="x1").read_bytes() == first
    assert len([name for name in parts if name.startswith("decisions")]) > 2 * (0.9 * SMALL // 600)
    treated = [path for name, path in parts.items() if re.fullmatch(r"treat-\d+\.csv", name)]
    assert all(len(path.read_text().splitlines()) > 1 for path in treated)


def test_of_a_list_for_nobody_there_is_a_file_without_rows(there: Place) -> None:
    there.decide(FIRST, 0.0)
    files = files_of(there.export(FIRST))
    assert [name for name in files if name.startswith("treat")] == [
        "treat-00000.parquet",
        "treat-00000.csv",
    ]
    assert duckdb.sql(f"from '{files['treat-00000.parquet']}'").fetchall() == []


def test_a_night_in_parts_is_exported_without_a_cluster_too(here: Place, there: Place) -> None:
    for place in (here, there):
        place.decide(FIRST, 0.3)
    files = [files_of(replace(place, compute=LocalCompute()).export(FIRST)) for place in (here, there)]
    assert files[0].keys() == files[1].keys()
    for name in files[0]:
        if name.endswith("csv"):
            assert files[0][name].read_bytes() == files[1][name].read_bytes()
    with duckdb.connect() as con:
        read = "from read_parquet($file)"
        rows = [con.execute(read, {"file": str(f["decisions.parquet"])}).fetchall() for f in files]
    assert rows[0] == rows[1]


def test_a_folder_that_workers_do_not_see_is_told(there: Place, tmp_path: Path, monkeypatch) -> None:
    there.decide(FIRST, 0.3)
    # Rules are written here first, and then sheets by workers, whose folder is missing.
    places = iter([LocalStore.workspace])

    def workspace(store: LocalStore) -> Path:
        return next(places, lambda _: tmp_path / "not there")(store)

    monkeypatch.setattr(LocalStore, "workspace", workspace)
    with pytest.raises(DataError, match="a worker does not see this folder"):
        there.export(FIRST)


def test_snapshots_keep_the_parts_that_they_were_published_with(there: Place, snapshot: Open) -> None:
    for date in ("2999-12-29", FIRST, SECOND):
        there.decide(date, 0.3)
    there.publish()
    first = read_pointer(there.home.published).file
    con = snapshot(there.home.root)
    by_night = "select decision_date::varchar, count(*) filter (treated) from decisions.treat_list "
    by_night += "group by 1 order by 1"
    assert con.execute(by_night).fetchall() == [(FIRST, 1500), (SECOND, 1500)]
    listed = "from decisions.listed select user_id, treated, rank, reason"
    of_night = "from decisions.treat_list select user_id, treated, rank, reason "
    of_night += f"where decision_date = '{SECOND}' order by user_id"
    assert con.execute(listed).fetchall() == con.execute(of_night).fetchall()
    there.decide(SECOND, 0.1)
    there.publish()
    assert con.execute(by_night).fetchall() == [(FIRST, 1500), (SECOND, 1500)]
    assert snapshot(there.home.root).execute(by_night).fetchall() == [(FIRST, 1500), (SECOND, 500)]
    folders = there.home.partitions / "simulated" / "treat_list"
    assert len(list(folders.iterdir())) == 4
    con.close()
    (there.home.published / first).unlink()
    there.publish()
    assert len(list(folders.iterdir())) == 3


def test_other_experiments_parts_stay_published(there: Place, snapshot: Open) -> None:
    """Their part of the ledger comes from the previous snapshot; the warehouse may hold another."""
    home = there.home
    there.decide(FIRST, 0.3)
    there.publish()
    generation = Generation.new(home, "other", "treat_list")
    row = "select * replace ('other' as experiment) from decisions.treat_list limit 7"
    with opened(home) as db:
        write_part(db, row, {}, generation.path(0))
    pointer = read_pointer(home.published)
    path = home.published / pointer.file
    with duckdb.connect(str(path)) as con:
        write_parts(
            Warehouse(con), ListKey("2020-01-01", "other", "mail"), NightParts(generation.folder, 1, 1)
        )
    other = PublishedExperiment(
        model_version="o", bundle_sha256="ab" * 32, arm="a", learner="t", published_at=datetime.now(UTC)
    )
    experiments = pointer.experiments | {"other": other}
    write_pointer(
        home.published,
        pointer.model_copy(update={"sha256": sha256_file(path), "experiments": experiments}),
    )
    there.publish()
    counts = "select experiment, campaign, count(*) from decisions.treat_list group by all order by all"
    assert snapshot(home.root).execute(counts).fetchall() == [
        ("other", "mail", 7),
        ("simulated", "treated", 2 * SMALL),
    ]


def test_a_night_made_here_takes_the_place_of_its_parts(there: Place) -> None:
    there.decide(FIRST, 0.3)
    again = replace(there, compute=LocalCompute())
    again.decide(FIRST, 0.2)
    with opened(there.home) as db:
        assert parts_of(db, ListKey(FIRST, "simulated", "treated")) is None
        assert db.one("select count(*) filter (treated) from decisions.treat_list "
                      "where decision_date = '2999-12-30'") == (0.2 * SMALL,)  # fmt: skip
    there.publish()
    assert not list((there.home.partitions / "simulated" / "treat_list").iterdir())
