"""The turn to work in a home: one process at a time has it.

DuckDB has one writer, and the layers of one run must not mix with those of another. Who has the turn
holds the lock of ``UPLIFT_HOME/turn.lock``; ``turn.json`` beside it names them for those who wait.
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

from dagster_project.turns.file_lock import FileLock, is_locked
from dagster_project.turns.waiting import Log, utc_text, wait_while
from uplift_core.artifacts.files import replace_file
from uplift_core.artifacts.home import Home
from uplift_core.errors import UpliftError

LOCK, CARD = "turn.lock", "turn.json"
ANOTHER = "another run of this home"
NO_WAIT = 75  # exit code of who does not wait: EX_TEMPFAIL, try again later


class TurnTakenError(UpliftError):
    """Another process has the turn, and this one does not wait."""


@dataclass(frozen=True)
class Worker:
    """The run or command that has the turn: its name, id and process, and its start (ISO, UTC)."""

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
        run = f"run {self.run_id[:8]}, " if self.run_id else ""
        return (
            f"{self.job} ({run}process {self.process} on {self.host}), which works in "
            f"this home since {since}"
        )


def who_works(home: Path) -> str:
    """Return who has the turn to work in ``home``; empty if nobody has."""
    if not is_locked(home / LOCK):
        return ""
    return str(Worker.read(home / CARD) or ANOTHER)


@contextmanager
def home_turn(home: Path, worker: Worker, log: Log, *, wait: bool = True) -> Iterator[None]:
    """Wait for the turn to work in ``home``, then keep it.

    Args:
        home: the home.
        worker: describes this process for those who wait.
        log: logs whom this process waits for.
        wait: if false, do not wait.

    Raises:
        TurnTakenError: another process has the turn, and ``wait`` is false.
        UpliftError: the home cannot be written.
    """
    Home(home).require_writable()
    lock, card = FileLock(home / LOCK), home / CARD

    def blocker() -> str:
        return "" if lock.take() else str(Worker.read(card) or ANOTHER)

    try:
        if wait:
            wait_while(blocker, log)
        elif other := blocker():
            raise TurnTakenError(f"nothing was done, because of {other}")
        replace_file(
            card, json.dumps(asdict(worker) | {"since": datetime.now(UTC).isoformat()}).encode()
        )
        yield
    finally:
        lock.give_back()
