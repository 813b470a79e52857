"""The main job behind ``make run``: materialize experiments through Dagster and print the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
from rich.console import Console
from rich.table import Table

from dagster_project.decisions.published_lists import published_rows
from dagster_project.decisions.records import NIGHTS, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import files_to_treat
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.job_runs import JobRun, run_jobs
from dagster_project.reporting.run_progress import MARGIN, RunProgress
from dagster_project.resources import Engine
from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import newest_pointer, read_pin
from uplift_core.command_words import LIFT, spoken
from uplift_core.evaluation.tables import NAMES


def run_experiments(names: Sequence[str], *, verbose: bool, wait: bool = True) -> int:
    """Run the experiments one after the other, also if one fails; return the exit code.

    Args:
        names: the experiments.
        verbose: print what the steps say, too.
        wait: if false and another run works in the home, return ``NO_WAIT`` at once.
    """
    console, settings = Console(highlight=False), Settings()
    folders = {folder.name: folder for folder in experiment_folders(settings)}
    tonight = datetime.now(UTC).date().isoformat()
    engine = Engine.from_settings(settings)
    runs = [JobRun(folders[name], f"uplift_{name}", tonight) for name in names]
    progress = RunProgress(console, verbose=verbose)
    finished = run_jobs(runs, list(folders.values()), engine, progress, wait=wait)
    if finished.done:
        _report(console, engine, finished.done, tonight)
    failed = [name for name in names if folders[name] not in finished.done]
    if failed and finished.done:
        console.print(f"[bold red]stopped[/bold red]            {', '.join(failed)}; see above")
    return finished.code


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
        console.print(f"Not current yet    {pin.told}; {LIFT} ends that", soft_wrap=True)
    dev, api, app = (spoken(name, name) for name in ("dev", "serve", "ui"))
    console.print(
        f"Next               {dev} (Dagster, port 3000) · {api} (API, port 8000)", soft_wrap=True
    )
    console.print(f"                   {app} (Streamlit, port 8501)")


def _who_is_treated(home: Home, experiment: BatchExperiment, key: ListKey, summary: Summary) -> str:
    """Say how many users a list treats, with which arm, who chose the arm, and what is not shown."""
    (night,) = published_rows(home, NIGHTS, key)
    declaration = experiment.declaration
    several = len(declaration.treatments) > 1
    arm = f"'{declaration.defaults.arm}'" + (" (the declared default arm)" if several else "")
    adjective = "simulated " if declaration.source.kind == "simulation" else ""
    doubt = "" if summary.word == "passed" else "; choosing them is not shown to pay off"
    return f"{night['treated']:,} of {night['users']:,} {adjective}users get {arm}{doubt}\n{MARGIN}"


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
