"""The turn to work in a home: one run at a time has it.

DuckDB has one writer, and the layers of one run must not mix with those of another. The run with the
turn holds the lock of ``UPLIFT_HOME/turn.lock``; ``turn.json`` beside it names it for waiting runs.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import dagster as dg

from dagster_project.turns.file_lock import FileLock
from dagster_project.turns.lives import end_dead_runs, show_alive
from dagster_project.turns.waiting import Log, utc_text, wait_while
from uplift_core.artifacts.files import replace_file


@dataclass(frozen=True)
class Worker:
    """The run that has the turn: its job, id and process, and its start (ISO, UTC)."""

    job: str
    run_id: str
    process: int
    host: str
    since: str

    @classmethod
    def here(cls, job: str, run_id: str) -> Self:
        """Describe this process, with the current time as start."""
        return cls(job, run_id, os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file; None if it is missing or another version wrote it."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        since = utc_text(datetime.fromisoformat(self.since))
        return (
            f"{self.job} (run {self.run_id[:8]}, process {self.process} on {self.host}), which works in "
            f"this home since {since}"
        )


@contextmanager
def turn_of_run(
    instance: dg.DagsterInstance, home: Path, job: str, run_id: str, log: Log
) -> Iterator[list[dg.DagsterRun]]:
    """Wait for the turn to work in ``home``, then keep it; yield the dead runs that were ended.

    From the start, also while it waits, this run's lock shows that its process lives.
    """
    show_alive(instance, run_id)
    lock, card = FileLock(home / "turn.lock"), home / "turn.json"

    def blocker() -> str:
        return "" if lock.take() else str(Worker.read(card) or "another run of this home")

    try:
        wait_while(blocker, log)
        replace_file(card, json.dumps(asdict(Worker.here(job, run_id))).encode())
        yield end_dead_runs(instance)
    finally:
        lock.give_back()
