"""The log file of decisions, and whether it can be written."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from pathlib import Path

from serve.errors import UnavailableError
from serve.settings import Settings

LOG = logging.getLogger(__name__)
MIN_FREE = 2**20  # bytes that must be free on the disk
# O_NONBLOCK: a pipe without a reader gives an error at once, instead of a service that waits.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK


class DecisionLog:
    """A file that workers share and append whole lines to.

    If it cannot be written, decisions are made without it, or refused if it is ``required``. After an
    error it counts as failing for ``retry_seconds``, and for as long as ``trouble`` can see a reason.
    """

    def __init__(self, path: Path, *, required: bool, retry_seconds: float) -> None:
        self.required = required
        self._path = path
        self._retry_seconds = retry_seconds
        self._failed_at: float | None = None  # by the monotonic clock, in seconds
        self._reason = ""

    @classmethod
    def of(cls, settings: Settings) -> DecisionLog | None:
        """Make the log that the settings name; None if they name none."""
        if settings.decision_log is None:
            return None
        return cls(
            settings.decision_log,
            required=settings.decision_log_required,
            retry_seconds=settings.retry_seconds,
        )

    def append(self, lines: str) -> bool:
        """Append all of the lines or nothing; return whether they were written.

        Raises:
            UnavailableError: they were not written, and the log is required.
        """
        try:
            _append(self._path, lines.encode())
        except OSError as error:
            if self._failed_at is None:
                LOG.warning("decisions cannot be logged: %s", error)
            self._failed_at, self._reason = time.monotonic(), str(error.strerror)
            if self.required:
                raise UnavailableError(
                    f"the decision cannot be logged ({self._reason}) and so is not made; free the disk, "
                    "or set UPLIFT_DECISION_LOG_REQUIRED=false to decide without the log"
                ) from error
            return False
        if self._failed_at is not None:
            LOG.warning("decisions are logged again")
        self._failed_at = None
        return True

    def trouble(self) -> str | None:
        """Say why the next line cannot be written, without writing; None if no reason is seen."""
        try:
            descriptor = os.open(self._path, FLAGS, 0o600)
        except OSError as error:
            return str(error.strerror)
        try:
            disk = os.fstatvfs(descriptor)
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
        if is_file and disk.f_bavail * disk.f_frsize < MIN_FREE:
            return "less than 1 MiB is free"
        failed_at = self._failed_at
        recent = failed_at is not None and time.monotonic() - failed_at <= self._retry_seconds
        return self._reason if recent else None


def _append(path: Path, content: bytes) -> None:
    descriptor = os.open(path, FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed
        before = os.fstat(descriptor)
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            if stat.S_ISREG(before.st_mode):
                os.ftruncate(descriptor, before.st_size)  # half a line would damage the next one
            raise
    finally:
        os.close(descriptor)
