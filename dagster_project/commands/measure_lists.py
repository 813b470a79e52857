"""Measure what the lists of a date did: ``uplift measure hillstrom outcomes.csv --date 2026-11-01``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dagster_project.commands.run_options import (
    add_run_options,
    declared_names,
    finish,
    iso_date,
    run_options,
)
from dagster_project.settings import Settings
from uplift_core.boosting.without_scikit_learn import import_xgboost


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="uplift measure",
        description="Measure all lists of a date on their users' outcomes: treated users against the "
        "holdout group, beside what was promised. Earlier figures of that date are replaced.",
    )
    made.add_argument("experiment", choices=declared_names(Settings()))
    made.add_argument(
        "file",
        type=Path,
        help="CSV or Parquet: the users' id as the experiment's file has it, or user_id, and a column "
        "per outcome",
    )
    made.add_argument("--date", type=iso_date, required=True, help="date of the lists, YYYY-MM-DD")
    made.add_argument(
        "--absent-is-zero", action="store_true", help="users that the file lacks had an outcome of 0"
    )
    made.add_argument("--json", action="store_true", help="print the figures as a JSON list")
    add_run_options(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure the lists that the command names; return the exit code."""
    chosen = parser().parse_args(arguments)
    # Dagster and XGBoost take seconds to import, so --help and wrong arguments are answered first.
    import_xgboost()
    from dagster_project.night_jobs import measure_lists  # noqa: PLC0415

    code = measure_lists(
        chosen.experiment,
        chosen.date,
        chosen.file,
        absent_is_zero=chosen.absent_is_zero,
        as_json=chosen.json,
        **run_options(chosen),
    )
    return finish(code)
