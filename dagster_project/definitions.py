"""The Dagster definitions: assets and jobs of every experiment, built-in or from the settings."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from dagster_project.assets import experiment_assets
from dagster_project.assets.proof import EVALUATOR, evaluator
from dagster_project.automation import nightly_job, nightly_schedule, outcomes_sensor, source_sensor
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.experiments import experiment_folders
from dagster_project.learning_due import learning_sensor
from dagster_project.notices import RunNotices, run_sensors
from dagster_project.resources import Engine
from dagster_project.settings import Settings
from dagster_project.turns.executor import executor_in

# Not published: lists of earlier scores do not fit the new ones; the next night publishes its own.
LEARNING = ("learned", "scores", "evaluation", "model_card", "thresholds")


def build_definitions(
    folders: Sequence[BatchExperiment], engine: Engine, notices: RunNotices | None = None
) -> dg.Definitions:
    """Define the assets and jobs of ``folders``; ``engine`` runs them, ``notices`` tell of runs."""
    uplift_jobs = [_uplift_job(folder) for folder in folders]
    assets = [asset for f in folders for asset in experiment_assets(f, engine.first_night)]
    return dg.Definitions(
        assets=[evaluator, *assets],
        jobs=[
            *uplift_jobs,
            *(job(folder) for folder in folders for job in (_tuning_job, _measuring_job)),
            *(learning_jobs := [_learning_job(f) for f in folders if f.declaration.learning]),
            *(outcomes_jobs := [_outcomes_job(f) for f in folders if f.declaration.arrivals]),
            (nightly := nightly_job(folders)),
        ],
        schedules=[nightly_schedule(nightly, folders, engine)],
        sensors=[
            source_sensor(folders, uplift_jobs, engine),
            *([outcomes_sensor(folders, outcomes_jobs)] if outcomes_jobs else []),
            *([learning_sensor(folders, learning_jobs, engine)] if learning_jobs else []),
            *(run_sensors(notices) if notices else ()),
        ],
        resources={"engine": engine},
        executor=executor_in(engine.paths.root),
    )


def _uplift_job(experiment: BatchExperiment) -> dg.UnresolvedAssetJobDefinition:
    left = ("tuning", "realised", *(["learned"] if experiment.declaration.learning else []))
    return dg.define_asset_job(
        name=f"uplift_{experiment.name}",
        selection=dg.AssetSelection.assets(EVALUATOR)
        | dg.AssetSelection.key_prefixes([experiment.name])
        - dg.AssetSelection.assets(*([experiment.name, layer] for layer in left)),
        description=f"{experiment.declaration.title}: from the file to the published treat list.",
        tags={"experiment": experiment.name},
    )


def _tuning_job(experiment: BatchExperiment) -> dg.UnresolvedAssetJobDefinition:
    description = "Searches a grid of parameters by cross-validated loss; needs the cells."
    return _job_of(experiment, "tune", ["tuning"], description)


def _learning_job(experiment: BatchExperiment) -> dg.UnresolvedAssetJobDefinition:
    description = "Learns from lists with closed windows; better models rank the next night's list."
    scored = ("population_scores",) if experiment.declaration.population else ()
    return _job_of(experiment, "learn", (*LEARNING, *scored), description)


def _outcomes_job(experiment: BatchExperiment) -> dg.UnresolvedAssetJobDefinition:
    description = "Reads the files of outcomes that arrived, measures their nights, and publishes."
    return _job_of(experiment, "outcomes", ["outcomes", "published"], description)


def _measuring_job(experiment: BatchExperiment) -> dg.UnresolvedAssetJobDefinition:
    description = "Measures a date's list on a file of its users' outcomes, and publishes the result."
    return _job_of(experiment, "measure", ["realised", "published"], description)


def _job_of(
    experiment: BatchExperiment, verb: str, layers: Sequence[str], description: str
) -> dg.UnresolvedAssetJobDefinition:
    """Define the job ``<verb>_<experiment>`` of some layers."""
    return dg.define_asset_job(
        name=f"{verb}_{experiment.name}",
        selection=dg.AssetSelection.assets(*([experiment.name, layer] for layer in layers)),
        description=description,
        tags={"experiment": experiment.name},
    )


SETTINGS = Settings()
defs = build_definitions(
    experiment_folders(SETTINGS),
    Engine.from_settings(SETTINGS),
    RunNotices.from_settings(SETTINGS),
)
