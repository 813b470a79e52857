"""Start the API on a home several times: seconds from the command to the first answer.

    python -m bench.start --home HOME [--repeats 7] [--allowed 2]

HOME is a home where something is published (``make run``). What is published is loaded and verified by
then, so that ``/healthz`` and ``/readyz`` answer from the same moment on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from bench.servers import api_on


def main() -> int:
    """Print the seconds. Return the exit code: 1 if the median is above ``--allowed``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--allowed", type=float, default=2.0, help="seconds")
    chosen = parser.parse_args()
    seconds = sorted(start_api(chosen.home) for _ in range(chosen.repeats))
    median = statistics.median(seconds)
    print(f"start of the API: median {median:.2f} s of {chosen.repeats}, {seconds[0]:.2f} s at best")
    return int(median > chosen.allowed)


def start_api(home: Path) -> float:
    """Return the seconds from the start of the API's process to its first answer."""
    began = time.perf_counter()
    with api_on(home, health="/healthz"):
        return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
