"""Run jobs of experiments in this process, one after the other, and show on the console what they do."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg
from rich.console import Console

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.instance import prepare_dagster_home
from dagster_project.notices import RunNotices
from dagster_project.reporting.run_progress import RunProgress
from dagster_project.resources import WAITING, Engine
from dagster_project.settings import Settings
from dagster_project.turns.home_turn import NO_WAIT, TurnTakenError
from dagster_project.turns.turn import turn_of_run
from dagster_project.turns.waiting import Stopped, stoppable
from uplift_core.artifacts.home import Home

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
INTERRUPTED = "UNEXPECTED_TERMINATION"  # Dagster's failure reason of a run that a signal ended


@dataclass(frozen=True)
class JobRun:
    """A job to run for one experiment.

    Attributes:
        experiment: the experiment.
        job: name of the job.
        date: the date of the lists, ISO 8601; empty for a job without a date.
        layers: the experiment's assets to materialize; none: all assets of the job.
        config: configuration by layer; a layer that is left out has its defaults.
    """

    experiment: BatchExperiment
    job: str
    date: str
    layers: Sequence[str] = ()
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def assets(self) -> list[dg.AssetKey] | None:
        """The assets to materialize; None: all of the job."""
        return [dg.AssetKey([self.experiment.name, layer]) for layer in self.layers] or None

    @property
    def run_config(self) -> dict[str, Any]:
        """The run's configuration in Dagster's form."""
        ops = {f"{self.experiment.name}__{name}": {"config": dict(c)} for name, c in self.config.items()}
        return {**QUIET, "ops": ops}


@dataclass(frozen=True)
class Finished:
    """How runs ended: the exit code, and the experiments whose jobs succeeded."""

    code: int
    done: list[BatchExperiment] = field(default_factory=list)


def run_jobs(
    runs: Sequence[JobRun],
    folders: Sequence[BatchExperiment],
    engine: Engine,
    progress: RunProgress,
    *,
    wait: bool = True,
) -> Finished:
    """Run jobs one after the other, also if one fails.

    Args:
        runs: the jobs.
        folders: all declared experiments, of whose jobs these are.
        engine: the home and its limits.
        progress: shows the steps on the console.
        wait: if false and another run works in the home, give up at once with the code ``NO_WAIT``.
    """
    console = progress.console
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(engine.paths))
    definitions, notices = build_definitions(folders, engine), RunNotices.from_settings(Settings())
    try:
        with stoppable(), _waits_shown(console), dg.DagsterInstance.get() as instance:
            context = RunContext(progress, definitions, instance, engine.paths, notices, wait)
            done = [run.experiment for run in runs if _materialize(context, run)]
    except Stopped as stop:
        console.print(str(stop), style="bold red")
        return Finished(stop.code)
    except TurnTakenError as error:
        console.print(str(error), style="bold red", soft_wrap=True)
        return Finished(NO_WAIT)
    return Finished(0 if len(done) == len(runs) else 1, done)


@dataclass(frozen=True)
class RunContext:
    """What all runs share.

    Attributes:
        progress: shows the steps on the console.
        definitions: the jobs.
        instance: records the runs.
        home: the home that the jobs write to.
        notices: tells people of the runs.
        wait: whether to wait for another run that works in the home.
    """

    progress: RunProgress
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    home: Home
    notices: RunNotices
    wait: bool


def _materialize(context: RunContext, run: JobRun) -> bool:
    """Run one job, print its warnings and errors; return whether it succeeded."""
    instance, console, experiment = context.instance, context.progress.console, run.experiment
    console.print(f"[bold]{experiment.declaration.title}[/bold] ({experiment.name})")
    job = context.definitions.resolve_job_def(run.job)
    run_id = str(uuid.uuid4())
    log = partial(_show, console)
    with turn_of_run(instance, context.home.root, job.name, run_id, log, wait=context.wait) as dead:
        for one in dead:
            log(f"{one.job_name} (run {one.run_id[:8]}) is marked as failed: its process is gone")
        started = time.monotonic()
        with context.progress.shown() as listener:
            instance.add_event_listener(run_id, listener)
            result = job.execute_in_process(
                instance=instance,
                run_config=run.run_config,
                raise_on_error=False,
                partition_key=run.date or None,
                asset_selection=run.assets,
                run_id=run_id,
            )
    if _interrupted(result):
        raise Stopped
    context.notices.tell(instance, run_id)
    for name, text in _warnings(result):
        console.print(f"  [yellow]warning of {name}[/yellow]: ", end="")
        console.print(text, markup=False)
    if not result.success:
        step, text = failure(result)
        console.print(f"[bold red]stopped at {step}[/bold red]: ", end="")
        console.print(text, markup=False)
        console.print("Nothing new was published; the published snapshot is unchanged.")
        return False
    console.print(f"  done in {time.monotonic() - started:.0f} s")
    return True


def _show(console: Console, text: str) -> None:
    console.print(f"  {text}", markup=False, soft_wrap=True)


@contextmanager
def _waits_shown(console: Console) -> Iterator[None]:
    """Also print on the console which process a step waits for."""
    handler = logging.Handler()
    handler.emit = lambda record: _show(console, record.getMessage())  # type: ignore[method-assign]
    WAITING.addHandler(handler)
    try:
        yield
    finally:
        WAITING.removeHandler(handler)


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Return true if a signal ended a run: while it executes, Dagster handles signals itself."""
    failures = (event.event_specific_data for event in result.all_events if event.is_job_failure)
    reasons = (getattr(failure, "failure_reason", None) for failure in failures)
    return any(reason is not None and reason.value == INTERRUPTED for reason in reasons)


def failure(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """Return the step that stopped a run and its error; for a check, its findings."""
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            return (
                f"{check.asset_key.to_user_string()}, check {check.check_name}",
                check.description or "",
            )
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data
            reason = error.user_failure_data.description if error.user_failure_data else None
            text = reason or (error.error.to_string() if error.error else "unknown error")
            return str(event.step_key), text
    return "an unknown step", "unknown error"


def _warnings(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.WARN:
            name = f"{check.asset_key.to_user_string()}, check {check.check_name}"
            yield name, check.description or ""
