"""A run for every experiment whose source file has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.resources import Engine
from uplift_core.sources import FileSource, OwnFile

EVERY = 300  # seconds


def source_sensor(
    folders: Sequence[ExperimentFolder], jobs: Sequence[dg.UnresolvedAssetJobDefinition], engine: Engine
) -> dg.SensorDefinition:
    """Looks at size and time of the files; off until somebody switches it on.

    The first look only remembers the files: what is there already needs no run.
    """

    @dg.sensor(
        name="source_changed",
        jobs=list(jobs),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Trains, scores and publishes an experiment anew when its source file changes.",
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


def _state(folder: ExperimentFolder, engine: Engine) -> str:
    """Size and time of an experiment's file, or of all parts of it; empty where there is none."""
    source = folder.experiment.source
    if isinstance(source, OwnFile):
        # A relative path belongs to the experiment's folder.
        path = folder.folder / source.path
        found = sorted(path.parent.glob(path.name))
    elif isinstance(source, FileSource):
        places = [Path(engine.data_dir)] if engine.data_dir else []
        files = (place / source.filename for place in [*places, engine.paths.sources])
        found = [file for file in files if file.is_file()][:1]
    else:
        found = []
    return " ".join(f"{file.stat().st_size}-{file.stat().st_mtime_ns}" for file in found)
