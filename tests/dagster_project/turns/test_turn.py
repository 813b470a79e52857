"""One run at a time works in a home; a killed run blocks no other."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.instance import prepare_dagster_home
from dagster_project.turns.lives import FOLDER, GONE, GRACE, end_dead_runs, is_gone, show_alive
from dagster_project.turns.turn import turn_of_run
from uplift_core.artifacts.home import Home

POOL = "warehouse"
# A run in a separate process: it waits for its turn, prints that, and works until it reads a line.
RUN = """
import sys, time
from pathlib import Path
import dagster as dg
from dagster_project.turns.turn import turn_of_run
from dagster_project.turns.waiting import Stopped, stoppable
from uplift_core.leaving import leave

@dg.op(pool="warehouse")
def work():
    print("works", flush=True)
    sys.stdin.readline()

@dg.job
def toy_job():
    work()

home, run_id = Path(sys.argv[1]), sys.argv[2]
log = lambda text: print(text, flush=True)
with dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
    try:
        with stoppable(), turn_of_run(instance, home, "toy_job", run_id, log):
            done = toy_job.execute_in_process(instance=instance, run_id=run_id)
            print("success" if done.success else "failure", flush=True)
    except Stopped as stop:
        print(stop, flush=True)
        leave(stop.code)
"""
ONE, TWO, THREE, FOUR = (str(uuid.UUID(int=number << 96)) for number in (1, 2, 3, 4))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a Dagster instance."""
    (tmp_path / "dagster").mkdir()
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The home's Dagster instance."""
    with dg.DagsterInstance.local_temp(str(home / "dagster")) as opened:
        yield opened


@contextmanager
def running(home: Path, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a separate process, which is killed at the end of the test."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def ends(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def test_a_killed_run_is_marked_as_failed_and_frees_its_turn_and_its_slot(
    home: Path, instance: dg.DagsterInstance
) -> None:
    storage = instance.event_log_storage
    storage.set_concurrency_slots(POOL, 1)
    with running(home, ONE) as first:
        assert says(first) == "works"
        claimed = storage.get_concurrency_info(POOL)
        assert [slot.run_id for slot in claimed.claimed_slots] == [ONE]
        first.kill()
        first.wait()
        logged: list[str] = []
        with turn_of_run(instance, home, "toy_job", TWO, logged.append) as dead:
            assert [run.run_id for run in dead] == [ONE]
    assert logged == []  # there was no other run to wait for
    run = instance.get_run_by_id(ONE)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert GONE in [event.message for event in instance.all_logs(ONE)]
    assert storage.get_concurrency_info(POOL).claimed_slots == []


@pytest.mark.timed
def test_whoever_waits_says_for_whom_burns_no_core_and_stops_at_a_signal(
    home: Path, instance: dg.DagsterInstance
) -> None:
    with running(home, ONE) as first:
        assert says(first) == "works"
        with running(home, TWO) as second, running(home, THREE) as third, running(home, FOUR) as last:
            for waiting in (second, third, last):
                said = says(waiting)
                assert said.startswith(f"waits for toy_job (run {ONE[:8]}, process {first.pid} on ")
                assert said.endswith(" UTC")
            before, seconds = cpu_seconds(last), 4
            time.sleep(seconds)
            assert cpu_seconds(last) - before < 0.01 * seconds
            for waiting, number in ((second, signal.SIGINT), (third, signal.SIGTERM)):
                began = time.monotonic()
                waiting.send_signal(number)
                waiting.send_signal(signal.SIGTERM)  # as make does when it gets a signal
                assert says(waiting) == f"stopped by {number.name}; the published snapshot is unchanged"
                assert time.monotonic() - began < 1
                assert waiting.stdout.read() == ""
                assert waiting.wait(5) == 128 + number
                assert time.monotonic() - began < 1
            # A run that works or waits is not dead.
            assert end_dead_runs(instance) == []
            assert instance.get_run_by_id(ONE).status == dg.DagsterRunStatus.STARTED
            ends(first)
            assert says(first) == "success"
            assert says(last).startswith("goes on after ")
            assert says(last) == "works"
            ends(last)
            assert says(last) == "success"


@dg.job
def nothing() -> None:
    """A job without steps."""


def test_a_run_without_a_lock_is_given_time_to_take_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may still start; after the grace period it is dead, also in homes of old versions."""
    run = instance.create_run_for_job(nothing, run_id=ONE)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "nothing"), run_id=ONE)
    record = instance.get_run_record_by_id(ONE)
    assert record.dagster_run.status == dg.DagsterRunStatus.STARTED
    assert not is_gone(instance, record)
    later = time.time() + GRACE + 1
    monkeypatch.setattr("dagster_project.turns.lives.time.time", lambda: later)
    assert is_gone(instance, record)
    show_alive(instance, run.run_id)
    assert not is_gone(instance, record)


def test_a_run_that_imports_its_code_is_given_minutes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(Home(home)))) as instance:
        run = instance.create_run_for_job(nothing, run_id=ONE, status=dg.DagsterRunStatus.STARTING)
        record = instance.get_run_record_by_id(run.run_id)
        began, limit = time.time(), instance.run_monitoring_start_timeout_seconds
        assert limit >= 300
        for seconds, gone in ((limit - 10, False), (limit + 10, True)):
            later = began + seconds
            monkeypatch.setattr("dagster_project.turns.lives.time.time", partial(float, later))
            assert is_gone(instance, record) is gone


def test_lock_files_of_runs_that_are_over_are_removed(home: Path, instance: dg.DagsterInstance) -> None:
    nothing.execute_in_process(instance=instance, run_id=ONE)
    folder = home / "dagster" / FOLDER
    folder.mkdir()
    (folder / ONE).touch()
    show_alive(instance, THREE)
    end_dead_runs(instance)
    assert [path.name for path in folder.iterdir()] == [THREE]
