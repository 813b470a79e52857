"""Finished runs that tests of every package read from; nobody writes into them."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest
from hypothesis import settings

from dagster_project.warehouse.connection import Warehouse
from tests.support import (
    ID_KEY,
    TO_PUBLISHED,
    Open,
    folder_of,
    made_once,
    memory_warehouse,
    open_snapshot,
    real_criteo,
    real_file,
    run_households,
    run_job,
    run_offers,
    shared_folder,
    small_simulation,
)


def pytest_configure() -> None:
    """Make tests independent of how busy the machine is, and of who started them."""
    os.environ.setdefault("UPLIFT_ID_KEY_FILE", str(ID_KEY))  # text ids get the same numbers each time
    settings.register_profile("no deadline", deadline=None, max_examples=40)
    settings.load_profile("no deadline")
    # Tests send SIGINT, which a shell lets the jobs that it starts in the background ignore.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Of several processes, only one runs tests while one that is marked ``timed`` runs."""
    alone = item.get_closest_marker("timed") is not None
    folder = shared_folder(item.config._tmp_path_factory)
    with (folder / "turn").open("a") as turn, (folder / "run").open("a") as run:
        fcntl.flock(turn, fcntl.LOCK_EX)  # who waits to be alone goes before who comes later
        fcntl.flock(run, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session")
def simulated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after a run of the simulated experiment on 5,000 users."""
    return made_once(tmp_path_factory, "simulated", partial(run_job, small_simulation()))


@pytest.fixture(scope="session")
def hillstrom_file() -> Path:
    """The real Hillstrom file."""
    return real_file(folder_of("hillstrom").declaration)


@pytest.fixture(scope="session")
def hillstrom_home(tmp_path_factory: pytest.TempPathFactory, hillstrom_file: Path) -> Path:
    """UPLIFT_HOME after a run on the real Hillstrom file."""
    run = partial(run_job, folder_of("hillstrom"), data_dir=hillstrom_file.parent)
    return made_once(tmp_path_factory, "hillstrom", run)


@pytest.fixture(scope="session")
def criteo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after a run on 200,000 real rows of Criteo's file."""
    run = partial(run_job, real_criteo(), only=TO_PUBLISHED)
    return made_once(tmp_path_factory, "criteo", run)


@pytest.fixture(scope="session")
def households_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after a draft and a run of 3,000 households, which were assigned as a whole."""
    return made_once(tmp_path_factory, "households", run_households)


@pytest.fixture(scope="session")
def offers_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UPLIFT_HOME after a draft and a run of 8,000 users of three offers with different costs."""
    return made_once(tmp_path_factory, "offers", run_offers)


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
