"""Compare a run on this machine with the same run on Dask's workers: equality, and time by step.

    python -m bench.cluster --rows 4000000 --parts 16 --workers 2 --folder FOLDER --json FILE
    python -m bench.cluster --rows 4000000 ... --kill
    python -m bench.cluster --growth 1000000 4000000 14000000 25309483 --folder FOLDER --json FILE

The first command reads the same parts of a csv.gz twice, each run in a separate process. It compares
every table, the model bundle and the exported lines. ``--kill`` sends SIGKILL to a worker in the middle
of cells, of training, of scoring and of ranking. ``--growth`` counts cells against rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psutil
import pyarrow as pa

from bench.criteo import SHARE, run_job
from dagster_project.inputs.sources.lookalike import SEED, write_lookalike
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.cells import BinEdges
from uplift_core.simulation.lookalike import FEATURES, lookalike_rct

HERE, CLUSTER = "here", "cluster"
KILLED = ("criteo-cells", "criteo-train", "criteo-scores", "criteo-rank")
TABLES = (
    *("raw.criteo", "features.criteo", "assignment.criteo", "training.edges"),
    *("training.criteo_feature_cells", "training.criteo_cells", "training.criteo_predictions"),
    *("scores.criteo", "decisions.thresholds", "decisions.treat_list", "evaluation.metrics"),
    *("evaluation.policy_value", "evaluation.qini_curve", "evaluation.comparisons"),
)
MAX_BINS = 64
FOLDS = 3
HOLDOUT = 0.3
EDGE_ROWS = 1_000_000  # number of rows that give the edges of ``--growth``


def cut(whole: Path, rows: int, parts: int) -> Path:
    """Cut a csv.gz into parts of equal size beside it; return the pattern of their names."""
    folder = whole.with_name(f"{whole.name.removesuffix('.csv.gz')}-in-{parts}")
    if not folder.is_dir():
        aside = folder.with_name(f".{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        with gzip.open(whole) as lines:
            header = next(lines)
            for part in range(parts):
                size = rows * (part + 1) // parts - rows * part // parts
                with gzip.open(aside / f"part-{part:04}.csv.gz", "wb", compresslevel=1) as out:
                    out.write(header)
                    out.writelines(next(lines) for _ in range(size))
        aside.replace(folder)
    return folder / "part-*.csv.gz"


def kill_once_in_each_stage(kills: list[str]) -> None:
    """Watch the cluster of this process, and kill a worker half a second into each stage."""
    from dagster_project.compute.cluster import dask_client as client  # noqa: PLC0415 - in the measured process alone

    left = list(KILLED)
    while left:
        time.sleep(0.05)
        for workers in list(client.OPEN.values()):
            busy = {w: [str(k) for k in keys] for w, keys in workers.client.processing().items()}
            for worker, keys in busy.items():
                if any(key.startswith(left[0]) for key in keys):
                    time.sleep(0.5)
                    pid = workers.client.run(os.getpid, workers=[worker])[worker]
                    os.kill(pid, signal.SIGKILL)
                    kills.append(f"{left.pop(0)}: killed worker {pid}")
                    break
            if not left:
                return


def watch_workers(peaks: dict[int, int]) -> None:
    """Record the largest resident memory, in bytes, of every process that this one started."""
    this_process = psutil.Process()
    while True:
        time.sleep(0.2)
        for child in this_process.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                peaks[child.pid] = max(peaks.get(child.pid, 0), child.memory_info().rss)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run the job once, in this process."""
    whole = given.folder / f"criteo-like-{given.rows[0]}.csv.gz"
    home = given.folder / f"home-{given.only}"
    shutil.rmtree(home, ignore_errors=True)
    kills: list[str] = []
    peaks: dict[int, int] = {}
    threading.Thread(target=watch_workers, args=(peaks,), daemon=True).start()
    if given.kill and given.only == CLUSTER:
        threading.Thread(target=kill_once_in_each_stage, args=(kills,), daemon=True).start()
    figures = run_job(
        cut(whole, given.rows[0], given.parts),
        home,
        memory_limit=given.memory_limit,
        threads=given.threads,
        cluster="local" if given.only == CLUSTER else "",
        workers=given.workers,
    )
    return figures | {"kills": kills, "worker_peak_mib": max(peaks.values(), default=0) / 2**20}


def compare(folder: Path) -> Iterator[tuple[str, bool]]:
    """Compare every table, the bundles and the exported lines of both runs: (name, equal), ...."""
    homes = [folder / f"home-{name}" for name in (HERE, CLUSTER)]
    digests = [_digests(home) for home in homes]
    for table in TABLES:
        yield f"{table} ({digests[0][table][0]:,} rows)", digests[0][table] == digests[1][table]
    bundles = [
        {str(p.relative_to(home)): p.read_bytes() for p in home.glob("bundles/**/*") if p.is_file()}
        for home in homes
    ]
    yield f"model bundle ({len(bundles[0])} files)", bool(bundles[0]) and bundles[0] == bundles[1]
    for name in ("treat_list", "changes", "holdout"):
        lines, others = (_exported(home, name) for home in homes)
        yield f"exported {name} ({len(lines):,} lines)", lines == others


def _exported(home: Path, name: str) -> list[str]:
    """Read the lines of a CSV, or of its parts in order, without headings."""
    files = sorted(home.glob(f"exports/criteo/*/*/*/{name}*.csv"))
    return [line for f in files for line in f.read_text(encoding="utf-8").splitlines()[1:]]


def _digests(home: Path) -> dict[str, tuple]:
    with open_warehouse(Home(home), memory_limit="4GB", threads=0) as db:
        return {
            table: db.one(f"select count(*), sum(hash(t)) from (from {table}) as t") for table in TABLES
        }


def growth(sizes: list[int]) -> list[dict[str, float]]:
    """Count distinct binned features, and cells, for each number of look-alike users."""
    con = duckdb.connect()
    edges: BinEdges | None = None
    first = 0
    for users in lookalike_rct(max(sizes), SEED, treated_share=SHARE):
        edges = edges or _edges()
        columns = {
            name: pa.array(np.searchsorted(edge, users.x[:, j], side="right").astype(np.uint8))
            for j, (name, edge) in enumerate(zip(edges.features, edges.edges, strict=True))
        }
        chunk = pa.table(
            {"user_id": np.arange(first, first + len(users.w)), **columns, "w": users.w.astype(np.uint8)}
        )
        first += len(users.w)
        con.register("chunk", chunk)
        hashed = "select *, md5_number_lower('criteo-1/' || user_id) as hash from chunk"
        select = (
            f"select * exclude (hash), hash / 18446744073709551616.0 < {HOLDOUT} as holdout, "
            f"(hash % {FOLDS})::utinyint as fold from ({hashed})"
        )
        exists = con.execute("select count(*) from duckdb_tables()").fetchall()[0][0]
        con.execute(f"insert into binned {select}" if exists else f"create table binned as {select}")
        con.unregister("chunk")
    listed = ", ".join(FEATURES)
    results = []
    for rows in sizes:
        began = time.perf_counter()
        counts = [
            con.execute(
                f"select count(*) from (select distinct {columns} from binned where user_id < {rows})"
            ).fetchall()[0][0]
            for columns in (listed, f"{listed}, w, holdout, fold")
        ]
        seconds = time.perf_counter() - began
        feature_cells, cells = counts
        results.append(
            {"rows": rows, "feature_cells": feature_cells, "cells": cells, "seconds": seconds}
        )
        print(
            f"{rows:>12,} rows {feature_cells:>12,} feature cells {cells:>12,} cells "
            f"{cells / rows:.3f} cells a row",
            flush=True,
        )
    return results


def _edges() -> BinEdges:
    chunks = lookalike_rct(EDGE_ROWS, SEED, treated_share=SHARE)
    x = np.concatenate([users.x for users in chunks])
    return BinEdges.of(FEATURES, x, MAX_BINS)


def table(runs: dict[str, Any]) -> str:
    """Format seconds and memory by step of both runs."""
    lines = [f"{'step':20} {'here s':>8} {'cluster s':>10} {'ratio':>6} {'here MiB':>9} {'cl. MiB':>8}"]
    for name, step in runs[HERE]["steps"].items():
        other = runs[CLUSTER]["steps"][name]
        lines.append(
            f"{name:20} {step['seconds']:8.1f} {other['seconds']:10.1f} "
            f"{other['seconds'] / max(step['seconds'], 1e-3):6.2f} {step['peak_mib']:9.0f} "
            f"{other['peak_mib']:8.0f}"
        )
    here, there = runs[HERE]["total"], runs[CLUSTER]["total"]
    lines.append(f"largest worker: {runs[CLUSTER]['worker_peak_mib']:.0f} MiB")
    lines.append(f"{'in all':20} {here:8.1f} {there:10.1f} {there / here:6.2f}")
    return "\n".join(lines)


def main() -> None:
    """Compare both runs, or count cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs=1, default=[4_000_000])
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="to train with, of both runs")
    parser.add_argument("--memory-limit", default="4GB", help="of DuckDB, in each process")
    parser.add_argument("--kill", action="store_true", help="a worker in each stage")
    parser.add_argument("--only", choices=[HERE, CLUSTER], help="one run, in this process")
    parser.add_argument("--growth", type=int, nargs="+", help="count the cells of so many rows instead")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    given = parser.parse_args()
    given.json.parent.mkdir(parents=True, exist_ok=True)
    if given.growth:
        given.json.write_text(json.dumps(growth(sorted(given.growth)), indent=1), encoding="utf-8")
        return
    if given.only:
        given.json.write_text(json.dumps(measure(given), indent=1), encoding="utf-8")
        return
    whole = given.folder / f"criteo-like-{given.rows[0]}.csv.gz"
    if not whole.is_file():
        write_lookalike(given.rows[0], whole, treated_share=SHARE)
    cut(whole, given.rows[0], given.parts)
    runs = {}
    for name in (HERE, CLUSTER):
        out = given.json.with_name(f"{given.json.stem}-{name}.json")
        call = [sys.executable, "-m", "bench.cluster", *sys.argv[1:], "--only", name, "--json", str(out)]
        subprocess.run(call, check=True)  # noqa: S603 - this module
        runs[name] = json.loads(out.read_text(encoding="utf-8"))
    print(f"{given.rows[0]:,} rows in {given.parts} parts, {given.workers} workers")
    print(table(runs))
    for message in runs[CLUSTER]["kills"]:
        print(message)
    equal = dict(compare(given.folder))
    for what, same in equal.items():
        print(f"{'equal' if same else 'DIFFERENT':9} {what}")
    given.json.write_text(json.dumps(runs | {"equal": equal}, indent=1), encoding="utf-8")
    sys.exit(0 if all(equal.values()) else 1)


if __name__ == "__main__":
    main()
