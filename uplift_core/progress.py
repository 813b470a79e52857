"""Say how much of a long step is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

QUIET_SECONDS = 2.0  # between two messages about the progress of one step


@dataclass
class ProgressLog:
    """Logs how much of a long step is done, at most every two seconds.

    Attributes:
        log: takes a message.
        what: the subject of the message.
        total: number of parts.
    """

    log: Callable[[str], None]
    what: str
    total: int
    _done: int = field(default=0, init=False)
    _logged: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._logged = time.monotonic()

    def __call__(self) -> None:
        """Count one more part as done."""
        self._done += 1
        if time.monotonic() - self._logged >= QUIET_SECONDS:
            self._logged = time.monotonic()
            self.log(f"{self.what}: {self._done} of {self.total}")
