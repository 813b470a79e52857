"""Dagster's real web server and daemon: a run that is launched by GraphQL, queued, and succeeds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.dagster_servers import dagster_servers
from dagster_project.sources.simulated import write_simulation
from tests.support import SMALL, Open, folder_of
from uplift_core.publication import read_pointer

CONFIG = {
    "execution": {"config": {"in_process": {}}},  # a process a step would cost its imports each time
    "ops": {
        "proof__evaluator": {"config": {"replications": 300, "users": 500}},
        "simulated__models": {"config": {"rounds": 20}},
        "simulated__treat_list": {"config": {"learner": "r", "users": 123}},
    },
}
ASKED = """
query Found($run: ID!) {
  runOrError(runId: $run) { ... on Run { assets { key { path } } tags { key value } } }
  instance { daemonHealth { allDaemonStatuses { daemonType healthy } } }
  schedulesOrError(repositorySelector: {
    repositoryLocationName: "dagster_project.definitions", repositoryName: "__repository__"
  }) { ... on Schedules { results { name cronSchedule scheduleState { status } } } }
}"""


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict]:
    """The home, the run's end, and what the web server says of it."""
    folder = tmp_path_factory.mktemp("dagster")
    home = folder / "home"
    file = write_simulation(folder_of("simulated", n_users=SMALL).experiment.source, folder)
    small = {"simulated": {"path": str(file), "shares": {"control": 0.5, "treated": 0.5}}}
    settings = {"UPLIFT_FILES": json.dumps(small), "UPLIFT_EXPERIMENTS": "", "UPLIFT_THREADS": "1"}
    with dagster_servers(home, folder / "log", **settings) as servers:
        date = datetime.now(UTC).date().isoformat()
        run = servers.launch("uplift_simulated", date=date, config=CONFIG)
        status = servers.wait(run)
        return home, status, servers.ask(ASKED, {"run": run})


def test_the_run_succeeds_and_makes_every_asset(launched: tuple[Path, str, dict]) -> None:
    _, status, found = launched
    assert status == "SUCCESS"
    made = {"/".join(asset["key"]["path"]) for asset in found["runOrError"]["assets"]}
    layers = ("raw", "features", "assignment", "cells", "models", "scores", "evaluation", "model_card")
    layers += ("crosscheck", "thresholds", "treat_list", "export", "published")
    assert made == {"proof/evaluator", *(f"simulated/{layer}" for layer in layers)}


def test_the_daemon_is_well_and_nothing_runs_unasked(launched: tuple[Path, str, dict]) -> None:
    _, _, found = launched
    daemons = {
        d["daemonType"]: d["healthy"] for d in found["instance"]["daemonHealth"]["allDaemonStatuses"]
    }
    assert daemons["QUEUED_RUN_COORDINATOR"], daemons
    assert found["schedulesOrError"]["results"] == [
        {
            "name": "nightly_decisions",
            "cronSchedule": "0 2 * * *",
            "scheduleState": {"status": "STOPPED"},
        }
    ]


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
