"""Start this project's servers as processes, for the duration of a context."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

PATIENCE = 240.0  # seconds; enough on a machine that is busy with other things


@contextmanager
def serving(module: list[str], health: str, **environment: str) -> Iterator[None]:
    """Start ``python -m <module>`` and wait until ``health`` answers.

    Raises:
        SystemExit: the server does not get ready in time.
    """
    with subprocess.Popen(  # noqa: S603 - servers of this project
        [sys.executable, "-m", *module],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            _await(module[0], health)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _await(name: str, health: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if httpx.get(health, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"{name} does not get ready")


@contextmanager
def api_on(
    home: Path,
    *,
    workers: int = 1,
    log: IO[bytes] | int = subprocess.DEVNULL,
    health: str = "/readyz",
    **environment: str,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start the API on ``home`` as a separate process; yield its address and the process.

    Args:
        home: the home whose snapshot is served.
        workers: number of the API's processes.
        log: where its errors and warnings go.
        health: the path that must answer.
        environment: further variables of its environment.

    Raises:
        SystemExit: the API does not get ready in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["serve", "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(  # noqa: S603 - a server of this project
        [sys.executable, "-m", *command, "--log-level", "warning", "--no-access-log"],
        env=os.environ | {"UPLIFT_HOME": str(home)} | environment,
        stderr=log,
    ) as process:
        try:
            _await("the API", f"http://127.0.0.1:{port}{health}")
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Read a process's resident memory and its peak so far, in MiB (Linux)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Vm")}
    return sizes["VmRSS"], sizes["VmHWM"]
