"""DuckDB's shell on the published snapshot, and queries of the batch's warehouse: ``make sql``.

python -m dagster_project.commands.shell
python -m dagster_project.commands.shell "select * from evaluation.deciles"
python -m dagster_project.commands.shell --of warehouse "from quality.results where not passed"
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import duckdb

from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import read_pointer
from uplift_core.command_words import RUN, spoken
from uplift_core.errors import UpliftError

SHELL = Path(sys.executable).with_name("duckdb")


def command(home: Home, query: str = "") -> list[str]:
    """Return the command of the shell, read-only on the current snapshot.

    Raises:
        UpliftError: nothing is published, or the shell is not installed.
    """
    snapshot = home.published / read_pointer(home.published).file
    if not SHELL.is_file():
        raise UpliftError(f"{SHELL} is missing; install the package duckdb-cli")
    return [str(SHELL), "-readonly", str(snapshot), *(["-c", query] if query else [])]


def ask_warehouse(home: Home, query: str) -> str:
    """Run a query on the batch's file and format its result as a table; a stopped run's rows count, too.

    The shell is an earlier release than the batch's DuckDB and cannot read this file.

    Raises:
        UpliftError: there is no warehouse, a run has it open, or the query fails.
    """
    if not query:
        call = spoken('sql OF=warehouse Q="..."', 'sql --of warehouse -- "..."')
        raise UpliftError(f"the warehouse answers one query: {call}")
    if not home.warehouse.is_file():
        raise UpliftError(f"{home.warehouse} is missing; run `{RUN}`")
    try:
        with duckdb.connect(str(home.warehouse), read_only=True) as con:
            result = con.sql(query)
            return "" if result is None else str(result)
    except duckdb.Error as error:
        raise UpliftError(str(error)) from error


def main(arguments: list[str] | None = None) -> None:
    """Start the shell, or print the result of a query."""
    parser = argparse.ArgumentParser(prog="uplift sql", description="SQL on the tables that runs wrote.")
    parser.add_argument("query", nargs="*", help="the query to run; without one the shell stays open")
    parser.add_argument(
        "--of",
        choices=("snapshot", "warehouse"),
        default="snapshot",
        help="the published snapshot, or the batch's file while no run has it open",
    )
    chosen = parser.parse_args(arguments)
    home, query = Home(Settings().home), " ".join(chosen.query)
    if chosen.of == "warehouse":
        sys.stdout.write(f"{ask_warehouse(home, query)}\n")
        return
    words = command(home, query)
    os.execv(words[0], words)  # noqa: S606 - the shell replaces this process


if __name__ == "__main__":
    try:
        main()
    except UpliftError as error:
        sys.exit(f"error: {error}")
