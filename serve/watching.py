"""What is done without being asked: the newest release is loaded, the one in use is verified again."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from serve.errors import UnavailableError
from serve.following import Follower
from serve.settings import Settings

LEAST = 1.0  # seconds between two looks at the pointer


class Watch:
    """A thread of the service's own: a worker whom nobody asks follows the pointer all the same."""

    def __init__(self, settings: Settings, follower: Follower) -> None:
        self._follower = follower
        self._every = max(settings.retry_seconds, LEAST)
        self._verify = settings.verify_hours * 3600
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, within moments."""
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
                self._follower.is_damaged(release)  # at the price of one stat, and told in the metrics
