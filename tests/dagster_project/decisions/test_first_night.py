"""The first date that Dagster expects a list for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.decisions.first_night import first_night, remember_first_night
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.instance import prepare_dagster_home
from dagster_project.resources import Engine
from dagster_project.settings import Settings
from uplift_core.artifacts.home import Home

TODAY = datetime.now(UTC).date().isoformat()


def missing(home: Path, experiment: BatchExperiment) -> list[str]:
    """Return the dates that Dagster reports as missing for a home without lists."""
    engine = Engine.from_settings(Settings(home=home, experiments=""))
    graph = build_definitions([experiment], engine).resolve_asset_graph()
    nights = graph.get(dg.AssetKey([experiment.name, "treat_list"])).partitions_def
    return list(nights.get_partition_keys())


def test_on_its_first_day_a_home_lacks_one_list(tmp_path: Path, simulated: BatchExperiment) -> None:
    prepare_dagster_home(Home(tmp_path))
    assert missing(tmp_path, simulated) == [TODAY]


def test_the_first_day_is_remembered(tmp_path: Path, simulated: BatchExperiment) -> None:
    home = Home(tmp_path)
    (tmp_path / "first_night").write_text("2026-01-30\n")
    remember_first_night(home)
    assert first_night(home) == "2026-01-30"
    assert missing(tmp_path, simulated)[:3] == ["2026-01-30", "2026-01-31", "2026-02-01"]


def test_a_home_of_before_begins_with_its_first_list(home: Home) -> None:
    """The finished run has published a list of today."""
    assert not (home.root / "first_night").exists()
    remember_first_night(home)
    assert (home.root / "first_night").read_text() == f"{TODAY}\n"


def test_the_settings_name_an_earlier_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_first_night(Home(tmp_path))
    monkeypatch.setenv("UPLIFT_FIRST_NIGHT", "2025-07-01")
    settings = Settings(home=tmp_path)
    assert settings.first_night == date(2025, 7, 1)
    assert Engine.from_settings(settings).first_night == "2025-07-01"
