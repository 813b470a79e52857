"""``/models`` and ``/features``: the models in use, and the attributes to send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease
from serve.errors import UnknownUserError, shown
from serve.following import Follower
from serve.release import PublishedModel, Release
from serve.schemas.answers import Pinned
from serve.schemas.requests import Label
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.artifacts.publication import Pin

router = APIRouter(tags=["models"], responses=problems.COMMON)


class Model(BaseModel):
    """The model of one published experiment, with the experiment's defaults."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    experiment: str
    title: str
    description: str
    model_version: str
    bundle_sha256: str
    published_at: datetime
    arm: str
    arms: list[str]
    learner: str
    outcome: str
    outcomes: list[str]
    kinds: dict[str, str] = Field(description="Kind of each outcome: binary, count or continuous.")
    budget: float
    costs: dict[str, float] = Field(description="Cost of treating one user, by arm, in money.")
    values: dict[str, float | None] = Field(description="Value of one unit of each outcome, in money.")
    pinned: Pinned | None = Field(description="Who rolled back to what is current, if somebody did.")


class Details(Model):
    """A model with its hashes, its card and its figures."""

    data_sha256: str
    sql_sha256: str
    libraries: dict[str, str]
    card: str | None = Field(description="Markdown.")
    metrics: list[dict[str, Any]] = Field(description="Rows of evaluation.metrics.")


class Feature(BaseModel):
    """One feature as the registry describes it."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    description: str
    sql_file: str
    sql_sha256: str


class Features(BaseModel):
    """The attributes to send, and the features that are computed from them."""

    model_config = ConfigDict(frozen=True, title="ExperimentFeatures")  # no field has this name

    experiment: str
    attributes: list[RawColumn]
    example: dict[str, Any] = Field(description="Attributes of a typical user: medians and modes.")
    example_user: int = Field(description="The user_id of one user of the snapshot.")
    features: list[Feature]
    features_sql: str


def _model(model: PublishedModel, pin: Pin | None) -> dict[str, Any]:
    experiment = model.experiment
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "description": experiment.description,
        "model_version": model.bundle.version,
        "bundle_sha256": model.published.bundle_sha256,
        "published_at": model.published.published_at,
        "arm": model.published.arm,
        "arms": list(experiment.treatments),
        "learner": model.published.learner,
        "outcome": model.bundle.manifest.outcome,
        "outcomes": [outcome.name for outcome in experiment.outcomes],
        "kinds": {outcome.name: outcome.kind for outcome in experiment.outcomes},
        "budget": experiment.defaults.budget,
        "costs": {arm.name: arm.cost for arm in experiment.arms},
        "values": {outcome.name: outcome.value for outcome in experiment.outcomes},
        "pinned": Pinned.of(pin),
    }


@router.get("/models")
async def models(release: CurrentRelease, follower: CurrentFollower) -> list[Model]:
    """List every published experiment with its model and its defaults."""
    pin = await run_in_threadpool(follower.pin)
    return [Model(**_model(model, pin)) for model in release.models.values()]


@router.get("/models/{version}")
async def details(
    version: Annotated[Label, Path()], release: CurrentRelease, follower: CurrentFollower
) -> Details:
    """Return one model: hashes, card, figures."""
    for model in release.models.values():
        if model.bundle.version == version:
            return await run_in_threadpool(_details, release, model, follower)
    known = ", ".join(model.bundle.version for model in release.models.values())
    raise UnknownUserError(f"version = {shown(version)}: not published; published are {known}")


def _details(release: Release, model: PublishedModel, follower: Follower) -> Details:
    manifest, snapshot = model.bundle.manifest, release.snapshot
    name = model.experiment.name
    cards = snapshot.rows(
        "select card from models.cards where model_version = $v", {"v": model.bundle.version}
    )
    metrics = snapshot.rows(
        "from evaluation.metrics where experiment = $name order by all", {"name": name}
    )
    return Details(
        **_model(model, follower.pin()),
        data_sha256=manifest.data_sha256,
        sql_sha256=manifest.sql_sha256,
        libraries=manifest.libraries,
        card=cards[0]["card"] if cards else None,
        metrics=metrics,
    )


@router.get("/features")
async def features(
    release: CurrentRelease, experiment: Annotated[Label | None, Query()] = None
) -> Features:
    """Return the attributes to send, with their contract, and the features computed from them."""
    model = release.model(experiment)
    rows = await run_in_threadpool(
        release.snapshot.rows,
        "select name, type, description, sql_file, sql_sha256 from features.registry "
        "where experiment = $name order by position",
        {"name": model.experiment.name},
    )
    name = model.experiment.name
    (first,) = await run_in_threadpool(
        release.snapshot.rows, f'select min(user_id) as user_id from features."{name}"'
    )
    return Features(
        experiment=name,
        example_user=first["user_id"],
        attributes=list(model.bundle.manifest.raw_columns),
        example=await run_in_threadpool(_example, release, model),
        features=[Feature(**row) for row in rows],
        features_sql=model.bundle.manifest.features_sql,
    )


def _example(release: Release, model: PublishedModel) -> dict[str, Any]:
    name = model.experiment.name
    example: dict[str, Any] = {}
    for table in ("", *model.experiment.tables):
        raw_columns = [c for c in model.bundle.manifest.raw_columns if c.table == table]
        if raw_columns:
            source = f"{name}_{table}" if table else name
            columns = ", ".join(_typical(column) for column in raw_columns)
            (row,) = release.snapshot.rows(f'select {columns} from (from raw."{source}" limit 100000)')
            example |= row
    return example


def _typical(column: RawColumn) -> str:
    """Return SQL of a column's mode (texts and flags) or median."""
    name, discrete = column.name.replace('"', '""'), column.type in {"VARCHAR", "BOOLEAN"}
    middle = f'mode("{name}")' if discrete else f'quantile_disc("{name}", 0.5)'
    return f'{middle} as "{column.attribute}"'
