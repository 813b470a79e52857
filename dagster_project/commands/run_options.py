"""The options of every command that runs a job, and the experiments that it may name."""

from __future__ import annotations

import argparse
from datetime import date

from dagster_project.settings import SQL_FOLDER, Settings
from uplift_core.experiment.declaration import discover


def declared_names() -> list[str]:
    """List the declared experiments."""
    return sorted(discover(SQL_FOLDER / "experiments", *Settings().experiment_roots))


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose`` and ``--no-wait``."""
    parser.add_argument("-v", "--verbose", action="store_true", help="print what the steps say, too")
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="exit with code 75 if another run works in this home, instead of waiting for it",
    )


def iso_date(text: str) -> str:
    """Return a date as YYYY-MM-DD.

    Raises:
        argparse.ArgumentTypeError: the text is no such date.
    """
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write YYYY-MM-DD") from error
