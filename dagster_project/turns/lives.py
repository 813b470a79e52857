"""Find out which runs' processes live, and end the runs whose process is gone.

The process of a run holds the lock of the file ``<DAGSTER_HOME>/running/<run id>`` until it ends. The
kernel's lock shows whether it lives; a pid does not, as the next process may get the same one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from dagster_project.turns.file_lock import FileLock, is_locked

FOLDER = "running"
GRACE = 120.0  # seconds after the start of a run in which its process must take its lock
STARTED = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
UNFINISHED = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, *STARTED)
GONE = "The process of this run is gone: it was killed, or its machine stopped. Run it again."

_alive: dict[str, FileLock] = {}  # run id -> lock of this process; never released while it lives


def show_alive(instance: dg.DagsterInstance, run_id: str) -> None:
    """Take a run's lock, which shows that its process lives, until this process ends."""
    lock = _alive.setdefault(run_id, FileLock(_lock_file(instance, run_id)))
    while not lock.take():  # another process checks it at this moment
        time.sleep(0.001)


def is_gone(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Return true if an unfinished run had a process that is gone.

    Without a lock file, the process may still start: it may import its code (dagster.yaml limits that
    time), or it may have just started (``GRACE`` limits that time).
    """
    run = record.dagster_run
    path = _lock_file(instance, run.run_id)
    if path.exists():
        return not is_locked(path)
    began = record.start_time or record.update_timestamp.timestamp()
    patience = GRACE if run.status in STARTED else instance.run_monitoring_start_timeout_seconds
    return time.time() - began > patience


def end_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Mark the runs whose process is gone as failed, and free their slots; return these runs."""
    dead = [record.dagster_run for record in _unfinished(instance) if is_gone(instance, record)]
    for run in dead:
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, GONE)
        else:
            instance.report_run_failed(run, GONE)
    _free_slots(instance)
    _remove_old_locks(instance)
    return dead


def _unfinished(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    return list(instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED))))


def _free_slots(instance: dg.DagsterInstance) -> None:
    """Free the pools' slots of all finished runs.

    Runs claim no slots (pools count whole runs, see dagster.yaml), but runs of earlier versions did.
    """
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def _remove_old_locks(instance: dg.DagsterInstance) -> None:
    for path in _lock_files(instance):
        run = instance.get_run_by_id(path.name)
        if (run is None or run.is_finished) and not is_locked(path):
            path.unlink(missing_ok=True)


def _lock_files(instance: dg.DagsterInstance) -> Iterator[Path]:
    folder = Path(instance.root_directory) / FOLDER
    return folder.iterdir() if folder.is_dir() else iter(())


def _lock_file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / FOLDER / run_id
