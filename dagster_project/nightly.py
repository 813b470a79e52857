"""Every night's lists: the job ``nightly_decisions`` and its schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.resources import Engine
from uplift_core.publication import NothingPublishedError, read_pointer

LAYERS = ("treat_list", "export", "published")


def nightly_job(folders: Sequence[ExperimentFolder]) -> dg.UnresolvedAssetJobDefinition:
    """Lists, exports and snapshot of a date, from the scores that there are."""
    keys = [key for folder in folders for key in _keys(folder)]
    return dg.define_asset_job(
        name="nightly_decisions",
        selection=dg.AssetSelection.assets(*keys),
        description="Tonight's lists of every published experiment, from the scores that there are: "
        "decided, exported, published. Choose a range of dates to catch up in one run.",
    )


def nightly_schedule(
    job: dg.UnresolvedAssetJobDefinition, folders: Sequence[ExperimentFolder], engine: Engine
) -> dg.ScheduleDefinition:
    """Once a night for every published experiment; off until somebody switches it on."""
    declared = {folder.name: folder for folder in folders}

    @dg.schedule(
        name="nightly_decisions",
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        description="02:00 UTC: tonight's lists, one run per published experiment.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        date = context.scheduled_execution_time.date().isoformat()
        try:
            published = read_pointer(engine.paths.published).experiments
        except NothingPublishedError as error:
            yield dg.SkipReason(str(error))
            return
        for name in sorted(published.keys() & declared.keys()):
            yield dg.RunRequest(
                run_key=f"{name}-{date}",
                partition_key=date,
                asset_selection=_keys(declared[name]),
                tags={"experiment": name},
            )

    return nightly


def _keys(folder: ExperimentFolder) -> list[dg.AssetKey]:
    several = len(folder.experiment.treatments) > 1
    layers = (*LAYERS, "multi_arm_list") if several else LAYERS
    if folder.experiment.population:  # its users are other ones every night
        layers = ("population", "population_scores", *layers)
    return [dg.AssetKey([folder.name, layer]) for layer in layers]
