"""Follow the pointer: hold the newest release that could be loaded."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

import duckdb

from serve.errors import UnavailableError
from serve.release import Release, load_release
from serve.settings import Settings
from serve.telemetry import Telemetry, age
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.notices import Notice, Notices
from uplift_core.artifacts.publication import POINTER, Pin, read_pin
from uplift_core.command_words import RUN
from uplift_core.errors import UpliftError

LOG = logging.getLogger(__name__)
# Errors of an altered, incomplete or foreign file; ValueError includes XGBoost's and pydantic's.
BROKEN = (UpliftError, OSError, ValueError, KeyError, duckdb.Error)

REFUSED = Notice(
    "api/snapshot",
    "refused",
    "uplift: the API refuses what is published",
    f"It answers from the snapshot before, if there is one. Its log says why; `{RUN}` publishes anew.",
)
ACCEPTED = Notice(
    "api/snapshot",
    "accepted",
    "uplift: the API answers from what is published again",
    "A newer snapshot could be loaded.",
    is_news_at_first=False,
)

Stamp = tuple[int, int, int] | None  # time, inode and size of the pointer; None: there is no pointer


@dataclass(frozen=True)
class _State:
    """Result of the last attempt to load. It is replaced as a whole and so is read without a lock."""

    stamp: Stamp = None
    release: Release | None = None
    failed: bool = True
    retry_at: float = 0.0  # by the monotonic clock, in seconds


class Follower:
    """The holder of one release, which it replaces when the batch has published another.

    Each request costs one ``stat``. When the pointer has changed, one request loads the new release
    and the others are answered from the old one. If the new release cannot be loaded, this is logged,
    the old one stays, and loading is tried again after ``retry_seconds``.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._pointer = settings.published / POINTER
        self._telemetry = telemetry
        self._notices = Notices(Home(settings.home.absolute()), settings.notify.get_secret_value())
        self._lock = threading.Lock()
        self._state = _State()

    def current(self) -> Release:
        """Return the release to answer from, and load it if necessary.

        Raises:
            UnavailableError: no release could be loaded so far.
        """
        # A request waits only if there is no release yet; else it leaves the loading to another request.
        nothing_loaded = self._state.release is None
        if not self._settled() and self._lock.acquire(blocking=nothing_loaded):
            try:
                if not self._settled():
                    self._state = self._load()
            finally:
                self._lock.release()
        return self._answer()

    def loaded(self) -> Release | None:
        """Return the current release, at the cost of one ``stat``; None if it may have to be loaded."""
        return self._state.release if self._settled() else None

    def is_stale(self, release: Release) -> bool:
        """Whether a newer release is published but broken, or the one in use is old or damaged.

        A release from the future, by a clock that was set back since, may be of any age.
        """
        too_old = abs(age(release.published_at)) > self._settings.stale_hours * 3600
        return self._state.failed or too_old or release.seal.is_broken

    def pin(self) -> Pin | None:
        """Read the pin that keeps what is current; None if there is none, or it cannot be read."""
        try:
            return read_pin(self._settings.published)
        except (UpliftError, OSError) as error:
            LOG.warning("the pin cannot be read: %s", error)
            return None

    def is_damaged(self, release: Release) -> bool:
        """Whether a release's file was altered after it was loaded; a changed file is hashed."""
        damaged = release.seal.check()
        self._telemetry.damaged.set(damaged)
        return damaged

    def _settled(self) -> bool:
        state = self._state
        if state.stamp != self._stamp():
            return False
        return not state.failed or time.monotonic() < state.retry_at

    def _stamp(self) -> Stamp:
        try:
            stat = self._pointer.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def _load(self) -> _State:
        stamp = self._stamp()  # before reading: the next request notices a change meanwhile
        previous = self._state.release
        try:
            release = load_release(self._settings)
        except BROKEN as error:
            still = f"still on {previous.snapshot.snapshot_id}" if previous else "nothing to answer from"
            self._telemetry.refused.inc()
            LOG.warning("cannot load what is published, %s: %s", still, error)
            self._notices.tell(REFUSED)
            retry_at = time.monotonic() + self._settings.retry_seconds
            return _State(stamp, previous, failed=True, retry_at=retry_at)
        self._telemetry.published.set(release.published_at.timestamp())
        LOG.info("now on snapshot %s", release.snapshot.snapshot_id)
        self._notices.tell(ACCEPTED)
        return _State(stamp, release, failed=False)

    def _answer(self) -> Release:
        state = self._state
        if state.release is not None:
            return state.release
        if state.stamp is None:
            raise UnavailableError(f"nothing is published yet; run `{RUN}`, then ask again")
        raise UnavailableError(
            f"what is published cannot be loaded (the service's log says why); run `{RUN}`"
        )
