"""The nightly schedule: catch up on many dates, and kill a night."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.automation import LAYERS
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.resources import Engine
from dagster_project.settings import REPOSITORY
from uplift_core.artifacts.home import Home

AT_TWO = datetime(2026, 3, 4, 2, tzinfo=UTC)


def requests(home: Path, experiment: BatchExperiment) -> list[dg.RunRequest | dg.SkipReason]:
    definitions = build_definitions([experiment], Engine(home=str(home)))
    schedule = definitions.resolve_schedule_def("nightly_decisions")
    with dg.build_schedule_context(
        scheduled_execution_time=AT_TWO, repository_def=definitions.get_repository_def()
    ) as context:
        tick = schedule.evaluate_tick(context)
    return [*(tick.run_requests or []), *([tick.skip_message] if tick.skip_message else [])]


def test_every_published_experiment_gets_a_run_a_night(home: Home, simulated: BatchExperiment) -> None:
    (request,) = requests(home.root, simulated)
    assert (request.partition_key, request.run_key) == ("2026-03-04", "simulated-2026-03-04")
    assert request.asset_selection == [dg.AssetKey(["simulated", layer]) for layer in LAYERS]


def test_without_anything_published_the_night_is_skipped(
    tmp_path: Path, simulated: BatchExperiment
) -> None:
    assert requests(tmp_path, simulated) == [
        f"{tmp_path}/published/CURRENT.json: nothing is published yet; run `make run`"
    ]


@pytest.mark.parametrize("kills", [6])
def test_a_killed_night_leaves_old_or_new_and_the_next_one_mends_it(
    simulated_home: Path, tmp_path: Path, kills: int
) -> None:
    """Run a few kills of ``make bench-crash``, which forks and so needs a separate process."""
    options = ["--folder", str(tmp_path), "--run", str(simulated_home), "--kills", str(kills)]
    command = [sys.executable, "-m", "bench.crash", *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    lines = [line.strip() for line in done.stdout.splitlines() if "rerun equal" in line]
    counted = [int(line.split()[0]) for line in lines if line[0].isdigit()]
    assert sum(counted) == kills
    assert "damaged files: readers see ['torn', 'torn'], the next night mends both" in done.stdout
