"""Say whether a home is in order, and what to do if not: ``uplift doctor``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from dagster_project.commands.run_options import declared_names
from dagster_project.settings import Settings
from dagster_project.turns.home_turn import who_works
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.home import OTHERS, Home
from uplift_core.artifacts.publication import NothingPublishedError, read_pin, read_pointer
from uplift_core.errors import UpliftError

LIBRARIES = ("uplift-engine", "duckdb", "xgboost", "dagster", "fastapi", "streamlit")
LEAST_FREE = 5 * 2**30  # bytes
STALE = timedelta(hours=36)


@dataclass(frozen=True)
class Answer:
    """The answer to one question: what is so, and, only if it is not well, what to do."""

    question: str
    state: str
    remedy: str = ""


def examine(settings: Settings) -> list[Answer]:
    """Ask every question about the home and the installation."""
    home = Home(settings.home.absolute())
    questions: tuple[Callable[[], Answer], ...] = (
        _versions,
        lambda: _experiments(settings),
        lambda: _home(home),
        lambda: _turn(home),
        lambda: _disk(home),
        lambda: _published(home),
        lambda: _pin(home),
    )
    return [question() for question in questions]


def _versions() -> Answer:
    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} is not installed"

    python = ".".join(map(str, sys.version_info[:3]))
    return Answer("versions", ", ".join([f"Python {python}", *map(of, LIBRARIES)]))


def _experiments(settings: Settings) -> Answer:
    try:
        names = declared_names(settings)
    except UpliftError as error:
        return Answer("experiments", str(error), "uplift check NAME tells all problems")
    return Answer("experiments", ", ".join(names))


def _home(home: Home) -> Answer:
    if not home.root.is_dir():
        return Answer("home", f"{home.root}: not there yet; the first run makes it")
    if not home.is_writable:
        return Answer("home", f"{home.root} cannot be written", "run as its owner")
    if home.root.stat().st_mode & OTHERS:
        return Answer("home", f"{home.root} is open to other accounts", f"chmod 700 {home.root}")
    return Answer("home", str(home.root))


def _turn(home: Home) -> Answer:
    return Answer("turn", who_works(home.root) or "no run works in this home")


def _disk(home: Home) -> Answer:
    place = next(path for path in (home.root, *home.root.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    remedy = "" if free >= LEAST_FREE else "free the disk, or declare [retention]"
    return Answer("disk", f"{free / 2**30:.1f} GiB are free", remedy)


def _published(home: Home) -> Answer:
    try:
        pointer = read_pointer(home.published)
    except NothingPublishedError:
        return Answer("published", "nothing", "uplift run NAME publishes an experiment")
    path = home.published / pointer.file
    if not path.is_file() or sha256_file(path) != pointer.sha256:
        return Answer("published", f"{path} is missing or altered", "uplift rollback")
    age = datetime.now(UTC) - pointer.published_at
    state = f"{', '.join(sorted(pointer.experiments))}, {age.total_seconds() / 3600:.1f} hours ago"
    return Answer("published", state, "" if age < STALE else "uplift run NAME, or the nightly schedule")


def _pin(home: Home) -> Answer:
    try:
        pin = read_pin(home.published)
    except UpliftError as error:
        return Answer("rollback", str(error), "read it, and remove it if nothing is to be pinned")
    if pin is None:
        return Answer("rollback", "none is pinned")
    waits = "a newer snapshot waits" if pin.waiting else "none newer waits"
    return Answer("rollback", f"{pin.told}; {waits}", "uplift rollback --lift, once all is well again")


def main(arguments: list[str] | None = None) -> int:
    """Print the answers; return the exit code: 1 if something is not well."""
    parser = argparse.ArgumentParser(prog="uplift doctor", description="Say whether all is well.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    answers = examine(Settings())
    well = not any(answer.remedy for answer in answers)
    if chosen.json:
        rows = [asdict(answer) for answer in answers]
        print(json.dumps({"well": well, "answers": rows}))  # noqa: T201 - the command's output
        return 0 if well else 1
    console = Console(highlight=False, soft_wrap=True)
    for answer in answers:
        mark = "[bold red]not well[/bold red]" if answer.remedy else "[green]    well[/green]"
        console.print(f"{mark}  [bold]{answer.question}[/bold]: {answer.state}")
        if answer.remedy:
            console.print(f"          {answer.remedy}")
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UpliftError as error:
        sys.exit(f"error: {error}")
