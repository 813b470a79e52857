"""Open the warehouse's file, at once or after the process that has it open has closed it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.settings import Settings
from dagster_project.turns.waiting import Log, utc_text, wait_while
from dagster_project.warehouse.comments import comment_statements
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.id_keys import use_id_key
from dagster_project.warehouse.migrations import (
    read_migrations,
    record,
    refuse_other_shape,
    upgrade,
    version_of,
)
from dagster_project.warehouse.schema import (
    ID_RULES,
    USER_RULES,
    create_contacts_and_rules,
    create_rules,
    create_schemas,
    create_tables,
    declared_here,
    declared_shape,
)
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.id_key import make_id_key
from uplift_core.errors import UpliftError

UPGRADES = logging.getLogger("uplift.upgrades")
PROC = Path("/proc")
LOCKED = "Could not set lock on file"
INTERRUPTED = "Query interrupted"
PROCESS = re.compile(r"\(PID (\d+)\)")
COMMAND = 80  # largest number of characters of a command in a message


def connect(path: Path, config: Mapping[str, Any], log: Log | None) -> duckdb.DuckDBPyConnection:
    """Open a connection that may write.

    Args:
        path: the DuckDB file.
        config: DuckDB's configuration.
        log: logs which process has the file open while this one waits for it; None: do not wait.

    Raises:
        UpliftError: another process has the file open and ``log`` is None, or it cannot be opened.
    """
    opened: list[duckdb.DuckDBPyConnection] = []
    began = datetime.now(UTC)

    def blocker() -> str:
        try:
            opened.append(duckdb.connect(str(path), config=dict(config)))
        except duckdb.IOException as error:
            if log is None or LOCKED not in str(error):
                raise UpliftError(
                    f"{path} cannot be opened. Another run may hold it: wait for it to end. "
                    f"Readers should open the published snapshot instead. ({error})"
                ) from error
            return f"{_process(str(error), began)} has {path.name} open"
        return ""

    if log is None:
        blocker()
    else:
        wait_while(blocker, log)
    return opened[0]


@contextmanager
def signals_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt if DuckDB turns a signal into a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def _process(error: str, began: datetime) -> str:
    """Describe the process that has the file, from DuckDB's message and the kernel.

    A process of another container is unknown to both.
    """
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
    """Return the time at which a process of this machine started."""
    ticks = int((PROC / str(number) / "stat").read_text().rpartition(")")[2].split()[19])
    lines = (PROC / "stat").read_text(encoding="ascii").splitlines()
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    return datetime.fromtimestamp(booted + ticks / os.sysconf("SC_CLK_TCK"), UTC)


@contextmanager
def open_warehouse(
    home: Home, *, memory_limit: str, threads: int, log: Log | None = None
) -> Iterator[Warehouse]:
    """Open the warehouse in one transaction: all writes become visible, or none.

    With ``log``, wait for another process that has the file open, and log which one it is. A warehouse
    of an earlier version is upgraded first, after a copy of its file; see ``migrations.py``.

    Raises:
        UpliftError: another process has it open and ``log`` is None, or a later version made it.
        ShapeError: its tables are not those of its version.
    """
    home.make_private()
    con = connect(home.warehouse, _config(memory_limit, threads, home.scratch), log)
    db = Warehouse(con)
    try:
        with signals_kept():
            version = upgrade(db, home, log or UPGRADES.warning, read_migrations())
            use_id_key(db, make_id_key(home, Settings().id_key_file))
            db.rows("begin")
            _ensure_tables(db, home, version)
            yield db
            db.rows("commit")
    finally:  # closing rolls uncommitted writes back
        con.close()


@contextmanager
def open_in_memory(scratch: Path, *, memory_limit: str, threads: int) -> Iterator[Warehouse]:
    """Open an empty database in memory with all schemas; rows beyond the limit go to ``scratch``."""
    with duckdb.connect(":memory:", config=_config(memory_limit, threads, scratch)) as con:
        db = Warehouse(con)
        db.rows("set enable_progress_bar = false")  # DuckDB mistakes a worker's process for a notebook
        create_schemas(db)
        create_rules(db, ID_RULES + USER_RULES)
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


def _ensure_tables(db: Warehouse, home: Home, version: int) -> None:
    """Create the tables of an empty warehouse, and bring rules and comments to this version."""
    if not version:
        create_tables(db)
        record(db, read_migrations())
        version = version_of(db)
    refuse_other_shape(db, home, declared_shape(), f"version {version}")
    create_contacts_and_rules(db)
    for statement in comment_statements(declared_here(db), db.columns()):
        db.rows(statement)
