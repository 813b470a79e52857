"""Dagster's real web server and daemon: runs that are launched, queued, killed, ended by force."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.dagster_servers import DagsterServers, dagster_servers
from bench.killed_runs import instance_of, working_process
from dagster_project.inputs.sources.simulated import write_simulation
from tests.support import SMALL, Open, folder_of
from uplift_core.artifacts.publication import read_pointer

CONFIG = {
    "execution": {"config": {"in_process": {}}},  # a process a step would cost its imports each time
    "ops": {
        "proof__evaluator": {"config": {"replications": 300, "users": 500}},
        "simulated__models": {"config": {"rounds": 20}},
        "simulated__treat_list": {"config": {"learner": "r", "users": 123}},
    },
}
QUESTION = """
query Outcome($run: ID!) {
  runOrError(runId: $run) { ... on Run { assets { key { path } } tags { key value } } }
  instance { daemonHealth { allDaemonStatuses { daemonType healthy } } }
}"""
SCHEDULES = """{
  schedulesOrError(repositorySelector: {
    repositoryLocationName: "dagster_project.definitions", repositoryName: "__repository__"
  }) { ... on Schedules { results { name cronSchedule scheduleState { status } } } }
}"""
LONG = {"ops": {"proof__evaluator": {"config": {"replications": 100_000}}}}  # minutes in one step
PROOF, PROOF_STEP = [("proof", "evaluator")], "proof__evaluator"
JOB = "uplift_simulated"


@dataclass(frozen=True)
class Dev:
    """``make dev`` on a home of its own."""

    servers: DagsterServers
    home: Path

    def launch(self, config: dict, assets: Sequence[tuple[str, str]] = ()) -> str:
        """Launch the main job, or some of its assets, for tonight."""
        tonight = datetime.now(UTC).date().isoformat()
        return self.servers.launch(JOB, date=tonight, config=config, assets=assets)


# Each stage is a fixture: a test of its own waits for it, and has its own limit of time.
@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The servers, over a small simulated file."""
    folder = tmp_path_factory.mktemp("dagster")
    file = write_simulation(folder_of("simulated", n_users=SMALL).declaration.source, folder)
    small = {"simulated": {"path": str(file), "shares": {"control": 0.5, "treated": 0.5}}}
    settings = {"UPLIFT_FILES": json.dumps(small), "UPLIFT_EXPERIMENTS": "", "UPLIFT_THREADS": "1"}
    with dagster_servers(folder / "home", folder / "log", **settings) as servers:
        yield Dev(servers, folder / "home")


@pytest.fixture(scope="module")
def killed(dev: Dev) -> str:
    """A run whose process was killed in a step."""
    run = dev.launch(LONG, PROOF)
    dev.servers.wait_for_step(run, PROOF_STEP)
    os.kill(working_process(dev.home), signal.SIGKILL)
    return run


@pytest.fixture(scope="module")
def next_run(dev: Dev, killed: str) -> str:
    """The run after that, in a step."""
    run = dev.launch(LONG, PROOF)
    dev.servers.wait_for_step(run, PROOF_STEP)
    return run


@pytest.fixture(scope="module")
def queued(dev: Dev, next_run: str) -> str:
    """The main job, queued behind it."""
    return dev.launch(CONFIG)


@pytest.fixture(scope="module")
def launched(dev: Dev, next_run: str, queued: str) -> tuple[Path, str, dict]:
    """The home, how the main job ended once the run before was ended by force, what the server says."""
    dev.servers.terminate(next_run, force=True)
    status = dev.servers.wait(queued)
    return dev.home, status, dev.servers.ask(QUESTION, {"run": queued})


def test_nothing_runs_unasked(dev: Dev) -> None:
    assert dev.servers.ask(SCHEDULES)["schedulesOrError"]["results"] == [
        {
            "name": "nightly_decisions",
            "cronSchedule": "0 2 * * *",
            "scheduleState": {"status": "STOPPED"},
        }
    ]


def test_a_run_whose_process_is_killed_fails_and_keeps_no_other_waiting(
    dev: Dev, killed: str, next_run: str
) -> None:
    assert dev.servers.status(killed) == "FAILURE"
    assert dev.servers.status(next_run) == "STARTED"


def test_a_run_in_the_queue_says_for_whom_it_waits(dev: Dev, next_run: str, queued: str) -> None:
    assert dev.servers.status(queued) == "QUEUED"
    said = [event.get("message", "") for event in dev.servers.events(queued)]
    expected = f"waits for {JOB} (run {next_run[:8]}), which works since 20"
    assert any(text.startswith(expected) for text in said)


def test_a_run_that_is_ended_by_force_keeps_no_other_waiting(
    dev: Dev, next_run: str, launched: tuple[Path, str, dict]
) -> None:
    assert dev.servers.status(next_run) == "CANCELED"
    with instance_of(dev.home) as instance:
        assert instance.event_log_storage.get_concurrency_run_ids() == set()


def test_the_run_succeeds_and_makes_every_asset(launched: tuple[Path, str, dict]) -> None:
    _, status, answer = launched
    assert status == "SUCCESS"
    made = {"/".join(asset["key"]["path"]) for asset in answer["runOrError"]["assets"]}
    layers = ("raw", "features", "assignment", "cells", "models", "scores", "evaluation", "model_card")
    layers += ("crosscheck", "thresholds", "treat_list", "export", "published")
    assert made == {"proof/evaluator", *(f"simulated/{layer}" for layer in layers)}


def test_the_daemon_is_well(launched: tuple[Path, str, dict]) -> None:
    _, _, answer = launched
    daemons = {
        d["daemonType"]: d["healthy"] for d in answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    }
    assert daemons["QUEUED_RUN_COORDINATOR"], daemons
    assert daemons["MONITORING"], daemons


def test_what_the_run_was_asked_for_is_what_is_published(
    launched: tuple[Path, str, dict], snapshot: Open
) -> None:
    """Rounds, learner and budget of the run configuration."""
    home = launched[0]
    assert "simulated" in read_pointer(home / "published").experiments
    con = snapshot(home)
    ((parameters,),) = con.sql("select distinct parameters from models.registry").fetchall()
    used = json.loads(parameters)
    assert (used["outcome"]["rounds"], used["effect"]["rounds"], used["s"]) == (20, 20, None)
    assert con.sql("select learner, treated from decisions.nights").fetchall() == [("r", 123)]
