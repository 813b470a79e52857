"""How busy the machine is: figures taken while others work are of no use.

XGBoost's threads wait for each other by spinning, so that a neighbour on one of two cores can make
training twenty times slower, not two.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

PROC_STAT = Path("/proc/stat")
QUIET = 0.15  # cores that others may keep busy


def busy_seconds() -> float:
    """Core-seconds for which this machine has worked since it started."""
    user, nice, system, _idle, _wait, *rest = PROC_STAT.read_text(encoding="ascii").split()[1:9]
    ticks = sum(int(value) for value in (user, nice, system, *rest))
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(longest: float, probe: float = 4.0) -> None:
    """Wait until the machine has been idle for ``probe`` seconds, or for ``longest`` at most."""
    end = time.monotonic() + longest
    told = False
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(probe)
        if busy_seconds() - before < QUIET * probe:
            return
        if not told:
            print("  waiting for other processes of this machine", file=sys.stderr, flush=True)
            told = True
