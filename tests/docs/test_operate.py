"""What docs/operate.md shows to be typed is taken as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from dagster_project.definitions import build_definitions
from dagster_project.resources import Engine
from dagster_project.settings import REPOSITORY
from dagster_project.warehouse.connection import Warehouse
from tests.support import folder_of

PAGE = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8")
CONFIGS = re.findall("```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
NAMED = ("treat_list", "models", "realised", "multi_arm_list")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """Hillstrom's assets and jobs."""
    engine = Engine(home=str(tmp_path_factory.mktemp("home")))
    return build_definitions([folder_of("hillstrom")], engine)


def test_every_asset_that_can_be_asked_is_shown() -> None:
    assert sorted(op for text in CONFIGS for op in yaml.safe_load(text)["ops"]) == sorted(
        f"hillstrom__{layer}" for layer in NAMED
    )


@pytest.mark.parametrize("text", CONFIGS)
def test_run_configuration_is_as_the_job_takes_it(definitions: dg.Definitions, text: str) -> None:
    job = "measure_hillstrom" if "realised" in text else "uplift_hillstrom"
    assert dg.validate_run_config(definitions.resolve_job_def(job), yaml.safe_load(text))


def test_every_promise_names_a_test_or_a_command_that_there_is() -> None:
    section = PAGE.partition("## Promises")[2].partition("Not promised:")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| **")]
    assert len(rows) > 10
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    for _, promise, shown, _ in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
        commands = re.findall(r"`make ([a-z-]+)`", shown)
        assert tests or commands, promise
        assert set(commands) <= set(targets)
        for file, name in tests:
            assert f"def {name}(" in (REPOSITORY / file).read_text(encoding="utf-8"), name


def test_users_are_suppressed_by_the_files_own_id(
    db: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a second time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unsubscribed.csv").write_text("customer\nK2\nK9\n")
    db.rows(
        "create table raw.spring_mail as select range as user_id, 'K' || range as customer from range(5)"
    )
    (sql,) = re.findall("```sql\n(.*?)```", PAGE, flags=re.DOTALL)
    for _ in range(2):
        db.rows(sql)
    assert db.rows("from decisions.suppressions") == [("spring_mail", 2, "unsubscribed", None)]
