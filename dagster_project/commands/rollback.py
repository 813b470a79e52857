"""Make an earlier snapshot the current one: ``python -m dagster_project.commands.rollback``."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer, recorded_pointers
from uplift_core.errors import UpliftError


def main(arguments: list[str] | None = None) -> int:
    """List the kept snapshots, or make one of them current; return the exit code."""
    parser = argparse.ArgumentParser(prog="uplift rollback", description=main.__doc__)
    parser.add_argument(
        "--to", default="", metavar="SNAPSHOT", help="the snapshot; default: the previous one"
    )
    parser.add_argument("--list", action="store_true", help="only list the kept snapshots")
    chosen = parser.parse_args(arguments)
    home, console = Home(Settings().home), Console(highlight=False)
    if not chosen.list:
        # The bundle's check loads XGBoost, which takes seconds, so --help and --list are answered first.
        from dagster_project.delivery.publish import roll_back  # noqa: PLC0415

        pointer = roll_back(home, chosen.to)
        console.print(f"current is now {pointer.snapshot_id}; the service follows within seconds")
        return 0
    current = read_pointer(home.published).snapshot_id
    for pointer in recorded_pointers(home.published):
        models = ", ".join(entry.model_version for entry in pointer.experiments.values())
        mark = "*" if pointer.snapshot_id == current else " "
        console.print(f"{mark} {pointer.snapshot_id}  {models}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
