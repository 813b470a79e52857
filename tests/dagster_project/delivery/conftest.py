"""A finished run of an experiment with text ids; nobody writes into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dagster_project.delivery.shop import make_shop
from tests.support import made_once


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the experiment of a file with text ids, and a home with a list, published twice."""
    return made_once(tmp_path_factory, "shop", make_shop)
