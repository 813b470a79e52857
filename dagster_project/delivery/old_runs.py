"""Remove old runs, with their events and logs, from Dagster's store in the home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

JOBS = ("uplift", "tune", "measure")  # prefixes of the jobs of one experiment


def old_runs(instance: dg.DagsterInstance, experiment: str, before: datetime) -> list[str]:
    """List the ids of finished runs to remove, the oldest first.

    They are the experiment's, and those of jobs that work on all experiments. A run that made the last
    version of some asset stays: Dagster shows by it what there is.

    Args:
        instance: Dagster's instance.
        experiment: the experiment's name.
        before: runs that were created later stay.
    """
    finished = dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=before)
    last = set(_makers(instance))
    runs = instance.get_runs(filters=finished, ascending=True)
    return [run.run_id for run in runs if run.run_id not in last and _is_about(run, experiment)]


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove one run; if this is killed, the next call removes what is left of it."""
    folder = Path(instance.root_directory)
    shutil.rmtree(folder / "storage" / run_id, ignore_errors=True)
    instance.event_log_storage.delete_events(run_id)
    for path in (folder / "history" / "runs").glob(f"{run_id}.db*"):  # SQLite's file of its events
        path.unlink()
    instance.run_storage.delete_run(run_id)  # last: until then, the run is listed


def _is_about(run: dg.DagsterRun, experiment: str) -> bool:
    """Return true if a run is of the experiment, or of all."""
    if run.asset_selection:
        return experiment in {key.path[0] for key in run.asset_selection}
    job, _, name = run.job_name.partition("_")
    return job not in JOBS or name == experiment


def _makers(instance: dg.DagsterInstance) -> Iterator[str]:
    for key in instance.all_asset_keys():
        if event := instance.get_latest_materialization_event(key):
            yield event.run_id
