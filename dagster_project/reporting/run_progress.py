"""What a run shows on the console: the step, the time so far, and what a long step says of itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

MARGIN = " " * 19  # below the labels of the last lines of a command


@dataclass
class RunProgress:
    """A line for each finished step, and on a terminal the current one with its latest message.

    Attributes:
        console: where it is shown.
        verbose: whether every message of the steps is printed, too.
    """

    console: Console
    verbose: bool = False
    _began: float = field(default=0.0, init=False)
    _display: Progress = field(default_factory=lambda: Progress(disable=True), init=False)
    _task: TaskID | None = field(default=None, init=False)

    @contextmanager
    def shown(self) -> Iterator[Callable[[dg.EventLogEntry], None]]:
        """Yield a listener for ``DagsterInstance.add_event_listener``, for the events of one run."""
        columns = (
            TextColumn(" "),
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as self._display:
            self._task = None
            yield self.show_event

    def show_event(self, entry: dg.EventLogEntry) -> None:
        """Show an event of the run."""
        event = entry.dagster_event
        if event is None:
            self._message(entry)
        elif event.is_step_start and event.step_key:
            self._begin(_name(event.step_key))
        elif (event.is_step_success or event.is_step_failure) and event.step_key:
            self._end(_name(event.step_key), failed=event.is_step_failure)

    def _message(self, entry: dg.EventLogEntry) -> None:
        if self.verbose and int(entry.level) >= logging.INFO:
            self.console.print(f"    {entry.user_message}", markup=False, soft_wrap=True)
        if self._task is not None:
            self._display.update(self._task, description=entry.user_message.partition("\n")[0])

    def _begin(self, step: str) -> None:
        self._began = time.monotonic()
        self._task = self._display.add_task(step)

    def _end(self, step: str, *, failed: bool) -> None:
        if self._task is not None:
            self._display.remove_task(self._task)
            self._task = None
        seconds = time.monotonic() - self._began
        self.console.print(f"  {step:14s} {seconds:6.1f} s{' failed' if failed else ''}", markup=False)


def _name(step_key: str) -> str:
    """Return a step's name without its experiment: ``hillstrom__raw`` is ``raw``."""
    return step_key.rpartition("__")[2]
