"""Measure what lists did: ``uplift measure hillstrom outcomes.csv --date 2026-11-01``.

Without a file: by what arrived in the declared files.
"""

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
        "holdout group, beside what was promised. Earlier figures of that date are replaced. Without a "
        "file: read the files of outcomes that are declared ([arrivals]), and measure their nights.",
    )
    made.add_argument("experiment", choices=declared_names(Settings()))
    made.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="CSV or Parquet: the users' id as the experiment's file has it, or user_id, and a column "
        "per outcome",
    )
    made.add_argument("--date", type=iso_date, help="date of the lists, YYYY-MM-DD; with a file")
    made.add_argument(
        "--absent-is-zero", action="store_true", help="users that the file lacks had an outcome of 0"
    )
    made.add_argument("--json", action="store_true", help="print the figures as a JSON list")
    add_run_options(made)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure the lists that the command names; return the exit code."""
    chosen = (command := parser()).parse_args(arguments)
    if bool(chosen.file) != bool(chosen.date):
        command.error("a file and --date go together; without both, what arrived is measured")
    if chosen.absent_is_zero and not chosen.file:
        command.error("--absent-is-zero is about a file; who has no row in arrived files had no outcome")
    # Dagster and XGBoost take seconds to import, so --help and wrong arguments are answered first.
    import_xgboost()
    from dagster_project.night_jobs import measure_arrivals, measure_lists  # noqa: PLC0415

    if not chosen.file:
        code = measure_arrivals(chosen.experiment, as_json=chosen.json, **run_options(chosen))
        return finish(code)
    code = measure_lists(
        chosen.experiment,
        chosen.date,
        chosen.file,
        absent_is_zero=chosen.absent_is_zero,
        as_json=chosen.json,
        **run_options(chosen),
    )
    return finish(code)
