"""The Dagster definitions. A changed name changes for everybody who schedules or links to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_project.assets.decisions import ListConfig, OutcomesConfig
from dagster_project.assets.proof import EVALUATOR, ProofConfig
from dagster_project.assets.training import ModelConfig
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.definitions import build_definitions
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.resources import WAREHOUSE_POOL, Engine
from dagster_project.settings import Settings
from tests.support import folder_of
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.experiment.declaration import FEATURES_SQL
from uplift_core.targeting.budget import Budget

EXPERIMENTS = ["criteo", "hillstrom", "simulated"]
LAYERS = [
    "assignment",
    "cells",
    "crosscheck",
    "evaluation",
    "export",
    "features",
    "model_card",
    "models",
    "published",
    "raw",
    "realised",
    "scores",
    "thresholds",
    "treat_list",
    "tuning",
]
SEVERAL_ARMS = {"hillstrom": ["multi_arm", "multi_arm_list"]}
# Only the built-in experiments, whatever a developer's folder of experiments holds.
SETTINGS = Settings(experiments="")
defs = build_definitions(experiment_folders(SETTINGS), Engine.from_settings(SETTINGS))
GRAPH = defs.resolve_asset_graph()
ASSETS = [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)]


def layers_of(name: str) -> list[str]:
    return LAYERS + SEVERAL_ARMS.get(name, [])


def test_every_asset_key() -> None:
    keys = sorted(key.to_user_string() for key in GRAPH.get_all_asset_keys())
    expected = [f"{name}/{layer}" for name in EXPERIMENTS for layer in layers_of(name)]
    assert keys == sorted([*expected, "proof/evaluator"])


def test_every_job() -> None:
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    expected = {f"{what}_{name}" for name in EXPERIMENTS for what in ("uplift", "tune", "measure")}
    assert jobs == {*expected, "nightly_decisions"}


def test_every_schedule_and_sensor() -> None:
    repository = defs.get_repository_def()
    assert [(s.name, s.cron_schedule) for s in repository.schedule_defs] == [
        ("nightly_decisions", "0 2 * * *")
    ]
    assert [sensor.name for sensor in repository.sensor_defs] == ["source_changed"]


def test_the_code_version_is_that_of_the_sql(tmp_path: Path) -> None:
    """Equal SQL and declaration give equal versions; another features.sql does not."""

    def versions(experiment: BatchExperiment) -> dict[str, str]:
        built = build_definitions([experiment], Engine(home=str(tmp_path)))
        graph = built.resolve_asset_graph()
        return {
            key.path[-1]: graph.get(key).code_version
            for key in graph.get_all_asset_keys()
            if key != EVALUATOR
        }

    base = folder_of("hillstrom")
    shutil.copytree(base.path, tmp_path / "hillstrom")
    text = (tmp_path / "hillstrom" / FEATURES_SQL).read_text()
    (tmp_path / "hillstrom" / FEATURES_SQL).write_text(text.replace("months", "full months"))
    first = versions(base)
    other = versions(BatchExperiment.read(base.declaration, tmp_path / "hillstrom"))
    assert versions(folder_of("hillstrom")) == first
    assert {layer for layer in first if first[layer] != other[layer]} == {"features"}


def test_every_check() -> None:
    """All checks except warnings stop downstream layers."""
    checks = {key.path[-1]: set() for key in GRAPH.get_all_asset_keys()}
    for key in GRAPH.asset_check_keys:
        checks[key.asset_key.path[-1]].add(key.name)
        assert GRAPH.get(key).blocking
    assert {layer: names for layer, names in checks.items() if names} == {
        "evaluator": {"holds"},
        "raw": {"schema", "keys", "arms", "outcomes", "columns", "published", "maturity"},
        "features": {"keys", "values", "missing", "drift"},
        "assignment": {"keys", "arms", "splits", "outcomes", "sample_ratio"},
        "cells": {"balance", "predictability", "leakage"},
        "scores": {"keys", "values", "drift"},
        "treat_list": {"keys", "decisions", "values", "kept_out"},
        "multi_arm_list": {"worth"},
    }


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_main_job_makes_all_but_what_is_asked_for(name: str) -> None:
    job = defs.resolve_job_def(f"uplift_{name}")
    in_job = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
    assert in_job == set(layers_of(name)) - {"tuning", "realised"} | {"evaluator"}


@pytest.mark.parametrize("config", [ListConfig, ModelConfig, OutcomesConfig, ProofConfig])
def test_all_that_a_run_may_be_told_is_explained(config: type[dg.Config]) -> None:
    assert [name for name, field in config.model_fields.items() if not field.description] == []


def test_a_run_that_is_told_nothing_does_as_declared() -> None:
    declared = LearnerParameters()
    assert ModelConfig().with_rounds(declared) == declared
    config = ListConfig()
    assert config.requested_budget(0.3) == Budget(share=0.3)
    assert (config.learner, config.override) == ("declared", "")


def test_rounds_are_those_of_every_model() -> None:
    declared = LearnerParameters(s=LearnerParameters().outcome)
    used = ModelConfig(rounds=7).with_rounds(declared)
    assert {used.outcome.rounds, used.effect.rounds, used.s.rounds} == {7}
    assert used.effect == declared.effect.model_copy(update={"rounds": 7})
    with pytest.raises(ValidationError, match="rounds"):
        ModelConfig(rounds=-1)


def test_no_experiment_is_evaluated_unless_the_evaluator_is_proven() -> None:
    for name in EXPERIMENTS:
        assert EVALUATOR in GRAPH.get(dg.AssetKey([name, "evaluation"])).parent_keys
    (check,) = GRAPH.get_check_keys_for_assets([EVALUATOR])
    assert GRAPH.get(check).blocking


@pytest.mark.parametrize("key", sorted(GRAPH.get_all_asset_keys()), ids=lambda key: key.to_user_string())
def test_every_asset_says_what_it_is_and_takes_its_turn(key: dg.AssetKey) -> None:
    node = GRAPH.get(key)
    assert node.group_name == key.path[0]  # each experiment is a group; the proof is one, too
    assert node.owners == ["team:uplift"]
    assert key == EVALUATOR or node.tags["experiment"] == key.path[0]
    assert node.kinds
    assert node.pools == {WAREHOUSE_POOL}
    assert len(node.description) > 20


def test_tables_state_their_grain() -> None:
    without = [
        key.to_user_string()
        for key in GRAPH.get_all_asset_keys()
        if "ne row per" not in GRAPH.get(key).description and key.path[-1] != "published"
    ]
    assert without == []


def test_data_flows_one_way_through_the_layers() -> None:
    """Layers depend only on earlier ones; no experiment depends on another."""
    for name in EXPERIMENTS:
        ancestors = GRAPH.get_ancestor_asset_keys(dg.AssetKey([name, "published"]))
        assert {key.path[0] for key in ancestors} == {name, "proof"}
        assert {key.path[-1] for key in ancestors} >= {
            *("raw", "features", "assignment", "cells", "models", "scores"),
            *("evaluation", "thresholds", "treat_list", "export"),
        }
        assert GRAPH.get(dg.AssetKey([name, "raw"])).parent_keys == set()


def test_what_is_published_waits_for_all_that_is_in_the_snapshot() -> None:
    for name in EXPERIMENTS:
        ancestors = GRAPH.get_ancestor_asset_keys(dg.AssetKey([name, "published"]))
        missing = set(layers_of(name)) - {key.path[-1] for key in ancestors}
        assert missing == {"published", "tuning"}


def test_all_jobs_can_be_built() -> None:
    dg.Definitions.validate_loadable(defs)
