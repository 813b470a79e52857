"""Measure how busy the machine is: timings are useless while other processes work.

XGBoost's threads wait for each other by spinning. So another process on one of two cores can make
training twenty times slower, not just twice as slow.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PROC_STAT = Path("/proc/stat")
QUIET = 0.15  # number of cores that other processes may keep busy


def busy_seconds() -> float:
    """Read the core-seconds for which this machine has worked since it started."""
    user, nice, system, _idle, _wait, *rest = PROC_STAT.read_text(encoding="ascii").split()[1:9]
    ticks = sum(int(value) for value in (user, nice, system, *rest))
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(longest: float, probe: float = 4.0) -> None:
    """Wait until the machine has been idle for ``probe`` seconds, or for ``longest`` at most."""
    end = time.monotonic() + longest
    announced = False
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(probe)
        if busy_seconds() - before < QUIET * probe:
            return
        if not announced:
            print("  waiting for other processes of this machine", file=sys.stderr, flush=True)
            announced = True
