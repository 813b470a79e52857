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

from dagster_project.waiting import Tell, utc_text, wait_while
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
