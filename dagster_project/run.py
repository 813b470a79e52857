"""The command behind ``make run``: ``python -m dagster_project.run simulated hillstrom``."""

from __future__ import annotations

import argparse
import sys

from dagster_project.commands.run_options import (
    add_run_options,
    declared_names,
    finish,
    run_options,
)
from dagster_project.settings import Settings
from uplift_core.boosting.without_scikit_learn import import_xgboost
from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """Run the experiments that the command names; return the exit code."""
    parser = argparse.ArgumentParser(prog="uplift run", description="Materialize experiments.")
    parser.add_argument("experiments", nargs="+", choices=declared_names(Settings()))
    add_run_options(parser)
    chosen = parser.parse_args(arguments)
    # Dagster and XGBoost take seconds to import, so --help and a wrong name are answered first.
    import_xgboost()
    from dagster_project.main_job import run_experiments  # noqa: PLC0415

    return finish(run_experiments(chosen.experiments, **run_options(chosen)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
