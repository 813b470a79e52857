"""A changed source file requests one run; an unchanged file requests none."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from dagster_project.definitions import build_definitions
from dagster_project.resources import Engine
from tests.support import folder_of, with_experiment
from uplift_core.experiment.sources import OwnFile


def test_a_changed_file_asks_for_one_run(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("first")
    folder = with_experiment(folder_of("hillstrom"), source=OwnFile(kind="own_file", path=file))
    engine = Engine(home=str(tmp_path / "home"))
    definitions = build_definitions([folder, folder_of("simulated")], engine)
    sensor = definitions.resolve_sensor_def("source_changed")
    with dg.DagsterInstance.ephemeral() as instance:
        looks, cursor = [], None
        for content in ("first", "first", "second", "second"):
            if file.read_text() != content:
                file.write_text(content)
                os.utime(file, ns=(2_000_000_000_000_000_000,) * 2)
            context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
            tick = sensor.evaluate_tick(context)
            cursor = tick.cursor
            looks.append([request.job_name for request in tick.run_requests])
    assert looks == [[], [], ["uplift_hillstrom"], []]
