"""DuckDB's shell on the published snapshot: ``make sql``.

python -m dagster_project.shell
python -m dagster_project.shell "select * from evaluation.deciles"
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dagster_project.settings import Settings
from dagster_project.warehouse import Home
from uplift_core.errors import UpliftError
from uplift_core.publication import read_pointer

SHELL = Path(sys.executable).with_name("duckdb")


def command(home: Home, query: str = "") -> list[str]:
    """What to run: the shell, read-only on the current snapshot.

    Raises:
        UpliftError: nothing is published, or the shell is not installed.
    """
    snapshot = home.published / read_pointer(home.published).file
    if not SHELL.is_file():
        raise UpliftError(f"{SHELL} is missing; install the package duckdb-cli")
    return [str(SHELL), "-readonly", str(snapshot), *(["-c", query] if query else [])]


def main() -> None:
    """Become the shell."""
    words = command(Home(Settings().home), " ".join(sys.argv[1:]))
    os.execv(words[0], words)  # noqa: S606 - the shell takes this process's place


if __name__ == "__main__":
    try:
        main()
    except UpliftError as error:
        sys.exit(f"error: {error}")
