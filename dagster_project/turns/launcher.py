"""Dagster's own launcher, which can also say whether a run's process lives: run monitoring asks it."""

from __future__ import annotations

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from dagster_project.turns.lives import is_gone


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Answers for every run of the instance, also for those of ``make run``."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: by the lock of the run's process."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the run's process is gone."""
        record = self._instance.get_run_record_by_id(run.run_id)
        if record is not None and is_gone(self._instance, record):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
