"""The executor of Dagster's runs: each run waits for its turn, then runs all its steps in one process.

One process per step would repeat the imports each time, gain nothing as one step works at a time, and
leave a step running when the run's process is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from dagster_project.turns.turn import turn_of_run

IN_PROCESS = "in_process"


class TurnExecutor(InProcessExecutor):
    """Dagster's in-process executor, which first waits for the run's turn to work in ``home``."""

    def __init__(self, home: Path, retries: RetryMode) -> None:
        super().__init__(retries)
        self._home = home

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Wait and log which run this one waits for; then execute all steps."""
        instance, run, log = plan_context.instance, plan_context.dagster_run, plan_context.log
        with ExitStack() as stack:
            with raise_execution_interrupts():  # a wait can be cancelled
                turn = turn_of_run(instance, self._home, run.job_name, run.run_id, log.info)
                for dead in stack.enter_context(turn):
                    log.warning(f"{dead.job_name} (run {dead.run_id[:8]}) was dead, and is ended")
            for event in super().execute(plan_context, execution_plan):
                yield event
                # A library may turn the signal into an ordinary error, and a run that is ended by force
                # may get no signal: the remaining steps must not run.
                ended = event.is_step_failure or event.is_step_success
                if ended and _is_over(instance, run.run_id):
                    raise dg.DagsterExecutionInterruptedError


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return true if the run was cancelled or marked as failed while it works."""
    run = instance.get_run_by_id(run_id)
    return run is not None and (run.is_finished or run.status == dg.DagsterRunStatus.CANCELING)


def executor_in(home: Path) -> dg.ExecutorDefinition:
    """Build the executor of all jobs that work in ``home``."""

    @dg.executor(
        name="in_turn", config_schema={IN_PROCESS: dg.in_process_executor.config_schema.as_field()}
    )
    def in_turn(context: dg.InitExecutorContext) -> dg.Executor:
        """Run one run at a time, all its steps in its process."""
        config: Any = context.executor_config[IN_PROCESS]
        return TurnExecutor(home, RetryMode.from_config(config["retries"]) or RetryMode.ENABLED)

    return in_turn
