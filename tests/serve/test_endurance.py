"""The service while what it answers from changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dagster_project.settings import REPOSITORY


def test_swaps_and_corrupt_candidates_under_load(simulated_home: Path, tmp_path: Path) -> None:
    """A little of ``make bench-endurance``."""
    amounts = ["--swaps", "16", "--corrupt", "4", "--requests", "2000"]
    amounts += ["--run", str(simulated_home)]
    command = [sys.executable, "-m", "bench.endurance", "--folder", str(tmp_path), *amounts]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "17 snapshots seen, 0 inconsistent" in done.stdout
    assert ", 0 with an attribute" in done.stdout
