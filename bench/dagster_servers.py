"""Start Dagster's web server and daemon as processes, and call them by GraphQL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from dagster_project.instance import prepare_dagster_home
from dagster_project.settings import REPOSITORY
from uplift_core.artifacts.home import Home

PATIENCE = 240.0  # seconds; a busy machine needs a minute or two to import what the servers need
LOCATION = "dagster_project.definitions"
ENDS = {"SUCCESS", "FAILURE", "CANCELED"}
STEP_START = "ExecutionStepStartEvent"
LAUNCH = """
mutation Launch($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}"""
TERMINATE = """
mutation Terminate($run: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $run, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}"""
EVENTS = """
query Events($run: ID!) {
  logsForRun(runId: $run) {
    ... on EventConnection {
      events {
        __typename
        ... on MessageEvent { message stepKey }
        ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } }
      }
    }
  }
}"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class DagsterServers:
    """A running web server and daemon."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self._process = url, process

    def kill(self) -> None:
        """Kill all processes by SIGKILL, as if the machine had stopped."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ask(self, query: str, variables: Mapping[str, object] = {}) -> dict[str, Any]:
        """Send a GraphQL query and return its data.

        Raises:
            RuntimeError: the answer has errors.
        """
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": dict(variables)},
            timeout=PATIENCE,
            trust_env=False,
        ).json()
        if "errors" in answer:
            raise RuntimeError(f"Dagster answers {answer['errors']}")
        data: dict[str, Any] = answer["data"]
        return data

    def launch(
        self,
        job: str,
        *,
        date: str,
        config: Mapping[str, object],
        assets: Sequence[tuple[str, str]] = (),
    ) -> str:
        """Launch a job, or only some of its assets, for a decision date; return the run's id.

        Raises:
            RuntimeError: Dagster refuses the launch.
        """
        place = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "pipelineName": job,
        } | ({"assetSelection": [{"path": list(asset)} for asset in assets]} if assets else {})
        tags = [{"key": "dagster/partition", "value": date}]
        execution = {
            "selector": place,
            "runConfigData": config,
            "executionMetadata": {"tags": tags},
        }
        answer = self.ask(LAUNCH, {"execution": execution})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(f"{job} is not launched: {answer}")
        return str(answer["run"]["runId"])

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Terminate a run as the UI does; ``force`` marks it as canceled whatever its process does.

        Raises:
            RuntimeError: Dagster refuses to terminate the run.
        """
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.ask(TERMINATE, {"run": run_id, "policy": policy})["terminateRun"]
        if answer["__typename"] != "TerminateRunSuccess":
            raise RuntimeError(f"{run_id} is not terminated: {answer}")

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Read the events of a run's log."""
        return list(self.ask(EVENTS, {"run": run_id})["logsForRun"]["events"])

    def wait_for_step(self, run_id: str, step: str, seconds: float = PATIENCE) -> None:
        """Wait until a step has begun.

        Raises:
            TimeoutError: the step does not begin in time.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = (e["stepKey"] for e in self.events(run_id) if e["__typename"] == STEP_START)
            if step in begun:
                return
            time.sleep(0.2)
        raise TimeoutError(f"step {step} of run {run_id} does not begin")

    def status(self, run_id: str) -> str:
        """Read the status of a run."""
        return str(self.ask(STATUS, {"id": run_id})["runOrError"]["status"])

    def wait(self, run_id: str, seconds: float = PATIENCE) -> str:
        """Wait until a run ends and return its status.

        Raises:
            TimeoutError: the run does not end in time; the message has its status and last log entries.
        """
        until = time.monotonic() + seconds
        while (status := self.status(run_id)) not in ENDS:
            if time.monotonic() > until:
                last = [event.get("message", "") for event in self.events(run_id)][-3:]
                raise TimeoutError(f"run {run_id} is {status} after {seconds:.0f} s: {last}")
            time.sleep(0.3)
        return status


@contextmanager
def dagster_servers(home: Path, log: Path, **environment: str) -> Iterator[DagsterServers]:
    """Start ``dagster dev`` as ``make dev`` does, on a free port; yield it when it answers queries.

    Raises:
        SystemExit: it does not get ready; ``log`` says why.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"UPLIFT_HOME": str(home), "DAGSTER_HOME": str(prepare_dagster_home(Home(home)))}
    command = [Path(sys.executable).with_name("dagster"), "dev", "-w", "workspace.yaml", "-p", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(  # noqa: S603 - our own servers
            command,
            cwd=REPOSITORY,
            env=os.environ | places | environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        servers = DagsterServers(f"http://127.0.0.1:{port}", process)
        try:
            _await(servers, log)
            yield servers
        finally:
            _stop(process)


def _await(servers: DagsterServers, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            data = servers.ask("{ repositoriesOrError { __typename } }")
            if data["repositoriesOrError"]["__typename"] == "RepositoryConnection":
                return
        except (httpx.TransportError, ValueError):
            pass
        time.sleep(0.2)
    raise SystemExit(f"Dagster does not get ready; {log} says why")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask all processes to end, and kill those that do not."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
