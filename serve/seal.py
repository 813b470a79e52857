"""Check that a snapshot's file is unaltered since it was verified."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

LOG = logging.getLogger(__name__)
CHUNK = 2**20  # bytes per read
PACE = 50 * 2**20  # bytes per second of hashing in the background

Stamp = tuple[int, int, int]


class Seal:
    """A verified file and its sha256; it is hashed again when its size, time or inode has changed.

    A deleted file is not broken: the open file stays readable. A broken file stays broken, even if it is
    restored, since the open file may be either.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self._stamp = self._look()
        self._lock = threading.Lock()
        self.is_broken = False

    def has_changed(self) -> bool:
        """Whether the file's ``stat`` differs from that of the last hash."""
        stamp = self._look()
        return stamp is not None and stamp != self._stamp

    def check(self) -> bool:
        """Hash the file if it has changed; return whether it is broken."""
        with self._lock:  # several probes at once hash the file once
            if not self.is_broken and self.has_changed():
                self._hash(None)
        return self.is_broken

    def verify(self, stopping: threading.Event) -> bool:
        """Hash the file at a bounded pace, or until ``stopping``; return whether it is broken."""
        if not self.is_broken:
            self._hash(stopping)
        return self.is_broken

    def _hash(self, stopping: threading.Event | None) -> None:
        stamp, digest = self._look(), hashlib.sha256()
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    if stopping is not None and stopping.wait(len(chunk) / PACE):
                        return
        except FileNotFoundError:
            return
        except OSError as error:  # the disk fails
            LOG.error("%s: cannot be read any more: %s", self._path, error)  # noqa: TRY400 - a traceback adds nothing
            self.is_broken = True
            return
        if digest.hexdigest() != self._sha256:
            LOG.error("%s: altered after it was loaded; roll back, or publish again", self._path)
            self.is_broken = True
        self._stamp = stamp

    def _look(self) -> Stamp | None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_size, stat.st_mtime_ns, stat.st_ino
