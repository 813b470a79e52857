"""Background work: load the newest release, and verify the one in use again."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from serve.errors import UnavailableError
from serve.following import Follower
from serve.settings import Settings

MIN_INTERVAL = 1.0  # seconds between two looks at the pointer


class Watch:
    """A background thread: a worker without requests follows the pointer, too."""

    def __init__(self, settings: Settings, follower: Follower) -> None:
        self._follower = follower
        self._every = max(settings.retry_seconds, MIN_INTERVAL)
        self._verify = settings.verify_hours * 3600
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; it ends within moments."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        verified = time.monotonic()
        while not self._stopping.wait(self._every):
            with suppress(UnavailableError):
                release = self._follower.current()
                if self._verify and time.monotonic() - verified >= self._verify:
                    release.seal.verify(self._stopping)
                    verified = time.monotonic()
                self._follower.is_damaged(release)  # costs one stat; sets the metric
