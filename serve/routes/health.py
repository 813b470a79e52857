"""``/healthz``: is the process up, and on what?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from serve.dependencies import CurrentFollower
from serve.errors import UnavailableError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process is up; ``snapshot_id`` is null while nothing could be loaded."""

    status: Literal["ok"] = "ok"
    snapshot_id: str | None


@router.get("/healthz")
def healthz(follower: CurrentFollower) -> Health:
    """Whether the process is up, and which snapshot it answers from."""
    try:
        return Health(snapshot_id=follower.current().snapshot.snapshot_id)
    except UnavailableError:
        return Health(snapshot_id=None)
