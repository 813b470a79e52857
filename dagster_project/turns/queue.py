"""Dagster's queue, extended: a queued run's log names the run that it waits for."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from dagster_project.turns.lives import STARTED
from dagster_project.turns.waiting import utc_text


class TellingRunCoordinator(dg.QueuedRunCoordinator):
    """A run queue that starts one run at a time: pools count whole runs, see dagster.yaml."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Queue a run, and log which run works now."""
        run = super().submit_run(context)
        working = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, *STARTED])
        for record in self._instance.get_run_records(working):
            other, began = record.dagster_run, record.start_time
            since = f" since {utc_text(datetime.fromtimestamp(began, UTC))}" if began else ""
            self._instance.report_engine_event(
                f"waits for {other.job_name} (run {other.run_id[:8]}), which works{since}", run
            )
        return run
