"""Dagster sees every changed SQL file: whatever makes a layer is part of its code version."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from dagster_project.assets.layer_sql import BESIDES, MODULES, PACKAGE, sql_of
from dagster_project.settings import SQL_FOLDER
from dagster_project.warehouse import sql
from tests.support import few_rounds, run_job, small_simulation

# Files of experiments' folders, of tables and migrations, and of checks.
NO_LAYERS = {"experiments", "tables", "migrations", "quality"}
LAYERS = [
    *("raw", "features", "assignment", "cells", "models", "scores", "evaluation", "thresholds"),
    *("treat_list", "export"),
]


def test_every_file_is_part_of_some_layer() -> None:
    files = {file.relative_to(SQL_FOLDER).as_posix() for file in SQL_FOLDER.rglob("*.sql")}
    makers = {name for name in files if name.partition("/")[0] not in NO_LAYERS}
    assert makers == {name for layer in {*MODULES, *BESIDES} for name in sql_of(layer)}


@pytest.mark.parametrize("module", sorted({name for names in MODULES.values() for name in names}))
def test_the_modules_are_there(module: str) -> None:
    assert (PACKAGE / f"{module}.py").is_file()


def test_what_a_layer_renders_is_part_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: dict[str, set[str]] = defaultdict(set)
    current = ""
    get_template = sql._environment.get_template

    def record(name: str) -> object:
        rendered[current].add(name)
        return get_template(name)

    monkeypatch.setattr(sql._environment, "get_template", record)
    simulated = few_rounds(small_simulation())
    run_job(simulated, tmp_path, only=["raw"])
    for layer in LAYERS:
        current = layer
        run_job(simulated, tmp_path, only=[layer])
    always = {"decisions/contacts.sql"}  # a view of every warehouse that is opened
    made = {
        layer: {name for name in names - always if not name.startswith("quality/")}
        for layer, names in rendered.items()
        if layer
    }
    assert made["treat_list"] >= {"decisions/roles.sql", "decisions/cut.sql", "decisions/night.sql"}
    missing = {layer: names - set(sql_of(layer)) for layer, names in made.items()}
    assert {layer: names for layer, names in missing.items() if names} == {}
