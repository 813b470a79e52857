"""Dagster's launcher, extended for run monitoring: it reports whether a run's process lives."""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from dagster_project.turns.lives import is_gone


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """A launcher that reports the health of every run of the instance, also those of ``make run``."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return true: the lock of the run's process shows its health."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return FAILED if the run's process is gone, otherwise RUNNING."""
        record = self._instance.get_run_record_by_id(run.run_id)
        if record is not None and is_gone(self._instance, record):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
