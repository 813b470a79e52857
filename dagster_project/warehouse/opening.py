"""Opening the warehouse's file, at once or when the process that has it open lets it go."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.turns.waiting import Tell, utc_text, wait_while
from dagster_project.warehouse.comments import comment_statements
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.schema import (
    USER_RULES,
    _create_rules,
    _create_schemas,
    _declared_here,
    create_rules,
    create_tables,
    missing_columns,
)
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError

PROC = Path("/proc")
LOCKED = "Could not set lock on file"
INTERRUPTED = "Query interrupted"
PROCESS = re.compile(r"\(PID (\d+)\)")
COMMAND = 80  # characters of it in a message


def connect(path: Path, config: Mapping[str, Any], tell: Tell | None) -> duckdb.DuckDBPyConnection:
    """A connection that may write.

    Args:
        path: of the DuckDB file.
        config: DuckDB's.
        tell: is told which process has the file open, while this one waits for it; None: do not wait.

    Raises:
        UpliftError: the file is open in another process and there is no waiting, or it cannot be opened.
    """
    opened: list[duckdb.DuckDBPyConnection] = []
    began = datetime.now(UTC)

    def blocker() -> str:
        try:
            opened.append(duckdb.connect(str(path), config=dict(config)))
        except duckdb.IOException as error:
            if tell is None or LOCKED not in str(error):
                raise UpliftError(
                    f"{path} cannot be opened. Another run may hold it: wait for it to end. "
                    f"Readers should open the published snapshot instead. ({error})"
                ) from error
            return f"{_process(str(error), began)} has {path.name} open"
        return ""

    if tell is None:
        blocker()
    else:
        wait_while(blocker, tell)
    return opened[0]


@contextmanager
def signals_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt where DuckDB makes an error of its own of a signal."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def _process(error: str, began: datetime) -> str:
    """Who has the file, as DuckDB says and the kernel knows; of another container neither does."""
    numbers = PROCESS.search(error)
    try:
        number = int(numbers[1]) if numbers else 0
        words = (PROC / str(number) / "cmdline").read_bytes().split(b"\0")
        since = _started(number)
    except (OSError, ValueError, IndexError):
        return f"another process, which, since {utc_text(began)} at least,"
    command = b" ".join(words).decode(errors="replace").strip()[:COMMAND]
    return f"process {number} ({command}), which runs since {utc_text(since)} and"


def _started(number: int) -> datetime:
    """When a process of this machine began."""
    ticks = int((PROC / str(number) / "stat").read_text().rpartition(")")[2].split()[19])
    lines = (PROC / "stat").read_text(encoding="ascii").splitlines()
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    return datetime.fromtimestamp(booted + ticks / os.sysconf("SC_CLK_TCK"), UTC)


@contextmanager
def open_warehouse(
    home: Home, *, memory_limit: str, threads: int, tell: Tell | None = None
) -> Iterator[Warehouse]:
    """Open the warehouse in one transaction: all that is written becomes visible, or nothing.

    ``tell``: wait for another process that has it open, and tell for which.

    Raises:
        UpliftError: another process has it open and there is no waiting, or an earlier version made it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    con = connect(home.warehouse, _config(memory_limit, threads, home.scratch), tell)
    db = Warehouse(con)
    try:
        with signals_kept():
            db.rows("begin")
            _ensure_tables(db, home)
            yield db
            db.rows("commit")
    finally:  # closing rolls back what was not committed
        con.close()


@contextmanager
def open_in_memory(scratch: Path, *, memory_limit: str, threads: int) -> Iterator[Warehouse]:
    """An empty database in memory, with all schemas; what does not fit goes to ``scratch``."""
    with duckdb.connect(":memory:", config=_config(memory_limit, threads, scratch)) as con:
        db = Warehouse(con)
        db.rows("set enable_progress_bar = false")  # DuckDB takes a worker's process for a notebook
        _create_schemas(db)
        create_rules(db, USER_RULES)
        yield db


def _config(
    memory_limit: str, threads: int, scratch: Path
) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": memory_limit,
        "temp_directory": str(scratch),
    }
    if threads:
        config["threads"] = threads
    return config


def _ensure_tables(db: Warehouse, home: Home) -> None:
    create_tables(db)
    missing = missing_columns(db)
    if missing:
        raise UpliftError(
            f"{home.warehouse} was made by an earlier version: it lacks {missing[0]} and "
            f"{len(missing) - 1} more columns. Run `make carry-ledger FROM={home.warehouse}`: it puts "
            "the file aside and carries lists, nights, suppressions, what was measured and models into "
            "a new one; then run again. What is published stays as it is."
        )
    _create_rules(db)
    for statement in comment_statements(_declared_here(db), db.columns()):
        db.rows(statement)
