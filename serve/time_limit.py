"""A limit of time for queries: DuckDB has none, so a thread interrupts what runs too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

EVERY = 0.2  # seconds between two looks at what is running


class Watch:
    """Interrupts the queries that run longer than they may. One thread looks after all of them."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limited(self, cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
        """Interrupt what ``cursor`` runs in this block after ``seconds``, which takes a little longer.

        Raises:
            duckdb.InterruptException: from the query, when it took too long.
        """
        with self._lock:
            self._running[id(cursor)] = (time.monotonic() + seconds, cursor)
            if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
                self._thread = threading.Thread(target=self._look, name="query-watch", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(id(cursor), None)

    def _look(self) -> None:
        while True:
            self._wake.wait()  # costs nothing while no query runs
            time.sleep(EVERY)
            with self._lock:
                if not self._running:
                    self._wake.clear()
                for end, cursor in self._running.values():
                    if time.monotonic() > end:
                        cursor.interrupt()


WATCH = Watch()
