"""``/healthz``, ``/readyz``, ``/metrics``: for probes and operators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from serve import problems
from serve.dependencies import CurrentFollower, CurrentRelease, CurrentTelemetry, newest
from serve.errors import UnavailableError
from serve.following import Follower
from serve.release import Release
from serve.schemas.answers import Pinned
from serve.telemetry import Telemetry
from uplift_core.command_words import ROLLBACK, RUN

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process is up; ``snapshot_id`` is null if no snapshot could be loaded yet."""

    status: Literal["ok"] = "ok"
    snapshot_id: str | None


class Ready(BaseModel):
    """The models are verified: they score the snapshot's first users as the batch did."""

    status: Literal["ready"] = "ready"
    snapshot_id: str
    stale: bool
    pinned: Pinned | None = Field(description="Who rolled back to what is current, if somebody did.")
    decision_log: Literal["off", "written", "failing"] = Field(
        description="Whether decisions are logged; if they must be and cannot, the answer is 503."
    )


QUERY = problems.responses(HTTPStatus.UNPROCESSABLE_ENTITY)


@router.get("/healthz", responses=QUERY)
async def healthz(follower: CurrentFollower) -> Health:
    """Say that the process is up, and which snapshot it answers from."""
    try:
        release = await newest(follower)
        return Health(snapshot_id=release.snapshot.snapshot_id)
    except UnavailableError:
        return Health(snapshot_id=None)


@router.get("/readyz", responses=QUERY | problems.responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(
    release: CurrentRelease, follower: CurrentFollower, telemetry: CurrentTelemetry
) -> Ready:
    """Say whether requests can be answered.

    The answer is 503 until a verified release has scored its test rows, if its file was altered since,
    and if decisions cannot be logged but must be.
    """
    return await run_in_threadpool(_ready, release, follower, telemetry)


def _ready(release: Release, follower: Follower, telemetry: Telemetry) -> Ready:
    snapshot_id, log = release.snapshot.snapshot_id, telemetry.log
    if follower.is_damaged(release):
        raise UnavailableError(
            f"snapshot {snapshot_id}: its file was altered after it was loaded; run `{ROLLBACK}`, or "
            f"`{RUN}` to publish another"
        )
    trouble = log.trouble() if log else None
    if log and log.required and trouble:
        raise UnavailableError(
            f"decisions cannot be logged: {trouble}; free the disk, or set "
            "UPLIFT_DECISION_LOG_REQUIRED=false to decide without the log"
        )
    return Ready(
        snapshot_id=snapshot_id,
        stale=follower.is_stale(release),
        pinned=Pinned.of(follower.pin()),
        decision_log=("failing" if trouble else "written") if log else "off",
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses=QUERY | {HTTPStatus.OK: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(telemetry: CurrentTelemetry) -> Response:
    """Return requests, latency, decisions and their expected number, scores, age of the snapshot."""
    return Response(
        await run_in_threadpool(telemetry.exposition), media_type="text/plain; version=0.0.4"
    )
