"""Read the declared experiments: built-in ones, and those in the folders that the settings name."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.sources.remote import url_of
from dagster_project.settings import SQL_FOLDER, Settings
from uplift_core.errors import ExperimentError
from uplift_core.experiment.declaration import Experiment, discover


def experiment_folders(settings: Settings) -> list[BatchExperiment]:
    """Read every declared experiment, with the variant and the file that the settings choose."""
    declared = discover(SQL_FOLDER / "experiments", *settings.experiment_roots)
    unknown = sorted({*settings.variants, *settings.files} - declared.keys())
    if unknown:
        raise ExperimentError(f"settings name {unknown}; declared experiments are {sorted(declared)}")
    return [
        BatchExperiment.read(_chosen(experiment, settings), folder)
        for experiment, folder in declared.values()
    ]


def _chosen(experiment: Experiment, settings: Settings) -> Experiment:
    variant, file = settings.variants.get(experiment.name), settings.files.get(experiment.name)
    if variant and file:
        raise ExperimentError(f"{experiment.name}: choose a variant or a file of your own, not both")
    if file:
        path = file.path if url_of(file.path) else file.path.absolute()
        return experiment.with_file(path, file.shares)
    return experiment.as_variant(variant) if variant else experiment
