"""Whether a snapshot's file still is what it was when it was verified."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

LOG = logging.getLogger(__name__)
CHUNK = 2**20  # bytes that are hashed at once
PACE = 50 * 2**20  # bytes a second that hashing in the background reads

Stamp = tuple[int, int, int]


class Seal:
    """A file and its sha256, found in order; looked at again when size, time or inode have changed.

    A file that is gone is not broken: what is open stays open. One that was broken stays so, since what
    is open may be either.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self._stamp = self._look()
        self._lock = threading.Lock()
        self.is_broken = False

    def has_changed(self) -> bool:
        """Whether the file looks different from when it was last hashed, by one ``stat``."""
        stamp = self._look()
        return stamp is not None and stamp != self._stamp

    def check(self) -> bool:
        """Hash the file if it has changed; returns whether it is broken."""
        with self._lock:  # several probes hash it once
            if not self.is_broken and self.has_changed():
                self._hash(None)
        return self.is_broken

    def verify(self, stopping: threading.Event) -> bool:
        """Hash the file at a bounded pace, or until ``stopping``; returns whether it is broken."""
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
        except OSError as error:  # a disk that fails
            LOG.error("%s: cannot be read any more: %s", self._path, error)  # noqa: TRY400 - says it all
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
