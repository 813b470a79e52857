"""Applications on finished runs. Each has a copy of its home: DuckDB files opened twice would meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.support import api_of, attributes_of, copy_home, query


@pytest.fixture(scope="session")
def simulated_served(simulated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(simulated_home, tmp_path_factory.mktemp("serve") / "simulated")


@pytest.fixture(scope="session")
def hillstrom_served(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(hillstrom_home, tmp_path_factory.mktemp("serve") / "hillstrom")


@pytest.fixture(scope="session")
def simulated_api(simulated_served: Path) -> Iterator[TestClient]:
    with api_of(simulated_served) as client:
        yield client


@pytest.fixture(scope="session")
def hillstrom_api(hillstrom_served: Path) -> Iterator[TestClient]:
    with api_of(hillstrom_served) as client:
        yield client


@pytest.fixture
def home(simulated_home: Path, tmp_path: Path) -> Path:
    """A home of the simulated experiment that the test may change."""
    return copy_home(simulated_home, tmp_path / "home")


@pytest.fixture(scope="session")
def simulated_user(simulated_served: Path) -> dict[str, object]:
    """Attributes of the first simulated user."""
    (row,) = query(simulated_served, "from raw.simulated where user_id = 1")
    return attributes_of(simulated_served, "simulated", row)


@pytest.fixture(scope="session")
def hillstrom_user(hillstrom_served: Path) -> dict[str, object]:
    """Attributes of the first customer of the Hillstrom file."""
    (row,) = query(hillstrom_served, "from raw.hillstrom where user_id = 1")
    return attributes_of(hillstrom_served, "hillstrom", row)
