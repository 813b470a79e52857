"""When models are due to learn from lists: they are old, or a campaign does not keep its promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import dagster as dg
import duckdb

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.resources import Engine
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.publication import NothingPublishedError, newest_pointer
from uplift_core.experiment.learning import Learning

EVERY = 3600  # seconds between two checks
STANDING = """
select
    (select max(trained_at) from models.registry where experiment = $experiment and is_current),
    (select max(learned_at) from models.learned where experiment = $experiment),
    (
        select arg_max(agrees, decision_date)
        from decisions.realised_over_time
        where experiment = $experiment and campaign = $campaign and outcome = $outcome
            and comparison = 'list' and agrees is not null
    ),
    (
        select max(decision_date)
        from decisions.realised_over_time
        where experiment = $experiment and campaign = $campaign and outcome = $outcome
    )
"""


@dataclass(frozen=True)
class Standing:
    """What is published of an experiment's models and lists.

    Attributes:
        trained_at: when the current models were trained, UTC.
        learned_at: when models last learned from lists, whether or not they took over; None: never.
        keeps_promise: whether measurement and promise agree on the newest measured night; None: unknown.
        measured: the newest measured night; None: none.
    """

    trained_at: datetime
    learned_at: datetime | None = None
    keeps_promise: bool | None = None
    measured: date | None = None


def why_due(standing: Standing, learning: Learning, now: datetime) -> str:
    """Say why models are due to learn, or nothing; ``now`` is UTC.

    A broken promise is a reason once: models learn again for it when a later night has been measured.
    """
    last = max(filter(None, (standing.trained_at, standing.learned_at)))
    if standing.measured is None:
        return ""
    if (now - last).days >= learning.every_days:
        return f"the models are of {last:%Y-%m-%d}, {(now - last).days} days old"
    learned = standing.learned_at
    if standing.keeps_promise is False and (learned is None or standing.measured > learned.date()):
        return f"lists until {standing.measured} do not do what held-out users promised"
    return ""


def read_standing(home: Home, experiment: BatchExperiment) -> Standing | None:
    """Read the newest snapshot; None if it has no models of the experiment, or an earlier version's."""
    declaration = experiment.declaration
    campaign = declaration.learning.campaign if declaration.learning else ""
    binds = {
        "experiment": experiment.name,
        "campaign": campaign or declaration.defaults.arm,
        "outcome": declaration.defaults.outcome,
    }
    try:
        file = home.published / newest_pointer(home.published).file
        with duckdb.connect(str(file), read_only=True) as con:
            trained, *others = con.execute(STANDING, binds).fetchall()[0]
    except (NothingPublishedError, duckdb.CatalogException):
        return None
    return Standing(trained, *others) if trained else None


def learning_sensor(
    folders: Sequence[BatchExperiment], jobs: Sequence[dg.UnresolvedAssetJobDefinition], engine: Engine
) -> dg.SensorDefinition:
    """Define a sensor of models that are due to learn; it is off until somebody turns it on."""

    @dg.sensor(
        name="learning_due",
        jobs=list(jobs),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Learns from lists when models are as old as [learning] every_days says, or when a "
        "campaign does not keep its promise.",
    )
    def learning_due(
        context: dg.SensorEvaluationContext,  # noqa: ARG001 - Dagster looks for it
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now, requested = datetime.now(UTC).replace(tzinfo=None), False
        for folder in folders:
            learning = folder.declaration.learning
            standing = read_standing(engine.paths, folder) if learning else None
            why = why_due(standing, learning, now) if standing and learning else ""
            if why:
                requested = True
                yield dg.RunRequest(
                    run_key=f"{folder.name}-learn-{now:%Y-%m-%d}",
                    job_name=f"learn_{folder.name}",
                    tags={"experiment": folder.name, "why": why},
                )
        if not requested:
            yield dg.SkipReason("no models are due to learn")

    return learning_due
