"""A small form of ``make bench-crash``: it runs in a process of its own, which forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dagster_project.settings import REPOSITORY


def test_killed_steps_leave_the_old_state_or_the_new_one(simulated_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.crash_steps", "--folder", str(tmp_path), "--kills", "2"]
    done = subprocess.run(
        [*command, "--run", str(simulated_home)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [line.split()[0] for line in done.stdout.splitlines() if line.startswith(" ")]
    assert sum(map(int, counts)) >= 12
