"""The finished run of three offers, for lists over several arms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import offers_experiment, opened
from uplift_core.artifacts.home import Home


@pytest.fixture(scope="module")
def finished_offers(offers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of UPLIFT_HOME after a run of the offers."""
    home = tmp_path_factory.mktemp("best") / "home"
    shutil.copytree(offers_home, home, symlinks=True)
    return home


@pytest.fixture
def offers_db(finished_offers: Path) -> Iterator[Warehouse]:
    """Its warehouse; what a test writes is not kept."""
    with opened(Home(finished_offers)) as db:
        yield db
        db.rows("rollback")
        db.rows("begin")


@pytest.fixture
def offers(finished_offers: Path) -> BatchExperiment:
    return offers_experiment(finished_offers)
