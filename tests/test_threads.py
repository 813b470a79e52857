"""XGBoost's threads yield to others wherever it is loaded first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENTRIES = ("dagster_project.run", "dagster_project.main_job", "serve.app")


@pytest.mark.parametrize("module", ENTRIES)
def test_openmp_waits_passively(module: str) -> None:
    """OpenMP shows its settings when it is loaded."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    call = [sys.executable, "-c", f"import {module}, xgboost"]
    done = subprocess.run(
        call, env=environment | {"OMP_DISPLAY_ENV": "true"}, check=True, capture_output=True, text=True
    )
    policies = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies
    assert all("PASSIVE" in line for line in policies)
