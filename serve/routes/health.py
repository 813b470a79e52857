"""``/healthz``, ``/readyz``, ``/metrics``: for probes and operators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentTelemetry, newest
from serve.errors import UnavailableError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process is up; ``snapshot_id`` is null while nothing could be loaded."""

    status: Literal["ok"] = "ok"
    snapshot_id: str | None


class Ready(BaseModel):
    """Verified models have scored the snapshot's first users as the batch did."""

    status: Literal["ready"] = "ready"
    snapshot_id: str
    stale: bool


QUERY = problems.responses(HTTPStatus.UNPROCESSABLE_ENTITY)


@router.get("/healthz", responses=QUERY)
async def healthz(follower: CurrentFollower) -> Health:
    """Whether the process is up, and which snapshot it answers from."""
    try:
        release = await newest(follower)
        return Health(snapshot_id=release.snapshot.snapshot_id)
    except UnavailableError:
        return Health(snapshot_id=None)


@router.get("/readyz", responses=QUERY | problems.responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(release: CurrentRelease, follower: CurrentFollower) -> Ready:
    """Whether requests can be answered: 503 until a verified release scored its smoke rows."""
    return Ready(snapshot_id=release.snapshot.snapshot_id, stale=follower.is_stale(release))


@router.get(
    "/metrics",
    response_class=Response,
    responses=QUERY | {HTTPStatus.OK: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(telemetry: CurrentTelemetry) -> Response:
    """Requests, latency, decisions against what was expected, scores, age of the snapshot."""
    return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4")
