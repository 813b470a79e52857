"""Waiting for somebody else: it says for whom, costs next to nothing, and a signal ends it at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

PAUSE = 0.2  # seconds between two looks
REMINDER = 60.0  # seconds between two words

Log = Callable[[str], None]


class Stopped(BaseException):
    """A signal said that it is enough; ``code`` is what a shell makes of it."""

    def __init__(self, number: int = 0) -> None:
        name = signal.Signals(number).name if number else "a signal"
        super().__init__(f"stopped by {name}; what was published before stands")
        self.code = 128 + (number or signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise ``Stopped``.

    The first one counts: make and service managers send a second, which must not cut the last words off.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, lambda *_: None)  # one that has arrived already is taken, too
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
    """Look again and again until nothing blocks. A signal whose handler raises ends it at once.

    Args:
        blocker: takes what is waited for if it can, and returns who has it otherwise, as in "waits for
            ..."; empty once it is taken.
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
    """A moment for people, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
