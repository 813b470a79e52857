"""Wait for another process: log which one, use almost no CPU, and end at once on a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

PAUSE = 0.2  # seconds between two checks
REMINDER = 60.0  # seconds between two log lines

BY_SIGNAL = 128  # the exit code of a process that a signal stops is this plus the signal's number

Log = Callable[[str], None]


class Stopped(BaseException):
    """A signal asked the process to stop; ``code`` is the exit code that a shell expects."""

    def __init__(self, number: int = 0) -> None:
        name = signal.Signals(number).name if number else "a signal"
        super().__init__(f"stopped by {name}; the published snapshot is unchanged")
        self.code = BY_SIGNAL + (number or signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise ``Stopped``.

    Only the first one counts: make and service managers send a second one, which must not cut the last
    output off.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, lambda *_: None)  # also takes a signal that has already arrived
        raise Stopped(number)

    stopped = False
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except Stopped:
        stopped = True
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # also while the interpreter ends, unlike a handler
        raise
    finally:
        if not stopped:
            for number, handler in before.items():
                signal.signal(number, handler)


def wait_while(blocker: Callable[[], str], log: Log) -> None:
    """Check repeatedly until nothing blocks. A signal whose handler raises ends the wait at once.

    Args:
        blocker: tries to take the resource; returns who has it, as in "waits for ...", or an empty text
            once it is taken.
        log: logs a line at first, every minute, and at the end.
    """
    began = next_word = time.monotonic()
    word = "waits"
    while whom := blocker():
        if time.monotonic() >= next_word:
            log(f"{word} for {whom}")
            word, next_word = "still waits", time.monotonic() + REMINDER
        time.sleep(PAUSE)
    if word != "waits":
        log(f"goes on after {time.monotonic() - began:.0f} s")


def utc_text(moment: datetime) -> str:
    """Format a moment for people, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
