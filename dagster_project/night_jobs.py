"""The jobs behind ``uplift list`` and ``uplift measure``: one night's list, and what it did."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

from pydantic_core import to_json
from rich.console import Console

from dagster_project.automation import list_layers
from dagster_project.decisions.published_lists import Row, newest_measured, published_rows
from dagster_project.decisions.records import NIGHTS, REALISED, REALISED_OVER_TIME, ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import files_to_treat
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.job_runs import JobRun, run_jobs
from dagster_project.reporting.run_progress import MARGIN, RunProgress
from dagster_project.resources import Engine
from dagster_project.settings import Settings
from uplift_core.artifacts.publication import NothingPublishedError, newest_pointer
from uplift_core.errors import ExperimentError


def make_list(  # noqa: PLR0913 - the list, and how the run shows itself
    name: str, day: str, config: Mapping[str, Any], *, verbose: bool, wait: bool, as_json: bool
) -> int:
    """Decide, export and publish one list from the current scores; return the exit code.

    Args:
        name: the experiment.
        day: date of the list, ISO 8601.
        config: fields of ``ListConfig`` that differ from the experiment's defaults.
        verbose: print what the steps say, too.
        wait: if false and another run works in the home, return ``NO_WAIT`` at once.
        as_json: print the list's row of ``decisions.nights`` and its files as one JSON object.

    Raises:
        ExperimentError: there is no such date, or the experiment has no scores yet.
    """
    batch = _Batch.here()
    experiment = batch.published(name, day)
    ordered = {"treat_list": config} if config else {}
    run = JobRun(experiment, "nightly_decisions", day, list_layers(experiment), ordered)
    code = batch.run(run, verbose=verbose, wait=wait, as_json=as_json)
    if code:
        return code
    campaign = config.get("campaign") or config.get("arm") or experiment.declaration.defaults.arm
    key = ListKey(day, name, str(campaign))
    (night,) = published_rows(batch.engine.paths, NIGHTS, key)
    files = files_to_treat(batch.engine.store, key)
    if as_json:
        _print_json(night | {"files": files})
    else:
        _describe_night(night, experiment.declaration.defaults.outcome, files)
    return 0


def measure_lists(  # noqa: PLR0913 - the lists, their outcomes, and how the run shows itself
    name: str, day: str, file: Path, *, absent_is_zero: bool, verbose: bool, wait: bool, as_json: bool
) -> int:
    """Measure all lists of a date on a file of outcomes, and publish the figures; return the exit code.

    Args:
        name: the experiment.
        day: date of the lists, ISO 8601.
        file: CSV or Parquet, see ``decisions.realised.measure``.
        absent_is_zero: true if users that the file lacks had an outcome of 0.
        verbose: print what the steps say, too.
        wait: if false and another run works in the home, return ``NO_WAIT`` at once.
        as_json: print the rows of ``decisions.realised`` as a JSON list.

    Raises:
        ExperimentError: there is no such date or file, or the experiment has no scores yet.
    """
    if not file.is_file():
        raise ExperimentError(
            f"{file}: no such file; name a CSV or Parquet file with the users' outcomes"
        )
    batch = _Batch.here()
    experiment = batch.published(name, day)
    config = {"file": str(file.resolve()), "absent_is_zero": absent_is_zero}
    run = JobRun(experiment, f"measure_{name}", day, config={"realised": config})
    code = batch.run(run, verbose=verbose, wait=wait, as_json=as_json)
    if code:
        return code
    rows = published_rows(batch.engine.paths, REALISED, ListKey(day, name, ""))
    if as_json:
        _print_json(rows)
    else:
        _describe_measurements(rows)
        _describe_over_time(
            published_rows(batch.engine.paths, REALISED_OVER_TIME, ListKey(day, name, ""))
        )
    return 0


def measure_arrivals(name: str, *, verbose: bool, wait: bool, as_json: bool) -> int:
    """Read the declared files of outcomes that arrived, measure their nights and publish the figures.

    Args:
        name: the experiment.
        verbose: print what the steps say, too.
        wait: if false and another run works in the home, return ``NO_WAIT`` at once.
        as_json: print the rows of ``decisions.realised`` of the newest measured date as a JSON list.

    Returns:
        The exit code.

    Raises:
        ExperimentError: the experiment declares no such files, or has no scores yet.
    """
    batch = _Batch.here()
    experiment = batch.scored(name)
    if not experiment.declaration.arrivals:
        raise ExperimentError(
            f"{name} declares no files of outcomes; declare [arrivals] in its experiment.toml, or name "
            "a file and --date"
        )
    code = batch.run(
        JobRun(experiment, f"outcomes_{name}", ""), verbose=verbose, wait=wait, as_json=as_json
    )
    if code:
        return code
    home = batch.engine.paths
    day = newest_measured(home, name)
    key = ListKey(day, name, "")
    rows = published_rows(home, REALISED, key) if day else []
    if as_json:
        _print_json(rows)
    elif day:
        _describe_measurements(rows)
        _describe_over_time(published_rows(home, REALISED_OVER_TIME, key))
    return 0


@dataclass(frozen=True)
class _Batch:
    """The batch's environment and all declared experiments."""

    engine: Engine
    folders: Sequence[BatchExperiment]

    @classmethod
    def here(cls) -> Self:
        settings = Settings()
        return cls(Engine.from_settings(settings), experiment_folders(settings))

    def run(self, run: JobRun, *, verbose: bool, wait: bool, as_json: bool) -> int:
        # Standard output is for the answer alone if a script reads it.
        progress = RunProgress(Console(highlight=False, stderr=as_json), verbose=verbose)
        return run_jobs([run], self.folders, self.engine, progress, wait=wait).code

    def published(self, name: str, day: str) -> BatchExperiment:
        """Return the experiment, if it has scores and a list may bear that date."""
        today = datetime.now(UTC).date()
        first = date.fromisoformat(self.engine.first_night)
        if not first <= date.fromisoformat(day) <= today:
            raise ExperimentError(
                f"--date {day}: lists bear dates from {first} to {today} (UTC); choose one of these, "
                "or set UPLIFT_FIRST_NIGHT before the home's first run"
            )
        return self.scored(name)

    def scored(self, name: str) -> BatchExperiment:
        """Return the experiment, if it has scores."""
        try:
            known = newest_pointer(self.engine.paths.published).experiments
        except NothingPublishedError:
            known = {}
        if name not in known:
            raise ExperimentError(
                f"{name} has no scores yet; uplift run {name} makes them, and a first list"
            )
        (experiment,) = (folder for folder in self.folders if folder.name == name)
        return experiment


def _print_json(answer: Row | Sequence[Row]) -> None:
    sys.stdout.write(to_json(answer, inf_nan_mode="null").decode() + "\n")


def _describe_night(night: Row, outcome: str, files: Sequence[str]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Whom to treat      {night['treated']:,} of {night['users']:,} users get '{night['arm']}' on "
        f"{night['decision_date']} (campaign '{night['campaign']}'),\n"
        f"{MARGIN}{night['explored']:,} of them by chance"
    )
    console.print(
        f"Never treated      {night['holdout']:,} are held out, {night['suppressed']:,} suppressed"
    )
    if night["promised"] is not None:
        console.print(
            f"Promised           {night['promised']:+.5f} ± {night['promised_std_error']:.5f} {outcome} "
            f"per user treated for their score,\n{MARGIN}from held-out users; ± one standard error"
        )
    if night["previous_date"]:
        console.print(
            f"Changed            {night['entered']:,} entered and {night['exited']:,} left since "
            f"{night['previous_date']}"
        )
    for file in files:
        console.print(f"File               {file}")


PROVISIONAL = "; provisional: the window of outcomes has not closed"
WHO = {
    "list": "treated for their score against held out",
    "explore": "treated by chance against held out",
    "usual": "treated for their score against treated as usual",
    "choosing": "treated for their score against treated by chance",
}


def _describe_measurements(rows: Sequence[Row]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for row in rows:
        who = "for their score" if row["comparison"] == "list" else "by chance"
        console.print(
            f"{row['campaign']}, {row['outcome']}, {row['n_treated']:,} users treated {who} against "
            f"{row['n_control']:,} held out:"
        )
        console.print(
            f"  {row['uplift']:+.5f} ± {row['std_error']:.5f} per treated user, 95 % interval "
            f"{row['ci_low']:+.5f} to {row['ci_high']:+.5f}{_beside_promise(row)}"
            f"{PROVISIONAL if row['provisional'] else ''}"
        )
    console.print(
        "± one standard error; users treated for their score are compared with those of the holdout"
    )
    console.print("whom the list would have treated, explorers (by chance) with the whole holdout")


def _describe_over_time(rows: Sequence[Row]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    over_time = [row for row in rows if row["nights"] > 1]
    for row in over_time:
        console.print(
            f"{row['campaign']}, {row['outcome']}, {WHO[row['comparison']]}, "
            f"{row['nights']} nights since {row['first_date']}:"
        )
        console.print(
            f"  {row['uplift']:+.5f} ± {row['std_error']:.5f} per treatment, 95 % confidence sequence "
            f"{row['sequence_low']:+.5f} to {row['sequence_high']:+.5f}{_beside_promise(row)}"
        )


def _beside_promise(row: Row) -> str:
    if row["promised"] is None:
        return ""
    word = "within chance of it" if row["agrees"] else "more than chance apart"
    return f"; promised {row['promised']:+.5f} ± {row['promised_std_error']:.5f}: {word}"
