"""Make an earlier snapshot the current one: ``python -m dagster_project.commands.rollback``."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from rich.console import Console

from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home, account
from uplift_core.artifacts.publication import Pin, read_pin, read_pointer, recorded_pointers
from uplift_core.command_words import LIFT
from uplift_core.errors import UpliftError


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="uplift rollback",
        description="Make an earlier snapshot current, until --lift: what runs publish waits.",
    )
    made.add_argument("--to", default="", metavar="SNAPSHOT", help="which; default: the previous one")
    made.add_argument("--reason", default="", help="why; the service and the app show it")
    made.add_argument("--by", default="", help="who says so; your account if it is left out")
    made.add_argument(
        "--until-next", action="store_true", help="the next run may make its snapshot current"
    )
    made.add_argument("--lift", action="store_true", help="let the newest snapshot be current again")
    made.add_argument("--list", action="store_true", help="only list the kept snapshots")
    made.add_argument("--json", action="store_true", help="print the list as one JSON object")
    return made


def main(arguments: list[str] | None = None) -> int:
    """List the kept snapshots, make one of them current, or lift the pin; return the exit code."""
    parsed = parser()
    chosen = parsed.parse_args(arguments)
    if chosen.json and not chosen.list:
        parsed.error("--json is for --list")
    home, console = Home(Settings().home), Console(highlight=False, soft_wrap=True, markup=False)
    if chosen.list:
        _show(home, console, as_json=chosen.json)
        return 0
    home.require_writable()
    # The bundle's check loads XGBoost, which takes seconds, so --help and --list are answered first.
    from dagster_project.delivery.publish import lift, roll_back  # noqa: PLC0415

    if chosen.lift:
        pointer = lift(home)
        console.print(f"current is {pointer.snapshot_id}, and runs make theirs current again")
        return 0
    pin = Pin(pinned_at=datetime.now(UTC), made_by=chosen.by or account(), reason=chosen.reason)
    pointer = roll_back(home, chosen.to, None if chosen.until_next else pin)
    console.print(f"current is now {pointer.snapshot_id}; the service follows within seconds")
    if read_pin(home.published):
        console.print(f"it stays current until {LIFT}; lists are still made and exported")
    return 0


def _show(home: Home, console: Console, *, as_json: bool) -> None:
    current, pin = read_pointer(home.published).snapshot_id, read_pin(home.published)
    pointers = recorded_pointers(home.published)
    if as_json:
        kept = [pointer.model_dump(mode="json") for pointer in pointers]
        told = {"current": current, "kept": kept, "pin": pin and pin.model_dump(mode="json")}
        sys.stdout.write(json.dumps(told) + "\n")
        return
    for pointer in pointers:
        models = ", ".join(entry.model_version for entry in pointer.experiments.values())
        mark = "*" if pointer.snapshot_id == current else " "
        console.print(f"{mark} {pointer.snapshot_id}  {models}")
    if pin:
        console.print(f"  {pin.told}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
