"""DuckDB's shell opens the published snapshot, even if it is an earlier release than the batch's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dagster_project.commands.shell import ask_warehouse, command
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import NothingPublishedError
from uplift_core.errors import UpliftError


def test_the_shell_reads_the_snapshot_and_cannot_write(simulated_home: Path) -> None:
    home = Home(simulated_home)
    query = "select count(*) as users from scores.simulated"
    result = subprocess.run(command(home, query), capture_output=True, text=True, check=True)
    assert "5000" in result.stdout
    wrote = subprocess.run(
        command(home, "drop table scores.simulated"), capture_output=True, text=True, check=False
    )
    assert wrote.returncode != 0
    assert "read-only" in wrote.stderr


def test_the_warehouse_is_asked_by_name(simulated_home: Path, tmp_path: Path) -> None:
    home = Home(simulated_home)
    assert "5000" in ask_warehouse(home, "select count(*) as users from scores.simulated")
    for query, fault in {
        "": "one query",
        "drop table scores.simulated": "read-only",
        "x": "syntax",
    }.items():
        with pytest.raises(UpliftError, match=fault):
            ask_warehouse(home, query)
    with pytest.raises(UpliftError, match="run `make run`"):
        ask_warehouse(Home(tmp_path), "select 1")


def test_nothing_published_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingPublishedError):
        command(Home(tmp_path))
