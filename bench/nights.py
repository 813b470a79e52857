"""Simulate a thousand nights of one experiment, and say what a night costs by then.

    python -m bench.nights --nights 1000 --users 5000 --folder FOLDER

Each night is a list of the ledger, its export and a published snapshot. The home is copied after nights
10, 100, 1,000 ...; at the end the next night of each copy is timed, turn by turn, so that ratios hold on
a busy machine, too. So is a start of the API on each copy, to its first answer. Sizes are projected to
many users and three years: per user from the growth between the first and the last copy, which few users
overstate, since DuckDB's blocks are 256 KiB.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from rich.progress import track

from bench.start import start_api
from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.records import ListKey
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.export import CSV_OF_TREAT, export_treat_list
from dagster_project.delivery.export_files import write_whole
from dagster_project.delivery.publish import publish
from dagster_project.delivery.stores import LocalStore
from dagster_project.warehouse.opening import open_warehouse
from tests.support import folder_of, run_job
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.targeting.budget import Budget

FIRST = date(2026, 1, 1)
MANY_USERS, YEARS = 25_000_000, 3
MB, TB = 1e6, 1e12


@dataclass(frozen=True)
class Sizes:
    """Bytes of a home: the warehouse, one snapshot, and the exports of one night."""

    warehouse: int
    snapshot: int
    export: int


def main() -> int:
    """Print seconds and sizes by night. Return the exit code: 1 if a night takes too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--nights", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--allowed", type=float, default=1.3, help="the last night over the tenth")
    chosen = parser.parse_args()
    work = chosen.folder / "nights"
    shutil.rmtree(work, ignore_errors=True)
    experiment = folder_of("simulated", n_users=chosen.users)
    stops = [night for night in (10, 100, 1_000, 10_000) if night < chosen.nights] + [chosen.nights]
    copies = make_nights(experiment, work, stops)
    sizes = {night: sizes_of(copies[night], night) for night in stops}
    seconds = timed(stops, chosen.repeats, lambda night: next_night(experiment, work, copies, night))
    starts = timed(stops, chosen.repeats, lambda night: start_api(copies[night]))
    print(f"{chosen.users:,} users, {chosen.nights:,} nights; medians of {chosen.repeats}, turn by turn")
    for night in stops:
        megabytes = ", ".join(
            f"{name} {value / MB:.2f} MB" for name, value in vars(sizes[night]).items()
        )
        print(f"  night {night:,}: {seconds[night]:.2f} s; service {starts[night]:.2f} s; {megabytes}")
    first, last = stops[0], stops[-1]
    ratio = seconds[last] / seconds[first]
    print(f"night {last:,} / night {first:,}: {ratio:.2f}; service {starts[last] / starts[first]:.2f}")
    project(sizes[first], sizes[last], last - first, chosen.users)
    return 1 if ratio > chosen.allowed else 0


def make_nights(experiment: BatchExperiment, work: Path, stops: list[int]) -> dict[int, Path]:
    """Make all nights in one home; return a copy of it after each of ``stops``."""
    home, copies = work / "home", dict[int, Path]()
    run_job(experiment, home, decision_date=day_of(0))
    for night in track(range(1, stops[-1] + 1), description="nights"):
        make_night(experiment, Home(home), night)
        if night in stops:
            copies[night] = work / f"home-{night}"
            shutil.copytree(home, copies[night], ignore=shutil.ignore_patterns("dagster", "tmp"))
    return copies


def make_night(experiment: BatchExperiment, home: Home, night: int) -> None:
    """Write, export and publish one night's list, each in a transaction of its own as in a run."""
    key = ListKey(day_of(night), experiment.name, experiment.declaration.defaults.arm)
    order = ListOrder(key.decision_date, key.campaign, Budget(share=0.2), override="bench")
    with open_warehouse(home, memory_limit="1GB", threads=1) as db:
        write_treat_list(db, experiment, order, assign_roles)
    with open_warehouse(home, memory_limit="1GB", threads=1) as db:
        store = LocalStore(home.exports)
        export_treat_list(db, store, key, write_sheet=write_whole, formats=CSV_OF_TREAT)
    with open_warehouse(home, memory_limit="1GB", threads=1) as db:
        publish(db, home, experiment)


def day_of(night: int) -> str:
    """Return the date of a night."""
    return (FIRST + timedelta(days=night)).isoformat()


def timed(nights: list[int], repeats: int, work: Callable[[int], float]) -> dict[int, float]:
    """Do ``work`` for each night in turn, several times; return the medians of its seconds."""
    seconds: dict[int, list[float]] = {night: [] for night in nights}
    for _ in range(repeats):
        for night in nights:
            seconds[night].append(work(night))
    return {night: statistics.median(times) for night, times in seconds.items()}


def next_night(experiment: BatchExperiment, work: Path, copies: dict[int, Path], night: int) -> float:
    """Time the night after ``night`` in a fresh copy of the home of then."""
    home = work / "next"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(copies[night], home, ignore=shutil.ignore_patterns("exports"))
    began = time.perf_counter()
    make_night(experiment, Home(home), night + 1)
    return time.perf_counter() - began


def sizes_of(root: Path, night: int) -> Sizes:
    """Measure a home after a night."""
    home = Home(root)
    snapshot = home.published / read_pointer(home.published).file
    night_files = (home.exports / "simulated" / day_of(night)).rglob("*")
    return Sizes(
        home.warehouse.stat().st_size,
        snapshot.stat().st_size,
        sum(path.stat().st_size for path in night_files if path.is_file()),
    )


def project(first: Sizes, last: Sizes, nights: int, users: int) -> None:
    """Print sizes of many users over years, in proportion."""
    by_night = (last.warehouse - first.warehouse) / nights / users
    all_nights = YEARS * 365
    kept = MANY_USERS * all_nights / TB
    print(f"projected to {MANY_USERS:,} users and {YEARS} years, if all grows with the users:")
    print(f"  warehouse {by_night:.1f} bytes a user and night, {by_night * kept:.2f} TB")
    print(f"  exports {last.export / users:.1f} bytes, {last.export / users * kept:.2f} TB")
    print(f"  one snapshot {last.snapshot / users * MANY_USERS / TB:.3f} TB")


if __name__ == "__main__":
    sys.exit(main())
