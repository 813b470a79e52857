"""Threads of XGBoost yield to others, and NumPy has none, wherever they are loaded first."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ENTRIES = ("dagster_project.run", "dagster_project.main_job", "serve.app")


@pytest.mark.parametrize("module", ENTRIES)
def test_openmp_waits_passively_and_openblas_takes_one_thread(module: str) -> None:
    """OpenMP shows its settings when it is loaded."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_"))}
    pools = "[pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas']"
    script = f"import {module}, xgboost; from threadpoolctl import threadpool_info; print({pools})"
    call = [sys.executable, "-c", script]
    done = subprocess.run(
        call, env=environment | {"OMP_DISPLAY_ENV": "true"}, check=True, capture_output=True, text=True
    )
    policies = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies
    assert all("PASSIVE" in line for line in policies)
    threads = json.loads(done.stdout.splitlines()[-1])
    assert threads
    assert set(threads) == {1}
