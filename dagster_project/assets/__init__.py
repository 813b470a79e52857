"""Define the assets of every experiment, ``<experiment>/<layer>``, by one factory."""

from __future__ import annotations

import dagster as dg

from dagster_project.assets.common import nights_from
from dagster_project.assets.decisions import (
    multi_arm_list_asset,
    outcomes_asset,
    realised_asset,
    thresholds_asset,
    treat_list_asset,
)
from dagster_project.assets.delivery import (
    delivered_asset,
    export_asset,
    published_asset,
    retention_asset,
)
from dagster_project.assets.evaluation import (
    crosscheck_asset,
    evaluation_asset,
    model_card_asset,
    multi_arm_asset,
)
from dagster_project.assets.inputs import (
    assignment_asset,
    features_asset,
    population_asset,
    population_scores_asset,
    raw_asset,
)
from dagster_project.assets.learning import learned_asset
from dagster_project.assets.training import cells_asset, models_asset, scores_asset, tuning_asset
from dagster_project.declared.experiment import BatchExperiment

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
    published_asset,
)
NIGHTLY_LAYERS = (treat_list_asset, export_asset, realised_asset)  # layers of one decision date
POPULATION_LAYERS = (population_asset, population_scores_asset)  # layers of a declared population


def experiment_assets(experiment: BatchExperiment, first_night: str) -> list[dg.AssetsDefinition]:
    """Build all assets of one experiment, with their checks.

    Args:
        experiment: the experiment.
        first_night: the first date for which lists can be written, YYYY-MM-DD.
    """
    nights = nights_from(first_night)
    assets = [layer(experiment) for layer in LAYERS]
    assets += [layer(experiment, nights) for layer in NIGHTLY_LAYERS]
    if len(experiment.declaration.treatments) > 1:
        assets += [multi_arm_asset(experiment), multi_arm_list_asset(experiment, nights)]
    if arrivals := experiment.declaration.arrivals:
        assets.append(outcomes_asset(experiment, arrivals))
    if learning := experiment.declaration.learning:
        assets.append(learned_asset(experiment, learning))
    if experiment.declaration.delivery:
        assets.append(delivered_asset(experiment, nights))
    if experiment.declaration.retention.prunes:
        assets.append(retention_asset(experiment))
    if experiment.declaration.population:
        assets += [layer(experiment) for layer in POPULATION_LAYERS]
    return assets
