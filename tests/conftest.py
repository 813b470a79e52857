"""Finished runs that tests of every package read from; nobody writes into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from dagster_project.warehouse import Warehouse
from tests.support import (
    CRITEO_LAYERS,
    Open,
    folder_of,
    memory_warehouse,
    open_snapshot,
    real_criteo,
    real_file,
    run_job,
    small_simulation,
)


@pytest.fixture(scope="session")
def simulated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after a run of the simulated experiment on 5,000 users."""
    home = tmp_path_factory.mktemp("simulated") / "home"
    run_job(small_simulation(), home)
    return home


@pytest.fixture(scope="session")
def hillstrom_file() -> Path:
    """The real Hillstrom file."""
    return real_file(folder_of("hillstrom").experiment)


@pytest.fixture(scope="session")
def hillstrom_home(tmp_path_factory: pytest.TempPathFactory, hillstrom_file: Path) -> Path:
    """UPLIFT_HOME after a run on the real Hillstrom file."""
    home = tmp_path_factory.mktemp("hillstrom") / "home"
    run_job(folder_of("hillstrom"), home, data_dir=hillstrom_file.parent)
    return home


@pytest.fixture(scope="session")
def criteo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dg.ExecuteInProcessResult]:
    """UPLIFT_HOME after a run on 200,000 real rows of Criteo's file, and how the run went."""
    home = tmp_path_factory.mktemp("criteo") / "home"
    return home, run_job(real_criteo(), home, only=CRITEO_LAYERS)


@pytest.fixture(scope="session")
def criteo_home(criteo_run: tuple[Path, dg.ExecuteInProcessResult]) -> Path:
    """UPLIFT_HOME after a run on 200,000 real rows of Criteo's file."""
    return criteo_run[0]


@pytest.fixture
def snapshot() -> Iterator[Open]:
    """``snapshot(home)`` opens the published snapshot read-only; closed after the test."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def open_(home: Path) -> duckdb.DuckDBPyConnection:
        opened.append(open_snapshot(home))
        return opened[-1]

    yield open_
    for con in opened:
        con.close()


@pytest.fixture
def db() -> Iterator[Warehouse]:
    """An empty warehouse in memory."""
    warehouse = memory_warehouse()
    yield warehouse
    warehouse.con.close()
