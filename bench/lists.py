"""Time a night's list and its export for many users, and DuckDB's bare sorted copy to Parquet.

    python -m bench.lists --users 25309483 --folder FOLDER
    python -m bench.lists --users 4000000 --parts 8 --folder FOLDER

With ``--parts`` two workers write and export the same list, too, and the rows of the ledger and of the
exported files are compared. Scores are synthetic, with a million distinct values; everything else is the
simulated experiment's. The limit is `copy (select * ... order by score desc, md5) to` Parquet, of the
list's columns and of the scores table's, both in the same run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.records import THIS_LIST, TREAT_LIST, ListKey
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import MANIFEST, ORDERS, export_treat_list
from dagster_project.delivery.export_files import FORMATS, write_whole
from dagster_project.delivery.stores import LocalStore
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from dagster_project.warehouse.partitions import Generation, write_part
from tests.support import run_job, small_simulation
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.targeting.budget import Budget

DATE = "2026-01-02"
WORKERS = 2
KEY = ListKey(DATE, "simulated", "treated")
TIE = "md5_number_lower('simulated-1/list/' || user_id)"


def main() -> None:
    """Time the steps and print their seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=25_309_483)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--memory", default="4GB", help="DuckDB's limit")
    parser.add_argument("--parts", type=int, default=0, help="for workers; 0: none")
    chosen = parser.parse_args()
    home, folder = Home(chosen.folder / "lists"), small_simulation()
    shutil.rmtree(home.root, ignore_errors=True)
    run_job(folder, home.root)
    with open_warehouse(home, memory_limit=chosen.memory, threads=0) as db:
        _many_users(db, chosen.users)
    with open_warehouse(home, memory_limit=chosen.memory, threads=0) as db:
        _measure(db, home, folder)
        if chosen.parts:
            _in_parts(db, home, folder, chosen.parts, chosen.memory)


def _many_users(db: Warehouse, users: int) -> None:
    scores = ", ".join(f"score as {name}" for name in SCORES.values() if name != RESPONSE)
    db.rows(
        "create or replace table scores.simulated as "
        f"select user_id, 'treated' as arm, 'train' as split, {scores}, score as response from ("
        "select range + 1 as user_id, (hash(range) % 1000000)::float / 1e6 as score from range($users))",
        {"users": users},
    )
    db.rows("update scores.simulated set split = 'holdout' where user_id % 10 < 3")


def _measure(db: Warehouse, home: Home, experiment: BatchExperiment) -> None:
    def seconds(sql: str, binds: dict[str, object]) -> float:
        return _seconds(lambda: db.rows(sql, binds))

    path = str(home.root / "bare.parquet")
    scores = seconds(
        "copy (select user_id, arm, cate_s from scores.simulated "
        f"order by cate_s desc, {TIE}) to $path {FORMATS['parquet']}",
        {"path": path},
    )
    started = time.monotonic()
    night = write_treat_list(
        db,
        experiment,
        ListOrder(decision_date=DATE, arm="treated", budget=Budget(share=0.3), override="benchmark"),
        assign_roles,
    )
    listed = time.monotonic() - started
    bare = seconds(
        f"copy (from {TREAT_LIST} where {THIS_LIST} order by score desc, {TIE}) to $path "
        f"{FORMATS['parquet']}",
        asdict(KEY) | {"path": path},
    )
    export = {}
    for formats in (("parquet",), ("parquet", "csv")):
        started = time.monotonic()
        of_sheets = dict.fromkeys(ORDERS, formats)
        store = LocalStore(home.exports)
        export_treat_list(db, store, KEY, write_sheet=write_whole, formats=of_sheets)
        export["+".join(formats)] = time.monotonic() - started
    print(f"{night.users:,} users, {night.treated:,} treated")
    print(
        f"list {listed:.1f} s, export as Parquet {export['parquet']:.1f} s, "
        f"with CSV {export['parquet+csv']:.1f} s"
    )
    print(f"bare sorted copy: scores {scores:.1f} s, the list's columns {bare:.1f} s")
    both = listed + export["parquet"]
    print(
        f"list and Parquet export / bare: {both / scores:.2f} of scores, {both / bare:.2f} of the list"
    )


def _in_parts(db: Warehouse, home: Home, experiment: BatchExperiment, parts: int, memory: str) -> None:
    from dagster_project.compute.cluster import dask_client as client  # noqa: PLC0415 - seconds to import
    from dagster_project.compute.cluster.cluster import Cluster  # noqa: PLC0415

    digest = f"select count(*), sum(hash(t)) from (from {TREAT_LIST} where {THIS_LIST}) as t"
    expected = db.one(digest, asdict(KEY))
    store = LocalStore(home.exports)
    files = _exported(db, store)
    cluster = Cluster(home, client.Address(client.LOCAL, WORKERS), memory, 1, 1, range_users=2_000_000)
    given = Generation.new(home, experiment.name, "scores")
    for part in range(parts):
        chosen = f"from {experiment.tables.scores} where user_id % {parts} = {part}"
        write_part(db, chosen, {}, given.path(part))
    db.create_view(experiment.tables.scores, given.pattern)
    print(f"on {WORKERS} workers, started in {_seconds(lambda: cluster.link):.1f} s, in {parts} parts:")
    listed = _seconds(
        lambda: write_treat_list(
            *(db, experiment),
            ListOrder(decision_date=DATE, arm="treated", budget=Budget(share=0.3), override="benchmark"),
            cluster.roles,
        )
    )
    both = _seconds(lambda: export_treat_list(db, store, KEY, write_sheet=cluster.export))
    print(f"list {listed:.1f} s, export with CSV {both:.1f} s")
    print("rows", "equal" if db.one(digest, asdict(KEY)) == expected else "DIFFERENT")
    print("files", "equal" if _exported(db, store) == files else "DIFFERENT")
    client.disconnect()


def _exported(db: Warehouse, store: LocalStore) -> dict[str, tuple[int, int]]:
    """Return, by name of the exported Parquet files, the number of rows and the sum of their hashes."""
    place = store.root / KEY.experiment / KEY.decision_date / KEY.campaign
    paths = [place / entry["path"] for entry in json.loads((place / MANIFEST).read_text())["files"]]
    digests = {}
    for name in ("treat", "decisions", "changes", "holdout"):
        files = [str(p) for p in paths if p.suffix == ".parquet" and p.stem.partition("-")[0] == name]
        sql = "select count(*), sum(hash(t)) from read_parquet($files) as t"
        digests[name] = db.one(sql, {"files": files})
    return digests


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


if __name__ == "__main__":
    main()
