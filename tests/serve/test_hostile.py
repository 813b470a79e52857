"""The service as a process, under requests that are meant to harm it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bench.servers import api_on
from dagster_project.settings import REPOSITORY
from serve.routes.batch import ARROW
from tests.support import case_file


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_damaged_arrow_streams_crash_nothing(hillstrom_served: Path, tmp_path: Path) -> None:
    """A little of ``make bench-fuzz``."""
    options = ["--tries", "600", "--seed", "20", "--keep", str(tmp_path)]
    done = bench("bench.fuzz_arrow", "--home", str(hillstrom_served), *options)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert ", 0 failures" in done.stdout


def test_streams_that_crashed_arrow_are_refused_and_the_process_lives(hillstrom_served: Path) -> None:
    """Text offsets that lead out of their buffer."""
    with api_on(hillstrom_served) as (url, process):
        for number in (1, 2):
            body = case_file(f"arrow_stream_that_crashes_{number}.arrow").read_bytes()
            answer = httpx.post(
                f"{url}/score/batch?experiment=hillstrom",
                content=body,
                headers={"Content-Type": ARROW},
                trust_env=False,
            )
            assert answer.status_code == 422
            assert answer.headers["content-type"] == "application/problem+json"
        assert process.poll() is None


@pytest.mark.timed
def test_others_are_answered_meanwhile_and_memory_comes_back(hillstrom_served: Path) -> None:
    """A little of ``make bench-hostile``, with a limit for a machine that is busy with other things."""
    options = ["--megabytes", "2", "--slowest", "500"]
    done = bench("bench.hostile", "--home", str(hillstrom_served), *options)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "\n0 faults" in done.stdout


def test_good_and_hostile_requests_at_once_have_the_statuses_that_are_expected(
    hillstrom_served: Path,
) -> None:
    """A little of ``make bench-mixed``, where memory is still warming up."""
    options = ["--seconds", "6", "--megabytes", "1", "--grown", "9"]
    done = bench("bench.mixed", "--home", str(hillstrom_served), *options)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "\n0 faults" in done.stdout
