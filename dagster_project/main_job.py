"""The main job behind ``make run``: materialize experiments through Dagster and print the results."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

import dagster as dg
import duckdb
from rich.console import Console
from rich.table import Table

from dagster_project.decisions.records import ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.delivery.export import files_to_treat
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.instance import prepare_dagster_home
from dagster_project.reporting.run_progress import RunProgress
from dagster_project.resources import WAITING, Engine
from dagster_project.settings import Settings
from dagster_project.turns.home_turn import NO_WAIT, TurnTakenError
from dagster_project.turns.turn import turn_of_run
from dagster_project.turns.waiting import Stopped, stoppable
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import newest_pointer, read_pin
from uplift_core.evaluation.tables import NAMES

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
INTERRUPTED = "UNEXPECTED_TERMINATION"  # Dagster's failure reason of a run that a signal ended


def run_experiments(names: Sequence[str], *, verbose: bool, wait: bool = True) -> int:
    """Run the experiments one after the other, also if one fails; return the exit code.

    Args:
        names: the experiments.
        verbose: print what the steps say, too.
        wait: if false and another run works in the home, return ``NO_WAIT`` at once.
    """
    console, settings = Console(highlight=False), Settings()
    folders = {folder.name: folder for folder in experiment_folders(settings)}
    chosen = [folders[name] for name in names]
    progress = RunProgress(console, verbose=verbose)
    engine = Engine.from_settings(settings)
    tonight = datetime.now(UTC).date().isoformat()
    os.environ["DAGSTER_HOME"] = str(prepare_dagster_home(engine.paths))
    definitions = build_definitions(list(folders.values()), engine)
    try:
        with stoppable(), _waits_shown(console), dg.DagsterInstance.get() as instance:
            context = RunContext(progress, definitions, instance, engine.paths, tonight, wait)
            done = [folder for folder in chosen if _materialize(context, folder)]
    except Stopped as stop:
        console.print(str(stop), style="bold red")
        return stop.code
    except TurnTakenError as error:
        console.print(str(error), style="bold red", soft_wrap=True)
        return NO_WAIT
    if done:
        _report(console, engine, done, tonight)
    failed = [folder.name for folder in chosen if folder not in done]
    if failed and done:
        console.print(f"[bold red]stopped[/bold red]            {', '.join(failed)}; see above")
    return 1 if failed else 0


@dataclass(frozen=True)
class RunContext:
    """What the jobs of all experiments share.

    Attributes:
        progress: shows the steps on the console.
        definitions: the jobs.
        instance: records the runs.
        home: the home that the jobs write to.
        tonight: the date of the lists, ISO 8601.
        wait: whether to wait for another run that works in the home.
    """

    progress: RunProgress
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    home: Home
    tonight: str
    wait: bool


def _materialize(context: RunContext, experiment: BatchExperiment) -> bool:
    """Run one experiment's job, print its warnings and errors; return whether it succeeded."""
    instance, console = context.instance, context.progress.console
    console.print(f"[bold]{experiment.declaration.title}[/bold] ({experiment.name})")
    job = context.definitions.resolve_job_def(f"uplift_{experiment.name}")
    run_id = str(uuid.uuid4())
    log = partial(_show, console)
    with turn_of_run(instance, context.home.root, job.name, run_id, log, wait=context.wait) as dead:
        for run in dead:
            log(f"{run.job_name} (run {run.run_id[:8]}) is marked as failed: its process is gone")
        started = time.monotonic()
        with context.progress.shown() as listener:
            instance.add_event_listener(run_id, listener)
            result = job.execute_in_process(
                instance=instance,
                run_config=QUIET,
                raise_on_error=False,
                partition_key=context.tonight,
                run_id=run_id,
            )
    if _interrupted(result):
        raise Stopped
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


def _report(console: Console, engine: Engine, chosen: list[BatchExperiment], tonight: str) -> None:
    home = engine.paths
    summaries = {experiment.name: read_summary(home, experiment) for experiment in chosen}
    for summary in summaries.values():
        _table(console, summary)
    console.print()
    for experiment in chosen:
        key = ListKey(tonight, experiment.name, experiment.declaration.defaults.arm)
        files = files_to_treat(engine.store, key)
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        where = f"{files[0]}{more}" if files else "not exported"
        who = _who_is_treated(home, experiment, key, summaries[experiment.name]) if files else ""
        console.print(f"Whom to treat      {experiment.name}: {who}{where}", soft_wrap=True)
    console.print(f"Snapshot for SQL   {home.published}")
    if pin := read_pin(home.published):
        console.print(f"Not current yet    {pin.told}; make rollback LIFT=1 ends that", soft_wrap=True)
    console.print("Next               make dev (Dagster, port 3000) · make serve (API, port 8000)")
    console.print("                   make ui (Streamlit, port 8501)")


MARGIN = " " * 19
TREATED = """
select treated, users from decisions.nights
where experiment = $experiment and campaign = $campaign and decision_date = $decision_date::date
"""


def _who_is_treated(home: Home, experiment: BatchExperiment, key: ListKey, summary: Summary) -> str:
    """Say how many users a list treats, with which arm, who chose the arm, and what is not shown."""
    pointer = newest_pointer(home.published)
    with duckdb.connect(str(home.published / pointer.file), read_only=True) as con:
        ((treated, users),) = con.execute(TREATED, asdict(key)).fetchall()
    declaration = experiment.declaration
    several = len(declaration.treatments) > 1
    arm = f"'{declaration.defaults.arm}'" + (" (the declared default arm)" if several else "")
    adjective = "simulated " if declaration.source.kind == "simulation" else ""
    doubt = "" if summary.word == "passed" else "; choosing them is not shown to pay off"
    return f"{treated:,} of {users:,} {adjective}users get {arm}{doubt}\n{MARGIN}"


def _table(console: Console, summary: Summary) -> None:
    table = Table(title=summary.title, title_justify="left", caption_justify="left")
    table.caption = summary.note
    for heading in ("learner", "policy value", "random", "gain over random", "Qini"):
        table.add_column(heading, justify="left" if heading == "learner" else "right")
    for row in summary.rows:
        table.add_row(*row)
    console.print()
    console.print(table)


QUERY = """
select policy.learner, policy.value, policy.std_error, policy.random_value,
    policy.gain_over_random, policy.gain_std_error, metrics.value as qini, policy.n
from evaluation.policy_value as policy
left join evaluation.metrics as metrics
    on metrics.experiment = policy.experiment and metrics.arm = policy.arm
    and metrics.learner = policy.learner and metrics.outcome = policy.outcome
    and metrics.metric = 'qini_auc'
where policy.experiment = $experiment and policy.arm = $arm and policy.outcome = $outcome
    and policy.budget = $budget and policy.estimator = 'aipw'
order by policy.value desc
"""


GATE = """
select gate, gate_reason from models.registry
where experiment = $experiment and arm = $arm and is_current and learner = $learner
"""


@dataclass(frozen=True)
class Summary:
    """A table for people: title, rows of text, note; and the word of the gate."""

    title: str
    rows: Sequence[tuple[str, ...]]
    note: str
    word: str


def read_summary(home: Home, experiment: BatchExperiment) -> Summary:
    """Read policy value, gain and Qini of each learner at the default budget."""
    defaults = experiment.declaration.defaults
    pointer = newest_pointer(home.published)
    decides = pointer.experiments[experiment.name].learner
    named = {"experiment": experiment.name, "arm": defaults.arm}
    with duckdb.connect(str(home.published / pointer.file), read_only=True) as con:
        figures = con.execute(
            QUERY, {**named, "outcome": defaults.outcome, "budget": defaults.budget}
        ).fetchall()
        ((word, reason),) = con.execute(GATE, named | {"learner": decides}).fetchall()
        about_arms = _about_arms(con, experiment)
    rows = [
        (
            NAMES[learner] + (" *" if learner == decides else ""),
            f"{value:.4f} ± {error:.4f}",
            f"{random:.4f}",
            f"{gain:+.4f} ± {gain_error:.4f}",
            "" if qini is None else f"{qini:.4f}",
        )
        for learner, value, error, random, gain, gain_error, qini, _ in figures
    ]
    return Summary(
        title=f"{experiment.name}: {defaults.arm} against {experiment.declaration.control}, "
        f"{defaults.outcome}, {defaults.budget:.0%} treated",
        rows=rows,
        note=f"{defaults.outcome} per user on {figures[0][-1]:,} held-out users, doubly robust; "
        f"± one standard error; * decides\nGate: {word}. {reason}{about_arms}",
        word=word,
    )


ARMS = """
select decider, reason from models.arm_policies
where experiment = $experiment and budget = $budget
    and model_version in (select model_version from models.registry where is_current)
limit 1
"""


def _about_arms(con: duckdb.DuckDBPyConnection, experiment: BatchExperiment) -> str:
    """Say which of several arms gains most, and which one the list is for if that is another."""
    defaults = experiment.declaration.defaults
    judged = con.execute(ARMS, {"experiment": experiment.name, "budget": defaults.budget}).fetchall()
    if not judged:
        return ""
    ((decider, reason),) = judged
    if decider == defaults.arm:
        return f"\nArms: {reason}"
    return (
        f"\nArms: {reason} This table and the list are about '{defaults.arm}', the declared default "
        f"arm; the run configuration `arm` asks for a list of '{decider}', or of 'best'."
    )
