"""Runs that are killed: the next one, by ``make run`` or from the UI, begins at once and ends well.

A small form of ``make bench-killed``.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime

import pytest

from bench.dagster_servers import dagster_servers
from bench.killed_runs import (
    Setting,
    instance_of,
    make_run,
    prepare,
    run,
    unfinished,
    wait_for_step,
    working_process,
)
from tests.support import SMALL
from uplift_core.publication import read_pointer

LONG = {"ops": {"proof__evaluator": {"config": {"replications": 100_000}}}}  # minutes in one step
PROOF, RAW = [("proof", "evaluator")], [("simulated", "raw")]
TODAY = datetime.now(UTC).date().isoformat()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A small simulated file, and the environment that names it."""
    small = prepare(tmp_path_factory.mktemp("killed"), SMALL)
    return Setting(small.folder, {**small.environment, "UPLIFT_THREADS": "1"})


def test_a_second_make_run_waits_and_after_a_killed_one_the_next_ends_well(setting: Setting) -> None:
    home, log = setting.fresh_home(), setting.folder / "second.log"
    with make_run(setting, home):
        wait_for_step(home, "simulated__raw")
        first = working_process(home)
        with make_run(setting, home, log.name) as second:
            while "waits for uplift_simulated" not in log.read_text() and second.poll() is None:
                time.sleep(0.1)
            os.killpg(second.pid, signal.SIGTERM)
        assert f"process {first} on " in log.read_text()
        assert "stopped by SIGTERM; what was published before stands" in log.read_text()
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


def test_after_runs_of_the_ui_that_were_killed_or_terminated_the_next_one_does_not_stay_queued(
    setting: Setting,
) -> None:
    home = setting.folder / "ui" / "home"
    with dagster_servers(home, setting.folder / "servers.log", **setting.environment) as servers:

        def launch(assets: list[tuple[str, str]], config: dict) -> str:
            return servers.launch("uplift_simulated", date=TODAY, config=config, assets=assets)

        killed = launch(PROOF, LONG)
        servers.wait_for_step(killed, "proof__evaluator")
        os.kill(working_process(home), signal.SIGKILL)
        forced = launch(PROOF, LONG)
        servers.wait_for_step(forced, "proof__evaluator")
        assert servers.wait(killed, 0.1) == "FAILURE"
        queued = launch(RAW, {})
        assert f"run {forced[:8]}" in str(servers.events(queued))  # it says for whom it waits
        servers.terminate(forced, force=True)
        assert servers.wait(queued) == "SUCCESS"
        assert servers.wait(forced, 0.1) == "CANCELED"
    with instance_of(home) as instance:
        assert instance.event_log_storage.get_concurrency_run_ids() == set()
