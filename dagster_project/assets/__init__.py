"""The assets of every experiment, made by one factory: ``<experiment>/<layer>``."""

from __future__ import annotations

import dagster as dg

from dagster_project.assets.decisions import (
    NIGHTS,
    export_asset,
    published_asset,
    realised_asset,
    treat_list_asset,
)
from dagster_project.assets.evaluation import (
    crosscheck_asset,
    evaluation_asset,
    model_card_asset,
    thresholds_asset,
)
from dagster_project.assets.inputs import assignment_asset, features_asset, raw_asset
from dagster_project.assets.multi_arm import multi_arm_asset, multi_arm_list_asset
from dagster_project.assets.population import population_asset, population_scores_asset
from dagster_project.assets.scoring import scores_asset
from dagster_project.assets.training import cells_asset, models_asset
from dagster_project.assets.tuning import tuning_asset
from dagster_project.checks.assets import CHECKS, layer_checks
from dagster_project.folders import ExperimentFolder

LAYERS = (
    raw_asset,
    features_asset,
    assignment_asset,
    cells_asset,
    tuning_asset,
    models_asset,
    scores_asset,
    evaluation_asset,
    model_card_asset,
    crosscheck_asset,
    thresholds_asset,
    treat_list_asset,
    export_asset,
    published_asset,
    realised_asset,
)

MULTI_ARM_LAYERS = (multi_arm_asset, multi_arm_list_asset)  # where there is more than one treatment
POPULATION_LAYERS = (population_asset, population_scores_asset)  # where one is declared


def experiment_checks(folder: ExperimentFolder) -> list[dg.AssetChecksDefinition]:
    """The checks of every layer of one experiment."""
    partitions = {"treat_list": NIGHTS}
    layers = [layer for layer in CHECKS if layer != "population" or folder.experiment.population]
    return [layer_checks(folder, layer, partitions.get(layer)) for layer in layers]


def experiment_assets(folder: ExperimentFolder) -> list[dg.AssetsDefinition]:
    """All assets of one experiment."""
    layers = [*LAYERS]
    if len(folder.experiment.treatments) > 1:
        layers += MULTI_ARM_LAYERS
    if folder.experiment.population:
        layers += POPULATION_LAYERS
    return [layer(folder) for layer in layers]
