"""Run independent fits side by side, each in one thread.

Threads of one small fit wait for each other at every level of every tree, also for one that another
process keeps from its core. Fits that do not wait for each other have no such stalls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event
from typing import Any, TypeVar

import xgboost

T = TypeVar("T")

_stop: ContextVar[Event | None] = ContextVar("stop", default=None)
_after_each: ContextVar[Callable[[], object]] = ContextVar("after_each", default=lambda: None)


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    from joblib import cpu_count  # noqa: PLC0415 - half a second, and the service fits nothing

    return int(cpu_count())


@contextmanager
def after_each(report: Callable[[], object]) -> Iterator[None]:
    """Call ``report`` after each call of ``call_all`` inside the ``with`` block, in this thread."""
    token = _after_each.set(report)
    try:
        yield
    finally:
        _after_each.reset(token)


def call_all(calls: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """Call functions in ``workers`` threads and return their results in order.

    If one raises, or a signal ends the wait, fits that have begun stop after their current tree, and
    the others do not begin.
    """
    report = _after_each.get()
    if workers == 1 or len(calls) <= 1:
        results = []
        for call in calls:
            results.append(call())
            report()
        return results
    stop = Event()
    token = _stop.set(stop)
    try:
        with ThreadPoolExecutor(min(workers, len(calls)), "fit") as pool:
            futures = [pool.submit(copy_context().run, call) for call in calls]
            try:
                for future in as_completed(futures):
                    future.result()
                    report()
                return [future.result() for future in futures]
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        _stop.reset(token)


def stop_callbacks() -> list[xgboost.callback.TrainingCallback]:
    """Return XGBoost's callbacks that end a fit which runs side by side with one that failed."""
    stop = _stop.get()
    return [] if stop is None else [_StopCallback(stop)]


class _StopCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    def __init__(self, stop: Event) -> None:
        super().__init__()
        self._stop = stop

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        return self._stop.is_set()
