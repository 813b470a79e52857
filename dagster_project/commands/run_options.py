"""What commands that run a job share: options, the experiments that they may name, and their end."""

from __future__ import annotations

import argparse
from datetime import date

from dagster_project.settings import SQL_FOLDER, Settings
from dagster_project.turns.waiting import BY_SIGNAL
from uplift_core.experiment.declaration import discover
from uplift_core.leaving import leave


def declared_names(settings: Settings) -> list[str]:
    """List the declared experiments."""
    return sorted(discover(SQL_FOLDER / "experiments", *settings.experiment_roots))


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose`` and ``--no-wait``."""
    parser.add_argument("-v", "--verbose", action="store_true", help="print what the steps say, too")
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="exit with code 75 if another run works in this home, instead of waiting for it",
    )


def run_options(chosen: argparse.Namespace) -> dict[str, bool]:
    """Return what ``add_run_options`` read, as arguments of the functions that run jobs."""
    return {"verbose": chosen.verbose, "wait": not chosen.no_wait}


def finish(code: int) -> int:
    """Return a run's exit code; if a signal stopped the run, end the process at once."""
    return leave(code) if code >= BY_SIGNAL else code


def iso_date(text: str) -> str:
    """Return a date as YYYY-MM-DD.

    Raises:
        argparse.ArgumentTypeError: the text is no such date.
    """
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write YYYY-MM-DD") from error
