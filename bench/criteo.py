"""Measure the job from a csv.gz of Criteo's shape to a published list: time and memory by step.

    python -m bench.criteo --rows 1000000 4000000 14000000 25309483 --folder FOLDER --json FILE

Rows are the public look-alike's in the layout of Criteo's first version (propensity .846). For each
size, all steps of the job run in one separate process; a step's peak is the largest resident memory that
was sampled while it ran. Learners have 100 rounds of depth 5. Limits are measured in the same run: zcat
for loading, one bare GROUP BY of the binned features for cells, the sum of the bare xgboost.train calls
for training, one `copy ... to` Parquet for the export.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from dagster_project.inputs.sources.lookalike import write_lookalike

SHARE = 0.846
LIMITS = {
    "raw": "zcat",
    "cells": "bare group by",
    "models": "bare xgboost.train",
    "export": "bare copy to parquet",
}
SAMPLED = 0.05  # seconds between samples


@dataclass
class Sampler:
    """Resident memory and CPU seconds of this process over time."""

    seen: list[tuple[float, float, float]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self.stop.wait(SAMPLED):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            self.seen.append((time.time(), pages * page / 2**20, time.process_time()))

    def between(self, began: float, ended: float) -> tuple[float, float]:
        """Return the peak in MiB and the CPU seconds of an interval."""
        inside = [s for s in self.seen if began <= s[0] <= ended]
        if not inside:
            return 0.0, 0.0
        return max(s[1] for s in inside), inside[-1][2] - inside[0][2]


def run_job(  # noqa: PLR0913 - a job and its machine
    file: Path, home: Path, *, memory_limit: str, threads: int, cluster: str = "", workers: int = 0
) -> dict[str, Any]:
    """Run the job ``uplift_criteo`` on a look-alike; return figures by step."""
    import dagster as dg  # noqa: PLC0415 - takes seconds; only the measured process needs it
    import xgboost  # noqa: PLC0415

    from dagster_project.definitions import build_definitions  # noqa: PLC0415
    from dagster_project.inputs.experiments import experiment_folders  # noqa: PLC0415
    from dagster_project.job_runs import QUIET  # noqa: PLC0415
    from dagster_project.resources import Engine  # noqa: PLC0415
    from dagster_project.settings import OwnFileSetting, Settings  # noqa: PLC0415
    from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters  # noqa: PLC0415

    shares = {"control": 1 - SHARE, "treated": SHARE}
    settings = Settings(
        home=home,
        memory_limit=memory_limit,
        threads=threads,
        cluster=cluster,
        cluster_workers=workers,
        files={"criteo": OwnFileSetting(path=file, shares=shares)},
    )
    (experiment,) = (f for f in experiment_folders(settings) if f.name == "criteo")
    grown = BoostingParameters(rounds=100, max_depth=5, learning_rate=0.1, min_leaf_events=60)
    learners = LearnerParameters(outcome=grown, effect=grown)
    declaration = experiment.declaration.model_copy(update={"learners": learners})
    experiment = type(experiment)(
        declaration, experiment.path, experiment.features_sql, experiment.tables
    )
    job = build_definitions([experiment], Engine.from_settings(settings)).resolve_job_def(
        "uplift_criteo"
    )
    calls = _watch(xgboost, "train")
    instance = dg.DagsterInstance.ephemeral()
    with Sampler() as sampler:
        began = time.time()
        result = job.execute_in_process(
            run_config=QUIET, instance=instance, partition_key=datetime.now(UTC).date().isoformat()
        )
        total = time.time() - began
    steps = _steps(instance, result.run_id, sampler)
    began, ended = steps["models"]["began"], steps["models"]["began"] + steps["models"]["seconds"]
    bare = sum(seconds for at, seconds in calls if began <= at <= ended)
    return {"total": total, "steps": steps, "limits": {"models": bare}}


def _watch(owner: Any, attribute: str) -> list[tuple[float, float]]:
    """Record from now on when each call of ``owner.attribute`` begins, and the seconds it takes."""
    watched, calls = getattr(owner, attribute), []

    def timed(*args: object, **kwargs: object) -> object:
        began, clock = time.time(), time.perf_counter()
        try:
            return watched(*args, **kwargs)
        finally:
            calls.append((began, time.perf_counter() - clock))

    setattr(owner, attribute, timed)
    return calls


def _steps(instance: Any, run_id: str, sampler: Sampler) -> dict[str, dict[str, float]]:
    from dagster import DagsterEventType  # noqa: PLC0415

    began: dict[str, float] = {}
    steps: dict[str, dict[str, float]] = {}
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None:
            continue
        name = (event.step_key or "").removeprefix("criteo__").removeprefix("proof__")
        if event.event_type == DagsterEventType.STEP_START:
            began[name] = entry.timestamp
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            peak, cpu = sampler.between(began[name], entry.timestamp)
            seconds = entry.timestamp - began[name]
            figures = {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak}
            steps[name] = figures | {"began": began[name]}
    return steps


def limits(file: Path, home: Path, *, memory_limit: str, threads: int) -> dict[str, float]:
    """Measure in seconds the least that the work of each step costs, and count rows and cells."""
    from dagster_project.warehouse.opening import open_warehouse  # noqa: PLC0415
    from uplift_core.artifacts.home import Home  # noqa: PLC0415

    began = time.perf_counter()
    with file.open("rb") as source:
        zcat = shutil.which("zcat") or "zcat"
        subprocess.run([zcat], stdin=source, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
    figures = {"raw": time.perf_counter() - began}
    with open_warehouse(Home(home), memory_limit=memory_limit, threads=threads) as db:
        names = [r[0] for r in db.rows("describe features.criteo") if r[0] != "user_id"]
        listed = ", ".join(names)
        db.rows(
            f"create temp table binned as select {listed}, arm, split, fold, visit "
            "from training.criteo_user_cells join training.criteo_feature_cells using (cell) "
            "join assignment.criteo using (user_id)"
        )
        began = time.perf_counter()
        db.rows(
            f"create temp table grouped as select {listed}, arm, split, fold, count(*), sum(visit) "
            "from binned group by all"
        )
        figures["cells"] = time.perf_counter() - began
        began = time.perf_counter()
        db.rows(
            "copy (select * from decisions.treat_list) to $path (format parquet)",
            {"path": str(home / "bare.parquet")},
        )
        figures["export"] = time.perf_counter() - began
        (figures["listed"],) = db.one("select count(*) from decisions.treat_list where treated")
        (figures["cells_rows"],) = db.one("select count(*) from training.criteo_cells")
        (figures["feature_cells"],) = db.one("select count(*) from training.criteo_feature_cells")
    return figures


def measure(rows: int, given: argparse.Namespace) -> dict[str, Any]:
    """Measure one size, in this process."""
    file, home = given.folder / f"criteo-like-{rows}.csv.gz", given.folder / "home"
    if not file.is_file():
        write_lookalike(rows, file, treated_share=SHARE)
    shutil.rmtree(home, ignore_errors=True)
    options = {"memory_limit": given.memory_limit, "threads": given.threads}
    figures = run_job(file, home, **options)
    figures["limits"] |= limits(file, home, **options)
    shutil.rmtree(home)
    return figures


def table(rows: int, figures: dict[str, Any]) -> str:
    """Format the figures of one size."""
    counts = {k: figures["limits"][k] for k in ("feature_cells", "cells_rows", "listed")}
    lines = [
        f"{rows:,} rows, " + ", ".join(f"{counts[k]:,} {k.replace('_', ' ')}" for k in counts),
        f"{'step':14} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'limit s':>8} {'ratio':>6}  limit",
    ]
    for name, step in figures["steps"].items():
        line = f"{name:14} {step['seconds']:8.1f} {step['cpu_seconds']:8.1f} {step['peak_mib']:9.0f}"
        if name in LIMITS:
            limit = figures["limits"][name]
            line += f" {limit:8.1f} {step['seconds'] / limit:6.1f}  {LIMITS[name]}"
        lines.append(line)
    peak = max(step["peak_mib"] for step in figures["steps"].values())
    lines.append(f"{'in all':14} {figures['total']:8.1f} {'':8} {peak:9.0f}")
    return "\n".join(lines)


def main() -> None:
    """Run all sizes and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="4GB", help="of DuckDB")
    parser.add_argument("--folder", type=Path, required=True, help="for files and the warehouse")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    given = parser.parse_args()
    if len(given.rows) == 1:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        (rows,) = given.rows
        measured = measure(rows, given)
        given.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")
        print(table(rows, measured), flush=True)
        return
    figures = {}
    for rows in given.rows:
        file = given.json.with_name(f"{given.json.stem}-{rows}.json")
        call = [sys.executable, "-m", "bench.criteo", "--rows", str(rows), "--json", str(file)]
        call += ["--folder", str(given.folder), "--threads", str(given.threads)]
        call += ["--memory-limit", given.memory_limit]
        subprocess.run(call, check=True)  # noqa: S603 - this module
        figures[rows] = json.loads(file.read_text(encoding="utf-8"))
    smallest = min(given.rows)
    for rows in given.rows:
        growth = figures[rows]["total"] / figures[smallest]["total"] / (rows / smallest)
        print(f"{rows:,} rows: {growth:.2f} times the cost per row of {smallest:,}")
    given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
