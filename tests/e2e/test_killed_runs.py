"""A second ``make run`` waits its turn; after one that is killed the next begins at once and ends well.

A small form of ``make bench-killed``; runs of the UI are killed in ``test_dagster.py``.
"""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from bench.killed_runs import (
    Setting,
    make_run,
    prepare,
    run,
    unfinished,
    wait_for_step,
    working_process,
)
from tests.support import SMALL, share_proof
from uplift_core.artifacts.publication import read_pointer

PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A small simulated file, and the environment that names it."""
    small = prepare(tmp_path_factory.mktemp("killed"), SMALL)
    return Setting(small.folder, {**small.environment, "UPLIFT_THREADS": "1"})


def test_a_second_make_run_waits_and_after_a_killed_one_the_next_ends_well(setting: Setting) -> None:
    home, log = setting.fresh_home(), setting.folder / "second.log"
    share_proof(home)
    with make_run(setting, home):
        wait_for_step(home, "simulated__raw")
        first = working_process(home)
        with make_run(setting, home, log.name) as second:
            while "waits for uplift_simulated" not in log.read_text() and second.poll() is None:
                time.sleep(0.1)
            os.killpg(second.pid, signal.SIGTERM)
            second.wait(PATIENCE)  # or leaving would kill it before it says its word
        assert f"process {first} on " in log.read_text()
        assert "stopped by SIGTERM; the published snapshot is unchanged" in log.read_text()
        assert working_process(home) == first
        os.kill(first, signal.SIGKILL)
    assert unfinished(home) == 1
    _, ended = run(setting, home)
    said = (setting.folder / "make-run.log").read_text()
    assert ended, said
    assert "is marked as failed: its process is gone" in said
    assert "waits for" not in said
    assert unfinished(home) == 0
    assert "simulated" in read_pointer(home / "published").experiments


@pytest.mark.timed
def test_ctrl_c_ends_a_working_run_within_two_seconds_with_one_line(setting: Setting) -> None:
    home, log = setting.fresh_home(), setting.folder / "interrupted.log"
    share_proof(home)
    with make_run(setting, home, log.name) as process:
        wait_for_step(home, "simulated__models")
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE)
        seconds = time.monotonic() - began
    said = log.read_text()
    _, _, after = said.partition("stopped by a signal; the published snapshot is unchanged\n")
    assert all(re.match(r"make(\[\d\])?: ", line) for line in after.splitlines()), said
    assert seconds < 2
    assert not (home / "published").exists()
