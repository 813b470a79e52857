"""A finished small run that a test may write into."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dagster_project.declared.experiment import BatchExperiment
from tests.support import small_simulation
from uplift_core.artifacts.home import Home


@pytest.fixture
def home(simulated_home: Path, tmp_path: Path) -> Home:
    """A home with a copy of the finished simulated run."""
    shutil.copytree(simulated_home, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def simulated() -> BatchExperiment:
    """The experiment of the simulated run."""
    return small_simulation()
