"""Carry the ledger of an earlier warehouse into a new one, and print the row counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from dagster_project.decisions.carry import KEYS, Carried, carry
from dagster_project.settings import Settings
from dagster_project.warehouse.migrations import ShapeError
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.command_words import RUN
from uplift_core.errors import UpliftError


def carry_ledger(source: Path, without: Sequence[str]) -> None:
    """Carry the ledger of the file ``source``, except for the tables ``without``; print the row counts.

    Raises:
        UpliftError: there is no such file or table, or the ledger cannot be carried.
    """
    known = [".".join(place) for place in KEYS]
    if unknown := sorted({*without} - {*known}):
        raise UpliftError(f"--without {unknown[0]}: is no table of the ledger; choose from {known}")
    settings, console = Settings(), Console(highlight=False, soft_wrap=True)
    home = Home(settings.home)
    if not source.is_file():
        raise UpliftError(f"FROM '{source}': there is no such file; name the earlier warehouse")
    memory_limit, threads = settings.memory_limit, settings.threads
    with (
        _aside(home, source, console) as earlier,
        open_warehouse(home, memory_limit=memory_limit, threads=threads) as db,
    ):
        tables = carry(db, earlier, without=without)
    for each in tables:
        console.print(_summary(each))
    console.print(f"{earlier} is unchanged. Next: {RUN}, for each published experiment.")


def _summary(table: Carried) -> str:
    """Describe the result of one table in a line."""
    there = table.earlier - table.carried
    parts = [f"{table.table}: {table.carried:,} rows carried"]
    parts += [f"{there:,} were in the warehouse already"] if there else []
    parts += [f"{table.after:,} now"]
    parts += [f"this version has no column {', '.join(table.left)}"] if table.left else []
    return ", ".join(parts)


@contextmanager
def _aside(home: Home, source: Path, console: Console) -> Iterator[Path]:
    """Yield the earlier file; if it is the warehouse itself, rename it first, and back on an error."""
    if not (home.warehouse.is_file() and source.samefile(home.warehouse)):
        yield source
        return
    if not _is_refused(home):
        raise UpliftError(f"{source} is of this version already; there is nothing to carry")
    aside = home.warehouse.with_name(f"warehouse-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.duckdb")
    home.warehouse.rename(aside)
    console.print(f"{source} is renamed to {aside}")
    try:
        yield aside
    except BaseException:
        for left in (home.warehouse, home.warehouse.with_name(f"{home.warehouse.name}.wal")):
            left.unlink(missing_ok=True)
        aside.rename(home.warehouse)
        raise


def _is_refused(home: Home) -> bool:
    """Return true if the warehouse's tables are not those of its version, so that runs refuse it.

    Raises:
        UpliftError: a run has it open, or a later version made it.
    """
    try:
        with open_warehouse(home, memory_limit="1GB", threads=1):
            return False
    except ShapeError:
        return True
