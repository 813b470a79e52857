"""The turn of a run in Dagster to work in a home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from dagster_project.turns.home_turn import Worker, home_turn
from dagster_project.turns.lives import end_dead_runs, show_alive
from dagster_project.turns.waiting import Log


@contextmanager
def turn_of_run(  # noqa: PLR0913 - the run, where it works, and how it waits
    instance: dg.DagsterInstance, home: Path, job: str, run_id: str, log: Log, *, wait: bool = True
) -> Iterator[list[dg.DagsterRun]]:
    """Wait for the turn to work in ``home``, then keep it; yield the dead runs that were ended.

    From the start, also while it waits, this run's lock shows that its process lives.

    Raises:
        TurnTakenError: another process has the turn, and ``wait`` is false.
    """
    show_alive(instance, run_id)
    with home_turn(home, Worker.here(job, run_id), log, wait=wait):
        yield end_dead_runs(instance)
