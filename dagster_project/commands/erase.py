"""Erase a user from the home and from the exports: ``make erase USER=... EXPERIMENT=...``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dagster_project.settings import Settings
from dagster_project.turns.home_turn import NO_WAIT, TurnTakenError
from dagster_project.turns.waiting import Stopped, stoppable
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError
from uplift_core.leaving import leave


def main(arguments: list[str] | None = None) -> int:
    """Erase a user and print the receipt; return the exit code."""
    parser = argparse.ArgumentParser(prog="uplift erase", description="Erase a user of an experiment.")
    parser.add_argument("experiment", help="the experiment that the user belongs to")
    parser.add_argument("user", help="the user's id in the file, or user_id")
    parser.add_argument(
        "--no-wait", action="store_true", help="exit with code 75 if a run works in this home"
    )
    chosen = parser.parse_args(arguments)
    # DuckDB, Dagster and XGBoost take seconds to import, so --help is answered first.
    from rich.console import Console  # noqa: PLC0415

    from dagster_project.delivery.erasure import Machine, erase  # noqa: PLC0415
    from dagster_project.delivery.stores import open_store  # noqa: PLC0415
    from dagster_project.inputs.experiments import experiment_folders  # noqa: PLC0415

    settings, console = Settings(), Console(highlight=False, soft_wrap=True)
    home = Home(settings.home.absolute())
    folders = {folder.name: folder for folder in experiment_folders(settings)}
    if chosen.experiment not in folders:
        raise UpliftError(f"'{chosen.experiment}' is no experiment; choose from {sorted(folders)}")
    named = os.environ.get("UPLIFT_DECISION_LOG", "")  # a setting of the API
    try:
        with stoppable():
            receipt = erase(
                home,
                folders[chosen.experiment],
                chosen.user,
                store=open_store(settings.exports or str(home.exports), home.scratch),
                machine=Machine(settings.memory_limit, settings.threads),
                decision_log=Path(named) if named else None,
                log=console.print,
                wait=not chosen.no_wait,
            )
    except TurnTakenError as error:
        console.print(str(error))
        return NO_WAIT
    except Stopped as stop:
        console.print(str(stop))
        leave(stop.code)
    for name, value in receipt.items():
        console.print(f"{name.replace('_', ' ')}: {value}", markup=False)
    return 1 if receipt["still_named_in"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
