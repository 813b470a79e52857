"""Automation: the job ``nightly_decisions`` with its schedule, and the sensor of source files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import dagster as dg

from dagster_project.decisions.arrivals import files_of
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.resources import Engine
from uplift_core.artifacts.publication import NothingPublishedError, newest_pointer
from uplift_core.experiment.sources import FileSource, OwnFile

LAYERS = ("treat_list", "export", "published")


def nightly_job(folders: Sequence[BatchExperiment]) -> dg.UnresolvedAssetJobDefinition:
    """Define the job that makes a date's lists, exports and snapshot from the current scores."""
    keys = [key for folder in folders for key in _keys(folder)]
    return dg.define_asset_job(
        name="nightly_decisions",
        selection=dg.AssetSelection.assets(*keys),
        description="Tonight's lists of every published experiment, from the current scores: decide, "
        "export, publish. Choose a range of dates to catch up in one run.",
    )


def nightly_schedule(
    job: dg.UnresolvedAssetJobDefinition, folders: Sequence[BatchExperiment], engine: Engine
) -> dg.ScheduleDefinition:
    """Define a nightly schedule for every published experiment; it is off until somebody turns it on."""
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
            published = newest_pointer(engine.paths.published).experiments
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


def _keys(experiment: BatchExperiment) -> list[dg.AssetKey]:
    several = len(experiment.declaration.treatments) > 1
    layers = list_layers(experiment)
    layers = (*layers, "multi_arm_list") if several else layers
    if experiment.declaration.retention.prunes:
        layers = (*layers, "retention")
    if experiment.declaration.population:  # its users may change every night
        layers = ("population", "population_scores", *layers)
    return [dg.AssetKey([experiment.name, layer]) for layer in layers]


def list_layers(experiment: BatchExperiment) -> tuple[str, ...]:
    """Return the layers that make, export, deliver and publish a list."""
    declaration = experiment.declaration
    before = ("outcomes",) if declaration.arrivals else ()  # the list's checks read them
    after = ("delivered",) if declaration.delivery else ()
    return (*before, *LAYERS, *after)


EVERY = 300  # seconds between two checks


def source_sensor(
    folders: Sequence[BatchExperiment], jobs: Sequence[dg.UnresolvedAssetJobDefinition], engine: Engine
) -> dg.SensorDefinition:
    """Define a sensor of the source files' size and time; it is off until somebody turns it on.

    The first check only remembers the files: existing files need no run.
    """

    @dg.sensor(
        name="source_changed",
        jobs=list(jobs),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Trains, scores and publishes an experiment again when its source file changes.",
    )
    def source_changed(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        now = {folder.name: state for folder in folders if (state := _state(folder, engine))}
        changed = [name for name, state in now.items() if known.get(name, state) != state]
        context.update_cursor(json.dumps(known | now))
        if not changed:
            yield dg.SkipReason(f"none of {len(now)} source files changed")
        tonight = datetime.now(UTC).date().isoformat()
        for name in changed:
            yield dg.RunRequest(
                run_key=f"{name}-{now[name]}",
                job_name=f"uplift_{name}",
                partition_key=tonight,
                tags={"experiment": name},
            )

    return source_changed


def outcomes_sensor(
    folders: Sequence[BatchExperiment], jobs: Sequence[dg.UnresolvedAssetJobDefinition]
) -> dg.SensorDefinition:
    """Define a sensor of new files of outcomes; it is off until somebody turns it on.

    The first check asks for a run, too: files that were read before change nothing.
    """

    @dg.sensor(
        name="outcomes_arrived",
        jobs=list(jobs),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads files of outcomes when they arrive, measures their nights and publishes.",
    )
    def outcomes_arrived(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        now = {
            folder.name: state_of(files_of(folder, folder.declaration.arrivals))
            for folder in folders
            if folder.declaration.arrivals
        }
        changed = [name for name, state in now.items() if state and known.get(name) != state]
        context.update_cursor(json.dumps(now))
        if not changed:
            yield dg.SkipReason("no file of outcomes arrived")
        for name in changed:
            yield dg.RunRequest(
                run_key=f"{name}-outcomes-{sha256(now[name].encode()).hexdigest()[:16]}",
                job_name=f"outcomes_{name}",
                tags={"experiment": name},
            )

    return outcomes_arrived


def state_of(files: Sequence[Path]) -> str:
    """Return size and time of files, in order; empty if there are none."""
    return " ".join(f"{file.stat().st_size}-{file.stat().st_mtime_ns}" for file in files)


def _state(experiment: BatchExperiment, engine: Engine) -> str:
    """Return size and time of an experiment's file, or of all its parts; empty if there is none."""
    source = experiment.declaration.source
    if isinstance(source, OwnFile):
        # A relative path is relative to the experiment's folder.
        path = experiment.path / source.path
        present = sorted(path.parent.glob(path.name))
    elif isinstance(source, FileSource):
        data_dirs = [Path(engine.data_dir)] if engine.data_dir else []
        files = (folder / source.filename for folder in [*data_dirs, engine.paths.sources])
        present = [file for file in files if file.is_file()][:1]
    else:
        present = []
    return state_of(present)
