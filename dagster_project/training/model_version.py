"""Make trained models the current version of an experiment: bundle, registry, rules and their texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.bundle import Learned, write_bundle
from dagster_project.training.fitting import Trained
from dagster_project.training.registry import registry_rows, write_registry
from dagster_project.training.rule_texts import ArmRules, write_rule_texts
from dagster_project.training.rules import write_rules
from dagster_project.warehouse.connection import Warehouse
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges
from uplift_core.targeting.effect_map import EffectMap


def write_models(  # noqa: PLR0913 - what was trained, and with what
    db: Warehouse,
    root: Path,
    experiment: BatchExperiment,
    edges: BinEdges,
    trained: Mapping[str, Trained],
    *,
    used: dict[str, LearnerParameters],
    effect_maps: Mapping[str, EffectMap] | None = None,
) -> tuple[str, Path]:
    """Save the models of all arms; return their version and the bundle's folder.

    Args:
        db: the warehouse, in a transaction.
        root: the folder of bundles.
        experiment: the experiment.
        edges: the bins that the models were trained on.
        trained: arm -> what its training yielded.
        used: arm -> the parameters that it was trained with.
        effect_maps: the maps that make the arms' scores comparable, if the arms were judged together.
    """
    models = {arm: each.model for arm, each in trained.items()}
    version, path = write_bundle(db, root, experiment, Learned(edges, models, effect_maps or {}))
    verdicts = {arm: each.verdict for arm, each in trained.items()}
    write_registry(db, experiment, version, registry_rows(experiment, version, path, used, verdicts))
    write_rules(db, experiment, version, {arm: each.rules for arm, each in trained.items()})
    texts = {arm: ArmRules(each.model, each.rules) for arm, each in trained.items()}
    write_rule_texts(db, experiment, version, edges, texts)
    return version, path
