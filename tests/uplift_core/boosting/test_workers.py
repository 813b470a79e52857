"""Processes of a pool end with the process that started them, however that one ends."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from dagster_project.settings import REPOSITORY

PARENT = """
import os
import time
from multiprocessing import get_context
from uplift_core.boosting.without_scikit_learn import begin_worker

pool = get_context("spawn").Pool(1, begin_worker)
print(pool.apply(os.getpid), flush=True)
pool.apply(time.sleep, (600,))
"""


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_no_worker_outlives_a_process_that_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as parent:
        assert parent.stdout
        worker = psutil.Process(int(parent.stdout.readline()))
        assert is_running(worker)
        parent.kill()
    end = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(worker)
