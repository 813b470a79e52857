"""Tell how far ``fit`` is: on the console, with a bar where rich is installed, or to the caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from uplift_core.progress import ProgressLog

Log = Callable[[str], None]


class Teller(Protocol):
    """Takes messages, and counts the parts of a step."""

    def say(self, message: str) -> None:
        """Tell a message."""

    def step(self, what: str, total: int) -> AbstractContextManager[Callable[[], object]]:
        """Begin a step of ``total`` parts; what the ``with`` block gets is called after each part."""
        ...


@dataclass(frozen=True)
class LogTeller:
    """Tells a function."""

    log: Log

    def say(self, message: str) -> None:
        """Tell a message."""
        self.log(message)

    @contextmanager
    def step(self, what: str, total: int) -> Iterator[Callable[[], object]]:
        """Tell every two seconds how many parts are done."""
        yield ProgressLog(self.log, f"{what}: fits done", total)


@dataclass(frozen=True)
class BarTeller:
    """Draws bars on standard error by rich, in terminals and notebooks."""

    console: Any

    def say(self, message: str) -> None:
        """Print a message."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str, total: int) -> Iterator[Callable[[], object]]:
        """Draw a bar until the step is done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn  # noqa: PLC0415

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)


def teller(verbose: bool | Log) -> Teller:  # noqa: FBT001 - as ``fit`` takes it
    """Return what tells the progress: nobody, the console, or the caller's function."""
    if callable(verbose):
        return LogTeller(verbose)
    if not verbose:
        return LogTeller(lambda _: None)
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
    except ImportError:
        return LogTeller(lambda message: print(message, file=sys.stderr))  # noqa: T201 - was asked for
    return BarTeller(Console(stderr=True))
