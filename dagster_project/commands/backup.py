"""Back a home up, or restore it: ``make backup TO=...`` and ``make restore FROM=...``."""

from __future__ import annotations

import argparse
import sys

from dagster_project.settings import Settings
from dagster_project.turns.home_turn import NO_WAIT, TurnTakenError
from dagster_project.turns.waiting import Stopped, stoppable
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError
from uplift_core.leaving import leave


def main(arguments: list[str] | None = None) -> int:
    """Back the home up or restore it; return the exit code."""
    parser = argparse.ArgumentParser(prog="uplift backup", description="Back a home up, or restore it.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", metavar="FOLDER", help="a new folder or fsspec URL of the backup")
    which.add_argument("--from", dest="source", metavar="FOLDER", help="a backup to restore")
    parser.add_argument(
        "--no-wait", action="store_true", help="exit with code 75 if a run works in this home"
    )
    chosen = parser.parse_args(arguments)
    # DuckDB and fsspec take a second to import, so --help is answered first.
    from rich.console import Console  # noqa: PLC0415

    from dagster_project.delivery.backup import back_up, restore  # noqa: PLC0415

    home, console = Home(Settings().home), Console(highlight=False, soft_wrap=True)
    try:
        with stoppable():
            if chosen.source:
                files, done = restore(home, chosen.source), f"restored into {home.root}"
            else:
                files = back_up(home, chosen.to, console.print, wait=not chosen.no_wait)
                done = f"backed up to {chosen.to}"
    except TurnTakenError as error:
        console.print(str(error))
        return NO_WAIT
    except Stopped as stop:
        console.print(str(stop))
        leave(stop.code)
    console.print(f"{len(files):,} files, {sum(file.bytes for file in files):,} bytes, {done}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
