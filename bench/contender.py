"""Run one contender in a separate process; report its seconds and its peak memory.

python -m bench.contender --name "causalml X" --home FOLDER --result FILE
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Self

from bench.machine import busy_seconds
from bench.setting import OURS

LIBRARIES = ("causalml", "econml", "xgboost", "numpy", "scikit-learn", "duckdb")


def measure(name: str, home: Path, threads: int, memory_limit: str) -> dict[str, object]:
    """Measure the way from the table of rows to the table of scores; imports are never counted."""
    if name == OURS:
        from bench import ours  # noqa: PLC0415 - a peer's process must not load our modules

        with Stopwatch() as watch:
            steps = ours.run(home, threads, memory_limit)
        means = ours.mean_scores(home)
    else:
        from bench import peers  # noqa: PLC0415 - our process must not load the peers

        peers.warm(name)
        with Stopwatch() as watch:
            means = {name: peers.run(name, home / "warehouse.duckdb", threads)}
        steps = {}
    return {
        "name": name,
        "seconds": watch.seconds,
        "others": watch.others,
        "peak_mib": watch.peak_mib,
        "steps": steps,
        "mean_cate": means,
        "versions": {library: version(library) for library in LIBRARIES},
    }


class Stopwatch:
    """Wall seconds, this process's peak memory, and how many cores other processes kept busy."""

    def __enter__(self) -> Self:
        self._began, self._cpu, self._busy = time.perf_counter(), time.process_time(), busy_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        self.others = max(busy_seconds() - self._busy - cpu, 0.0) / self.seconds
        # The peak is that of this process alone: no contender starts other processes.
        self.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run one contender and write its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--home", type=Path, required=True, help="folder with the warehouse.duckdb")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="4GB", help="of DuckDB, for ours")
    given = parser.parse_args()
    figures = measure(given.name, given.home, given.threads, given.memory_limit)
    given.result.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
