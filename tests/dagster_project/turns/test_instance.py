"""The instance of a home, configured by dagster.yaml: watched runs, no slots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.instance import prepare_dagster_home
from dagster_project.turns import lives
from dagster_project.turns.lives import FOLDER, end_dead_runs, show_alive
from uplift_core.artifacts.home import Home


@dg.op(pool="warehouse")
def work() -> None:
    """A step that takes its turn."""


@dg.job
def toy_job() -> None:
    """A run of one step."""
    work()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a home, as ``make dev`` and ``make run`` use it."""
    folder = str(prepare_dagster_home(Home(tmp_path)))
    with dg.DagsterInstance.from_config(folder) as prepared:
        yield prepared


def started(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that is marked as started but not executed."""
    run = instance.create_run_for_job(toy_job)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "toy_job"), run_id=run.run_id)
    return instance.get_run_by_id(run.run_id)


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    assert instance.run_launcher.supports_check_run_worker_health
    return instance.run_launcher.check_run_worker_health(run).status.value


def test_run_monitoring_sees_whether_a_process_lives(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds <= 10
    alive, dead = started(instance), started(instance)
    show_alive(instance, alive.run_id)
    (Path(instance.root_directory) / FOLDER / dead.run_id).touch()  # a lock that no process holds
    assert (health(instance, alive), health(instance, dead)) == ("RUNNING", "FAILED")
    without = started(instance)
    assert health(instance, without) == "RUNNING"
    monkeypatch.setattr(lives, "GRACE", -1.0)
    assert health(instance, without) == "FAILED"


def test_no_step_claims_a_slot_and_a_slot_of_before_blocks_nobody(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.set_concurrency_slots("warehouse", 1)
    gone = started(instance)
    storage.claim_concurrency_slot("warehouse", gone.run_id, "work")
    (Path(instance.root_directory) / FOLDER).mkdir()
    (Path(instance.root_directory) / FOLDER / gone.run_id).touch()
    assert toy_job.execute_in_process(instance=instance).success
    assert [run.run_id for run in end_dead_runs(instance)] == [gone.run_id]
    assert storage.get_concurrency_info("warehouse").claimed_slots == []


def test_a_run_that_was_being_cancelled_ends_as_cancelled(instance: dg.DagsterInstance) -> None:
    run = started(instance)
    instance.report_run_canceling(run)
    (Path(instance.root_directory) / FOLDER).mkdir()
    (Path(instance.root_directory) / FOLDER / run.run_id).touch()
    end_dead_runs(instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
