"""Our own servers as processes, for as long as a context lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

PATIENCE = 60.0  # seconds


@contextmanager
def serving(module: list[str], health: str, **environment: str) -> Iterator[None]:
    """``python -m <module>``, ready once ``health`` answers.

    Raises:
        SystemExit: it does not get ready.
    """
    with subprocess.Popen(  # noqa: S603 - our own servers
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
        time.sleep(0.1)
    raise SystemExit(f"{name} does not get ready")
