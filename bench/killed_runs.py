"""Kill runs of ``make run`` and of Dagster's UI, and check that the next run succeeds.

    python -m bench.killed_runs --folder FOLDER [--users 40000] [--steps raw cells ...] [--ways ...]

Each way ends a run in each step, in a fresh home, and is followed by ``make run``:

    make       ``make run``, its process killed by SIGKILL
    worker     a run that was launched in the UI, its process killed by SIGKILL
    forced     such a run, terminated by force in the UI
    servers    such a run, killed together with web server and daemon

If the servers are still alive, a next run is launched in the UI, too; its seconds in the queue are
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from bench.dagster_servers import DagsterServers, dagster_servers
from dagster_project.inputs.sources.simulated import write_simulation
from dagster_project.instance import prepare_dagster_home
from dagster_project.settings import REPOSITORY
from uplift_core.artifacts.home import Home
from uplift_core.experiment.declaration import load_experiment

JOB = "uplift_simulated"
STEPS = ("raw", "cells", "models", "evaluation", "published")
WAYS = ("make", "worker", "forced", "servers")
PATIENCE = 900.0  # seconds
FIRST_STEP = [("simulated", "raw")]


@dataclass(frozen=True)
class Setting:
    """The folder and the environment of a disturbed run."""

    folder: Path
    environment: Mapping[str, str]

    def fresh_home(self) -> Path:
        """Remove the previous home and return the path of a new one."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        return home


def main() -> int:
    """Kill the runs and print the outcomes. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--steps", nargs="+", default=STEPS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    chosen = parser.parse_args()
    setting = prepare(chosen.folder / "killed-runs", chosen.users)
    seconds, ended = run(setting, setting.fresh_home())
    print(f"undisturbed: make run {'ends' if ended else 'FAILS'} in {seconds:.0f} s", flush=True)
    faults = not ended
    for way in chosen.ways:
        for step in chosen.steps:
            home = setting.fresh_home()
            outcome = disturb(setting, home, way, f"simulated__{step}")
            again, ended = run(setting, home)
            left = unfinished(home)
            faults |= not ended or bool(left)
            print(
                f"{way:8s} in {step:10s}: {outcome}; then make run {'ends' if ended else 'FAILS'} in "
                f"{again:.0f} s ({again / seconds:.2f} of undisturbed), {left or 'no'} dead run is left",
                flush=True,
            )
    return 1 if faults else 0


def prepare(folder: Path, users: int) -> Setting:
    """Write a simulated file of ``users`` users; return its folder and the environment that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    declared = load_experiment(REPOSITORY / "sql" / "experiments" / "simulated").source
    file = write_simulation(declared.model_copy(update={"n_users": users}), folder)
    files = {"simulated": {"path": str(file), "shares": {"control": 0.5, "treated": 0.5}}}
    environment = {"UPLIFT_FILES": json.dumps(files), "UPLIFT_EXPERIMENTS": ""}
    return Setting(folder, environment)


def run(setting: Setting, home: Path) -> tuple[float, bool]:
    """Run ``make run``; return its seconds, and whether it succeeded in time."""
    began = time.monotonic()
    with make_run(setting, home) as process:
        try:
            ended = process.wait(PATIENCE) == 0
        except subprocess.TimeoutExpired:
            ended = False
    return time.monotonic() - began, ended


@contextmanager
def make_run(
    setting: Setting, home: Path, log: str = "make-run.log"
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``make run`` of the simulation, with its output in a file; kill it in the end."""
    places = {"UPLIFT_HOME": str(home), "EXPERIMENTS": "simulated"}
    with (
        (setting.folder / log).open("wb") as out,
        subprocess.Popen(
            ["make", "run"],  # noqa: S607
            cwd=REPOSITORY,
            env=os.environ | dict(setting.environment) | places,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def disturb(setting: Setting, home: Path, way: str, step: str) -> str:
    """Start a run and kill it in a step; return the outcome in words."""
    if way == "make":
        with make_run(setting, home):
            wait_for_step(home, step)
            os.kill(working_process(home), signal.SIGKILL)
        return "killed"
    date = datetime.now(UTC).date().isoformat()
    with dagster_servers(home, setting.folder / "servers.log", **setting.environment) as servers:
        launched = servers.launch(JOB, date=date, config={})
        servers.wait_for_step(launched, step, PATIENCE)
        if way == "servers":
            os.kill(working_process(home), signal.SIGKILL)
            servers.kill()
            return "killed with all servers"
        if way == "worker":
            os.kill(working_process(home), signal.SIGKILL)
        else:
            servers.terminate(launched, force=True)
        queued = seconds_in_queue(servers, date)
        return f"{servers.wait(launched)}, the next run from the UI was queued for {queued:.0f} s"


def seconds_in_queue(servers: DagsterServers, date: str) -> float:
    """Launch the next run; return the seconds until it works, or until patience ends."""
    began = time.monotonic()
    launched = servers.launch(JOB, date=date, config={}, assets=FIRST_STEP)
    servers.wait_for_step(launched, "__".join(FIRST_STEP[0]), PATIENCE)
    seconds = time.monotonic() - began
    servers.wait(launched, PATIENCE)
    return seconds


def wait_for_step(home: Path, step: str) -> None:
    """Wait until the only run of a home is in a step.

    Raises:
        TimeoutError: the step does not begin in time.
    """
    until = time.monotonic() + PATIENCE
    while not (home / "turn.json").exists() and time.monotonic() < until:
        time.sleep(0.1)
    with instance_of(home) as instance:
        while time.monotonic() < until:
            for begun in instance.get_runs():
                logs = instance.all_logs(begun.run_id, of_type=dg.DagsterEventType.STEP_START)
                if step in {entry.step_key for entry in logs}:
                    return
            time.sleep(0.1)
    raise TimeoutError(f"step {step} does not begin")


def working_process(home: Path) -> int:
    """Read the id of the process that has the turn in a home."""
    return int(json.loads((home / "turn.json").read_text())["process"])


def unfinished(home: Path) -> int:
    """Count the runs that Dagster believes to be unfinished."""
    with instance_of(home) as instance:
        return sum(not record.is_finished for record in instance.get_runs())


def instance_of(home: Path) -> dg.DagsterInstance:
    """Open the Dagster instance of a home."""
    return dg.DagsterInstance.from_config(str(prepare_dagster_home(Home(home))))


if __name__ == "__main__":
    sys.exit(main())
